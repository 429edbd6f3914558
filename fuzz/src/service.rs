//! The service on models of store and catalog, and what must hold of it at all times.

use std::{collections::BTreeMap, future::Future, sync::Arc, sync::OnceLock};

use bytes::Bytes;
use flowstitch::{
    app::{App, options},
    catalog::{Catalog, CreativeQuery, MemoryCatalog, UploadQuery},
    config::Config,
    engine::{Clock, Parts},
    http::body,
    metrics::Metrics,
    store::{ChunkStore, MemoryStore, PublishedName},
    upload::{
        ByteRange, Creative, CreativeId, Durability, FileName, Principal, Sha256Digest, Timestamp,
        UploadId, UploadRecord, UploadState,
    },
};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

/// Noon of a Tuesday, in UTC.
const NOW: &str = "2026-12-01T12:00:00Z";
/// Room in the store: a file that is declared to be longer finds none, and no memory is taken.
const ROOM: u64 = 8 << 20;
const MANY: usize = 1000;

/// Runs a future to its end, on one thread and under paused time.
pub(crate) fn run<F: Future>(future: F) -> F::Output {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let build = || Builder::new_current_thread().enable_time().start_paused(true).build();
    RUNTIME.get_or_init(|| build().expect("a runtime needs nothing")).block_on(future)
}

/// A service that has just been started, empty.
pub(crate) struct Service {
    app: App,
    store: Arc<MemoryStore>,
    catalog: Arc<MemoryCatalog>,
}

/// All that is known of uploads and creatives, but for when they were last touched.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) uploads: BTreeMap<UploadId, (UploadRecord, Vec<ByteRange>)>,
    pub(crate) creatives: BTreeMap<CreativeId, Creative>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Service {
    pub(crate) async fn start() -> Self {
        let config = Config { durability: Durability::Relaxed, ..Config::default() };
        let store = Arc::new(MemoryStore::with_room(ROOM));
        let catalog = Arc::new(MemoryCatalog::new());
        let now: Timestamp = NOW.parse().expect("a timestamp");
        let parts = Parts {
            store: store.clone(),
            catalog: catalog.clone(),
            clock: Clock::manual(config.time_zone.clone(), now),
            metrics: Arc::new(Metrics::new()),
            options: options(&config),
        };
        let app = App::with_parts(config, parts).await.expect("nothing fails in memory");
        Self { app, store, catalog }
    }

    /// Sends a request through the whole stack. Whatever comes, the answer is not that we failed.
    pub(crate) async fn send(&self, mut request: body::Request) -> Reply {
        // The service is open: it answers this machine only.
        request.headers_mut().entry("host").or_insert(HeaderValue::from_static("localhost"));
        let is_head = request.method() == Method::HEAD;
        let response = self.app.service().oneshot(request).await.expect("it always answers");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("the body of an answer is whole").to_bytes();
        let reply = Reply { status: parts.status, headers: parts.headers, body };
        reply.check(is_head);
        reply
    }

    pub(crate) async fn facts(&self) -> Facts {
        let principal = Principal::anonymous();
        let query =
            UploadQuery { principal: principal.clone(), state: None, before: None, limit: MANY };
        let mut uploads = BTreeMap::new();
        for mut record in self.catalog.uploads(&query).await.expect("nothing fails in memory") {
            record.touched_at = record.created_at;
            let ranges = self.catalog.ranges(record.id).await.expect("nothing fails in memory");
            let ranges = ranges.iter().map(|stored| stored.range).collect();
            uploads.insert(record.id, (record, ranges));
        }
        let query = CreativeQuery { principal, from: None, to: None, after: None, limit: MANY };
        let creatives = self.catalog.creatives(&query).await.expect("nothing fails in memory");
        let creatives = creatives.into_iter().map(|creative| (creative.id, creative)).collect();
        Facts { uploads, creatives }
    }

    /// The bytes of a range of this upload, wherever they are by now.
    pub(crate) async fn stored(&self, record: &UploadRecord, range: ByteRange) -> Bytes {
        let read = if record.state == UploadState::Complete {
            let name = PublishedName::new(record.creative_id, &record.filename);
            self.store.read_published(&name, range).await
        } else {
            self.store.read(record.id, range).await
        };
        read.expect("what is acknowledged is there")
    }

    /// Stops, and asserts that what is left is what the catalog says and nothing else: bytes of
    /// running uploads that have some, one whole file for each creative.
    pub(crate) async fn finish(self) {
        let facts = self.facts().await;
        self.app.engine().stop().await.expect("it stops in order");
        let mut left = self.store.uploads().await.expect("nothing fails in memory");
        left.sort_unstable();
        let running = facts.uploads.values().filter(|(record, _)| record.state.is_running());
        assert!(running.clone().all(|(_, ranges)| !ranges.is_empty()), "empty: {facts:?}");
        let running: Vec<_> = running.map(|(record, _)| record.id).collect();
        assert_eq!(left, running, "bytes of no upload, or an upload without bytes");
        let published = self.store.published().await.expect("nothing fails in memory");
        assert_eq!(published.len(), facts.creatives.len(), "{published:?}");
        for creative in facts.creatives.values() {
            self.check_file(creative).await;
        }
    }

    async fn check_file(&self, creative: &Creative) {
        let name = PublishedName::new(creative.id, &creative.filename);
        let range = ByteRange::new(0, creative.size).expect("it is as long as it is");
        let bytes = self.store.read_published(&name, range).await.expect("a creative has its file");
        let sha256 = Sha256Digest(Sha256::digest(&bytes).into());
        assert_eq!(creative.digest.sha256, Some(sha256), "{creative:?}");
        let filename = FileName::new(creative.filename.as_str()).expect("it was one");
        assert_eq!(filename, creative.filename);
    }
}

