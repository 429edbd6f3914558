//! A flow.js client: its arithmetic, its fields, its requests, as the contract measured them.

use bytes::Bytes;
use http::{Method, Request};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Form, Reply, TestApp};

/// A file that flow.js uploads. Clone it for a second client with the same file.
#[derive(Clone)]
pub(crate) struct FlowFile<'a> {
    app: &'a TestApp,
    content: Vec<u8>,
    name: String,
    path: Option<String>,
    identifier: Option<String>,
    chunk_size: usize,
    force_chunk_size: bool,
    query: Vec<(String, String)>,
    headers: Vec<(&'static str, String)>,
}

impl<'a> FlowFile<'a> {
    pub(crate) fn new(app: &'a TestApp, content: Vec<u8>) -> Self {
        Self {
            app,
            content,
            name: "a.bin".into(),
            path: None,
            identifier: None,
            chunk_size: 4,
            force_chunk_size: false,
            query: Vec::new(),
            headers: Vec::new(),
        }
    }

    pub(crate) fn name(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// `flowRelativePath`, where it is not the name.
    pub(crate) fn path(mut self, path: &str) -> Self {
        self.path = Some(path.into());
        self
    }

    pub(crate) fn identifier(mut self, identifier: &str) -> Self {
        self.identifier = Some(identifier.into());
        self
    }

    pub(crate) fn chunk_size(mut self, bytes: usize) -> Self {
        self.chunk_size = bytes;
        self
    }

    pub(crate) fn force_chunk_size(mut self) -> Self {
        self.force_chunk_size = true;
        self
    }

    /// One of flow.js's `query` fields: `scheduled_at`, `sha256`, …
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    /// Whoever has this token sends it.
    pub(crate) fn by(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// A header of all its requests.
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    async fn ask(&self, path: &str) -> Reply {
        self.sign(Request::builder().uri(path).body(Bytes::new()).expect("a request")).await
    }

    /// The answer to another request of whoever sends the file.
    pub(crate) async fn signed(&self, request: Request<Bytes>) -> Reply {
        self.sign(request).await
    }

    async fn sign(&self, mut request: Request<Bytes>) -> Reply {
        for (name, value) in &self.headers {
            request.headers_mut().insert(*name, value.parse().expect("a header"));
        }
        self.app.send(request).await
    }

    pub(crate) fn app(&self) -> &'a TestApp {
        self.app
    }

    pub(crate) fn content(&self) -> &[u8] {
        &self.content
    }

    /// How many chunks flow.js makes of it.
    pub(crate) fn count(&self) -> usize {
        let (total, size) = (self.content.len(), self.chunk_size);
        if self.force_chunk_size { total.div_ceil(size) } else { total / size }.max(1)
    }

    /// The bytes of a chunk, by its number.
    pub(crate) fn chunk(&self, number: usize) -> &[u8] {
        let start = (number - 1) * self.chunk_size;
        let last = number == self.count();
        let end = if last { self.content.len() } else { start + self.chunk_size };
        &self.content[start..end]
    }

    /// The fields in flow.js's order: the application's own come first.
    pub(crate) fn fields(&self, number: usize) -> Vec<(String, String)> {
        let path = self.path.as_deref().unwrap_or(&self.name);
        let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let default_identifier =
            || format!("{}-{}", self.content.len(), path.chars().filter(plain).collect::<String>());
        let identifier = self.identifier.clone().unwrap_or_else(default_identifier);
        let size = if number <= self.count() { self.chunk(number).len() } else { 0 };
        let flow = [
            ("flowChunkNumber", number.to_string()),
            ("flowChunkSize", self.chunk_size.to_string()),
            ("flowCurrentChunkSize", size.to_string()),
            ("flowTotalSize", self.content.len().to_string()),
            ("flowIdentifier", identifier),
            ("flowFilename", self.name.clone()),
            ("flowRelativePath", path.to_owned()),
            ("flowTotalChunks", self.count().to_string()),
        ];
        let flow = flow.into_iter().map(|(name, value)| (name.to_owned(), value));
        self.query.iter().cloned().chain(flow).collect()
    }

    pub(crate) fn query_string(&self, number: usize) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(self.fields(number)).finish()
    }

