//! Which bytes of a file answer a GET or HEAD, and what is said of them (RFC 9110).
//!
//! Pure: no file is touched here. The bytes of published files come from strangers, so the headers
//! make sure that a browser never runs them in our name.

use std::{borrow::Cow, fmt, ops::Range, time::SystemTime};

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_range_header::{
    EndPosition, ParsedRanges, RangeUnsatisfiableError, StartPosition, SyntacticallyCorrectRange,
    parse_range_header,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    body::{self, Response, ResponseBody},
    preconditions::{self, Validators, Verdict},
    problem::Problem,
};
use crate::upload::{Creative, FileName, Timestamp, can_be_shown, limits};

/// What a published file may do in a browser: be shown as image, sound or film, by the browser's
/// own viewers, which bring inline styles. No script of it runs: there is no `allow-scripts`. It
/// keeps its origin: a player requests the rest of its own file, and browsers refuse that to a
/// document of another origin (`Cross-Origin-Resource-Policy`).
const SANDBOX: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox allow-same-origin",
);

/// A file that can be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Representation {
    /// Its length in bytes.
    pub len: u64,
    /// A strong entity tag, in its quotes.
    pub etag: HeaderValue,
    /// When it came to be what it is, if that is known.
    pub modified: Option<Timestamp>,
}

impl Representation {
    /// The file of a creative. It never changes: its tag is its digest, and without one its id.
    #[must_use]
    pub fn of(creative: &Creative) -> Self {
        let digest = &creative.digest;
        let etag = match (&digest.sha256, &digest.blake3) {
            (Some(sha256), _) => strong_etag(sha256),
            (None, Some(blake3)) => strong_etag(blake3),
            (None, None) => strong_etag(&creative.id),
        };
        Self { len: creative.size, etag, modified: Some(creative.created_at) }
    }

    /// `Last-Modified`, in the range of what HTTP can say.
    fn modified(&self) -> Option<SystemTime> {
        self.modified.map(|at| SystemTime::from(at.max(Timestamp::UNIX_EPOCH)))
    }
}

/// The tag of content with this digest, or this id: of letters and digits, and hyphens at most.
#[must_use]
pub fn strong_etag(name: &impl fmt::Display) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{name}\"")).expect("letters and digits in quotes")
}

/// The answer to a request for a file, but for its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// 200, 206, 304, 412 or 416.
    pub status: StatusCode,
    /// What is said of the file and of the part that was chosen.
    pub headers: HeaderMap,
    /// The bytes to send; none where there is nothing to send: to a HEAD, and unless 200 or 206.
    pub range: Option<Range<u64>>,
}

impl Selection {
    /// The answer, with the bytes from `send`.
    pub fn into_response(
        self,
        request_id: &str,
        send: impl FnOnce(Range<u64>) -> ResponseBody,
    ) -> Response {
        let mut response = match self.refusal() {
            Some(problem) => problem.into_response(request_id),
            None => Response::new(self.range.map_or_else(body::empty, send)),
        };
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers);
        response
    }

    fn refusal(&self) -> Option<Problem> {
        let (code, detail) = match self.status {
            StatusCode::PRECONDITION_FAILED => {
                ("precondition_failed", "The file is not the one that you know: get it anew.")
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {
                ("range_not_satisfiable", "The file ends before that range: see Content-Range.")
            }
            _ => return None,
        };
        Some(Problem::new(self.status, code, detail))
    }
}

