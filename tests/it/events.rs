//! `GET /uploads/{id}/events`: an upload as it goes, as Server-Sent Events.

use std::sync::Arc;

use flowstitch::{
    catalog::MemoryCatalog,
    http::body::{self, Response, ResponseBody},
    store::MemoryStore,
    upload::limits::EVENT_INTERVAL,
};
use futures_util::{StreamExt, stream};
use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::time::Instant;
use tower::ServiceExt;

use crate::support::{Reply, TestApp, with_missing};

/// An event stream, as `EventSource` reads it.
struct Events {
    body: ResponseBody,
    text: String,
}

impl Events {
    fn of(response: Response) -> Self {
        assert_eq!(response.status(), 200);
        Self { body: response.into_body(), text: String::new() }
    }

    async fn follow(app: &TestApp, status: &Value) -> Self {
        Self::of(app.open(&path(status)).await)
    }

    /// The next block: an event or a comment; nothing at the end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(block);
            }
            let Some(frame) = self.body.frame().await else {
                assert_eq!(self.text, "", "the stream ends with a whole event");
                return None;
            };
            let data = frame.expect("the stream is not cut").into_data().expect("no trailers");
            self.text.push_str(std::str::from_utf8(&data).expect("UTF-8"));
        }
    }

    async fn next(&mut self) -> Option<Value> {
        Some(self.next_with_id().await?.1)
    }

    async fn next_with_id(&mut self) -> Option<(String, Value)> {
        let block = self.block().await?;
        let fields = block.strip_prefix("id: ").and_then(|rest| rest.split_once("\ndata: "));
        let (id, data) = fields.unwrap_or_else(|| panic!("no event: {block}"));
        Some((id.to_owned(), serde_json::from_str(data).expect("JSON on one line")))
    }

    async fn rest(mut self) -> Vec<Value> {
        let mut rest = Vec::new();
        while let Some(event) = self.next().await {
            rest.push(event);
        }
        rest
    }
}

fn path(status: &Value) -> String {
    format!("/uploads/{}/events", status["upload"]["id"].as_str().expect("an id"))
}

fn received(event: &Value) -> u64 {
    event["upload"]["received_bytes"].as_u64().expect("a number")
}

#[tokio::test]
async fn an_upload_is_told_of_from_its_first_chunk_to_its_creative() {
    let app = TestApp::start().await;
    let file = app.flow("0123456789").force_chunk_size();
    let status = file.send([1]).await.json();
    let mut events = Events::follow(&app, &status).await;
    assert_eq!(events.next().await, Some(status));
    let status = file.send([2]).await.json();
    assert_eq!(events.next().await, Some(status));
    let complete = file.send([3]).await.json();
    let rest = events.rest().await;
    assert_eq!(rest.last(), Some(&complete), "the last event is the answer to the last chunk");
    assert!(rest.is_sorted_by_key(received));
    let running = &rest[..rest.len() - 1];
    assert!(running.iter().all(|event| event["upload"]["state"] != "complete"), "{running:?}");
}

#[tokio::test]
async fn an_upload_that_has_ended_is_one_event() {
    let app = TestApp::start().await;
    let complete = app.flow("0123456789").force_chunk_size().send(1..=3).await.json();
    let expected = [complete];
    assert_eq!(Events::follow(&app, &expected[0]).await.rest().await, expected);
    let app = app.restart().await;
    assert_eq!(Events::follow(&app, &expected[0]).await.rest().await, expected);
}

/// Follows as an `EventSource` does that got an event with this id before its stream ended.
async fn again(app: &TestApp, status: &Value, last: &str) -> Response {
    let request = Request::builder().uri(path(status)).header("host", "localhost");
    let request = request.header("last-event-id", last);
    let request = request.body(body::empty()).expect("a request");
    app.service().oneshot(request).await.expect("it always answers")
}

#[tokio::test]
async fn whoever_has_seen_the_end_is_told_to_stop() {
    let app = TestApp::start().await;
    let file = app.flow("0123456789").force_chunk_size();
    let status = file.send([1]).await.json();
    let mut events = Events::follow(&app, &status).await;
    let (running, _) = events.next_with_id().await.expect("how it stands");
    // Connected again while it runs: the stream goes on.
    let mut second = Events::of(again(&app, &status, &running).await);
    assert_eq!(second.next_with_id().await, Some((running.clone(), status.clone())));

    let complete = file.send([2, 3]).await.json();
    let mut last = None;
    while let Some(event) = events.next_with_id().await {
        last = Some(event);
    }
    let (end, event) = last.expect("the end is told");
    assert_eq!(event, complete);
    assert_ne!(end, running);
    // The end was missed: it is told, once, and the stream ends.
    for stale in [running.as_str(), "", "complete", "x"] {
        let missed = Events::of(again(&app, &status, stale).await);
        assert_eq!(missed.rest().await, std::slice::from_ref(&complete));
    }
    assert_eq!(again(&app, &status, &end).await.status(), 204);
    drop((events, second));
    let app = app.restart().await;
    assert_eq!(again(&app, &status, &end).await.status(), 204);
}

#[tokio::test]
async fn whatever_end_was_seen_is_the_end() {
    let app = TestApp::start().await;
    let status = app.flow("0123456789").send([1]).await.json();
    let upload = format!("/uploads/{}", status["upload"]["id"].as_str().expect("an id"));
    app.delete(&upload).await.assert_status(204);
    let mut events = Events::follow(&app, &status).await;
    let (end, event) = events.next_with_id().await.expect("the end");
    assert_eq!(event["upload"]["state"], "cancelled");
    assert_eq!(events.next().await, None);
    assert_eq!(again(&app, &status, &end).await.status(), 204);
}

