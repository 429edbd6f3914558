//! Forms part by part, in any order, and bodies that count how far they were read.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use flowstitch::http::body;
use futures_util::stream;
use http::{Method, Request};

const BOUNDARY: &str = "----WebKitFormBoundaryQ7tTZ0o1FwHvkpYc";

/// A form that is being written.
#[derive(Clone, Default)]
pub(crate) struct Form(Vec<u8>);

impl Form {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn field(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.part(&format!("Content-Disposition: form-data; name=\"{name}\""), value.as_ref())
    }

    pub(crate) fn fields(self, fields: &[(String, String)]) -> Self {
        fields.iter().fold(self, |form, (name, value)| form.field(name, value))
    }

    /// A file in the field `file`, its name escaped as browsers do.
    pub(crate) fn file(self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        let name = name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A");
        let head = format!(
            "Content-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             Content-Type: application/octet-stream"
        );
        self.part(&head, bytes.as_ref())
    }

    /// The bytes of the form up to the first byte of a file, which is not in it.
    pub(crate) fn up_to_file(self, name: &str) -> Vec<u8> {
        let mut bytes = self.file(name, b"").0;
        bytes.truncate(bytes.len() - b"\r\n".len());
        bytes
    }

    pub(crate) fn content_type() -> String {
        format!("multipart/form-data; boundary={BOUNDARY}")
    }

    /// A part with a head of the test's own.
    pub(crate) fn part(mut self, head: &str, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(format!("--{BOUNDARY}\r\n{head}\r\n\r\n").as_bytes());
        self.0.extend_from_slice(bytes);
        self.0.extend_from_slice(b"\r\n");
        self
    }

    pub(crate) fn post(self, path: &str) -> Request<Bytes> {
        self.request(Method::POST, path)
    }

    pub(crate) fn request(mut self, method: Method, path: &str) -> Request<Bytes> {
        self.0.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", Self::content_type())
            .body(Bytes::from(self.0))
            .expect("a request")
    }
}

/// The same request with its body in frames, and a count of the bytes that were taken of it.
pub(crate) fn counted(
    request: Request<Bytes>,
    frame_len: usize,
) -> (body::Request, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = taken.clone();
    let request = request.map(|bytes| {
        let len = bytes.len();
        let frame = move |at: usize| {
            let frame = bytes.slice(at..len.min(at + frame_len));
            counter.fetch_add(frame.len(), Ordering::SeqCst);
            Ok(frame)
        };
        body::stream(stream::iter((0..len).step_by(frame_len).map(frame)))
    });
    (request, taken)
}

/// The same request, of whose body only so many bytes come; what follows is `end`.
pub(crate) fn cut(
    request: Request<Bytes>,
    at: usize,
    end: impl futures_util::Stream<Item = Result<Bytes, body::BoxError>> + Send + 'static,
) -> body::Request {
    use futures_util::StreamExt;
    request.map(|bytes| body::stream(stream::iter([Ok(bytes.slice(..at))]).chain(end)))
}
