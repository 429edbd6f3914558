//! What a stop of the service does to request bodies that are still coming.
//!
//! A client that is fast enough may end its request. One that stalls or drips is answered 503 at
//! once, and nobody is waited for longer than the stop has time.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::{
    body::{self, BoxError, RequestBody},
    pace::{Pace, is_timeout, paced},
};
use crate::upload::limits::{STOP_PATIENCE_PART, STOP_PROGRESS_MIN};

/// The stop of the service, as request bodies see it.
#[derive(Debug, Clone)]
pub struct Stop {
    /// Cancelled when the service is to stop.
    pub begun: CancellationToken,
    /// Cancelled a moment before connections are cut: every body that still comes ends.
    pub over: CancellationToken,
    /// How long requests may take from the one to the other.
    pub within: Duration,
}

impl Stop {
    /// A stop that has not begun, and will leave requests so much time.
    #[must_use]
    pub fn new(within: Duration) -> Self {
        Self { begun: CancellationToken::new(), over: CancellationToken::new(), within }
    }

    /// What a body must bring once the stop has begun.
    fn pace(&self) -> Pace {
        let patience = self.within / STOP_PATIENCE_PART;
        Pace { idle: patience, progress: Some(STOP_PROGRESS_MIN), window: patience }
    }
}

/// The service stops, and the body came too slowly to be waited for: an item of such a body.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the server is stopping")]
struct Stopping;

/// Whether this error, or what caused it, is that the service stops.
#[must_use]
pub fn is_stop(error: &(dyn Error + 'static)) -> bool {
    error.is::<Stopping>() || error.source().is_some_and(is_stop)
}

/// Ends a body in an error that [`is_stop`] knows if the service stops and the body does not come
/// fast enough to end in time. Bytes that have come are never refused.
#[must_use]
pub fn stoppable(body: RequestBody, stop: &Stop) -> RequestBody {
    if http_body::Body::is_end_stream(&body) {
        return body;
    }
    body::boxed(Stoppable { body, stop: stop.clone(), begun: false, awaited: None })
}

struct Stoppable {
    body: RequestBody,
    stop: Stop,
    begun: bool,
    /// The next step of the stop. Made when the body has nothing for the first time.
    awaited: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl Stoppable {
    /// Ends when there is no more time. From the beginning of the stop on the body is held to
    /// another pace.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let next = if self.begun { &self.stop.over } else { &self.stop.begun };
            let awaited =
                self.awaited.get_or_insert_with(|| Box::pin(next.clone().cancelled_owned()));
            ready!(awaited.as_mut().poll(cx));
            self.awaited = None;
            if std::mem::replace(&mut self.begun, true) {
                return Poll::Ready(());
            }
            let body = std::mem::replace(&mut self.body, body::empty());
            self.body = paced(body, self.stop.pace());
        }
    }
}

impl Body for Stoppable {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let had_begun = this.begun;
        let mut polled = Pin::new(&mut this.body).poll_frame(cx);
        if polled.is_pending() {
            if this.poll_over(cx).is_ready() {
                this.body = body::empty();
                return Poll::Ready(Some(Err(Stopping.into())));
            }
            if this.begun != had_begun {
                // The new pace has a clock of its own, which must be set.
                polled = Pin::new(&mut this.body).poll_frame(cx);
            }
        }
        match polled {
            Poll::Ready(Some(Err(error))) if this.begun && is_timeout(error.as_ref()) => {
                Poll::Ready(Some(Err(Stopping.into())))
            }
            polled => polled,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};
    use http_body_util::BodyExt;
    use tokio::time::{Instant, sleep};

    use super::*;

    const WITHIN: Duration = Duration::from_secs(25);

    /// So many bytes every so many milliseconds, for ever.
    fn drips(len: usize, millis: u64) -> RequestBody {
        let drip = move |()| async move {
            sleep(Duration::from_millis(millis)).await;
            Some((Ok(vec![0; len].into()), ()))
        };
        body::stream(stream::unfold((), drip))
    }

    /// Reads until the body ends in an error, and stops the service after a minute of that.
    async fn ends(body: RequestBody) -> (Duration, BoxError) {
        let stop = Stop::new(WITHIN);
        let own = stop.clone();
        tokio::spawn(async move {
            sleep(Duration::from_mins(1)).await;
            own.begun.cancel();
            sleep(own.within).await;
            own.over.cancel();
        });
        let began = Instant::now() + Duration::from_mins(1);
        let mut body = stoppable(body, &stop);
        loop {
            match body.frame().await.expect("it has no end") {
                Ok(_) => {}
                Err(error) => {
                    assert!(body.frame().await.is_none(), "an error is the end");
                    return (began.elapsed(), error);
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn slow_bodies_end_at_once_and_fast_ones_before_connections_are_cut() {
        let silent = body::stream(stream::pending());
        for (body, after) in [(silent, 1), (drips(1, 100), 1), (drips(65_536, 100), 25)] {
            let (elapsed, error) = ends(body).await;
            assert!(is_stop(error.as_ref()), "{error}");
            assert_eq!(elapsed.as_secs(), after);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn another_error_is_not_taken_for_a_stop() {
        let broken = stream::iter([Err("reset".into())]).chain(stream::pending());
        let stop = Stop::new(WITHIN);
        let error = stoppable(body::stream(broken), &stop).frame().await.expect("an item");
        assert!(!is_stop(error.expect_err("an error").as_ref()));
    }
}