/// Many small chunks, and many who watch: each is told now and then, and of the end at once.
#[tokio::test(start_paused = true)]
async fn chunks_that_come_fast_are_told_of_together() {
    let (store, catalog) = (Arc::new(MemoryStore::new()), Arc::new(MemoryCatalog::new()));
    let app = TestApp::builder().store(store).catalog(catalog).start().await;
    let file = app.flow("x".repeat(500)).chunk_size(1);
    let status = file.send([1]).await.json();
    let watchers: Vec<Events> =
        stream::iter(0..50).then(|_| Events::follow(&app, &status)).collect().await;
    let watchers = watchers.into_iter().map(|events| tokio::spawn(events.rest()));
    let watchers: Vec<_> = watchers.collect();
    let began = Instant::now();
    let complete = file.send(2..=500).await.json();
    assert_eq!(complete["complete"], true);
    for watcher in watchers {
        let told = watcher.await.expect("no panic");
        assert_eq!(told.last(), Some(&complete));
        // How it stood, the end, and what the time that passed allows between them.
        let most = 2 + began.elapsed().as_millis() / EVENT_INTERVAL.as_millis();
        assert!((told.len() as u128) <= most, "{} events in {:?}", told.len(), began.elapsed());
        assert!(told.iter().all(|event| event["upload"].get("missing_chunks").is_none()));
    }
    assert!(began.elapsed() < EVENT_INTERVAL, "the end waits for nothing: {:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_change_is_told_of_after_the_pause() {
    let (store, catalog) = (Arc::new(MemoryStore::new()), Arc::new(MemoryCatalog::new()));
    let app = TestApp::builder().store(store).catalog(catalog).start().await;
    let file = app.flow("0123456789").chunk_size(2);
    let status = file.send([1]).await.json();
    let mut events = Events::follow(&app, &status).await;
    assert_eq!(events.next().await, Some(status));
    let began = Instant::now();
    file.send([2]).await;
    let status = file.send([3]).await.json();
    assert_eq!(events.next().await, Some(status), "two changes, one event");
    assert_eq!(began.elapsed(), EVENT_INTERVAL);
}

#[tokio::test]
async fn giving_an_upload_up_ends_its_events() {
    let app = TestApp::start().await;
    let status = app.flow("0123456789").send([1]).await.json();
    let mut events = Events::follow(&app, &status).await;
    assert_eq!(events.next().await, Some(status.clone()));
    let upload = format!("/uploads/{}", status["upload"]["id"].as_str().expect("an id"));
    app.delete(&upload).await.assert_status(204);
    let rest = events.rest().await;
    let [event] = &rest[..] else { panic!("one event: {rest:?}") };
    assert_eq!(with_missing(event, &json!([[1, 2]])), app.get(&upload).await.json());
    assert_eq!(rest[0]["upload"]["state"], "cancelled");
}

#[tokio::test]
async fn everyone_who_follows_is_told() {
    let app = TestApp::start().await;
    let file = app.flow("0123456789").force_chunk_size();
    let status = file.send([1]).await.json();
    let followers = [Events::follow(&app, &status).await, Events::follow(&app, &status).await];
    let complete = file.send([2, 3]).await.json();
    for events in followers {
        assert_eq!(events.rest().await.last(), Some(&complete));
    }
}

#[tokio::test]
async fn events_end_when_the_service_stops() {
    let app = TestApp::builder().flag("--listen=127.0.0.1:0").start().await;
    let status = app.flow("0123456789").send([1]).await.json();
    let mut events = Events::follow(&app, &status).await;
    assert_eq!(events.next().await, Some(status));
    app.shut_down().await;
    assert_eq!(events.rest().await, Vec::<Value>::new());
}

#[tokio::test(start_paused = true)]
async fn a_silent_upload_shows_that_the_stream_is_alive() {
    let (store, catalog) = (Arc::new(MemoryStore::new()), Arc::new(MemoryCatalog::new()));
    let app = TestApp::builder().store(store).catalog(catalog).start().await;
    let file = app.flow("0123456789");
    let status = file.send([1]).await.json();
    let mut events = Events::follow(&app, &status).await;
    assert_eq!(events.next().await, Some(status));
    for _ in 0..2 {
        let block = events.block().await;
        assert!(block.as_ref().is_some_and(|block| block.starts_with(':')), "{block:?}");
    }
    let complete = file.send(2..=file.count()).await.json();
    assert_eq!(events.rest().await.last(), Some(&complete));
}

#[tokio::test]
async fn an_event_stream_is_not_kept_and_not_held_back() {
    let app = TestApp::start().await;
    let complete = app.flow("0123456789").force_chunk_size().send(1..=3).await.json();
    let reply = Reply::read(app.open(&path(&complete)).await).await;
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store"),
        ("x-accel-buffering", "no"),
    ] {
        assert_eq!(reply.header(name), Some(value), "{name}");
    }
    let head = app.call(Method::HEAD, &path(&complete)).await;
    assert_eq!(head.assert_status(200).header("content-type"), Some("text/event-stream"));
    assert_eq!((head.header("content-length"), head.body.len()), (None, 0));
}
