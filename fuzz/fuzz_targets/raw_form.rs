//! See `flowstitch_fuzz::raw_form`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| flowstitch_fuzz::raw_form::check(data));
