//! Range, If-Range and the preconditions, through the route of a creative's content.
//!
//! * Every answer is consistent in itself: its status, its lengths, its bytes.
//! * A range that anybody would understand is answered with its bytes, as plain arithmetic has it.
//! * 304, 412, 206 and 416 come only to those who asked for them.

use std::sync::OnceLock;

use arbitrary::Arbitrary;
use flowstitch::upload::limits::READ_LEN_MAX;
use http::{HeaderName, HeaderValue, Method, Request, header};

use crate::service::{self, Reply, Service};

/// When all files were published.
const MODIFIED: &str = "Tue, 01 Dec 2026 12:00:00 GMT";

/// A request for one of the files.
#[derive(Debug, Arbitrary)]
pub struct Ask {
    head: bool,
    file: u8,
    lines: Vec<(Name, Value)>,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Name {
    Range,
    IfRange,
    IfMatch,
    IfNoneMatch,
    IfModifiedSince,
    IfUnmodifiedSince,
}

#[derive(Debug, Arbitrary)]
enum Value {
    Text(String),
    Bytes(Vec<u8>),
    Between(u64, u64),
    Near(i8, i8),
    From(u64),
    Last(u64),
    Etag,
    Weak,
    Date,
    List(Vec<String>),
}

struct Files {
    service: Service,
    files: Vec<File>,
}

struct File {
    url: String,
    etag: String,
    content: Vec<u8>,
}

impl Name {
    fn header(self) -> HeaderName {
        match self {
            Self::Range => header::RANGE,
            Self::IfRange => header::IF_RANGE,
            Self::IfMatch => header::IF_MATCH,
            Self::IfNoneMatch => header::IF_NONE_MATCH,
            Self::IfModifiedSince => header::IF_MODIFIED_SINCE,
            Self::IfUnmodifiedSince => header::IF_UNMODIFIED_SINCE,
        }
    }
}

impl Value {
    fn of(&self, file: &File) -> Option<HeaderValue> {
        let len = file.content.len() as u64;
        let text = match self {
            Self::Text(text) => text.clone(),
            Self::Bytes(bytes) => return HeaderValue::from_bytes(bytes).ok(),
            Self::Between(first, last) => format!("bytes={first}-{last}"),
            Self::Near(first, last) => {
                let near = |by: i8| len.saturating_add_signed(by.into());
                format!("bytes={}-{}", near(*first), near(*last))
            }
            Self::From(first) => format!("bytes={first}-"),
            Self::Last(count) => format!("bytes=-{count}"),
            Self::Etag => file.etag.clone(),
            Self::Weak => format!("W/{}", file.etag),
            Self::Date => MODIFIED.into(),
            Self::List(tags) => format!("{}, {}", tags.join(","), file.etag),
        };
        HeaderValue::from_str(&text).ok()
    }
}

/// Asks, and compares the answer with the file.
pub fn check(ask: &Ask) {
    static FILES: OnceLock<Files> = OnceLock::new();
    let Files { service, files } = FILES.get_or_init(|| service::run(publish()));
    let file = &files[usize::from(ask.file) % files.len()];
    let method = if ask.head { Method::HEAD } else { Method::GET };
    let mut request = Request::builder().method(method).uri(&file.url);
    for (name, value) in &ask.lines {
        if let Some(value) = value.of(file) {
            request = request.header(name.header(), value);
        }
    }
    let request = service::bare(request);
    let (parts, body) = request.into_parts();
    let asked = Request::from_parts(parts.clone(), ());
    let reply = service::run(service.send(Request::from_parts(parts, body)));
    check_reply(&asked, &reply, file);
}

/// Files of no byte, of a few, and of more than is read at a time.
async fn publish() -> Files {
    let service = Service::start().await;
    let mut files = Vec::new();
    for len in [0, 10, READ_LEN_MAX + 1] {
        let content: Vec<u8> = (0..=250).cycle().take(len).collect();
        let request = Request::post(format!("/upload?flowFilename={len}.bin"));
        let reply = service.send(service::in_frames(request, &content, &[], false)).await;
        let creative = &reply.json()["creative"];
        let text = |key: &str| creative[key].as_str().expect("it is complete").to_owned();
        files.push(File {
            url: text("creative_url"),
            etag: format!("\"{}\"", text("sha256")),
            content,
        });
    }
    Files { service, files }
}

fn check_reply(asked: &Request<()>, reply: &Reply, file: &File) {
    let has = |name: HeaderName| asked.headers().contains_key(name);
    let said = |name: HeaderName| reply.headers.get(name).map(|it| it.to_str().expect("ASCII"));
    let (status, len) = (reply.status.as_u16(), file.content.len());
    let is_head = asked.method() == Method::HEAD;
    let conditional = has(header::IF_NONE_MATCH) || has(header::IF_MODIFIED_SINCE);
    let guarded = has(header::IF_MATCH) || has(header::IF_UNMODIFIED_SINCE);
    assert_eq!(said(header::ETAG), Some(&*file.etag), "{reply:?}");
    assert_eq!(said(header::LAST_MODIFIED), Some(MODIFIED));
    assert_eq!(said(header::ACCEPT_RANGES), Some("bytes"));
    let range = said(header::CONTENT_RANGE);
    match status {
        200 => {
            assert_eq!((range, said(header::CONTENT_LENGTH)), (None, Some(&*len.to_string())));
            assert!(is_head && reply.body.is_empty() || reply.body == file.content);
        }
        206 => {
            assert!(!is_head && has(header::RANGE), "{asked:?}");
            let (first, last) = parts_of(range.expect("it says which"), len);
            assert_eq!(reply.body, file.content[first..=last], "{asked:?}");
            assert_eq!(said(header::CONTENT_LENGTH), Some(&*(last - first + 1).to_string()));
        }
        304 => assert!(conditional && reply.body.is_empty() && range.is_none(), "{asked:?}"),
        412 => assert!(guarded && range.is_none(), "{asked:?}"),
        416 => {
            assert!(!is_head && has(header::RANGE), "{asked:?}");
            assert_eq!(range, Some(&*format!("bytes */{len}")));
        }
        _ => panic!("{asked:?}: {reply:?}"),
    }
    if !is_head && !conditional && !guarded && !has(header::IF_RANGE) {
        check_plain(asked, reply, len);
    }
}

/// The two ends of `bytes a-b/len`, which must be within the file.
fn parts_of(range: &str, len: usize) -> (usize, usize) {
    let (ends, whole) =
        range.strip_prefix("bytes ").and_then(|it| it.split_once('/')).expect("a /");
    let (first, last) = ends.split_once('-').expect("two ends");
    let number = |text: &str| text.parse::<usize>().expect("a number");
    let (first, last) = (number(first), number(last));
    assert!(number(whole) == len && first <= last && last < len, "{range}");
    (first, last)
}

/// One range in plain digits and nothing else: what it must be answered with.
fn check_plain(asked: &Request<()>, reply: &Reply, len: usize) {
    let mut lines = asked.headers().get_all(header::RANGE).iter();
    let (line, None) = (lines.next(), lines.next()) else { return };
    let Some(line) = line.and_then(|line| line.to_str().ok()) else {
        assert_eq!(reply.status, 200, "{asked:?}");
        return;
    };
    let ends = line.strip_prefix("bytes=").and_then(|ends| ends.split_once('-'));
    let Some((first, last)) = ends else { return };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if len == 0 || !digits(first) || !digits(last) {
        return;
    }
    let len = len as u64;
    let expected = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if last < first => (200, len),
        (Ok(first), _) if len <= first => (416, 0),
        (Ok(first), Ok(last)) => (206, last.min(len - 1) - first + 1),
        (Ok(first), Err(_)) if last.is_empty() => (206, len - first),
        (Err(_), Ok(0)) if first.is_empty() => (416, 0),
        (Err(_), Ok(count)) if first.is_empty() => (206, count.min(len)),
        _ => return,
    };
    let sent = if reply.status == 416 { 0 } else { reply.body.len() as u64 };
    assert_eq!((reply.status.as_u16(), sent), expected, "{line}");
}
