//! A body that is read elsewhere, and that can be taken back when its reader has let go early.
//!
//! A refusal must not be answered before the rest of the body was drained ([`super::body::drain`]):
//! whoever reads a body for us may end before the body does.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::body::{self, BoxError, RequestBody};

/// A body that can be taken back.
#[derive(Debug, Clone)]
struct Lent(Arc<Mutex<RequestBody>>);

/// Takes a lent body back.
#[derive(Debug)]
pub(super) struct Rest(Lent);

impl Rest {
    /// What was not read of the body. Its reader, if there still is one, finds it at its end.
    pub(super) fn take(&self) -> RequestBody {
        std::mem::replace(&mut *self.0.body(), body::empty())
    }
}

/// The same body for its reader, and the way to take back what is left of it.
pub(super) fn lend(body: RequestBody) -> (RequestBody, Rest) {
    let lent = Lent(Arc::new(Mutex::new(body)));
    (body::boxed(lent.clone()), Rest(lent))
}

impl Lent {
    fn body(&self) -> MutexGuard<'_, RequestBody> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Body for Lent {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut *self.body()).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body().size_hint()
    }
}
