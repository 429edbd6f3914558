//! What a server writes to standard error, line by line, as it comes.

use std::{
    io::{BufRead, BufReader, Read},
    sync::{Arc, Condvar, Mutex},
    thread,
};

use super::PATIENCE;

/// The lines so far, and the end of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<(Mutex<Lines>, Condvar)>);

#[derive(Debug, Default)]
struct Lines {
    lines: Vec<String>,
    ended: bool,
}

impl Log {
    /// Reads in a thread of its own: a server must never wait for us to read.
    pub(crate) fn follow(from: impl Read + Send + 'static) -> Self {
        let log = Self::default();
        let own = log.clone();
        thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                own.change(|lines| lines.lines.push(line));
            }
            own.change(|lines| lines.ended = true);
        });
        log
    }

    fn change(&self, change: impl FnOnce(&mut Lines)) {
        change(&mut self.0.0.lock().expect("no panic under this lock"));
        self.0.1.notify_all();
    }

    /// The first line that has this text, now or as soon as it comes.
    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) -> String {
        let lines = self.0.0.lock().expect("no panic under this lock");
        let find = |lines: &Lines| lines.lines.iter().find(|line| line.contains(text)).cloned();
        let (lines, _) = self
            .0
            .1
            .wait_timeout_while(lines, PATIENCE, |l| find(l).is_none() && !l.ended)
            .expect("no panic under this lock");
        find(&lines)
            .unwrap_or_else(|| panic!("no {text:?} in the log:\n{}", lines.lines.join("\n")))
    }

    /// All lines, once there can be no more.
    #[track_caller]
    pub(crate) fn whole(&self) -> Vec<String> {
        let lines = self.0.0.lock().expect("no panic under this lock");
        let (lines, late) = self
            .0
            .1
            .wait_timeout_while(lines, PATIENCE, |lines| !lines.ended)
            .expect("no panic under this lock");
        assert!(!late.timed_out(), "standard error is still open");
        lines.lines.clone()
    }
}
