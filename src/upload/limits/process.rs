//! Bounds of the process itself: its logs and its end.

use std::time::Duration;

/// Bytes of log lines that wait to be written to standard error. What does not fit is dropped and
/// counted.
pub const LOG_QUEUE_LEN: usize = 1024 * 1024;
/// How long the end of the process waits for lines to be written.
pub const LOG_FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// How long after `shutdown_timeout` a process that was asked to stop ends itself.
pub const STOP_GRACE: Duration = Duration::from_secs(3);
/// How long a stop waits for a body that brings too little: one part in so many of the time that
/// the stop leaves to requests.
pub const STOP_PATIENCE_PART: u32 = 20;
/// Bytes in a second that a body must bring on average while the service stops.
pub const STOP_PROGRESS_MIN: u64 = 16 * super::KIB;
/// How late a timer must be to say that the process stood still: it was stopped (SIGSTOP), or got
/// no processor. What its clients did meanwhile is not known.
pub const STANDSTILL_MIN: Duration = Duration::from_secs(2);
