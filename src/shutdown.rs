//! Signals: the first asks for a graceful stop, the second ends the process at once.
//!
//! Neither depends on anything else in the process. The second signal is handled by the signal
//! handler itself; the first by a thread that only waits for signals, and that ends the process if
//! the stop does not end.

use std::{
    io,
    os::raw::c_int,
    sync::{Arc, atomic::AtomicBool},
    thread,
    time::{Duration, Instant},
};

use signal_hook::{
    consts::signal::{
        SIGALRM, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGTERM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU,
        SIGXFSZ,
    },
    flag,
    iterator::Signals,
    low_level::{exit, signal_name},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{telemetry, upload::limits::STOP_GRACE};

/// Signals that ask the process to end; a second one of them ends it at once.
const ENDING: [c_int; 2] = [SIGINT, SIGTERM];
/// All signals that have a meaning here, and those that end a process unless it handles them
/// although they mean nothing here. SIGQUIT and the signals of faults keep their meaning: they end
/// the process, with a core dump where the system makes one.
const HEEDED: [c_int; 10] =
    [SIGINT, SIGTERM, SIGXCPU, SIGHUP, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO];

/// A token that is cancelled when SIGTERM, SIGINT (Ctrl-C) or SIGXCPU (a limit of CPU time)
/// comes. A second SIGTERM or SIGINT exits the process with status 143 or 130, whatever else it
/// does; what had begun is resumed at the next start. If it still runs [`STOP_GRACE`] after
/// the end of `patience`, it exits with status 1.
///
/// SIGHUP ends nothing any more: it asks for what has changed to be read again, by whoever listens
/// to it. SIGUSR1, SIGUSR2 and the signals of timers are logged, and have no other effect.
///
/// Errors: the system has no signal handlers or no thread to give.
pub fn on_signals(patience: Duration) -> io::Result<CancellationToken> {
    // First of all: a signal that comes between this and the rest waits here for the thread.
    let mut signals = Signals::new(HEEDED)?;
    let is_asked = Arc::new(AtomicBool::new(false));
    for signal in ENDING {
        // In this order: the first signal finds the flag unset and sets it.
        flag::register_conditional_shutdown(signal, status(signal), is_asked.clone())?;
        flag::register(signal, is_asked.clone())?;
    }
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let listen = move || {
        if heed(signals.forever(), &stopped) {
            wait_until(Instant::now() + patience.saturating_add(STOP_GRACE));
            error!("The stop did not end in time: exiting; the next start recovers");
            telemetry::flush();
            exit(1);
        }
    };
    thread::Builder::new().name("signals".into()).spawn(listen)?;
    Ok(stop)
}

/// Makes a write fail that would make a file larger than the limit of file sizes (`ulimit -f`,
/// `LimitFSIZE=`), for the whole process. Without this, the signal SIGXFSZ ends it.
pub fn survive_large_files() -> io::Result<()> {
    // A handler, and not SIG_IGN: programs that the process starts would inherit that.
    flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))).map(drop)
}

/// The status of a process that the signal ended: 128 and its number, by custom of shells.
fn status(signal: c_int) -> i32 {
    128 + signal
}

/// Cancels `stop` at the first signal that asks for it, and returns true; false if there will be
/// none.
fn heed(signals: impl IntoIterator<Item = c_int>, stop: &CancellationToken) -> bool {
    for signal in signals {
        let name = signal_name(signal).unwrap_or("unknown");
        match signal {
            SIGINT | SIGTERM | SIGXCPU => {
                // Before anything else, which could fail or take time.
                stop.cancel();
                info!(signal = name, "stopping; a second signal exits at once");
                return true;
            }
            SIGHUP => {}
            _ => warn!(signal = name, "This signal has no effect here"),
        }
    }
    false
}

fn wait_until(end: Instant) {
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|it| !it.is_zero()) {
        thread::park_timeout(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_signal_that_asks_for_it_cancels() {
        for signal in [SIGTERM, SIGINT, SIGXCPU] {
            let stop = CancellationToken::new();
            assert!(heed([SIGHUP, SIGUSR1, signal], &stop));
            assert!(stop.is_cancelled());
        }
    }

    #[test]
    fn a_second_signal_exits_with_its_own_status() {
        assert_eq!(ENDING.map(status), [130, 143]);
    }

    #[test]
    fn no_signal_no_stop() {
        let stop = CancellationToken::new();
        assert!(!heed([SIGHUP, SIGUSR1, SIGUSR2, SIGALRM], &stop));
        assert!(!stop.is_cancelled());
    }
}
