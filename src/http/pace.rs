//! How slowly a body may come: not at all for a while, and in drips not for long.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::body::{self, BoxError, RequestBody};
use crate::upload::limits;

/// What a body must bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How long it may bring nothing at a time.
    pub idle: Duration,
    /// Bytes in a second that it must bring on average, if any…
    pub progress: Option<u64>,
    /// …for as long as this.
    pub window: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let (idle, progress) = (limits::BODY_IDLE_TIMEOUT, limits::PROGRESS_MIN);
        Self { idle, progress, window: limits::PROGRESS_WINDOW }
    }
}

/// A body that came too slowly: an item of the stream of such a body.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the body brought nothing, or too little, for too long")]
struct TooSlow;

/// Whether this error, or what caused it, is that the body came too slowly.
#[must_use]
pub fn is_timeout(error: &(dyn Error + 'static)) -> bool {
    error.is::<TooSlow>() || error.source().is_some_and(is_timeout)
}

/// Holds a body to a pace; when it falls behind it ends in an error that [`is_timeout`] knows.
/// There is no limit to how long it may take in all.
///
/// Only the wait for the client counts. tower-http's `TimeoutBody` looks at the clock before it
/// looks at the body, and a reader that polls ahead, as some do, and then spends the time on a
/// slow disk would be told that the client was slow. Here bytes that have come are never refused.
#[must_use]
pub fn paced(body: RequestBody, pace: Pace) -> RequestBody {
    body::boxed(Paced { body, idle: pace.idle, credit: Credit::new(pace), waiting: None })
}

/// How much longer a peer may be waited for, at the pace that it must keep. Waiting uses it up;
/// each byte adds what it takes at that pace, up to the window.
#[derive(Debug)]
pub(super) struct Credit {
    pace: Pace,
    left: Duration,
}

impl Credit {
    pub(super) fn new(pace: Pace) -> Self {
        Self { pace, left: pace.window }
    }

    /// How long the peer may be waited for now; nothing if there is no pace to keep.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.pace.progress.map(|_| self.left)
    }

    /// So many bytes passed after such a wait.
    pub(super) fn earn(&mut self, waited: Duration, len: usize) {
        let Some(progress) = self.pace.progress else { return };
        let earned = (len as u64).saturating_mul(1_000_000_000) / progress.max(1);
        let left = self.left.saturating_sub(waited);
        self.left = left.saturating_add(Duration::from_nanos(earned)).min(self.pace.window);
    }
}

/// A wait for a peer, and the end of the patience with it.
#[derive(Debug)]
pub(super) struct Wait {
    since: Instant,
    end: Pin<Box<Sleep>>,
}

impl Wait {
    pub(super) fn new(patience: Duration) -> Self {
        Self { since: Instant::now(), end: Box::pin(sleep(patience)) }
    }

    /// How long the peer was waited for.
    pub(super) fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    /// Ready when the patience is over. It begins anew if the process stood still then:
    /// nothing could be read from the peer, whatever it sent.
    pub(super) fn poll_over(&mut self, cx: &mut Context<'_>, patience: Duration) -> Poll<()> {
        loop {
            ready!(self.end.as_mut().poll(cx));
            let now = Instant::now();
            if now.saturating_duration_since(self.end.deadline()) < limits::STANDSTILL_MIN {
                return Poll::Ready(());
            }
            self.since = now;
            self.end.as_mut().reset(now + patience);
        }
    }
}

struct Paced {
    body: RequestBody,
    idle: Duration,
    credit: Credit,
    /// Since when the body has had nothing.
    waiting: Option<Wait>,
}

impl Paced {
    /// How long the client may be waited for now.
    fn patience(&self) -> Duration {
        self.credit.patience().map_or(self.idle, |left| left.min(self.idle))
    }

    /// So much has come, after it was waited for, or without.
    fn earn(&mut self, len: usize) {
        let waited = self.waiting.take().map_or(Duration::ZERO, |wait| wait.elapsed());
        self.credit.earn(waited, len);
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
            this.earn(data.map_or(0, Bytes::len));
            return Poll::Ready(frame);
        }
        let patience = this.patience();
        let wait = this.waiting.get_or_insert_with(|| Wait::new(patience));
        ready!(wait.poll_over(cx, patience));
        this.body = body::empty();
        Poll::Ready(Some(Err(TooSlow.into())))
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
    use futures_util::{Stream, StreamExt, stream};
    use http_body_util::BodyExt;
    use tokio::time::advance;

