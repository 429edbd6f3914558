//! Answers that last: event streams and downloads are for those who may still have them.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use flowstitch::{
    catalog::MemoryCatalog,
    http::body::{self, Response, ResponseBody},
    store::MemoryStore,
};
use futures_util::stream;
use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::json;
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tower::ServiceExt;

use crate::support::{
    FlowFile, Reply, TestApp, TestAppBuilder,
    authority::Authority,
    keys::{SECRET, Signer, at, claims},
};

const CONTENT: &str = "0123456789";
type Line<'a> = (&'static str, &'a str);

/// An application on the models, which keep paused time from running ahead.
fn app() -> TestAppBuilder {
    let (store, catalog) = (Arc::new(MemoryStore::new()), Arc::new(MemoryCatalog::new()));
    TestApp::builder().store(store).catalog(catalog)
}

async fn open(app: &TestApp, path: &str, (name, value): Line<'_>) -> Response {
    let request = Request::get(path).header("host", "localhost").header(name, value);
    let request = request.body(body::empty()).expect("a request");
    app.service().oneshot(request).await.expect("it always answers")
}

/// A file of which one chunk is here, and the stream of its events, behind the first one.
async fn follow<'a>(app: &'a TestApp, line: Line<'_>) -> (FlowFile<'a>, ResponseBody) {
    let file = app.flow(CONTENT).force_chunk_size().header(line.0, line.1);
    let status = file.send([1]).await.json();
    let path = format!("/uploads/{}/events", status["upload"]["id"].as_str().expect("an id"));
    let response = open(app, &path, line).await;
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    assert!(next(&mut body).await.expect("an event").starts_with("id: "));
    (file, body)
}

/// The next event or comment; nothing at the end.
async fn next(body: &mut ResponseBody) -> Option<String> {
    let frame = timeout(Duration::from_hours(1), body.frame()).await.expect("within an hour")?;
    let data = frame.expect("not cut").into_data().expect("no trailers");
    Some(String::from_utf8(data.to_vec()).expect("UTF-8"))
}