/// What to answer to a GET or HEAD for `file`.
#[must_use]
pub fn select(method: &Method, headers: &HeaderMap, file: &Representation) -> Selection {
    let modified = file.modified();
    let ours = Validators { etag: &file.etag, modified_secs: modified.map(preconditions::seconds) };
    let mut said = HeaderMap::new();
    said.insert(header::ETAG, file.etag.clone());
    said.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(modified) = modified {
        said.insert(header::LAST_MODIFIED, text(httpdate::fmt_http_date(modified)));
    }
    let nothing = |status, headers| Selection { status, headers, range: None };
    match preconditions::evaluate(headers, ours) {
        Verdict::NotModified => return nothing(StatusCode::NOT_MODIFIED, said),
        Verdict::Failed => return nothing(StatusCode::PRECONDITION_FAILED, said),
        Verdict::Proceed => {}
    }
    // Range is defined for GET alone.
    let part = if method == Method::GET && preconditions::range_applies(headers, ours) {
        part(headers, file.len)
    } else {
        Part::Whole
    };
    let len = file.len;
    let (status, range) = match part {
        Part::Whole => (StatusCode::OK, 0..len),
        Part::Range(range) => {
            let (first, last) = (range.start, range.end - 1);
            said.insert(header::CONTENT_RANGE, text(format!("bytes {first}-{last}/{len}")));
            (StatusCode::PARTIAL_CONTENT, range)
        }
        Part::Unsatisfiable => {
            said.insert(header::CONTENT_RANGE, text(format!("bytes */{len}")));
            return nothing(StatusCode::RANGE_NOT_SATISFIABLE, said);
        }
    };
    said.insert(header::CONTENT_LENGTH, (range.end - range.start).into());
    Selection { status, headers: said, range: (method != Method::HEAD).then_some(range) }
}

/// The part of a file that a Range asks for.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Whole,
    /// Never empty, never past the end.
    Range(Range<u64>),
    Unsatisfiable,
}

/// Several ranges get the whole file, as does what cannot be parsed: a server may always ignore
/// Range; players and resuming downloads ask for one; and a multipart answer to a thousand ranges
/// of one small file is a known way to wear a server out.
fn part(headers: &HeaderMap, len: u64) -> Part {
    // The whole of nothing cannot be said in Content-Range.
    if len == 0 {
        return Part::Whole;
    }
    let mut lines = headers.get_all(header::RANGE).iter();
    let (Some(line), None) = (lines.next().and_then(|it| it.to_str().ok()), lines.next()) else {
        return Part::Whole;
    };
    match parse_range_header(line) {
        Ok(ParsedRanges { ranges }) => match ranges.as_slice() {
            [range] => resolve(*range, len),
            _ => Part::Whole,
        },
        Err(RangeUnsatisfiableError::ZeroSuffix) => Part::Unsatisfiable,
        Err(_) => Part::Whole,
    }
}

fn resolve(range: SyntacticallyCorrectRange, len: u64) -> Part {
    let start = match range.start {
        StartPosition::Index(first) => first,
        StartPosition::FromLast(count) => len.saturating_sub(count),
    };
    let end = match range.end {
        // Backwards is not unsatisfiable but invalid.
        EndPosition::Index(last) if last < start => return Part::Whole,
        EndPosition::Index(last) => last.saturating_add(1).min(len),
        EndPosition::LastByte => len,
    };
    if start < len { Part::Range(start..end) } else { Part::Unsatisfiable }
}

/// What is said of a creative's file, whichever part of it is sent.
#[must_use]
pub fn describe(creative: &Creative) -> HeaderMap {
    let binary = HeaderValue::from_static("application/octet-stream");
    let content_type = HeaderValue::from_str(&creative.content_type).unwrap_or(binary);
    let disposition = content_disposition(&creative.filename, can_be_shown(&creative.content_type));
    HeaderMap::from_iter([
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_DISPOSITION, disposition),
        (header::CONTENT_SECURITY_POLICY, SANDBOX),
        // The bytes never change, but they can go, and who may see them can: always ask, mostly
        // get a 304. And never from a cache that others share.
        (header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache")),
    ])
}

