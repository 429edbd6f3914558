//! Bodies: one concrete type for those that come and one for those that go.
//!
//! Nothing here holds a whole body but [`read_json`], which is bounded.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{
    BodyExt, Empty, Full, LengthLimitError, Limited, StreamBody, combinators::UnsyncBoxBody,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;

use super::{pace::is_timeout, permitted::NotPermitted, problem::Problem, stop::is_stop};
use crate::upload::limits;

/// Whatever can go wrong with a body.
pub type BoxError = Box<dyn Error + Send + Sync>;
/// The body of every request.
pub type RequestBody = AnyBody;
/// The body of every response.
pub type ResponseBody = AnyBody;
/// Every request that a handler sees.
pub type Request = http::Request<RequestBody>;
/// Every response that a handler gives.
pub type Response = http::Response<ResponseBody>;

/// Any body as one type. (A type of its own: with the box by its full name in every signature the
/// compiler loses track of the lifetime in `dyn Error`, and with it of what is `Send`.)
#[derive(Debug)]
pub struct AnyBody(UnsyncBoxBody<Bytes, BoxError>);

impl Body for AnyBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// Any body as the one type.
pub fn boxed<B>(body: B) -> AnyBody
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    AnyBody(body.map_err(Into::into).boxed_unsync())
}

/// No bytes.
#[must_use]
pub fn empty() -> ResponseBody {
    boxed(Empty::new())
}