impl Reply {
    /// What holds of every answer of `/upload` and of a creative's content.
    fn check(&self, is_head: bool) {
        let status = self.status.as_u16();
        // The room in the store is small, and a client may name any size.
        assert!(status < 500 || status == 507, "a fault of ours: {self:?}");
        assert!(self.headers.contains_key("x-request-id"), "{self:?}");
        assert_eq!(self.headers["x-content-type-options"], "nosniff", "{self:?}");
        if self.status.is_client_error() || status == 507 {
            assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
            if is_head {
                return;
            }
            let problem = self.json();
            assert_eq!(problem["status"], status, "{self:?}");
            let detail = problem["detail"].as_str().expect("it says what to do");
            assert!(10 < detail.len() && detail.len() < 1000, "{detail:?}");
            assert!(!detail.contains(char::is_control), "{detail:?}");
        }
    }

    pub(crate) fn json(&self) -> Value {
        if self.body.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&self.body).expect("what is said is JSON")
    }
}

/// A request with its body in frames of these lengths, over and over; all at once without any.
/// `end` comes behind the last frame.
pub(crate) fn in_frames(
    request: http::request::Builder,
    body: &[u8],
    lens: &[u8],
    breaks_off: bool,
) -> body::Request {
    let mut rest = body;
    let mut frames = Vec::new();
    let mut lens = lens.iter().cycle();
    while !rest.is_empty() {
        let len = lens.next().map_or(rest.len(), |len| usize::from(*len).clamp(1, rest.len()));
        let (frame, after) = rest.split_at(len);
        frames.push(Ok(Bytes::copy_from_slice(frame)));
        rest = after;
    }
    if breaks_off {
        frames.push(Err("the connection was reset".into()));
    }
    let body = body::stream(futures_util::stream::iter(frames));
    request.body(body).expect("a request")
}

/// A request without a body.
pub(crate) fn bare(builder: http::request::Builder) -> Request<body::RequestBody> {
    builder.body(body::empty()).expect("a request")
}
