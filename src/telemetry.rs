//! Structured logs on standard error, as text for people or as JSON for machines.

use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing_subscriber::fmt::{MakeWriter, Subscriber as Lines};

use crate::config::{LogFilter, LogFormat};

/// Logs are written already: a process has one place that writes them.
#[derive(Debug, thiserror::Error)]
#[error("logs are being written already")]
pub struct AlreadyStarted(#[source] tracing::subscriber::SetGlobalDefaultError);

/// Writes the logs of the whole process to standard error from now on.
pub fn start(format: LogFormat, filter: &LogFilter) -> Result<(), AlreadyStarted> {
    let colours = io::stderr().is_terminal();
    let subscriber = subscriber(format, filter, colours, io::stderr);
    tracing::subscriber::set_global_default(subscriber).map_err(AlreadyStarted)
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
