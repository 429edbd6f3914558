//! See `flowstitch_fuzz::session`.
#![no_main]

use flowstitch_fuzz::session::{Session, check};

libfuzzer_sys::fuzz_target!(|session: Session| check(&session));
