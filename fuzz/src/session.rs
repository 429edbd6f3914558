//! One client's session: chunks of one file as flow.js sends them, some of them damaged.
//!
//! * What is acknowledged is stored bit for bit, and stays as it is.
//! * A refusal leaves all facts as they were.
//! * A request that nobody damaged, in a session that nobody damaged, is not refused.

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use flowstitch::upload::{ByteRange, UploadId, UploadRecord, UploadState};
use http::Request as Http;
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use crate::{
    raw_form::is_part,
    service::{self, Facts, Reply, Service},
};

/// As Chromium has it, but for its length.
const BOUNDARY: &str = "----WebKitFormBoundaryQ7tT";
const FIELDS: [&str; 11] = [
    "flowChunkNumber",
    "flowChunkSize",
    "flowCurrentChunkSize",
    "flowTotalSize",
    "flowIdentifier",
    "flowFilename",
    "flowRelativePath",
    "flowTotalChunks",
    "scheduled_at",
    "sha256",
    "chunk_sha256",
];
/// Requests that are sent; what is more of them costs time and tells nothing new.
const REQUESTS_MAX: usize = 6;

/// A file and what is sent of it.
#[derive(Debug, Arbitrary)]
pub struct Session {
    content: Vec<u8>,
    name: String,
    chunk_size: u8,
    force_chunk_size: bool,
    declares: bool,
    requests: Vec<Request>,
}

#[derive(Debug, Arbitrary)]
struct Request {
    chunk: u8,
    way: Way,
    damage: Vec<Damage>,
    frames: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
enum Way {
    Form,
    FileFirst,
    Octet,
    NoFile,
    Probe,
    Lookup,
}

/// What happens to a request on its way.
#[derive(Debug, Arbitrary)]
enum Damage {
    Change(u8, Value),
    Drop(u8),
    Double(u8, Value),
    Invent(String, String),
    Shorten(u8),
    Lengthen(Vec<u8>),
    Flip(u8),
    PartName(String),
    Cut(u16),
    Insert(u16, Vec<u8>),
    BreakOff,
    Digest(String),
}

#[derive(Debug, Arbitrary)]
enum Value {
    Text(String),
    Number(u64),
    Small(u8),
    Digest(Vec<u8>),
    Day(u8),
    Nothing,
}

/// A request as it is put on the wire.
struct Wire {
    fields: Vec<(String, String)>,
    content: Vec<u8>,
    part_name: String,
    digest: Option<String>,
}

impl Value {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Small(number) => number.to_string(),
            Self::Digest(bytes) => hex::encode(Sha256::digest(bytes)),
            Self::Day(day) => format!("2026-12-{:02}", day % 32),
            Self::Nothing => "undefined".into(),
        }
    }
}

impl Session {
    fn chunk_size(&self) -> usize {
        usize::from(self.chunk_size).max(1)
    }

    fn count(&self) -> usize {
        let (len, size) = (self.content.len(), self.chunk_size());
        if self.force_chunk_size { len.div_ceil(size) } else { len / size }.max(1)
    }

    /// The chunk with this index, from 0.
    fn chunk(&self, index: usize) -> &[u8] {
        let start = index * self.chunk_size();
        let is_last = index + 1 == self.count();
        let end = if is_last { self.content.len() } else { start + self.chunk_size() };
        &self.content[start..end]
    }

    fn wire(&self, index: usize) -> Wire {
        let chunk = self.chunk(index);
        let hash = |bytes: &[u8]| hex::encode(Sha256::digest(bytes));
        let declared = |bytes: &[u8]| if self.declares { hash(bytes) } else { String::new() };
        let values = [
            (index + 1).to_string(),
            self.chunk_size().to_string(),
            chunk.len().to_string(),
            self.content.len().to_string(),
            format!("{}-a", self.content.len()),
            self.name.clone(),
            self.name.clone(),
            self.count().to_string(),
            String::new(),
            declared(&self.content),
            declared(chunk),
        ];
        Wire {
            fields: FIELDS.map(String::from).into_iter().zip(values).collect(),
            content: chunk.to_vec(),
            part_name: "blob".into(),
            digest: None,
        }
    }
}

