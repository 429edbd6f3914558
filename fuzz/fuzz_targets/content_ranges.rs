//! See `flowstitch_fuzz::content_ranges`.
#![no_main]

use flowstitch_fuzz::content_ranges::{Ask, check};

libfuzzer_sys::fuzz_target!(|ask: Ask| check(&ask));
