//! The way of a body into multer, so that neither a fast nor a hostile client fills the memory.
//!
//! multer takes in all that is ready before it looks at any of it, at times without looking at all,
//! and it looks for the end of a part's head without a bound. So there is a tap on the way. It is
//! opened for one frame when multer has looked at all that it has and found too little; and between
//! two parts no more runs through it than an allowance.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream::BoxStream};

use super::BoxError;

/// What lets the body through. Both ends of it belong to one task.
#[derive(Debug, Clone)]
pub(super) struct Tap(Arc<Setting>);

#[derive(Debug)]
struct Setting {
    /// Whether the next frame may pass.
    open: AtomicBool,
    /// How many bytes may still pass.
    allowance: AtomicU64,
}

/// The allowance is used up.
#[derive(Debug, thiserror::Error)]
#[error("more bytes than a part's head may have")]
pub(super) struct Exhausted;

/// A body that multer reads through its [`Feed`], and that is read to its end without it when
/// multer has seen the last delimiter and cares for nothing more.
#[derive(Clone)]
pub(super) struct Source<'b>(Arc<Mutex<BoxStream<'b, Result<Bytes, BoxError>>>>);

/// The body as multer gets it.
#[derive(Debug)]
pub(super) struct Feed<'b> {
    source: Source<'b>,
    tap: Tap,
}

impl<'b> Source<'b> {
    pub(super) fn new<S>(body: S) -> Self
    where
        S: Stream<Item = Result<Bytes, BoxError>> + Send + 'b,
    {
        // Fused: multer may have come to the end already.
        Self(Arc::new(Mutex::new(body.fuse().boxed())))
    }

    /// The next frame of it, whoever asks.
    pub(super) fn poll_frame(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BoxError>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).poll_next_unpin(context)
    }
}

impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").finish_non_exhaustive()
    }
}

impl Tap {
    /// Closed, and without a limit.
    pub(super) fn new() -> Self {
        let (open, allowance) = (AtomicBool::new(false), AtomicU64::new(u64::MAX));
        Self(Arc::new(Setting { open, allowance }))
    }

