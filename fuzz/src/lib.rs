//! What the fuzz targets assert. Each module is one target: input in, and a panic if a property
//! does not hold. The targets themselves are one line each, so that whatever is found can be run
//! without a fuzzer, too.
//!
//! All of it is deterministic: time is paused, the clock stands still, and what a request does
//! depends on nothing but its bytes.

#![forbid(unsafe_code)]

mod service;

pub mod config;
pub mod content_ranges;
pub mod file_names;
pub mod flow_fields;
pub mod raw_form;
pub mod session;
