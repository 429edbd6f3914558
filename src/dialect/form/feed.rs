//! The way of a body into multer, so that neither a fast nor a hostile client fills the memory.
//!
//! multer takes in all that is ready before it looks at any of it, at times without looking at all,
//! and it looks for the end of a part's head without a bound. So there is a tap on the way, which is
//! opened for one frame when multer has looked at all that it has and found too little; and between
//! two parts no more runs through it than an allowance.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::Stream;

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

/// The body as multer gets it.
#[derive(Debug)]
pub(super) struct Feed<S> {
    body: S,
    tap: Tap,
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

impl<S> Feed<S> {
    pub(super) fn new(body: S, tap: Tap) -> Self {
        Self { body, tap }
    }
}

impl<S> Stream for Feed<S>
where
    S: Stream<Item = Result<Bytes, BoxError>> + Unpin,
{
    type Item = Result<Bytes, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.tap.0.open.load(Ordering::Relaxed) {
            // Nobody is woken for this: `Tap::poll` comes again with the tap open.
            return Poll::Pending;
        }
        let frame = ready!(Pin::new(&mut self.body).poll_next(context));
        self.tap.0.open.store(false, Ordering::Relaxed);
        Poll::Ready(frame.map(|frame| {
            let frame = frame?;
            self.tap.take(frame.len())?;
            Ok(frame)
        }))
    }
}
