//! A chunk whose bytes come when the test says so.

use bytes::Bytes;
use flowstitch::http::body::{self, BoxError};
use futures_util::{StreamExt, stream};
use http::{Method, Request};
use tokio::sync::mpsc;

use super::{FlowFile, Form, Reply, TestApp};

/// The client's end of a body. Dropped, the body ends.
#[derive(Debug)]
pub(crate) struct Trickle(mpsc::Sender<Result<Bytes, BoxError>>);

impl Trickle {
    /// Sends bytes, and waits until the server has room for them.
    pub(crate) async fn bring(&self, bytes: &[u8]) {
        self.0.send(Ok(Bytes::copy_from_slice(bytes))).await.expect("the server listens");
    }

    /// The connection breaks.
    pub(crate) async fn cut(self) {
        self.0.send(Err("connection reset".into())).await.expect("the server listens");
    }
}

impl<'a> FlowFile<'a> {
    /// The POST of a chunk, `method: 'octet'`, in pieces: the body's other end, and the answer.
    pub(crate) fn trickle(
        &self,
        number: usize,
    ) -> (Trickle, impl Future<Output = Reply> + use<'a>) {
        let app: &'a TestApp = self.app();
        app.trickle(&self.query_string(number))
    }

    /// The POST of a chunk as a form, in pieces: first come the fields, up to the file.
    pub(crate) fn trickle_form(
        &self,
        number: usize,
    ) -> (Trickle, impl Future<Output = Reply> + use<'a>) {
        let (client, answer) = self.app().trickle_as("/upload", &Form::content_type());
        let begin = Form::new().fields(&self.fields(number)).up_to_file("a.bin");
        client.0.try_send(Ok(begin.into())).expect("there is room for one frame");
        (client, answer)
    }
}

impl TestApp {
    /// The POST of whatever the query string names, in pieces.
    pub(crate) fn trickle<'a>(
        &'a self,
        query: &str,
    ) -> (Trickle, impl Future<Output = Reply> + use<'a>) {
        self.trickle_as(&format!("/upload?{query}"), "application/octet-stream")
    }

    fn trickle_as<'a>(
        &'a self,
        uri: &str,
        content_type: &str,
    ) -> (Trickle, impl Future<Output = Reply> + use<'a>) {
        let (sender, receiver) = mpsc::channel(1);
        let frames = stream::unfold(receiver, async |mut receiver| {
            let frame = receiver.recv().await?;
            Some((frame, receiver))
        });
        let request = Request::builder()
            .method(Method::POST)
            .uri(uri)
            .header("content-type", content_type)
            .body(body::stream(frames.fuse()))
            .expect("a request");
        (Trickle(sender), self.send_streaming(request))
    }
}
