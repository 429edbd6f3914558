//! A body that is read elsewhere, and that can be taken back when its reader has let go early.
//!
//! A refusal must not be answered before the rest of the body was drained ([`super::body::drain`]):
//! whoever reads a body for us may end before the body does.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, stream};
use http_body::Body;

use super::body::{self, BoxError, RequestBody};

/// Takes a lent body back.
#[derive(Debug)]
pub(super) struct Rest(Arc<Mutex<RequestBody>>);

impl Rest {
    /// What was not read of the body. Its reader, if there still is one, finds it at its end.
    pub(super) fn take(&self) -> RequestBody {
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *body, body::empty())
    }
}

/// The frames of a body, and the way to take back what is left of it. Trailers are dropped.
pub(super) fn lend(
    body: RequestBody,
) -> (impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static, Rest) {
    let body = Arc::new(Mutex::new(body));
    let rest = Rest(body.clone());
    let frames = stream::poll_fn(move |context| {
        let mut body = body.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let frame = std::task::ready!(std::pin::Pin::new(&mut *body).poll_frame(context));
            match frame.transpose() {
                Ok(Some(frame)) => match frame.into_data() {
                    Ok(data) => return std::task::Poll::Ready(Some(Ok(data))),
                    Err(_trailers) => {}
                },
                Ok(None) => return std::task::Poll::Ready(None),
                Err(error) => return std::task::Poll::Ready(Some(Err(error))),
            }
        }
    });
    (frames, rest)
}
