//! Preconditions of requests for one representation (RFC 9110, section 13).
//!
//! Pure. What cannot be parsed is as good as absent, as the RFC has it: a precondition is an offer
//! of the client's, and the whole representation is always a right answer.

use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// What is known of a representation to compare with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Validators<'a> {
    /// A strong entity tag, in its quotes.
    pub(super) etag: &'a HeaderValue,
    /// When it was last modified, in seconds: HTTP has no finer clock.
    pub(super) modified_secs: Option<u64>,
}

/// Whether to do as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Do.
    Proceed,
    /// 304: the client has it.
    NotModified,
    /// 412: it is not what the client thinks that it is.
    Failed,
}

/// The verdict for a GET or HEAD, in the order of section 13.2.2: tags weigh more than dates.
pub(super) fn evaluate(headers: &HeaderMap, ours: Validators<'_>) -> Verdict {
    if headers.contains_key(header::IF_MATCH) {
        if !lists(headers, header::IF_MATCH, ours.etag, Comparison::Strong) {
            return Verdict::Failed;
        }
    } else if let Some(since) = date(headers, &header::IF_UNMODIFIED_SINCE)
        && ours.modified_secs.is_some_and(|modified| since < modified)
    {
        return Verdict::Failed;
    }
    if headers.contains_key(header::IF_NONE_MATCH) {
        if lists(headers, header::IF_NONE_MATCH, ours.etag, Comparison::Weak) {
            return Verdict::NotModified;
        }
    } else if let Some(since) = date(headers, &header::IF_MODIFIED_SINCE)
        && ours.modified_secs.is_some_and(|modified| modified <= since)
    {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// Whether a Range is to be honoured as far as If-Range goes: the rest of another file than the one
/// that the client has the beginning of would make a third.
pub(super) fn range_applies(headers: &HeaderMap, ours: Validators<'_>) -> bool {
    let Some(condition) = headers.get(header::IF_RANGE) else {
        return true;
    };
    // A weak tag never equals our strong one, as section 13.1.5 demands.
    condition == ours.etag
        || date(headers, &header::IF_RANGE).is_some_and(|date| ours.modified_secs == Some(date))
}

#[derive(Clone, Copy)]
enum Comparison {
    Strong,
    Weak,
}

/// Whether our tag is in the list, or the list is a star.
///
/// Splitting at every comma is enough, although a tag may hold one: a part in quotes that equals
/// our tag cannot come of a longer tag, for no tag holds a quote.
fn lists(headers: &HeaderMap, name: HeaderName, etag: &HeaderValue, how: Comparison) -> bool {
    let is_ours = |tag: &[u8]| {
        let tag = tag.trim_ascii();
        let opaque = match how {
            Comparison::Strong => tag,
            Comparison::Weak => tag.strip_prefix(b"W/").unwrap_or(tag),
        };
        tag == b"*" || opaque == etag.as_bytes()
    };
    headers.get_all(name).iter().any(|tags| tags.as_bytes().split(|b| *b == b',').any(is_ours))
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    let date = httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()?;
    Some(seconds(date))
}

/// Seconds since 1970; what was before that was then.
pub(super) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Our tag is `"a"`, and our date the middle one of these.
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const AT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v)))
            .collect()
    }

    fn verdict(lines: &[(&'static str, &'static str)]) -> Verdict {
        let etag = HeaderValue::from_static("\"a\"");
        let ours = Validators { etag: &etag, modified_secs: Some(784_111_777) };
        evaluate(&headers(lines), ours)
    }

    #[test]
    fn each_precondition_by_itself() {
        for (name, value, expected) in [
            ("if-none-match", "\"a\"", Verdict::NotModified),
            ("if-none-match", "W/\"a\"", Verdict::NotModified),
            ("if-none-match", "\"x\", W/\"y,z\" ,\"a\"", Verdict::NotModified),
            ("if-none-match", "*", Verdict::NotModified),
            ("if-none-match", "\"b\"", Verdict::Proceed),
            ("if-none-match", "a", Verdict::Proceed),
            ("if-none-match", "", Verdict::Proceed),
            ("if-match", "\"a\"", Verdict::Proceed),
            ("if-match", "\"x\",\"a\"", Verdict::Proceed),
            ("if-match", "*", Verdict::Proceed),
            ("if-match", "W/\"a\"", Verdict::Failed),
            ("if-match", "\"b\"", Verdict::Failed),
            ("if-modified-since", AFTER, Verdict::NotModified),
            ("if-modified-since", AT, Verdict::NotModified),
            ("if-modified-since", BEFORE, Verdict::Proceed),
            ("if-modified-since", "yesterday", Verdict::Proceed),
            ("if-modified-since", "Sunday, 06-Nov-94 08:49:37 GMT", Verdict::NotModified),
            ("if-unmodified-since", AFTER, Verdict::Proceed),
            ("if-unmodified-since", AT, Verdict::Proceed),
            ("if-unmodified-since", BEFORE, Verdict::Failed),
            ("if-unmodified-since", "yesterday", Verdict::Proceed),
        ] {
            assert_eq!(verdict(&[(name, value)]), expected, "{name}: {value}");
        }
    }

    #[test]
    fn tags_weigh_more_than_dates_and_if_match_comes_first() {
        for (lines, expected) in [
            ([("if-none-match", "\"b\""), ("if-modified-since", AFTER)], Verdict::Proceed),
            ([("if-none-match", "\"a\""), ("if-modified-since", BEFORE)], Verdict::NotModified),
            ([("if-match", "\"a\""), ("if-unmodified-since", BEFORE)], Verdict::Proceed),
            ([("if-match", "\"b\""), ("if-none-match", "\"a\"")], Verdict::Failed),
            ([("if-match", "\"a\""), ("if-none-match", "\"a\"")], Verdict::NotModified),
            ([("if-none-match", "\"b\""), ("if-none-match", "\"a\"")], Verdict::NotModified),
        ] {
            assert_eq!(verdict(&lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn dates_say_nothing_of_what_has_none() {
        let etag = HeaderValue::from_static("\"a\"");
        let ours = Validators { etag: &etag, modified_secs: None };
        for name in ["if-modified-since", "if-unmodified-since"] {
            assert_eq!(evaluate(&headers(&[(name, AT)]), ours), Verdict::Proceed, "{name}");
        }
        assert!(!range_applies(&headers(&[("if-range", AT)]), ours));
    }

    #[test]
    fn a_range_of_another_file_does_not_apply() {
        let etag = HeaderValue::from_static("\"a\"");
        let ours = Validators { etag: &etag, modified_secs: Some(784_111_777) };
        assert!(range_applies(&headers(&[]), ours));
        for (condition, applies) in [
            ("\"a\"", true),
            (AT, true),
            ("W/\"a\"", false),
            ("\"b\"", false),
            ("*", false),
            (BEFORE, false),
            (AFTER, false),
            ("", false),
        ] {
            let lines = [("if-range", condition)];
            assert_eq!(range_applies(&headers(&lines), ours), applies, "{condition}");
        }
    }
}
