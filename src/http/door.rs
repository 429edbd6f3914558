//! Where connections wait while the server is full, and the reserve for health and readiness.
//!
//! What a connection asks for is known only from its first bytes. So a full server goes on
//! accepting connections and reads their first bytes here. A connection that begins with a request
//! for `/healthz` or `/readyz` gets one of a few reserved slots, for this one request. Any other
//! one waits in a queue until a slot is free.
//!
//! Both crowds are bounded. Of the connections that have sent nothing only the newest stay, so that
//! silent ones, however many, never keep out a check. When the queue is full, one more is closed.

use std::{
    collections::VecDeque,
    io,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    select,
    sync::{Mutex as Turn, Semaphore},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::slots::{Slot, Slots};
use crate::upload::limits::{READ_AHEAD_LEN_MAX, RESERVED_CONNECTIONS};

/// What requests that are let in from the reserve begin with.
const CHECKS: [&str; 4] = ["GET /healthz", "GET /readyz", "HEAD /healthz", "HEAD /readyz"];

/// The way to a slot.
#[derive(Debug)]
pub(super) struct Door {
    /// For everybody.
    slots: Queue,
    /// For checks, while the others are taken.
    reserve: Queue,
    /// How many may wait for a slot.
    places: Semaphore,
    len_max: usize,
    /// Those who have sent nothing yet, the oldest first. Some may have left.
    silent: Mutex<VecDeque<CancellationToken>>,
    /// How long a connection may be silent here, and how long a check may take to send its head.
    patience: Duration,
}

/// Slots that are given in the order in which they were asked for.
#[derive(Debug)]
struct Queue {
    slots: Arc<Slots>,
    turn: Turn<()>,
}

/// A connection that has a slot.
pub(super) struct Entered<S> {
    pub(super) stream: Opened<S>,
    pub(super) slot: Slot,
    /// Only one request of it is answered, and its head must come within this time.
    pub(super) once: Option<Duration>,
}

impl Door {
    /// In front of these slots; as many may wait as [`crate::upload::limits::door_len`] says.
    pub(super) fn new(slots: Arc<Slots>, len_max: usize, patience: Duration) -> Self {
        // One that has not sent its head gives way at once: the next one may be honest.
        let reserve = Slots::new(RESERVED_CONNECTIONS, RESERVED_CONNECTIONS, Duration::ZERO);
        Self {
            slots: Queue::of(slots),
            reserve: Queue::of(reserve),
            places: Semaphore::new(len_max),
            len_max,
            silent: Mutex::default(),
            patience,
        }
    }

    /// A slot, if there is one now and nobody waits for it.
    pub(super) fn try_enter(&self, from: Option<IpAddr>) -> Option<Slot> {
        let is_empty = self.places.available_permits() == self.len_max;
        is_empty.then(|| self.slots.take(from).now_or_never()).flatten().flatten()
    }

    /// Lets a connection in when there is a slot for it. Nothing if it is to be closed: it was
    /// silent, it left, too many wait, or its address has as many as it may have.
    ///
    /// Cancel safety: may be dropped; the connection is then closed.
    pub(super) async fn wait<S>(&self, stream: S, from: Option<IpAddr>) -> Option<Entered<S>>
    where
        S: AsyncRead + Unpin,
    {
        let mut stream = Opened::new(stream);
        let is_check = timeout(self.patience, stream.is_check());
        if self.displace().run_until_cancelled(is_check).await?.ok()?? {
            let slot = timeout(self.patience, self.reserve.take(None)).await.ok()??;
            return Some(Entered { stream, slot, once: Some(self.patience) });
        }
        let _place = self.places.try_acquire().ok()?;
        let slot = select! {
            slot = self.slots.take(from) => slot?,
            () = stream.ended() => return None,
        };
        Some(Entered { stream, slot, once: None })
    }

    /// One more is silent; if there are too many, the oldest must leave. Gives what tells the new
    /// one to leave.
    fn displace(&self) -> CancellationToken {
        let own = CancellationToken::new();
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        silent.push_back(own.clone());
        if self.len_max < silent.len()
            && let Some(oldest) = silent.pop_front()
        {
            oldest.cancel();
        }
        own
    }
}

impl Queue {
    fn of(slots: Arc<Slots>) -> Self {
        Self { slots, turn: Turn::default() }
    }

    async fn take(&self, from: Option<IpAddr>) -> Option<Slot> {
        let _turn = self.turn.lock().await;
        self.slots.take(from).await
    }
}

/// A connection whose first bytes may have been read ahead.
pub(super) struct Opened<S> {
    io: S,
    /// What was read ahead and is still to be given.
    ahead: Vec<u8>,
}

impl<S> Opened<S> {
    pub(super) fn new(io: S) -> Self {
        Self { io, ahead: Vec::new() }
    }
}

impl<S: AsyncRead + Unpin> Opened<S> {
    /// Whether its first request is one for health or readiness. Nothing if it ended before that
    /// could be known.
    async fn is_check(&mut self) -> Option<bool> {
        loop {
            if let Some(known) = begins_with_check(&self.ahead) {
                return Some(known);
            }
            if !self.read_ahead().await {
                return None;
            }
        }
    }

    /// Waits until the client has left. Known only of those who send little: others are not read.
    async fn ended(&mut self) {
        while self.ahead.len() < READ_AHEAD_LEN_MAX {
            if !self.read_ahead().await {
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    /// Gives whether there may be more. Cancel safety: no byte is lost.
    async fn read_ahead(&mut self) -> bool {
        let mut bytes = [0; READ_AHEAD_LEN_MAX];
        let room = READ_AHEAD_LEN_MAX - self.ahead.len();
        let Ok(len @ 1..) = self.io.read(&mut bytes[..room]).await else { return false };
        self.ahead.extend_from_slice(&bytes[..len]);
        true
    }
}

/// Nothing while it cannot be known.
fn begins_with_check(bytes: &[u8]) -> Option<bool> {
    // A client may send empty lines before a request.
    let begin = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
    let line = begin.map_or(&[][..], |begin| &bytes[begin..]);
    if CHECKS.iter().any(|check| check.as_bytes().starts_with(line)) {
        return (READ_AHEAD_LEN_MAX <= bytes.len()).then_some(false);
    }
    let rest = CHECKS.iter().find_map(|check| line.strip_prefix(check.as_bytes()));
    Some(matches!(rest, Some([b' ' | b'?', ..])))
}

impl<S: AsyncRead + Unpin> AsyncRead for Opened<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let len = self.ahead.len().min(buf.remaining());
        let rest = self.ahead.split_off(len);
        buf.put_slice(&std::mem::replace(&mut self.ahead, rest));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Opened<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::http::route::Route;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn door(max_connections: usize, len_max: usize) -> Door {
        let slots = Slots::new(max_connections, max_connections, PATIENCE);
        Door::new(slots, len_max, PATIENCE)
    }

    /// A connection on which this was sent, and the other end of it.
    async fn sent(text: &str) -> (DuplexStream, DuplexStream) {
        let (ours, mut theirs) = duplex(1 << 10);
        theirs.write_all(text.as_bytes()).await.expect("there is room");
        (ours, theirs)
    }

    #[test]
    fn checks_are_known_by_their_first_bytes() {
        for check in CHECKS {
            let (_, path) = check.split_once(' ').expect("a method and a path");
            assert!(matches!(Route::of(path), Some(Route::Health | Route::Ready)), "{check}");
            for behind in [" HTTP/1.1\r\n", "?a=b HTTP/1.1\r\n"] {
                let line = format!("\r\n{check}{behind}");
                assert_eq!(begins_with_check(line.as_bytes()), Some(true), "{line:?}");
            }
            for len in 0..=check.len() {
                assert_eq!(begins_with_check(&check.as_bytes()[..len]), None, "{len} of {check}");
            }
        }
        for other in ["GET / ", "POST /healthz ", "GET /healthzz ", "GET /healthz/ ", "x"] {
            assert_eq!(begins_with_check(other.as_bytes()), Some(false), "{other}");
        }
        assert_eq!(begins_with_check(&[b'\n'; READ_AHEAD_LEN_MAX]), Some(false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_is_let_in_for_one_request_while_the_others_wait_in_order() {
        let door = door(1, 9);
        let busy = door.try_enter(None).expect("there is room");
        busy.busy();
        assert!(door.try_enter(None).is_none());
        let (first, mut its) = sent("GET /a HTTP/1.1\r\n\r\n").await;
        let (second, _theirs) = sent("GET /b HTTP/1.1\r\n\r\n").await;
        let (check, _checks) = sent("GET /healthz HTTP/1.1\r\n\r\n").await;
        let mut first = Box::pin(door.wait(first, None));
        let mut second = Box::pin(door.wait(second, None));
        assert!(futures_util::poll!(&mut first).is_pending());
        assert!(futures_util::poll!(&mut second).is_pending());
        let check = door.wait(check, None).await.expect("it is let in");
        assert_eq!(check.once, Some(PATIENCE));
        drop(busy);
        assert!(door.try_enter(None).is_none(), "others wait for it");
        let mut entered = first.await.expect("its turn");
        assert!(entered.once.is_none() && futures_util::poll!(&mut second).is_pending());
        // Nothing of what was read ahead is lost.
        its.write_all(b"GET /c").await.expect("open");
        drop(its);
        let mut text = String::new();
        entered.stream.read_to_string(&mut text).await.expect("text");
        assert_eq!(text, "GET /a HTTP/1.1\r\n\r\nGET /c");
        drop(entered);
        assert!(second.await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_silent_or_leaves_or_is_one_too_many_is_closed() {
        let door = door(1, 2);
        let busy = door.try_enter(None).expect("there is room");
        busy.busy();
        let (ours, _theirs) = sent("GET /he").await;
        assert!(door.wait(ours, None).await.is_none(), "silent for too long");
        let mut waiting = Vec::new();
        for _ in 0..2 {
            let (ours, theirs) = sent("GET / HTTP/1.1\r\n").await;
            let mut wait = Box::pin(door.wait(ours, None));
            assert!(futures_util::poll!(&mut wait).is_pending());
            waiting.push((wait, theirs));
        }
        let (ours, _theirs) = sent("GET / HTTP/1.1\r\n").await;
        assert!(door.wait(ours, None).await.is_none(), "one too many");
        let (left, theirs) = waiting.remove(0);
        drop(theirs);
        assert!(left.await.is_none(), "it has left");
    }

    #[tokio::test(start_paused = true)]
    async fn connections_that_send_nothing_or_half_a_head_keep_no_check_out() {
        let door = door(1, 2);
        let busy = door.try_enter(None).expect("there is room");
        busy.busy();
        let mut silent = Vec::new();
        for _ in 0..3 {
            let (ours, theirs) = duplex(1 << 10);
            let mut wait = Box::pin(door.wait(ours, None));
            let left = futures_util::poll!(&mut wait).is_ready();
            assert!(!left);
            silent.push((wait, theirs));
        }
        let (oldest, _) = &mut silent[0];
        assert!(oldest.await.is_none(), "it has made room");
        let half = async || {
            let (ours, theirs) = sent("GET /readyz HTTP/1.1\r\nx: ").await;
            (door.wait(ours, None).await.expect("let in"), theirs)
        };
        let mut dripping = Vec::new();
        for _ in 0..RESERVED_CONNECTIONS {
            dripping.push(half().await);
        }
        let (longest, _theirs) = dripping.remove(0);
        let gives_way = async move {
            longest.slot.gives_way().await;
            drop(longest);
        };
        let ((check, _), ()) = tokio::join!(half(), gives_way);
        assert!(check.once.is_some());
    }
}
