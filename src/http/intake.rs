//! How a connection is read: in steps, within a pace, and with memory for what it sends.
//!
//! A connection may send a small head at once. For the rest of a larger one memory is leased before
//! it is read; while there is none the connection waits, under the time that a head may take. A
//! caller who has not been let in is read in small steps, because hyper sizes the buffer of a
//! connection by what a read brings, and a body has up to three of them on its way.
//!
//! A lease is held while the head is: until its request is done.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, Take},
    time::{Instant, Sleep, sleep},
};

use super::pace::{Credit, Pace};
use crate::{
    engine::{Allowance, Lease},
    upload::limits::{
        HEAD_FREE_LEN, REQUEST_HEAD_LEN_MAX, SOCKET_READ_LEN_MAX, STRANGER_READ_LEN_MAX,
    },
};

/// What the reader of a connection and the requests that come on it know of each other: an
/// extension of each request.
#[derive(Debug, Default)]
pub(super) struct Intake {
    /// Whether a request has come and its answer is not written.
    in_request: AtomicBool,
    /// Lives as long as somebody may read the body of the last request.
    body: Mutex<Weak<()>>,
    /// Whether the caller of this request was let in.
    is_admitted: AtomicBool,
    /// Whether a line of the head ended with a bare LF.
    has_bare_lf: AtomicBool,
    /// The memory for the head, until the request takes it.
    lease: Mutex<Option<Lease>>,
}

/// The memory of a large head: an extension of its request.
#[derive(Debug, Clone)]
pub(super) struct HeadLease(#[expect(dead_code, reason = "it is held")] Arc<Lease>);

impl Intake {
    /// A whole head has come. Gives its memory, and whether one of its lines ended with a bare LF.
    pub(super) fn begin_request(&self) -> (Option<HeadLease>, bool) {
        self.in_request.store(true, Ordering::Release);
        let lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner).take();
        let has_bare_lf = self.has_bare_lf.swap(false, Ordering::AcqRel);
        (lease.map(|lease| HeadLease(Arc::new(lease))), has_bare_lf)
    }

    /// The body of the request that has begun can be read for as long as what is given here lives.
    /// It may outlive the answer: the rest of a refused body is not the next head.
    pub(super) fn begin_body(&self) -> Arc<()> {
        let coming = Arc::new(());
        *self.body.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&coming);
        coming
    }

    /// Whether what comes belongs to a request whose head is whole.
    fn is_in_request(&self) -> bool {
        let is_body = || {
            let body = self.body.lock().unwrap_or_else(PoisonError::into_inner);
            body.strong_count() != 0
        };
        self.in_request.load(Ordering::Acquire) || is_body()
    }

    /// The caller was let in: what it sends is read in large steps.
    pub(super) fn admit(&self) {
        self.is_admitted.store(true, Ordering::Release);
    }

    /// The answer was written: what comes next is another head.
    pub(super) fn end_request(&self) {
        self.is_admitted.store(false, Ordering::Release);
        self.in_request.store(false, Ordering::Release);
    }
}

/// A connection that is read so.
pub(super) struct Reader<T> {
    io: Take<T>,
    intake: Arc<Intake>,
    memory: Allowance,
    pace: Pace,
    head: Head,
}

/// What is known of the head that is coming in.
struct Head {
    len: usize,
    /// The last bytes of it, to find its end in: `\r`, `\n` or others.
    last: [u8; 3],
    has_text: bool,
    is_whole: bool,
    credit: Credit,
    /// Since when its next byte is waited for, and the end of that.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
    lease: Option<BoxFuture<'static, Lease>>,
    has_lease: bool,
}

impl Head {
    fn new(pace: Pace) -> Self {
        Self {
            len: 0,
            last: [0; 3],
            has_text: false,
            is_whole: false,
            credit: Credit::new(pace),
            waiting: None,
            lease: None,
            has_lease: false,
        }
    }

    /// Looks at what came, up to the end of the head. Gives whether a line in it ends with a bare
    /// LF. Empty lines before a head belong to it: a client may send one.
    fn take(&mut self, bytes: &[u8]) -> bool {
        let mut has_bare_lf = false;
        for byte in bytes {
            if self.is_whole {
                break;
            }
            let [_, b, c] = self.last;
            if *byte == b'\n' {
                has_bare_lf |= c != b'\r';
                self.is_whole = self.has_text && self.last == *b"\r\n\r";
            }
            self.has_text |= !matches!(byte, b'\r' | b'\n');
            self.last = [b, c, *byte];
            self.len += 1;
        }
        has_bare_lf
    }
}

