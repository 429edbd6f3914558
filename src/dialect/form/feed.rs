//! The way of a body into multer, so that neither a fast nor a hostile client fills the memory.
//!
//! multer takes in all that is ready before it looks at any of it, and it looks for the end of a
//! part's head without a bound. The feed hands it one frame at a time, and between two parts no
//! more than an allowance.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::Stream;

use super::BoxError;

/// How many bytes may still be fed. Both ends of it belong to one task.
#[derive(Debug, Clone)]
pub(super) struct Allowance(Arc<AtomicU64>);

/// The allowance is used up.
#[derive(Debug, thiserror::Error)]
#[error("more bytes than a part's head may have")]
pub(super) struct Exhausted;

/// The body as multer gets it.
#[derive(Debug)]
pub(super) struct Feed<S> {
    body: S,
    allowance: Allowance,
    resting: bool,
}

impl Allowance {
    pub(super) fn unlimited() -> Self {
        Self(Arc::new(AtomicU64::new(u64::MAX)))
    }

    /// Allows this many bytes from now on, unless a limit holds already.
    pub(super) fn begin(&self, len: u64) {
        _ = self.0.compare_exchange(u64::MAX, len, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Ends the limit.
    pub(super) fn lift(&self) {
        self.0.store(u64::MAX, Ordering::Relaxed);
    }

    /// Takes a frame off. The frame that oversteps the limit is still let through: it may hold
    /// the end of the head and much of the file.
    fn take(&self, len: usize) -> Result<(), Exhausted> {
        match self.0.load(Ordering::Relaxed) {
            0 => Err(Exhausted),
            u64::MAX => Ok(()),
            left => {
                self.0.store(left.saturating_sub(len as u64), Ordering::Relaxed);
                Ok(())
            }
        }
    }
}

impl<S> Feed<S> {
    pub(super) fn new(body: S, allowance: Allowance) -> Self {
        Self { body, allowance, resting: false }
    }
}

impl<S> Stream for Feed<S>
where
    S: Stream<Item = Result<Bytes, BoxError>> + Unpin,
{
    type Item = Result<Bytes, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.resting) {
            // multer asks until there is nothing; now it has to look at what it has.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_next(context));
        Poll::Ready(frame.map(|frame| {
            let frame = frame?;
            self.allowance.take(frame.len())?;
            self.resting = true;
            Ok(frame)
        }))
    }
}
