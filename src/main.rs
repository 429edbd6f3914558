//! The `flowstitch` binary.

fn main() {}
