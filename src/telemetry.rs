//! Structured logs on standard error, as text for people or as JSON for machines.
//!
//! Nothing in the process waits for whoever reads them: lines go through a bounded queue to a
//! thread of their own, which is the only one that writes to standard error once logs are started.

mod queue;

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::{self, IsTerminal, Write},
    panic::{self, PanicHookInfo},
    sync::LazyLock,
    thread,
};

use prometheus_client::metrics::counter::Counter;
use tracing::Subscriber;
use tracing_subscriber::fmt::{MakeWriter, Subscriber as Lines};

use self::queue::LogQueue;
use crate::{
    config::{LogFilter, LogFormat},
    upload::limits::{LOG_FLUSH_TIMEOUT, LOG_QUEUE_LEN},
};

/// The one queue of the process, as standard error is the one of the process.
static QUEUE: LazyLock<LogQueue> = LazyLock::new(|| LogQueue::new(LOG_QUEUE_LEN));

/// Why logs cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum CannotLog {
    /// A process has one place that writes them.
    #[error("logs are being written already")]
    AlreadyStarted(#[source] tracing::subscriber::SetGlobalDefaultError),
    /// The thread that writes them.
    #[error("cannot start the thread that writes logs: raise the limit of processes or of memory")]
    NoThread(#[source] io::Error),
}

/// Writes the logs of the whole process to standard error from now on, panics among them.
pub fn start(format: LogFormat, filter: &LogFilter) -> Result<(), CannotLog> {
    let colours = io::stderr().is_terminal();
    let subscriber = subscriber(format, filter, colours, || QUEUE.line());
    tracing::subscriber::set_global_default(subscriber).map_err(CannotLog::AlreadyStarted)?;
    let write = || {
        QUEUE.write_to(&mut io::stderr(), |lost| {
            tracing::warn!(lost, "Log lines were lost: standard error was not read fast enough");
        });
    };
    thread::Builder::new().name("logs".into()).spawn(write).map_err(CannotLog::NoThread)?;
    QUEUE.open();
    panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Writes one plain line to standard error, behind the log lines before it. It waits for nobody
/// once logs are started; before that it is written at once.
pub fn say(line: &str) {
    if QUEUE.is_open() {
        QUEUE.push(format!("{line}\n").into_bytes());
    } else {
        // In one piece, for standard error has no buffer. If it is closed, nobody is told.
        let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
    }
}

/// Waits until all lines are written, at most [`LOG_FLUSH_TIMEOUT`].
pub fn flush() {
    if QUEUE.is_open() {
        QUEUE.flush(LOG_FLUSH_TIMEOUT);
    }
}

/// Counts the lines that were lost: the queue was full, or standard error took no more.
#[must_use]
pub fn lost_lines() -> Counter {
    QUEUE.lost_lines()
}

/// What the standard hook says, as a log line: that hook writes to standard error itself, and a
/// request that panics would wait for whoever reads it.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let current = thread::current();
    let thread = current.name().unwrap_or_default();
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let message = panic.payload_as_str().unwrap_or("of no text");
    let trace = Backtrace::capture();
    if trace.status() == BacktraceStatus::Captured {
        tracing::error!(thread, place, panic = message, %trace, "Panicked");
    } else {
        tracing::error!(thread, place, panic = message, "Panicked");
    }
}

/// Times are RFC 3339 in UTC in both formats.
fn subscriber<W>(
    format: LogFormat,
    filter: &LogFilter,
    colours: bool,
    writer: W,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = Lines::builder()
        .with_env_filter(filter.to_env_filter())
        .with_writer(writer)
        // It would complain to standard error, too, and panic where that is what is broken: a
        // reader of the logs that goes away must not take requests with it.
        .log_internal_errors(false);
    match format {
        LogFormat::Text => Box::new(lines.with_ansi(colours).finish()),
        // Flat, and the innermost span only: `jq .message` and `jq .span.request_id` find things.
        LogFormat::Json => Box::new(
            lines.json().flatten_event(true).with_current_span(true).with_span_list(false).finish(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What is logged in `format` by a request with an id.
    fn logged(format: LogFormat, filter: &str) -> String {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let writer = move || Sink(Arc::clone(&sink));
        let filter = filter.parse().expect("a filter");
        tracing::subscriber::with_default(subscriber(format, &filter, false, writer), || {
            let _request = tracing::info_span!("request", request_id = "r-1").entered();
            tracing::info!(upload.id = "u-1", range.len = 3, "Stored range");
            tracing::debug!("too much");
        });
        let lines = lines.lock().expect("no writer panics");
        String::from_utf8(lines.clone()).expect("logs are texts")
    }

    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no writer panics").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn json_lines_are_flat_and_timed_in_utc() {
        let text = logged(LogFormat::Json, "info");
        let line: serde_json::Value = serde_json::from_str(&text).expect("one line of JSON");
        assert_eq!(line["message"], "Stored range");
        assert_eq!(line["upload.id"], "u-1");
        assert_eq!(line["range.len"], 3);
        assert_eq!(line["span"]["request_id"], "r-1");
        assert_eq!(line["level"], "INFO");
        let time = line["timestamp"].as_str().expect("a time");
        assert!(time.ends_with('Z') && time.parse::<jiff::Timestamp>().is_ok(), "{time}");
    }

    #[test]
    fn text_lines_read_alone() {
        let text = logged(LogFormat::Text, "info");
        assert_eq!(text.lines().count(), 1, "{text}");
        for part in ["INFO", "request_id=\"r-1\"", "Stored range", "range.len=3"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(!text.contains('\u{1b}'), "colours in a file: {text:?}");
    }

    #[test]
    fn the_filter_decides_what_is_written() {
        assert_eq!(logged(LogFormat::Text, "warn"), "");
        assert_eq!(logged(LogFormat::Json, "info,flowstitch=debug").lines().count(), 2);
    }
}
