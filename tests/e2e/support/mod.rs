//! What the tests are written with: the binary as a child, raw connections, and a flow.js client.

mod flow;
mod half;
mod http;
mod log;
mod server;

use std::time::Duration;

pub(crate) use self::{
    flow::{FlowFile, bytes, png},
    half::{HalfSent, PATIENT},
    http::{Answer, Connection, request},
    log::Log,
    server::{Server, Setup, Tool, output, run, write_secret},
};

/// Longer than anything takes: what comes later than this never comes. No test passes by waiting.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Asks again and again. Each question must cost a system call at least, so that others get to
/// work; for what gives no event.
#[track_caller]
pub(crate) fn until(mut is_so: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "it never came to be so");
        std::thread::yield_now();
    }
}
