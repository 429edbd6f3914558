//! A connection whose peer must take what is written to it, and which tells when all is written.
//!
//! hyper bounds how long a request head may take but not how long an answer may: a client that asks
//! for a file and never reads it, or reads a byte now and then, would keep its connection for ever.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::pace::{Credit, Pace, Wait};

/// Ends in an error when the peer has taken nothing for `limit` while there was something to take,
/// or has taken it more slowly than the pace. How long it may be silent is not limited here.
pub(super) struct StallGuard<T, F> {
    io: T,
    limit: Duration,
    credit: Credit,
    /// Told whenever nothing is left to be written.
    flushed: F,
    /// Since when the peer takes no more.
    waiting: Option<Wait>,
}

impl<T: Unpin, F> StallGuard<T, F> {
    pub(super) fn new(io: T, limit: Duration, pace: Pace, flushed: F) -> Self {
        Self { io, limit, credit: Credit::new(pace), flushed, waiting: None }
    }

    /// What became of a write, or that it has been waiting for too long.
    fn watch<R>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut T>, &mut Context<'_>) -> Poll<io::Result<R>>,
        len: impl FnOnce(&R) -> usize,
    ) -> Poll<io::Result<R>> {
        let written = write(Pin::new(&mut self.io), cx);
        if let Poll::Ready(result) = &written {
            let waited = self.waiting.take();
            let waited = waited.map_or(Duration::ZERO, |wait| wait.elapsed());
            self.credit.earn(waited, result.as_ref().map_or(0, len));
            return written;
        }
        let patience = self.credit.patience().map_or(self.limit, |left| left.min(self.limit));
        let wait = self.waiting.get_or_insert_with(|| Wait::new(patience));
        wait.poll_over(cx, patience).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin, F: Unpin> AsyncRead for StallGuard<T, F> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T, F> AsyncWrite for StallGuard<T, F>
where
    T: AsyncRead + AsyncWrite + Unpin,
    F: Fn() + Unpin,
{
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.watch(cx, |io, cx| io.poll_write(cx, bytes), |len| *len)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.watch(cx, |io, cx| io.poll_write_vectored(cx, slices), |len| *len)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.watch(cx, AsyncWrite::poll_flush, |()| 0);
        if flushed.is_ready() {
            (self.flushed)();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.watch(cx, AsyncWrite::poll_shutdown, |()| 0)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time::{Instant, advance, sleep},
    };

    use super::*;

    const UNHURRIED: Pace =
        Pace { idle: Duration::from_secs(30), progress: None, window: Duration::from_mins(1) };

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let (ours, _theirs) = duplex(4);
        let began = Instant::now();
        let mut ours = StallGuard::new(ours, Duration::from_mins(1), UNHURRIED, || ());
        let error = ours.write_all(b"12345").await.expect_err("the peer reads nothing");
        assert_eq!((error.kind(), began.elapsed().as_secs()), (io::ErrorKind::TimedOut, 60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_too_little_is_given_up() {
        let (ours, mut theirs) = duplex(4);
        let pace = Pace { progress: Some(64), ..UNHURRIED };
        let mut ours = StallGuard::new(ours, Duration::from_mins(1), pace, || ());
        let reader = tokio::spawn(async move {
            while theirs.read_exact(&mut [0; 4]).await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
        });
        let began = Instant::now();
        let error = ours.write_all(&[0; 1000]).await.expect_err("four bytes a second");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed().as_secs().abs_diff(64) <= 2, "{:?}", began.elapsed());
        drop(ours);
        reader.await.expect("no panic");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_is_only_slow_is_served() {
        let (ours, mut theirs) = duplex(4);
        let mut ours = StallGuard::new(ours, Duration::from_mins(1), UNHURRIED, || ());
        let reader = tokio::spawn(async move {
            for _ in 0..25 {
                advance(Duration::from_secs(59)).await;
                theirs.read_exact(&mut [0; 4]).await.expect("four bytes");
            }
        });
        ours.write_all(&[0; 100]).await.expect("it goes on");
        reader.await.expect("no panic");
    }
}