    use super::*;

    const PACE: Pace =
        Pace { idle: Duration::from_secs(30), progress: Some(64), window: Duration::from_mins(1) };

    fn silent() -> RequestBody {
        body::stream(stream::pending())
    }

    async fn error_of(mut body: RequestBody) -> BoxError {
        body.frame().await.expect("an item").expect_err("an error")
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_body_ends_in_a_timeout_and_then_for_good() {
        let began = Instant::now();
        let mut body = paced(silent(), PACE);
        let error = body.frame().await.expect("an item").expect_err("an error");
        assert!(is_timeout(error.as_ref()));
        assert_eq!(began.elapsed().as_secs(), 30);
        assert!(body.frame().await.is_none());
    }

    /// So many bytes every so many seconds.
    fn drips(len: usize, seconds: u64) -> impl Stream<Item = Result<Bytes, BoxError>> + Send {
        stream::unfold((), move |()| async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Some((Ok(vec![0; len].into()), ()))
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_may_take_for_ever() {
        // No faster than it must be, and in the end as late as it may be.
        let at_pace = drips(29 * 64, 29).take(100).chain(drips(1, 29).take(2));
        let body = paced(body::stream(at_pace), PACE);
        let len = body.collect().await.expect("no timeout").to_bytes().len();
        assert_eq!(len, 29 * 64 * 100 + 2);
        let without = Pace { progress: None, ..PACE };
        let body = paced(body::stream(drips(1, 29).take(100)), without);
        assert_eq!(body.collect().await.expect("no timeout").to_bytes().len(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_is_ended_when_it_has_fallen_behind() {
        for (len, seconds, after) in [(1, 1, 60), (1, 29, 60), (32 * 10, 10, 120)] {
            let began = Instant::now();
            let error = paced(body::stream(drips(len, seconds)), PACE).collect().await;
            let error = error.expect_err("too slow");
            assert!(is_timeout(error.as_ref()), "{error}");
            let late = began.elapsed().as_secs().abs_diff(after);
            assert!(late <= seconds, "{:?}, not {after}", began.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_early_is_no_credit_for_a_silence() {
        let burst = stream::once(async { Ok(vec![0; 1 << 20].into()) });
        let began = Instant::now();
        let slow = burst.chain(drips(1, 1));
        let error = paced(body::stream(slow), PACE).collect().await.expect_err("too slow");
        assert!(is_timeout(error.as_ref()) && began.elapsed().as_secs() <= 61, "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_not_taken_for_a_slow_client() {
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        let once = stream::once(async {
            receiver.await.expect("sent");
            Ok(Bytes::from_static(b"late"))
        });
        let mut body = paced(body::stream(once), PACE);
        // The reader polls ahead and finds nothing, then is busy for longer than the timeout…
        assert!(futures_util::poll!(Box::pin(body.frame())).is_pending());
        sender.send(()).expect("awaited");
        advance(Duration::from_mins(1)).await;
        // …and what has come meanwhile is still there for it.
        assert!(body.frame().await.expect("a frame").is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_is_not_blamed_for_the_time_in_which_the_server_stood_still() {
        let mut body = paced(silent(), PACE);
        assert!(futures_util::poll!(Box::pin(body.frame())).is_pending());
        // Nothing ran, not even this timer: it comes ten seconds late.
        advance(PACE.idle + Duration::from_secs(10)).await;
        assert!(futures_util::poll!(Box::pin(body.frame())).is_pending(), "it is waited for again");
        let began = Instant::now();
        assert!(is_timeout(error_of(body).await.as_ref()), "but not for ever");
        assert_eq!(began.elapsed(), PACE.idle);
    }

    #[tokio::test(start_paused = true)]
    async fn a_timeout_is_known_behind_other_errors() {
        #[derive(Debug, thiserror::Error)]
        #[error("the form cannot be read")]
        struct Form(#[source] BoxError);

        let timeout = error_of(paced(silent(), PACE)).await;
        assert!(is_timeout(&Form(timeout)));
        assert!(!is_timeout(&Form("reset by peer".into())));
    }
}