impl Wire {
    fn suffer(&mut self, damage: &Damage) {
        let at = |field: &u8| usize::from(*field) % FIELDS.len();
        match damage {
            Damage::Change(field, value) => {
                for (name, text) in &mut self.fields {
                    if name == FIELDS[at(field)] {
                        *text = value.text();
                    }
                }
            }
            Damage::Drop(field) => self.fields.retain(|(name, _)| name != FIELDS[at(field)]),
            Damage::Double(field, value) => {
                self.fields.push((FIELDS[at(field)].into(), value.text()));
            }
            Damage::Invent(name, value) => self.fields.push((name.clone(), value.clone())),
            Damage::Shorten(by) => {
                self.content.truncate(self.content.len().saturating_sub(usize::from(*by)));
            }
            Damage::Lengthen(bytes) => self.content.extend_from_slice(bytes),
            Damage::Flip(at) => {
                let len = self.content.len().max(1);
                if let Some(byte) = self.content.get_mut(usize::from(*at) % len) {
                    *byte ^= 1;
                }
            }
            Damage::PartName(name) => self.part_name.clone_from(name),
            Damage::Digest(digest) => self.digest = Some(digest.clone()),
            // Those are the body's.
            Damage::Cut(_) | Damage::Insert(..) | Damage::BreakOff => {}
        }
    }

    fn query(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.fields).finish()
    }

    /// The body of a form, with the file first, last, or not at all.
    fn form(&self, way: Way) -> Vec<u8> {
        let name = self.part_name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A");
        let head = format!("form-data; name=\"file\"; filename=\"{name}\"");
        let file = (head, self.content.clone());
        let field = |(name, value): &(String, String)| {
            (format!("form-data; name=\"{name}\""), value.clone().into_bytes())
        };
        let mut parts: Vec<_> = self.fields.iter().map(field).collect();
        match way {
            Way::FileFirst => parts.insert(0, file),
            Way::NoFile => {}
            _ => parts.push(file),
        }
        let mut body = Vec::new();
        for (head, content) in parts {
            body.extend_from_slice(format!("--{BOUNDARY}\r\n").as_bytes());
            body.extend_from_slice(format!("Content-Disposition: {head}\r\n\r\n").as_bytes());
            body.extend_from_slice(&content);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        body
    }
}

impl Session {
    /// Whether a boundary is part of what is sent: a client would have chosen another one.
    fn holds_a_boundary(&self) -> bool {
        let boundary = BOUNDARY.as_bytes();
        let texts = [&self.content[..], self.name.as_bytes()];
        texts.iter().any(|text| text.windows(boundary.len()).any(|window| window == boundary))
    }
}

/// What is acknowledged of each upload: offset and bytes.
type Acknowledged = BTreeMap<UploadId, BTreeMap<u64, Vec<u8>>>;

/// Plays the session.
pub fn check(session: &Session) {
    service::run(async {
        let service = Service::start().await;
        let mut acknowledged = Acknowledged::new();
        let mut undamaged = session.name.len() < 1000 && !session.holds_a_boundary();
        for request in session.requests.iter().take(REQUESTS_MAX) {
            let before = service.facts().await;
            let (reply, body) = send(&service, session, request).await;
            let after = service.facts().await;
            undamaged &= request.damage.is_empty();
            if undamaged {
                let good = match request.way {
                    Way::Probe | Way::NoFile => [200, 204],
                    Way::Lookup => [200, 404],
                    Way::Form | Way::FileFirst | Way::Octet => [200, 201],
                };
                assert!(good.contains(&reply.status.as_u16()), "{request:?}: {reply:?}");
            }
            if matches!(reply.status.as_u16(), 200 | 201) {
                let part = Part { way: request.way, body: &body };
                check_stored(&service, &after, &mut acknowledged, &part, &reply).await;
                check_acknowledged(&before, &acknowledged, &part, &reply);
            } else {
                check_unchanged(&before, &after, &reply);
            }
        }
        service.finish().await;
    });
}

/// Sends it; gives the answer, and the body that it is the answer to.
async fn send(service: &Service, session: &Session, request: &Request) -> (Reply, Vec<u8>) {
    let mut wire = session.wire(usize::from(request.chunk) % session.count());
    request.damage.iter().for_each(|damage| wire.suffer(damage));
    let query = wire.query();
    let (mut http, mut body) = match request.way {
        Way::Probe => (Http::get(format!("/upload?{query}")), Vec::new()),
        Way::Lookup => (Http::get(format!("/uploads/lookup?{query}")), Vec::new()),
        Way::Octet => (Http::put(format!("/upload?{query}")), wire.content.clone()),
        way @ (Way::Form | Way::FileFirst | Way::NoFile) => {
            let http = Http::post("/upload")
                .header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"));
            (http, wire.form(way))
        }
    };
    if let Some(digest) = wire.digest.and_then(|it| http::HeaderValue::from_str(&it).ok()) {
        http = http.header("content-digest", digest);
    }
    let mut breaks_off = false;
    for damage in &request.damage {
        let at = |at: &u16| usize::from(*at) % (body.len() + 1);
        match damage {
            Damage::Cut(place) => body.truncate(at(place)),
            Damage::Insert(place, bytes) => {
                let at = at(place);
                body.splice(at..at, bytes.iter().copied());
            }
            Damage::BreakOff => breaks_off = true,
            _ => {}
        }
    }
    let reply = service.send(service::in_frames(http, &body, &request.frames, breaks_off)).await;
    let is_read = !matches!(request.way, Way::Probe | Way::Lookup);
    assert!(!(breaks_off && is_read && reply.status.is_success()), "{request:?}: {reply:?}");
    (reply, body)
}