#[track_caller]
fn assert_in_time(since: Instant) {
    assert!(since.elapsed() <= Duration::from_secs(15), "{:?}", since.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_within_15_s_after_its_caller_may_not_have_it_any_more() {
    for change in ["/users/disable?name=ann", "/tokens/revoke?id="] {
        let app = app().start().await;
        let token = format!("Bearer {}", app.token("ann", "upload,read").await);
        let (_, mut events) = follow(&app, ("authorization", &token)).await;
        assert!(next(&mut events).await.expect("alive").starts_with(':'));
        let tokens = app.control("/tokens/list?name=ann").await.json();
        let id = tokens[0]["id"].as_str().filter(|_| change.ends_with('='));
        app.control(&format!("{change}{}", id.unwrap_or_default())).await.assert_status(200);
        let since = Instant::now();
        assert_eq!(next(&mut events).await, None, "{change}");
        assert_in_time(since);
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_is_not_sent_to_somebody_who_may_not_have_it_any_more() {
    let app = app().start().await;
    let token = format!("Bearer {}", app.token("ann", "upload,read").await);
    let other = format!("Bearer {}", app.token("ann", "upload").await);
    let (file, mut events) = follow(&app, ("authorization", &token)).await;
    let tokens = app.control("/tokens/list?name=ann").await.json();
    let both = tokens.as_array().expect("a list");
    let own = both.iter().find(|it| it["scopes"].to_string().contains("read")).expect("both");
    let id = own["id"].as_str().expect("an id");
    app.control(&format!("/tokens/revoke?id={id}")).await.assert_status(200);
    file.header("authorization", &other).send([2]).await.assert_status(200);
    assert_eq!(next(&mut events).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_its_ticket_does() {
    let app = app().file("--ticket-key", SECRET).start().await;
    let ticket = Signer::hs256(SECRET).sign(&claims(&json!({ "exp": at(Duration::from_mins(2)) })));
    let (_, mut events) = follow(&app, ("authorization", &format!("Bearer {ticket}"))).await;
    assert!(next(&mut events).await.expect("alive").starts_with(':'));
    app.clock().advance(10 * 60 * 1000);
    assert_eq!(next(&mut events).await, None);
}

#[tokio::test]
async fn a_stream_ends_when_whoever_is_asked_says_no() {
    let authority = Authority::start().await;
    let app = app().flag(&authority.flag()).flag("--auth-cache=0s").start().await;
    let (file, mut events) = follow(&app, ("cookie", "session=ann")).await;
    file.send([2]).await;
    // Asked when the event is about to be sent.
    authority.fail(&[403]);
    assert_eq!(next(&mut events).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_download_is_cut_when_its_caller_may_not_have_it_any_more() {
    let app = TestApp::builder().catalog(Arc::new(MemoryCatalog::new())).start().await;
    let token = app.token("ann", "upload,read").await;
    let content = vec![7; 3 * 512 * 1024];
    let creative = app.flow(content.clone()).chunk_size(content.len()).by(&token).upload().await;
    let path = creative["creative_url"].as_str().expect("an address");
    let token = format!("Bearer {token}");
    let mut body = open(&app, path, ("authorization", &token)).await.into_body();
    body.frame().await.expect("a slice").expect("it may");
    app.control("/users/disable?name=ann").await.assert_status(200);
    tokio::time::advance(Duration::from_secs(15)).await;
    assert!(body.frame().await.expect("an item").is_err());
}

#[tokio::test]
async fn streams_are_bounded_of_each_caller_and_in_all() {
    let app = app().flag("--max-streams=3").flag("--max-streams-per-caller=2").start().await;
    let mut open_streams = Vec::new();
    let mut tokens = Vec::new();
    for user in ["ann", "bob", "eve"] {
        tokens.push(format!("Bearer {}", app.token(user, "upload,read").await));
    }
    let [ann, bob, eve] = tokens.as_slice() else { panic!("three") };
    for token in [ann, ann, bob] {
        open_streams.push(follow(&app, ("authorization", token)).await);
    }
    for (token, status) in [(ann, 429), (eve, 503)] {
        let file = app.flow(CONTENT).force_chunk_size().header("authorization", token);
        let id = file.send([1]).await.json()["upload"]["id"].as_str().expect("an id").to_owned();
        let reply = open(&app, &format!("/uploads/{id}/events"), ("authorization", token)).await;
        let reply = Reply::read(reply).await;
        reply.assert_problem(status, "too_many_streams");
        assert!(reply.header("retry-after").is_some());
        let lines = [("authorization", token.as_str())];
        app.ask(Method::GET, &format!("/uploads/{id}"), &lines).await.assert_status(200);
    }
    open_streams.remove(0);
    follow(&app, ("authorization", ann)).await;
}

/// A body whose frames the test sends, and the answer to it.
fn long_upload(
    app: &TestApp,
    target: &str,
    content_type: &str,
    token: Option<&str>,
) -> (mpsc::Sender<Bytes>, JoinHandle<Reply>) {
    let (sender, receiver) = mpsc::channel(1);
    let frames = stream::unfold(receiver, async |mut receiver: mpsc::Receiver<Bytes>| {
        let frame = receiver.recv().await?;
        Some((Ok(frame), receiver))
    });
    let mut request = Request::post(target).header("host", "localhost");
    request = request.header("content-type", content_type);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request.body(body::stream(frames)).expect("a request");
    let service = app.service();
    let answer = async move {
        Reply::read(service.oneshot(request).await.expect("it always answers")).await
    };
    (sender, tokio::spawn(answer))
}

const LONG: &str = "/upload?flowIdentifier=a&flowFilename=a&flowChunkNumber=1&flowTotalChunks=1\
                    &flowChunkSize=1000000&flowTotalSize=1000000";

/// The beginning of a form of a whole file, behind these fields.
fn form(fields: &str) -> Bytes {
    let file = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\n\r\n";
    [fields.as_bytes(), file.as_bytes(), b"\x89PNG\r\n\x1a\n"].concat().into()
}

#[tokio::test(start_paused = true)]
async fn an_upload_ends_after_its_sender_may_not_send_it_any_more() {
    let ticket = Signer::hs256(SECRET).sign(&claims(&json!({})));
    let field =
        format!("--b\r\nContent-Disposition: form-data; name=\"ticket\"\r\n\r\n{ticket}\r\n");
    let multipart = "multipart/form-data; boundary=b";
    for (target, content_type, by_field, begin) in [
        (LONG, "application/octet-stream", false, Bytes::from("x")),
        (LONG, multipart, true, form(&field)),
        ("/upload?flowFilename=a", multipart, false, form("")),
        ("/upload-creative", multipart, false, form("")),
    ] {
        let app = app().file("--ticket-key", SECRET).start().await;
        let token = app.token("ann", "upload").await;
        let shown = (!by_field).then_some(&*token);
        let (bytes, mut answer) = long_upload(&app, target, content_type, shown);
        bytes.send(begin).await.expect("it is read");
        for _ in 0..10 {
            tokio::time::advance(Duration::from_secs(10)).await;
            bytes.send(Bytes::from_static(&[7; 10_000])).await.expect("it is still read");
        }
        assert!(futures_util::poll!(&mut answer).is_pending(), "{target}");
        app.control("/users/disable?name=ann").await.assert_status(200);
        let since = Instant::now();
        // It brings nothing more: that, too, is noticed in time.
        let reply = answer.await.expect("no panic");
        reply.assert_problem(403, "forbidden");
        // It is judged within 15 s, and then the rest of the body is waited for.
        assert!(since.elapsed() <= Duration::from_secs(25), "{:?}", since.elapsed());
        app.control("/users/enable?name=ann").await.assert_status(200);
        let list = app.call_as(&app.token("ann", "read").await, Method::GET, "/uploads").await;
        assert_eq!(list.json()["uploads"].as_array().map(Vec::len), Some(0), "nothing was kept");
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_takes_longer_than_its_ticket_ends_well() {
    let app = app().file("--ticket-key", SECRET).start().await;
    let ticket = Signer::hs256(SECRET).sign(&claims(&json!({ "exp": at(Duration::from_mins(2)) })));
    let (bytes, answer) = long_upload(&app, LONG, "application/octet-stream", Some(&ticket));
    for _ in 0..100 {
        bytes.send(Bytes::from_static(&[7; 10_000])).await.expect("it is read");
        app.clock().advance(10 * 1000);
        tokio::time::advance(Duration::from_secs(10)).await;
    }
    drop(bytes);
    answer.await.expect("no panic").assert_status(201);
}
