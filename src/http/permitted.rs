//! Bodies of requests are taken only while their senders may send them.
//!
//! A body may take hours. Its sender is judged again every [`PERMISSION_RECHECK`], whether bytes
//! come or not. That a ticket or a token expires meanwhile does not count: it was valid when the
//! request began.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep_until};

use super::{
    body::{self, BoxError, RequestBody},
    permission::Permission,
    problem::Problem,
};
use crate::{engine::BodyError, upload::limits::PERMISSION_RECHECK};

/// With what a request was let in, once it was.
pub(super) type LetIn = Arc<OnceLock<Permission>>;

/// The sender of a body may not send it any more, or nobody can be asked whether it may.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.detail)]
pub(super) struct NotPermitted(pub(super) Problem);

impl NotPermitted {
    /// In the engine's words.
    pub(super) fn for_engine(&self) -> BodyError {
        if self.0.status == StatusCode::SERVICE_UNAVAILABLE {
            BodyError::Unconfirmed
        } else {
            BodyError::NotPermitted
        }
    }
}

/// Ends a body in [`NotPermitted`] when its sender may send it no more.
pub(super) fn permitted(body: RequestBody, let_in: LetIn) -> RequestBody {
    body::boxed(Permitted { body, let_in, judging: None, next: None })
}

struct Permitted {
    body: RequestBody,
    let_in: LetIn,
    judging: Option<BoxFuture<'static, Result<(), Problem>>>,
    /// When it is judged next.
    next: Option<Pin<Box<Sleep>>>,
}

impl Permitted {
    /// Judges when it is time for that. Pending if it is not.
    fn poll_judge(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Problem>> {
        let Some(permission) = self.let_in.get() else { return Poll::Pending };
        if self.judging.is_none() {
            let first = permission.since() + PERMISSION_RECHECK;
            let next = self.next.get_or_insert_with(|| Box::pin(sleep_until(first)));
            ready!(next.as_mut().poll(cx));
            let let_in = self.let_in.clone();
            self.judging = Some(Box::pin(async move {
                let permission = let_in.get().expect("it was there before");
                permission.judge().await
            }));
        }
        let Some(judging) = &mut self.judging else { return Poll::Pending };
        let judged = ready!(judging.as_mut().poll(cx));
        self.judging = None;
        self.next = Some(Box::pin(tokio::time::sleep(PERMISSION_RECHECK)));
        Poll::Ready(judged)
    }
}

impl Body for Permitted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        while let Poll::Ready(judged) = this.poll_judge(cx) {
            if let Err(problem) = judged {
                this.body = body::empty();
                return Poll::Ready(Some(Err(NotPermitted(problem).into())));
            }
        }
        Pin::new(&mut this.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
