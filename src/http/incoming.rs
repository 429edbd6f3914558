//! What a dialect is given of a request: its body as bytes, its headers as text.

use std::borrow::Cow;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http::{HeaderMap, HeaderName};
use http_body_util::BodyExt;

use super::{body::RequestBody, pace, permitted::NotPermitted, stop};
use crate::engine::BodyError;

/// The digest of the bytes that a request brings (RFC 9530).
pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// What a header says, all of its lines as one, joined by commas. Bytes that are no text become
/// U+FFFD and are refused by whoever understands the rest: a header that is there but unreadable
/// must not count as missing, or a form would be stored as if it were the file.
pub(super) fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let lines = headers.get_all(name).iter().map(|line| String::from_utf8_lossy(line.as_bytes()));
    lines.map(Cow::into_owned).reduce(|all, line| all + ", " + &line)
}

/// The bytes of a body, with its troubles in the engine's words. Trailers are dropped.
pub(super) fn frames(
    body: RequestBody,
) -> impl Stream<Item = Result<Bytes, BodyError>> + Send + 'static {
    body.into_data_stream().map_err(|error| {
        if pace::is_timeout(error.as_ref()) {
            BodyError::TimedOut
        } else if stop::is_stop(error.as_ref()) {
            BodyError::Stopping
        } else if let Some(refused) = error.downcast_ref::<NotPermitted>() {
            refused.for_engine()
        } else {
            BodyError::Broken(error)
        }
    })
}
