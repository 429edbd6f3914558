//! A progress bar of one line, for whoever waits at a terminal.

use std::io::{self, Write};

use bytesize::ByteSize;

/// Blocks of a full bar.
const WIDTH: u64 = 30;
/// To the start of the line, and nothing behind it.
const CLEAR: &str = "\r\x1b[K";

/// A bar on standard error, if there is somebody to see it.
pub(super) struct Progress {
    is_shown: bool,
    pub(super) total: u64,
}

impl Progress {
    pub(super) fn new(is_shown: bool) -> Self {
        Self { is_shown, total: 0 }
    }

    pub(super) fn draw(&self, done: u64) {
        if self.is_shown {
            say(&format!("{CLEAR}{}", line(done, self.total)));
        }
    }

    /// Makes room for a line of another kind.
    pub(super) fn clear(&self) {
        if self.is_shown {
            say(CLEAR);
        }
    }
}

fn say(text: &str) {
    // If standard error is closed, nobody watches.
    let mut err = io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

/// Files may come while others are read: more than all is all.
fn line(done: u64, total: u64) -> String {
    let done = done.min(total);
    let share = |of: u64| u128::from(done) * u128::from(of) / u128::from(total.max(1));
    let filled = usize::try_from(share(WIDTH)).unwrap_or_default();
    let bar = "#".repeat(filled) + &"-".repeat(30 - filled);
    let (percent, done, total) = (share(100), ByteSize(done), ByteSize(total));
    format!("[{bar}] {percent:>3} %  {done} of {total}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_full_when_all_is_done_and_never_fuller() {
        let empty = "-".repeat(30);
        assert_eq!(line(0, 0), format!("[{empty}]   0 %  0 B of 0 B"));
        let half = format!("[{0}{1}]  50 %", "#".repeat(15), "-".repeat(15));
        assert!(line(512, 1024).starts_with(&half), "{}", line(512, 1024));
        let full = format!("[{}] 100 %", "#".repeat(30));
        for done in [1024, 5000, u64::MAX] {
            assert!(line(done, 1024).starts_with(&full), "{}", line(done, 1024));
        }
        assert!(line(u64::MAX, u64::MAX).starts_with(&full));
    }
}
