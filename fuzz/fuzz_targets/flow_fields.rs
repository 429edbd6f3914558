//! See `flowstitch_fuzz::flow_fields`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| flowstitch_fuzz::flow_fields::check(data));