/// How a file is to be kept or shown, and under which name: twice, in ASCII for old clients and in
/// UTF-8 for all others (RFC 6266, RFC 8187).
#[must_use]
pub fn content_disposition(name: &FileName, inline: bool) -> HeaderValue {
    let name = name.display_name();
    let name = shorten(&name);
    // A percent sign is harmless by the RFC, but some clients decode it in the plain form.
    let plain = |c: char| if c.is_ascii_graphic() && !"\"\\%/".contains(c) { c } else { '_' };
    let fallback: String = name.chars().map(|c| if c == ' ' { c } else { plain(c) }).collect();
    let encoded = utf8_percent_encode(&name, NOT_ATTR_CHAR);
    let how = if inline { "inline" } else { "attachment" };
    text(format!("{how}; filename=\"{fallback}\"; filename*=UTF-8''{encoded}"))
}

/// All but the `attr-char` of RFC 8187.
const NOT_ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// A name that a file system takes and a header can hold, with the extension of the long one.
fn shorten(name: &str) -> Cow<'_, str> {
    let len_max = limits::DISPOSITION_NAME_LEN_MAX;
    if name.len() <= len_max {
        return name.into();
    }
    let dot = name.rfind('.').filter(|dot| name.len() - dot <= limits::EXTENSION_LEN_MAX + 1);
    let extension = dot.map_or("", |dot| &name[dot..]);
    let stem = &name[..name.floor_char_boundary(len_max - extension.len())];
    format!("{stem}{extension}").into()
}

