//! Signals: the first asks for a graceful stop, the second ends the process at once.

use std::{io, pin::pin, process, task::Poll};

use futures_util::{Stream, StreamExt, stream};
use tokio::signal::unix::{self, SignalKind};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// A signal that asks the process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// What service managers send.
    Terminate,
}

impl Signal {
    /// The status of a process that the signal ended: 128 and its number, by custom of shells.
    fn status(self) -> i32 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

/// A token that is cancelled when SIGTERM or Ctrl-C comes. A second one of either exits the process
/// with status 143 or 130; what had begun is resumed at the next start. SIGHUP ends nothing any
/// more: it asks for what has changed to be read again, by whoever listens to it.
///
/// Must be called inside a tokio runtime. The signals are heeded for as long as it lives.
///
/// Errors: the system has no signal handlers to give.
pub fn on_signals() -> io::Result<CancellationToken> {
    // Once it is listened to, what it does by default is gone for good.
    drop(unix::signal(SignalKind::hangup())?);
    let signals = signals()?;
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move {
        if let Some(second) = heed(signals, &stopped).await {
            warn!("second signal: exiting at once");
            exit(second);
        }
    });
    Ok(stop)
}

#[expect(clippy::disallowed_methods, reason = "whoever signals twice does not want to wait")]
fn exit(signal: Signal) -> ! {
    process::exit(signal.status())
}

fn signals() -> io::Result<impl Stream<Item = Signal> + Send> {
    let mut interrupt = unix::signal(SignalKind::interrupt())?;
    let mut terminate = unix::signal(SignalKind::terminate())?;
    Ok(stream::poll_fn(move |context| {
        if interrupt.poll_recv(context).is_ready() {
            return Poll::Ready(Some(Signal::Interrupt));
        }
        terminate.poll_recv(context).map(|_| Some(Signal::Terminate))
    }))
}

/// Cancels `stop` at the first signal; returns the second, or nothing if there will be none.
async fn heed(signals: impl Stream<Item = Signal>, stop: &CancellationToken) -> Option<Signal> {
    let mut signals = pin!(signals);
    let first = signals.next().await?;
    info!(signal = ?first, "stopping; a second signal exits at once");
    stop.cancel();
    signals.next().await
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn the_first_signal_cancels_and_waits_for_the_second() {
        let stop = CancellationToken::new();
        let one = stream::iter([Signal::Terminate]).chain(stream::pending());
        assert_eq!(heed(one, &stop).now_or_never(), None);
        assert!(stop.is_cancelled());
    }

    #[test]
    fn the_second_signal_says_how_to_exit() {
        let stop = CancellationToken::new();
        let two = stream::iter([Signal::Terminate, Signal::Interrupt]);
        let second = heed(two, &stop).now_or_never().flatten();
        assert_eq!(second.map(Signal::status), Some(130));
        assert_eq!(Signal::Terminate.status(), 143);
    }

    #[test]
    fn no_signal_no_stop() {
        let stop = CancellationToken::new();
        assert_eq!(heed(stream::pending(), &stop).now_or_never(), None);
        assert!(!stop.is_cancelled());
    }
}