/// 204: done, and there is nothing to say.
#[must_use]
pub fn no_content() -> Response {
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// These bytes.
pub fn full(bytes: impl Into<Bytes>) -> ResponseBody {
    boxed(Full::new(bytes.into()))
}

/// Bytes as they come. An error cuts the connection, so that the client knows that it has less
/// than the whole.
pub fn stream(bytes: impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static) -> ResponseBody {
    boxed(StreamBody::new(bytes.map_ok(Frame::data)))
}

/// A JSON answer.
pub fn json(status: StatusCode, value: &impl Serialize) -> Response {
    json_as("application/json", status, value)
}

/// 201: what was made has the address `location`, which is a path of ours.
pub fn created(location: &str, value: &impl Serialize) -> Response {
    let mut response = json(StatusCode::CREATED, value);
    let location = HeaderValue::from_str(location).expect("our paths are ASCII");
    response.headers_mut().insert(header::LOCATION, location);
    response
}

/// A JSON answer of a more special media type.
pub(super) fn json_as(
    content_type: &'static str,
    status: StatusCode,
    value: &impl Serialize,
) -> Response {
    let bytes = serde_json::to_vec(value).expect("our answers have string keys only");
    let mut response = Response::new(full(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Reads and drops what is left of the body of a request that is about to be refused, so that the
/// client gets to see the answer: a connection that closes while the client still sends is reset,
/// and Firefox then sends the whole POST again by itself.
///
/// Bounded by [`limits::DRAIN_LEN_MAX`] and [`limits::DRAIN_TIMEOUT`]; a body that is known to be
/// longer is not touched. Nor is one whose client waits for a `100 Continue` (the first read would
/// send it): such a client takes the answer instead.
///
/// A slow client does not delay its own answer: after [`limits::DRAIN_AHEAD`] this returns, and the
/// rest is read and dropped while the answer is sent.
pub async fn drain(headers: &HeaderMap, body: RequestBody) {
    if expects_continue(headers) {
        return;
    }
    let mut rest = Box::pin(drain_within(body, limits::DRAIN_LEN_MAX, limits::DRAIN_TIMEOUT));
    if timeout(limits::DRAIN_AHEAD, &mut rest).await.is_err() {
        tokio::spawn(rest);
    }
}

fn expects_continue(headers: &HeaderMap) -> bool {
    headers
        .get(header::EXPECT)
        .is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

async fn drain_within(mut body: RequestBody, len_max: u64, wait_max: Duration) {
    if len_max < body.size_hint().lower() {
        return;
    }
    let read = async {
        let mut len = 0;
        while len < len_max
            && let Some(Ok(frame)) = body.frame().await
        {
            len += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
    };
    // Past the time the connection is closed: that the answer may be lost is all that is lost.
    let _ = timeout(wait_max, read).await;
}

/// Reads a JSON body of at most [`limits::JSON_BODY_LEN_MAX`] bytes.
///
/// Errors: a problem that is ready to be answered.
pub async fn read_json<T: DeserializeOwned>(body: RequestBody) -> Result<T, Problem> {
    let body = Limited::new(body, limits::JSON_BODY_LEN_MAX).collect().await;
    let bytes = body.map_err(|error| unreadable(error.as_ref()))?.to_bytes();
    serde_json::from_slice(&bytes).map_err(|error| {
        // Where, not what: the words of a parser are no interface.
        let (line, column) = (error.line(), error.column());
        let detail = format!(
            "The body must be the JSON that /openapi.json describes; line {line}, column {column} \
             is not."
        );
        Problem::bad_request("invalid_json", detail)
    })
}

fn unreadable(error: &(dyn Error + 'static)) -> Problem {
    if error.is::<LengthLimitError>() {
        let detail = format!("The body may have {} bytes.", limits::JSON_BODY_LEN_MAX);
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
    } else if let Some(NotPermitted(problem)) = error.downcast_ref() {
        problem.clone()
    } else if is_timeout(error) {
        Problem::request_timeout()
    } else if is_stop(error) {
        Problem::unavailable(limits::RETRY_AFTER)
    } else {
        Problem::bad_request("incomplete_body", "The body ended early: send the request again.")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use futures_util::{StreamExt, stream};
    use serde::Deserialize;
    use tokio::time::Instant;

    use super::*;

    /// As many frames of four bytes, and a count of those that were read.
    fn frames(count: usize) -> (RequestBody, Arc<AtomicUsize>) {
        let read = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&read);
        let frames = stream::iter(0..count).map(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
            Ok(Bytes::from_static(b"four"))
        });
        (super::stream(frames), read)
    }

    fn silent() -> RequestBody {
        super::stream(stream::pending())
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_body_is_read_to_its_end_but_not_for_ever() {
        let (body, read) = frames(10);
        drain_within(body, 1000, Duration::from_secs(1)).await;
        assert_eq!(read.load(Ordering::Relaxed), 10);

        let (body, read) = frames(10);
        drain_within(body, 10, Duration::from_secs(1)).await;
        assert_eq!(read.load(Ordering::Relaxed), 3);

        let began = Instant::now();
        drain_within(silent(), 10, Duration::from_secs(1)).await;
        assert_eq!(began.elapsed().as_secs(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_is_not_worth_reading_is_not_read() {
        // Too long, and the declared length says so; the time limit would show in the clock.
        let began = Instant::now();
        drain_within(full("0123456789"), 9, Duration::from_secs(1)).await;
        let mut headers = HeaderMap::new();
        headers.insert(header::EXPECT, HeaderValue::from_static("100-Continue"));
        let (body, read) = frames(10);
        drain(&headers, body).await;
        assert_eq!((read.load(Ordering::Relaxed), began.elapsed()), (0, Duration::ZERO));
    }

    #[tokio::test]
    async fn json_is_read_within_its_limit() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Patch {
            scheduled_at: String,
        }

        let patch: Patch = read_json(full(r#"{"scheduled_at": "2026-12-01"}"#)).await.expect("ok");
        assert_eq!(patch.scheduled_at, "2026-12-01");
        for (body, status, code) in [
            (full(""), 400, "invalid_json"),
            (full("[]"), 400, "invalid_json"),
            (full("{\"scheduled_at\": 1}"), 400, "invalid_json"),
            (full(" ".repeat(limits::JSON_BODY_LEN_MAX + 1)), 413, "too_large"),
            (super::stream(stream::iter([Err("reset".into())])), 400, "incomplete_body"),
        ] {
            let problem = read_json::<Patch>(body).await.expect_err("a problem");
            assert_eq!((problem.status.as_u16(), problem.code), (status, code));
        }
    }
}