fn text(ascii: String) -> HeaderValue {
    HeaderValue::try_from(ascii).expect("we write printable ASCII")
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use proptest::prelude::*;

    use super::*;

    const AT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn file(len: u64) -> Representation {
        let modified = Some("1994-11-06T08:49:37.9Z".parse().expect("a timestamp"));
        Representation { len, etag: HeaderValue::from_static("\"a\""), modified }
    }

    fn ask(method: &Method, lines: &[(&'static str, &str)], len: u64) -> Selection {
        let line = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))
        };
        select(method, &lines.iter().map(line).collect(), &file(len))
    }

    /// Status, Content-Range, Content-Length and bytes.
    fn outcome(selection: &Selection) -> (u16, Option<&str>, Option<&str>, Option<Range<u64>>) {
        let said = |name| selection.headers.get(name).and_then(|it| it.to_str().ok());
        let (range, len) = (said(header::CONTENT_RANGE), said(header::CONTENT_LENGTH));
        (selection.status.as_u16(), range, len, selection.range.clone())
    }

    #[test]
    fn one_range_is_honoured_and_all_else_is_the_whole_file() {
        let whole = (200, None, Some("10"), Some(0..10));
        let beyond = (416, Some("bytes */10"), None, None);
        for (range, expected) in [
            ("bytes=0-0", (206, Some("bytes 0-0/10"), Some("1"), Some(0..1))),
            ("bytes=2-5", (206, Some("bytes 2-5/10"), Some("4"), Some(2..6))),
            ("bytes=2-", (206, Some("bytes 2-9/10"), Some("8"), Some(2..10))),
            ("bytes=0-", (206, Some("bytes 0-9/10"), Some("10"), Some(0..10))),
            ("bytes=9-99", (206, Some("bytes 9-9/10"), Some("1"), Some(9..10))),
            ("bytes=0-18446744073709551615", (206, Some("bytes 0-9/10"), Some("10"), Some(0..10))),
            ("bytes=-3", (206, Some("bytes 7-9/10"), Some("3"), Some(7..10))),
            ("bytes=-99", (206, Some("bytes 0-9/10"), Some("10"), Some(0..10))),
            ("bytes=10-", beyond.clone()),
            ("bytes=10-20", beyond.clone()),
            ("bytes=18446744073709551615-", beyond.clone()),
            ("bytes=-0", beyond),
            ("bytes=5-2", whole.clone()),
            ("bytes=0-1,4-5", whole.clone()),
            ("bytes=0-0,-1", whole.clone()),
            ("bytes=", whole.clone()),
            ("bytes=a-b", whole.clone()),
            ("bytes=0-99999999999999999999", whole.clone()),
            ("chunks=0-1", whole.clone()),
            ("0-1", whole),
        ] {
            let selection = ask(&Method::GET, &[("range", range)], 10);
            assert_eq!(outcome(&selection), expected, "{range}");
        }
    }

    #[test]
    fn an_empty_file_has_no_ranges() {
        for range in ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0"] {
            let selection = ask(&Method::GET, &[("range", range)], 0);
            assert_eq!(outcome(&selection), (200, None, Some("0"), Some(0..0)), "{range}");
        }
    }

    #[test]
    fn a_head_says_what_a_get_without_range_would() {
        let selection = ask(&Method::HEAD, &[("range", "bytes=2-5")], 10);
        assert_eq!(outcome(&selection), (200, None, Some("10"), None));
        let selection = ask(&Method::HEAD, &[("if-none-match", "\"a\"")], 10);
        assert_eq!(outcome(&selection), (304, None, None, None));
    }

    #[test]
    fn preconditions_come_before_ranges() {
        let range = ("range", "bytes=2-5");
        for (condition, status) in [
            (("if-none-match", "W/\"a\""), 304),
            (("if-modified-since", AT), 304),
            (("if-match", "\"b\""), 412),
            (("if-unmodified-since", "Sun, 06 Nov 1994 08:49:36 GMT"), 412),
            (("if-range", "\"a\""), 206),
            (("if-range", AT), 206),
            (("if-range", "\"b\""), 200),
        ] {
            let selection = ask(&Method::GET, &[condition, range], 10);
            assert_eq!(selection.status, status, "{condition:?}");
        }
        let two = ask(&Method::GET, &[range, ("range", "bytes=0-1")], 10);
        assert_eq!(two.status, StatusCode::OK);
    }

    #[test]
    fn every_answer_names_the_file_that_it_is_about() {
        for condition in [("range", "bytes=0-1"), ("if-match", "\"b\""), ("if-none-match", "*")] {
            let selection = ask(&Method::GET, &[condition], 10);
            assert_eq!(selection.headers[header::ETAG], "\"a\"");
            assert_eq!(selection.headers[header::LAST_MODIFIED], AT);
            assert_eq!(selection.headers[header::ACCEPT_RANGES], "bytes");
        }
    }

    #[test]
    fn a_refusal_is_a_problem_with_the_same_headers() {
        let selection = ask(&Method::GET, &[("range", "bytes=10-")], 10);
        let response = selection.into_response("r", |_| panic!("nothing is to be sent"));
        assert_eq!(response.status(), StatusCode::RANGE_NOT_SATISFIABLE);
        assert_eq!(response.headers()[header::CONTENT_TYPE], super::super::problem::CONTENT_TYPE);
        assert_eq!(response.headers()[header::CONTENT_RANGE], "bytes */10");
    }

    #[test]
    fn times_that_http_cannot_say_are_no_trouble() {
        for at in [Timestamp::MIN, Timestamp::MAX] {
            let file = Representation { modified: Some(at), ..file(1) };
            assert_eq!(select(&Method::GET, &HeaderMap::new(), &file).status, StatusCode::OK);
        }
    }

    #[test]
    fn only_what_runs_nothing_is_shown_inline() {
        for inline in ["image/png", "IMAGE/JPEG", "video/mp4; codecs=avc1", "audio/mpeg"] {
            assert!(can_be_shown(inline), "{inline}");
        }
        for not in [
            "",
            "image",
            "image/svg+xml",
            "Image/SVG+XML; charset=utf-8",
            "image/svg",
            "image/x+xml",
            "image/xml",
            "video/x+xml",
            "text/javascript",
            "text/html",
            "application/pdf",
            "application/octet-stream",
        ] {
            assert!(!can_be_shown(not), "{not}");
        }
    }

    fn disposition(name: &str) -> String {
        let name = FileName::new(name).expect("short enough");
        content_disposition(&name, false).to_str().expect("ASCII").to_owned()
    }

    #[test]
    fn a_name_is_said_in_ascii_and_in_full() {
        for (name, plain, full) in [
            ("cat.png", "cat.png", "cat.png"),
            ("my cat.png", "my cat.png", "my%20cat.png"),
            ("naïve €.txt", "na_ve _.txt", "na%C3%AFve%20%E2%82%AC.txt"),
            ("a\"b\\c.txt", "c.txt", "c.txt"),
            ("a\"; x=\"b.txt", "a_; x=_b.txt", "a%22%3B%20x%3D%22b.txt"),
            ("100%41.txt", "100_41.txt", "100%2541.txt"),
            ("it's (1)*.txt", "it's (1)*.txt", "it%27s%20%281%29%2A.txt"),
            ("../../etc/passwd", "passwd", "passwd"),
            ("a\r\nSet-Cookie: x", "aSet-Cookie: x", "aSet-Cookie%3A%20x"),
        ] {
            let expected = format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{full}");
            assert_eq!(disposition(name), expected, "{name:?}");
        }
        let shown = content_disposition(&FileName::new("a.png").expect("short"), true);
        assert_eq!(shown, "inline; filename=\"a.png\"; filename*=UTF-8''a.png");
    }

    #[test]
    fn a_long_name_keeps_its_extension() {
        let said = disposition(&format!("{}.tar.jpeg", "é".repeat(4000)));
        assert!(said.ends_with("%C3%A9.jpeg") && said.len() < 1200, "{said}");
        let said = disposition(&format!("{}.{}", "a".repeat(300), "b".repeat(300)));
        assert!(said.ends_with("aaa") && said.len() < 700, "{said}");
    }

    const NAMES: [HeaderName; 6] = [
        header::RANGE,
        header::IF_RANGE,
        header::IF_MATCH,
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_UNMODIFIED_SINCE,
    ];

    /// Header values: any bytes, and such as come close to being right.
    fn value() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            "bytes=[0-9]{0,20}-[0-9]{0,20}(,[0-9]{0,3}-[0-9]{0,3})?".prop_map(Into::into),
            "(W/)?\"[a-c,*]{0,3}\"(, ?\"[a-c]\")?".prop_map(Into::into),
            "[A-Z][a-z]{2,8}, [0-9]{2}[ -]Nov[ -][0-9]{2,4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
                .prop_map(Into::into),
        ]
    }

    proptest! {
        #[test]
        fn what_is_chosen_is_within_the_file(
            lines in prop::collection::vec((0..NAMES.len(), value()), 0..4),
            len in prop_oneof![0..20_u64, any::<u64>()],
            head in any::<bool>(),
        ) {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                if let Ok(value) = HeaderValue::from_bytes(&value) {
                    headers.append(NAMES[name].clone(), value);
                }
            }
            let method = if head { Method::HEAD } else { Method::GET };
            let selection = select(&method, &headers, &file(len));
            let (status, content_range, content_length, range) = outcome(&selection);
            prop_assert_eq!(content_range.is_some(), status == 206 || status == 416);
            prop_assert_eq!(content_length.is_some(), status == 200 || status == 206);
            prop_assert_eq!(range.is_some(), !head && content_length.is_some());
            if let Some(range) = range {
                prop_assert!(range.start <= range.end && range.end <= len);
                prop_assert!(status == 200 || range.start < range.end);
                let said = (range.end - range.start).to_string();
                prop_assert_eq!(content_length, Some(said.as_str()));
            }
        }

        #[test]
        fn any_name_can_be_said(name in "\\PC{0,300}|[\"\\\\%/;\\x00-\\x7f]{0,40}") {
            let said = disposition(&name);
            let plain = said.strip_prefix("attachment; filename=\"").expect("as written");
            let (plain, full) = plain.split_once("\"; filename*=UTF-8''").expect("as written");
            prop_assert!(!plain.is_empty() && !plain.contains(['"', '\\', '%', '/']));
            prop_assert!(!full.is_empty() && !full.contains(['"', '\'', ';', ' ', '*']));
            let decoded = percent_encoding::percent_decode_str(full).decode_utf8();
            let name = FileName::new(name).expect("short enough").display_name();
            prop_assert_eq!(decoded.expect("UTF-8"), shorten(&name));
        }
    }
}