    /// Allows this many bytes from now on, unless a limit holds already.
    pub(super) fn limit(&self, len: u64) {
        let Setting { allowance, .. } = &*self.0;
        _ = allowance.compare_exchange(u64::MAX, len, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Ends the limit.
    pub(super) fn lift(&self) {
        self.0.allowance.store(u64::MAX, Ordering::Relaxed);
    }

    /// Polls multer, which feeds on this tap, until it has something or the body has nothing more
    /// for now.
    pub(super) fn poll<T>(
        &self,
        context: &mut Context<'_>,
        mut multer: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        loop {
            if let Poll::Ready(found) = multer(context) {
                return Poll::Ready(found);
            }
            self.0.open.store(true, Ordering::Relaxed);
            let polled = multer(context);
            let nothing_came = self.0.open.swap(false, Ordering::Relaxed);
            if polled.is_ready() || nothing_came {
                return polled;
            }
        }
    }

    /// Takes a frame off. The frame that oversteps the limit is still let through: it may hold
    /// the end of the head and much of the file.
    fn take(&self, len: usize) -> Result<(), Exhausted> {
        let Setting { allowance, .. } = &*self.0;
        match allowance.load(Ordering::Relaxed) {
            0 => Err(Exhausted),
            u64::MAX => Ok(()),
            left => {
                allowance.store(left.saturating_sub(len as u64), Ordering::Relaxed);
                Ok(())
            }
        }
    }
}

impl<'b> Feed<'b> {
    pub(super) fn new(source: Source<'b>, tap: Tap) -> Self {
        Self { source, tap }
    }
}

impl Stream for Feed<'_> {
    type Item = Result<Bytes, BoxError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.tap.0.open.load(Ordering::Relaxed) {
            // Nobody is woken for this: `Tap::poll` comes again with the tap open.
            return Poll::Pending;
        }
        let frame = ready!(self.source.poll_frame(context));
        self.tap.0.open.store(false, Ordering::Relaxed);
        Poll::Ready(frame.map(|frame| {
            let frame = frame?;
            self.tap.take(frame.len())?;
            Ok(frame)
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::mem;

    use futures_util::stream;
    use tokio::runtime;

    use super::super::{Boundary, Form, FormError, Part};
    use super::*;
    use crate::upload::limits;

    /// A browser's chunk in frames as large as a busy server reads them, the first a moment late:
    /// multer looks twice for the first frame, and must see it before it is handed the second.
    #[test]
    fn large_frames_that_come_at_once_are_no_long_head() {
        const FILE_LEN: usize = 1 << 20;
        let file = "x".repeat(FILE_LEN);
        let field = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n";
        let head = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n";
        let body = Bytes::from(format!("{field}{field}{head}{file}\r\n--b--\r\n"));
        for frame_len in [limits::PART_HEAD_LEN_MAX, 400 * 1024] {
            let mut frames = body.chunks(frame_len).map(Bytes::copy_from_slice);
            let mut late = true;
            let frames = stream::poll_fn(|context| {
                if mem::take(&mut late) {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(frames.next().map(Ok))
            });
            let mut form = Form::new(Boundary("b".into()), frames);
            let runtime = runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(async {
                for _ in 0..2 {
                    assert!(matches!(form.next().await, Ok(Some(Part::Field { .. }))));
                }
                assert!(matches!(form.next().await, Ok(Some(Part::File(_)))));
                let mut len = 0;
                while let Some(bytes) = form.file().next().await {
                    let bytes = bytes.expect("whole");
                    assert!(bytes.len() <= frame_len, "frames pile up: {}", bytes.len());
                    len += bytes.len();
                }
                assert_eq!(len, FILE_LEN);
            });
        }
    }

    /// A valid form in any three packets, at once or each a moment late, is read as it is.
    #[test]
    fn a_form_in_packets_of_any_length_is_never_refused() {
        let content = "\r\n--bou\r\n--bound\r\r\n-\r";
        let field = "--boundary\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n";
        let head = "Content-Disposition: form-data; name=\"file\"; filename=\"a\"";
        let whole = format!("{field}--boundary\r\n{head}\r\n\r\n{content}\r\n--boundary--\r\n");
        let whole = Bytes::from(whole);
        let runtime = runtime::Builder::new_current_thread().build().expect("a runtime");
        for first in 0..=whole.len() {
            for second in (first..=whole.len()).step_by(5) {
                let packets = [0..first, first..second, second..whole.len()];
                let packets = packets.map(|range| whole.slice(range));
                let late = (first + second) % 2 == 0;
                let read = runtime.block_on(read(in_packets(packets, late)));
                assert_eq!(read.as_deref(), Ok(content.as_bytes()), "{first}, {second}, {late}");
            }
        }
    }

    fn in_packets(
        packets: [Bytes; 3],
        late: bool,
    ) -> impl Stream<Item = Result<Bytes, BoxError>> + Send {
        let (mut packets, mut is_late) = (packets.into_iter(), late);
        stream::poll_fn(move |context| {
            if mem::take(&mut is_late) {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            is_late = late;
            Poll::Ready(packets.next().map(Ok))
        })
    }

    /// A field, and the bytes of the file behind it.
    async fn read(
        packets: impl Stream<Item = Result<Bytes, BoxError>> + Send,
    ) -> Result<Vec<u8>, String> {
        let told = |error: FormError| error.to_string();
        let mut form = Form::new(Boundary("boundary".into()), packets);
        let mut content = Vec::new();
        while let Some(part) = form.next().await.map_err(told)? {
            if let Part::Field { name, value } = part {
                assert_eq!((&*name, &*value), ("a", "b"));
                continue;
            }
            while let Some(bytes) = form.file().next().await {
                content.extend(bytes.map_err(told)?);
            }
        }
        Ok(content)
    }

    /// All of the form is there, and yet its body has not come whole.
    #[test]
    fn a_body_that_breaks_off_behind_the_last_delimiter_is_broken() {
        let form = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--b--";
        let broken = stream::iter([Ok(Bytes::from(form)), Err("reset".into())]);
        let long = vec![b'x'; limits::PART_HEAD_LEN_MAX + 1];
        let long = stream::iter([Ok(Bytes::from(form)), Ok(Bytes::from(long))]);
        let runtime = runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let mut form = Form::new(Boundary("b".into()), broken);
            assert!(matches!(form.next().await, Ok(Some(Part::Field { .. }))));
            assert!(matches!(form.next().await, Err(FormError::Body(_))));
            let mut form = Form::new(Boundary("b".into()), long);
            assert!(matches!(form.next().await, Ok(Some(Part::Field { .. }))));
            assert!(matches!(form.next().await, Err(FormError::Rejected(_))));
        });
    }
}
