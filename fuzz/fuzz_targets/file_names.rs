//! See `flowstitch_fuzz::file_names`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| flowstitch_fuzz::file_names::check(data));