/// A refusal, and «not here», change nothing; but a whole file that is not what it was declared to
/// be is refused for good.
fn check_unchanged(before: &Facts, after: &Facts, reply: &Reply) {
    if reply.status == 415 && reply.json()["code"] == "checksum_mismatch" {
        assert_eq!(before.creatives, after.creatives);
        let failed =
            after.uploads.values().filter(|(upload, _)| upload.state == UploadState::Failed);
        assert_ne!(failed.count(), 0, "{after:?}");
        return;
    }
    assert_eq!(before, after, "{reply:?}");
}

/// The request that an answer is about.
struct Part<'a> {
    way: Way,
    body: &'a [u8],
}

/// What is here was sent: before, or by this very request.
async fn check_stored(
    service: &Service,
    facts: &Facts,
    acknowledged: &mut Acknowledged,
    part: &Part<'_>,
    reply: &Reply,
) {
    let status = reply.json();
    check_status(&status, facts);
    for (record, ranges) in facts.uploads.values() {
        if record.state == UploadState::Failed {
            continue;
        }
        let known = acknowledged.entry(record.id).or_default();
        let mut new = 0;
        for range in here(record, ranges) {
            let bytes = service.stored(record, range).await;
            if let Some(before) = known.get(&range.offset()) {
                assert_eq!(bytes, before, "{range} of {record:?}");
                continue;
            }
            new += 1;
            assert!(part.sent(&bytes), "{range} of {record:?} is {bytes:?}, which was not sent");
            known.insert(range.offset(), bytes.to_vec());
        }
        assert!(new <= 1, "one request, one range: {record:?}");
        assert!(new == 0 || status["upload"]["id"] == record.id.to_string(), "{status}");
    }
}

/// What this request brought is what is here: also where it was here before. But a complete upload
/// gives its result to whoever asks.
fn check_acknowledged(before: &Facts, acknowledged: &Acknowledged, part: &Part<'_>, reply: &Reply) {
    let asks = matches!(part.way, Way::NoFile | Way::Probe | Way::Lookup);
    let id = reply.json()["upload"]["id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
    let was_running = |(record, _): &(UploadRecord, Vec<ByteRange>)| record.state.is_running();
    if asks || !before.uploads.get(&id).is_none_or(was_running) {
        return;
    }
    let here = acknowledged.get(&id).into_iter().flat_map(BTreeMap::values);
    assert!(here.into_iter().any(|bytes| part.sent(bytes)), "it is not what is here: {reply:?}");
}

/// The ranges of an upload that are here. Of a complete one they may be forgotten: they are all.
fn here(record: &UploadRecord, ranges: &[ByteRange]) -> Vec<ByteRange> {
    let plan = record.identity.plan();
    match record.state {
        UploadState::Complete => {
            let pieces = (0..plan.count()).map(|index| plan.piece(index).expect("it has them"));
            pieces.collect()
        }
        _ => ranges.to_vec(),
    }
}

fn check_status(status: &Json, facts: &Facts) {
    let upload = &status["upload"];
    let id: UploadId = upload["id"].as_str().expect("an id").parse().expect("of ours");
    let (record, ranges) = &facts.uploads[&id];
    let plan = record.identity.plan();
    let received: u64 = here(record, ranges).iter().map(|range| range.len()).sum();
    assert_eq!(upload["received_bytes"], received);
    assert_eq!(upload["total_chunks"], plan.count());
    assert_eq!(upload["filename"], record.filename.as_str());
    assert_eq!(upload["received_chunks"], here(record, ranges).len(), "{status}");
    // A lookup lists them, too.
    if let Some(missing) = upload["missing_chunks"].as_array() {
        let number = |pair: &Json, at: usize| pair[at].as_u64().expect("a number");
        let missing: u64 = missing.iter().map(|pair| number(pair, 1) - number(pair, 0) + 1).sum();
        assert_eq!(plan.count() - missing, here(record, ranges).len() as u64, "{status}");
    }
    assert_eq!(status["complete"], record.state == UploadState::Complete);
}

impl Part<'_> {
    /// Whether the file of this request is these bytes.
    fn sent(&self, bytes: &[u8]) -> bool {
        match self.way {
            Way::Octet => self.body == bytes,
            Way::Form | Way::FileFirst => is_part(self.body, bytes, BOUNDARY),
            Way::NoFile | Way::Probe | Way::Lookup => false,
        }
    }
}
