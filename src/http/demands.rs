//! Headers by which a request asks for more than the service does.
//!
//! Each changes what the body means: it is a part, it is encoded, it must have a certain digest, or
//! it counts only under a condition. A service that ignored one would store, and acknowledge,
//! something else than the client meant. So such a request is refused, at every address, before its
//! body is read (RFC 9110, sections 8.4, 10.1.1, 13.1 and 14.5).

use http::{HeaderMap, HeaderName, Method, StatusCode, header};

use super::{incoming::CONTENT_DIGEST, problem::Problem};
use crate::upload::limits::QUOTED_LEN_MAX;

/// Digests that nobody here checks. `Content-Digest` is for the dialects.
static UNCHECKED_DIGESTS: [HeaderName; 3] = [
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];
/// Conditions of RFC 9110 that hold for methods that change something.
static CONDITIONS: [HeaderName; 3] =
    [header::IF_MATCH, header::IF_NONE_MATCH, header::IF_UNMODIFIED_SINCE];
/// Headers by which other protocols of resumable uploads say that a body is a part, each with the
/// value for a body that is whole.
static PARTS: [(HeaderName, &str); 3] = [
    (HeaderName::from_static("upload-offset"), "0"),
    (HeaderName::from_static("upload-complete"), "?1"),
    (HeaderName::from_static("upload-incomplete"), "?0"),
];

/// Refuses a request that asks for more than it would get.
pub(super) fn check(method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    if let Some(expected) = first_other_than(headers, &header::EXPECT, "100-continue") {
        let detail = format!("Nothing but `100-continue` can be expected here, not {expected:?}.");
        return Err(Problem::new(StatusCode::EXPECTATION_FAILED, "expectation_failed", detail));
    }
    // The body of a GET means nothing, however it is described.
    if method.is_safe() {
        return Ok(());
    }
    let checks = [check_part, check_coding, check_condition, check_digest];
    checks.into_iter().try_for_each(|check| check(headers))
}

/// A body must be the whole of what the request is about.
fn check_part(headers: &HeaderMap) -> Result<(), Problem> {
    let is_byteranges = headers.get_all(header::CONTENT_TYPE).iter().any(|value| {
        let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        essence.trim_ascii().eq_ignore_ascii_case(b"multipart/byteranges")
    });
    let other = PARTS.iter().find(|(name, whole)| {
        headers.get_all(name).iter().any(|value| value.as_bytes().trim_ascii() != whole.as_bytes())
    });
    let name = match other {
        _ if headers.contains_key(header::CONTENT_RANGE) => "Content-Range",
        _ if is_byteranges => "the type multipart/byteranges",
        Some((name, _)) => name.as_str(),
        None => return Ok(()),
    };
    let detail = format!(
        "A part of a file cannot be sent with {name}: send the whole file, or cut it into chunks \
         and say with `flowChunkNumber` and its like which one comes. Nothing was stored."
    );
    Err(Problem::bad_request("partial_content", detail))
}

/// Bodies are stored as they come, so they must come as they are meant.
fn check_coding(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(coding) = first_other_than(headers, &header::CONTENT_ENCODING, "identity") else {
        return Ok(());
    };
    let detail = format!(
        "Bodies are not decoded here: send the bytes without the Content-Encoding {coding:?}. To \
         store a compressed file, leave that header out."
    );
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", detail))
}

fn check_condition(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(name) = CONDITIONS.iter().find(|name| headers.contains_key(*name)) else {
        return Ok(());
    };
    let detail = format!("Conditions are for GET and HEAD only: send this without `{name}`.");
    Err(Problem::bad_request("unsupported_condition", detail))
}

