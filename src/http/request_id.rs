//! The id by which a request is known in the log, in problems and to the client.
//!
//! A client may choose it, so that its own log and ours can be read together, as long as it is
//! short and plain: it is repeated in a header and in log lines. Any other is replaced.

use http::{Extensions, HeaderName, HeaderValue};
use tower_http::request_id::RequestId;

use super::body::Request;
use crate::upload::limits;

/// The header that carries it, both ways.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of the request whose extensions these are; empty only outside of the middleware.
#[must_use]
pub fn of(extensions: &Extensions) -> &str {
    let id = extensions.get::<RequestId>();
    id.and_then(|id| id.header_value().to_str().ok()).unwrap_or_default()
}

/// Removes what the client sent as an id if it is not fit to be one, or if there are several.
pub(super) fn drop_unfit(mut request: Request) -> Request {
    let mut ids = request.headers().get_all(X_REQUEST_ID).iter();
    let fit = ids.next().is_some_and(is_fit) && ids.next().is_none();
    if !fit {
        request.headers_mut().remove(X_REQUEST_ID);
    }
    request
}

fn is_fit(id: &HeaderValue) -> bool {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=limits::REQUEST_ID_LEN_MAX).contains(&id.len()) && id.as_bytes().iter().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::body;

    fn kept(ids: &[&[u8]]) -> bool {
        let mut request = Request::new(body::empty());
        for id in ids {
            let id = HeaderValue::from_bytes(id).expect("a legal header value");
            request.headers_mut().append(X_REQUEST_ID, id);
        }
        drop_unfit(request).headers().contains_key(X_REQUEST_ID)
    }

    #[test]
    fn only_one_short_and_plain_id_is_kept() {
        let longest = vec![b'x'; limits::REQUEST_ID_LEN_MAX];
        for fit in [b"a".as_slice(), b"0af7651916cd43dd-b7.ad_6b", &longest] {
            assert!(kept(&[fit]), "{fit:?}");
        }
        let too_long = vec![b'x'; limits::REQUEST_ID_LEN_MAX + 1];
        for unfit in [b"".as_slice(), b"a b", b"a\tb", b"a/b", b"\xc3\xa9", b"a\"", &too_long] {
            assert!(!kept(&[unfit]), "{unfit:?}");
        }
        assert!(!kept(&[b"a", b"b"]));
        assert!(!kept(&[]));
    }
}