impl<T: AsyncRead> Reader<T> {
    pub(super) fn new(io: T, intake: Arc<Intake>, memory: Allowance, pace: Pace) -> Self {
        let io = io.take(STRANGER_READ_LEN_MAX);
        Self { io, intake, memory, pace, head: Head::new(pace) }
    }

    /// How many bytes may be read now. Pending while there is no memory for them.
    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<u64> {
        if self.intake.is_in_request() {
            if self.head.len != 0 {
                self.head = Head::new(self.pace);
            }
            let is_admitted = self.intake.is_admitted.load(Ordering::Acquire);
            let step = if is_admitted { SOCKET_READ_LEN_MAX } else { STRANGER_READ_LEN_MAX };
            return Poll::Ready(step);
        }
        let head = &mut self.head;
        if !head.has_lease && HEAD_FREE_LEN <= head.len {
            let memory = &self.memory;
            let wanted = head.lease.get_or_insert_with(|| {
                let memory = memory.clone();
                Box::pin(async move { memory.lease(REQUEST_HEAD_LEN_MAX - HEAD_FREE_LEN).await })
            });
            let lease = ready!(wanted.as_mut().poll(cx));
            (head.lease, head.has_lease) = (None, true);
            *self.intake.lease.lock().unwrap_or_else(PoisonError::into_inner) = Some(lease);
        }
        Poll::Ready(STRANGER_READ_LEN_MAX)
    }

    /// Whether a head has begun and brings too little.
    fn poll_too_slow(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let head = &mut self.head;
        let in_request = self.intake.is_in_request();
        let patience = head.credit.patience().filter(|_| head.len != 0 && !in_request);
        let Some(patience) = patience else { return Poll::Pending };
        let begin = || (Instant::now(), Box::pin(sleep(patience)));
        let (_, waiting) = head.waiting.get_or_insert_with(begin);
        waiting.as_mut().poll(cx)
    }

