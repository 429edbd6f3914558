//! Answers a request whose handler panicked.
//!
//! tower-http's layer cannot say which request it was; a problem names its request.

use std::{any::Any, panic::AssertUnwindSafe};

use futures_util::FutureExt;
use tower::{ServiceExt, service_fn};
use tracing::error;

use super::{Handler, body::Request, problem::Problem, request_id};

/// Turns a panic into 500 `internal`, and logs it.
///
/// That nothing is left half-done by it is the engine's promise, not ours: what a request had begun
/// runs in a task of its own.
pub(super) fn catch<S: Handler>(inner: S) -> impl Handler {
    service_fn(move |request: Request| {
        let id = request_id::of(request.extensions()).to_owned();
        let inner = inner.clone();
        async move {
            // Called inside, for a handler may panic before there is a future of it.
            let answer = AssertUnwindSafe(async { inner.oneshot(request).await }).catch_unwind();
            answer.await.unwrap_or_else(|panic| {
                error!(panic = text_of(panic.as_ref()), "A handler panicked");
                Ok(Problem::internal().into_response(&id))
            })
        }
    })
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("of no text")
}