fn check_digest(headers: &HeaderMap) -> Result<(), Problem> {
    let announced = |name: &HeaderName| {
        let lines = headers.get_all(header::TRAILER);
        let mut names = lines.iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
        names.any(|it| it.trim_ascii().eq_ignore_ascii_case(name.as_str().as_bytes()))
    };
    let named = UNCHECKED_DIGESTS.iter().find(|it| headers.contains_key(*it) || announced(it));
    let ours = CONTENT_DIGEST;
    let trailer = Some(&ours).filter(|name| announced(name));
    let Some(name) = named.or(trailer) else { return Ok(()) };
    let detail = format!(
        "`{name}` is not checked here: send the header `Content-Digest`, before the body, with \
         `sha-256` or `sha-512` of the bytes of this chunk, and the digest of a whole file in the \
         field `sha256`."
    );
    Err(Problem::bad_request("unsupported_digest", detail))
}

/// The first item of a list that is not this word, in any case; bytes that are no text, too.
fn first_other_than(headers: &HeaderMap, name: &HeaderName, word: &str) -> Option<String> {
    let lines = headers.get_all(name).iter();
    let mut items = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let other = items.find(|item| {
        let item = item.trim_ascii();
        !item.is_empty() && !item.eq_ignore_ascii_case(word.as_bytes())
    })?;
    let text = String::from_utf8_lossy(other.trim_ascii());
    Some(text.chars().take(QUOTED_LEN_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(
        method: &Method,
        lines: &[(&'static str, &'static str)],
    ) -> Option<(u16, &'static str)> {
        let line = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), value.parse().expect("a value"))
        };
        let mut headers = HeaderMap::new();
        for (name, value) in lines.iter().map(line) {
            headers.append(name, value);
        }
        let problem = check(method, &headers).err()?;
        Some((problem.status.as_u16(), problem.code))
    }

    #[test]
    fn what_changes_the_meaning_of_a_body_is_refused() {
        const PART: Option<(u16, &str)> = Some((400, "partial_content"));
        const CODING: Option<(u16, &str)> = Some((415, "unsupported_encoding"));
        const CONDITION: Option<(u16, &str)> = Some((400, "unsupported_condition"));
        const DIGEST: Option<(u16, &str)> = Some((400, "unsupported_digest"));
        for (name, value, expected) in [
            ("content-range", "bytes 5-9/10", PART),
            ("content-range", "", PART),
            ("content-type", "Multipart/ByteRanges; boundary=x", PART),
            ("content-type", "multipart/form-data; boundary=x", None),
            ("upload-offset", "5", PART),
            ("upload-offset", "0", None),
            ("upload-complete", "?0", PART),
            ("upload-complete", "?1", None),
            ("upload-incomplete", "?1", PART),
            ("content-encoding", "gzip", CODING),
            ("content-encoding", "identity, br", CODING),
            ("content-encoding", "aws-chunked", CODING),
            ("content-encoding", "Identity", None),
            ("content-encoding", " ", None),
            ("if-match", "\"a\"", CONDITION),
            ("if-none-match", "*", CONDITION),
            ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT", CONDITION),
            ("content-md5", "x", DIGEST),
            ("digest", "sha-256=x", DIGEST),
            ("repr-digest", "sha-256=:YQ==:", DIGEST),
            ("trailer", "x-sum, Content-Digest", DIGEST),
            ("trailer", "server-timing", None),
            // These mean nothing for a method that changes something: sections 13.1.3 and 14.2.
            ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT", None),
            ("if-range", "\"a\"", None),
            ("range", "bytes=5-", None),
            ("prefer", "return=minimal", None),
        ] {
            for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
                assert_eq!(code(&method, &[(name, value)]), expected, "{name}: {value}");
            }
            for method in [Method::GET, Method::HEAD] {
                assert_eq!(code(&method, &[(name, value)]), None, "{name}: {value}");
            }
        }
        let twice = [("content-encoding", "identity"), ("content-encoding", "gzip")];
        assert_eq!(code(&Method::POST, &twice), CODING);
    }

    #[test]
    fn only_a_continue_may_be_expected() {
        const FAILED: Option<(u16, &str)> = Some((417, "expectation_failed"));
        for (value, expected) in [
            ("100-continue", None),
            ("100-Continue", None),
            ("101-continue", FAILED),
            ("100-continue, x=y", FAILED),
        ] {
            for method in [Method::GET, Method::POST] {
                assert_eq!(code(&method, &[("expect", value)]), expected, "{value}");
            }
        }
    }
}
