//! A connection whose peer must take what is written to it, which tells when all is written, and
//! which is read in small steps.
//!
//! hyper bounds how long a request head may take but not how long an answer may: a client that asks
//! for a file and never reads it would keep its connection for ever. And its buffer doubles each
//! time a read fills it, up to what a head may have, and no body is the faster for that.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, Take},
    time::{Sleep, sleep},
};

use crate::upload::limits::SOCKET_READ_LEN_MAX;

/// Ends in an error when the peer has taken nothing for `limit` while there was something to take.
/// How long it may be silent is not limited here.
pub(super) struct StallGuard<T, F> {
    io: Take<T>,
    limit: Duration,
    /// Told whenever nothing is left to be written.
    flushed: F,
    /// Runs from the moment at which the peer took no more until it takes something.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<T: AsyncRead + Unpin, F> StallGuard<T, F> {
    pub(super) fn new(io: T, limit: Duration, flushed: F) -> Self {
        Self { io: io.take(SOCKET_READ_LEN_MAX), limit, flushed, waiting: None }
    }

    /// What became of a write, or that it has been waiting for too long.
    fn watch<R>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut T>, &mut Context<'_>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        let written = write(Pin::new(self.io.get_mut()), cx);
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let limit = self.limit;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(limit)));
        waiting.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin, F: Unpin> AsyncRead for StallGuard<T, F> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Of each read, not of all together.
        self.io.set_limit(SOCKET_READ_LEN_MAX);
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
        self.watch(cx, |io, cx| io.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.watch(cx, |io, cx| io.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.get_ref().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.watch(cx, AsyncWrite::poll_flush);
        if flushed.is_ready() {
            (self.flushed)();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.watch(cx, AsyncWrite::poll_shutdown)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time::{Instant, advance},
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let (ours, _theirs) = duplex(4);
        let began = Instant::now();
        let mut ours = StallGuard::new(ours, Duration::from_mins(1), || ());
        let error = ours.write_all(b"12345").await.expect_err("the peer reads nothing");
        assert_eq!((error.kind(), began.elapsed().as_secs()), (io::ErrorKind::TimedOut, 60));
    }

    #[tokio::test]
    async fn what_came_is_read_in_small_steps_and_to_its_end() {
        const STEP: usize = 32 * 1024 - 1;
        let (ours, mut theirs) = duplex(2 * STEP);
        let mut ours = StallGuard::new(ours, Duration::from_mins(1), || ());
        theirs.write_all(&vec![7; 2 * STEP]).await.expect("there is room");
        drop(theirs);
        let mut bytes = vec![0; 2 * STEP];
        for expected in [STEP, STEP, 0] {
            assert_eq!(ours.read(&mut bytes).await.expect("a step"), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_is_only_slow_is_served() {
        let (ours, mut theirs) = duplex(4);
        let mut ours = StallGuard::new(ours, Duration::from_mins(1), || ());
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
