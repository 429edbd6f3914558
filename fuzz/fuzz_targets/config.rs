//! See `flowstitch_fuzz::config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| flowstitch_fuzz::config::check(data));