    /// So much of a head has come.
    fn take(&mut self, bytes: &[u8]) {
        if self.intake.is_in_request() {
            return;
        }
        let waited = self.head.waiting.take();
        let waited = waited.map_or(Duration::ZERO, |(since, _)| since.elapsed());
        self.head.credit.earn(waited, bytes.len());
        if self.head.take(bytes) {
            self.intake.has_bare_lf.store(true, Ordering::Release);
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Reader<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let step = ready!(this.poll_step(cx));
        // Of each read, not of all together.
        this.io.set_limit(step);
        let before = buf.filled().len();
        if Pin::new(&mut this.io).poll_read(cx, buf)?.is_ready() {
            this.take(&buf.filled()[before..]);
            return Poll::Ready(Ok(()));
        }
        this.poll_too_slow(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Reader<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.io.get_mut()).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.io.get_mut()).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.get_ref().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.io.get_mut()).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.io.get_mut()).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::upload::limits::KIB;

    const PACE: Pace =
        Pace { idle: Duration::from_secs(30), progress: Some(64), window: Duration::from_mins(1) };

    fn reader(memory: &Allowance) -> (Reader<DuplexStream>, DuplexStream, Arc<Intake>) {
        let (ours, theirs) = duplex(1 << 20);
        let intake = Arc::new(Intake::default());
        (Reader::new(ours, intake.clone(), memory.clone(), PACE), theirs, intake)
    }

    fn len(step: u64) -> usize {
        usize::try_from(step).expect("it fits")
    }

    #[tokio::test]
    async fn callers_who_were_let_in_are_read_in_larger_steps() {
        let memory = Allowance::new(1 << 20);
        let (mut ours, mut theirs, intake) = reader(&memory);
        theirs.write_all(&vec![7; 200_000]).await.expect("there is room");
        let mut bytes = vec![0; 100_000];
        intake.begin_request();
        assert_eq!(ours.read(&mut bytes).await.expect("a step"), len(STRANGER_READ_LEN_MAX));
        intake.admit();
        assert_eq!(ours.read(&mut bytes).await.expect("a step"), len(SOCKET_READ_LEN_MAX));
        intake.end_request();
        assert_eq!(ours.read(&mut bytes).await.expect("a step"), len(STRANGER_READ_LEN_MAX));
    }

    #[tokio::test]
    async fn a_large_head_waits_for_memory_and_holds_it_until_its_request_is_done() {
        let memory = Allowance::new((REQUEST_HEAD_LEN_MAX - HEAD_FREE_LEN) as u64);
        let mut bytes = vec![0; REQUEST_HEAD_LEN_MAX];
        let mut free = vec![0; HEAD_FREE_LEN];
        let (mut one, mut its, intake) = reader(&memory);
        let (mut other, mut others, _) = reader(&memory);
        for client in [&mut its, &mut others] {
            client.write_all(&vec![b'x'; REQUEST_HEAD_LEN_MAX]).await.expect("there is room");
        }
        one.read_exact(&mut bytes).await.expect("all of it");
        other.read_exact(&mut free).await.expect("a small head waits for nothing");
        let mut rest = Box::pin(other.read(&mut bytes));
        assert!(poll!(&mut rest).is_pending());
        let (lease, _) = intake.begin_request();
        assert!(poll!(&mut rest).is_pending());
        drop(lease.expect("it was leased"));
        assert!(0 < rest.await.expect("there is memory"));
    }

    #[tokio::test]
    async fn no_more_than_one_step_of_a_head_is_read_without_memory() {
        let memory = Allowance::new((REQUEST_HEAD_LEN_MAX - HEAD_FREE_LEN) as u64);
        let held = memory.lease(REQUEST_HEAD_LEN_MAX).await;
        let (mut ours, mut theirs, _) = reader(&memory);
        theirs.write_all(&vec![b'x'; REQUEST_HEAD_LEN_MAX]).await.expect("there is room");
        let mut bytes = vec![0; REQUEST_HEAD_LEN_MAX];
        assert_eq!(ours.read(&mut bytes).await.expect("a step"), len(STRANGER_READ_LEN_MAX));
        let mut rest = Box::pin(ours.read(&mut bytes));
        assert!(poll!(&mut rest).is_pending());
        drop(held);
        assert!(0 < rest.await.expect("there is memory"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_drips_is_cut_and_a_silent_connection_is_not() {
        let memory = Allowance::new(1 << 20);
        let (mut ours, mut theirs, _) = reader(&memory);
        let mut silent = Box::pin(tokio::time::timeout(Duration::from_hours(1), ours.read_u8()));
        assert!(poll!(&mut silent).is_pending());
        assert!(silent.await.is_err(), "how long it may be silent is not limited here");
        let dripping = tokio::spawn(async move {
            while theirs.write_all(b"x").await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
        });
        let began = Instant::now();
        let mut head = Vec::new();
        let error = ours.read_to_end(&mut head).await.expect_err("it drips");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed().as_secs().abs_diff(60) <= 2, "{:?}", began.elapsed());
        drop(ours);
        dripping.await.expect("no panic");
    }

    #[tokio::test(start_paused = true)]
    async fn the_rest_of_a_body_whose_answer_was_written_is_not_taken_for_a_head() {
        let memory = Allowance::new(KIB);
        let (mut ours, mut theirs, intake) = reader(&memory);
        intake.begin_request();
        let coming = intake.begin_body();
        intake.end_request();
        // More than a head may have for nothing, and more slowly than one may come.
        let rest = vec![b'x'; 2 * HEAD_FREE_LEN];
        let _all_memory = memory.try_lease(1).expect("nobody has it");
        theirs.write_all(&rest).await.expect("there is room");
        ours.read_exact(&mut rest.clone()).await.expect("it needs no memory");
        let silent = tokio::time::timeout(Duration::from_mins(5), ours.read_u8()).await;
        assert!(silent.is_err(), "it is not held to the pace of a head");
        drop(coming);
        theirs.write_all(&rest).await.expect("there is room");
        let waits = tokio::time::timeout(Duration::from_secs(1), async {
            ours.read_exact(&mut rest.clone()).await
        });
        assert!(waits.await.is_err(), "a head waits for memory");
    }

    #[test]
    fn a_bare_lf_is_seen_in_the_head_and_only_there() {
        for (text, expected) in [
            ("GET / HTTP/1.1\r\nhost: x\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nhost: x\r\n\r\na body\nof lines\n", false),
            ("GET / HTTP/1.1\nhost: x\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nhost: x\r\n\n", true),
            ("\r\n\r\nGET / HTTP/1.1\nhost: x\r\n\r\n", true),
        ] {
            for frame in [1, 3, 1000] {
                let mut head = Head::new(PACE);
                let frames = text.as_bytes().chunks(frame);
                let found = frames.fold(false, |found, frame| found | head.take(frame));
                assert_eq!(found, expected, "{text:?} by {frame}");
            }
        }
    }
}