    /// The test GET.
    pub(crate) async fn probe(&self, number: usize) -> Reply {
        self.ask(&format!("/upload?{}", self.query_string(number))).await
    }

    /// The one question instead of many.
    pub(crate) async fn lookup(&self) -> Reply {
        self.ask(&self.lookup_path()).await
    }

    pub(crate) fn lookup_path(&self) -> String {
        format!("/uploads/lookup?{}", self.query_string(1))
    }

    /// The multipart POST of a chunk.
    pub(crate) async fn post(&self, number: usize) -> Reply {
        self.post_bytes(number, self.chunk(number)).await
    }

    /// The multipart POST of a chunk with other bytes than its own.
    pub(crate) async fn post_bytes(&self, number: usize, bytes: &[u8]) -> Reply {
        self.sign(self.request(number, bytes)).await
    }

    pub(crate) fn request(&self, number: usize, bytes: &[u8]) -> Request<Bytes> {
        multipart(&self.fields(number), Some((&self.name, bytes)))
    }

    /// The POST of a chunk with `method: 'octet'`.
    pub(crate) async fn octet(&self, number: usize) -> Reply {
        self.sign(self.octet_request(Method::POST, number, self.chunk(number))).await
    }

    pub(crate) fn octet_request(
        &self,
        method: Method,
        number: usize,
        bytes: &[u8],
    ) -> Request<Bytes> {
        Request::builder()
            .method(method)
            .uri(format!("/upload?{}", self.query_string(number)))
            .header("content-type", "application/octet-stream")
            .body(Bytes::copy_from_slice(bytes))
            .expect("a request")
    }

    /// Sends these chunks, one after the other; gives the last answer.
    pub(crate) async fn send(&self, numbers: impl IntoIterator<Item = usize>) -> Reply {
        let mut last = None;
        for number in numbers {
            let reply = self.post(number).await;
            assert!(matches!(reply.status.as_u16(), 200 | 201), "chunk {number}: {reply:?}");
            last = Some(reply);
        }
        last.expect("at least one chunk")
    }

    /// Sends every chunk in order, and asserts that the file arrived. Gives the creative.
    pub(crate) async fn upload(&self) -> Value {
        let reply = self.send(1..=self.count()).await;
        self.assert_completed(&reply)
    }

    /// Asserts that this answer completed the upload, and that the file is what was sent.
    #[track_caller]
    pub(crate) fn assert_completed(&self, reply: &Reply) -> Value {
        let creative = self.assert_arrived(reply);
        assert_eq!(creative["sha256"], sha256_hex(&self.content));
        creative
    }

    /// As [`Self::assert_completed`], whichever digest was taken.
    #[track_caller]
    pub(crate) fn assert_arrived(&self, reply: &Reply) -> Value {
        let body = reply.json();
        assert_eq!(body["complete"], true, "{body}");
        assert_eq!(body["upload"]["state"], "complete");
        let creative = body["creative"].clone();
        assert_eq!(creative["size"], self.content.len());
        assert!(self.app.published(&creative) == self.content, "the file is not what was sent");
        creative
    }
}

/// A form: fields, then the file.
pub(crate) fn multipart(
    fields: &[(String, String)],
    file: Option<(&str, &[u8])>,
) -> Request<Bytes> {
    let form = Form::new().fields(fields);
    let form = match file {
        Some((name, bytes)) => form.file(name, bytes),
        None => form,
    };
    form.post("/upload")
}

/// So many bytes, in which a chunk at a wrong place shows: their period is a prime.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..=250).cycle().take(len).collect()
}

pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
