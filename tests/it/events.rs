//! `GET /uploads/{id}/events`: an upload as it goes, as Server-Sent Events.

use std::sync::Arc;

use flowstitch::{
    catalog::MemoryCatalog,
    http::body::{Response, ResponseBody},
    store::MemoryStore,
};
use http::Method;
use http_body_util::BodyExt;
use serde_json::Value;

use crate::support::{Reply, TestApp};

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
        let block = self.block().await?;
        let data = block.strip_prefix("data: ").unwrap_or_else(|| panic!("no event: {block}"));
        Some(serde_json::from_str(data).expect("JSON on one line"))
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

#[tokio::test]
async fn giving_an_upload_up_ends_its_events() {
    let app = TestApp::start().await;
    let status = app.flow("0123456789").send([1]).await.json();
    let mut events = Events::follow(&app, &status).await;
    assert_eq!(events.next().await, Some(status.clone()));
    let upload = format!("/uploads/{}", status["upload"]["id"].as_str().expect("an id"));
    app.delete(&upload).await.assert_status(204);
    let rest = events.rest().await;
    assert_eq!(rest, [app.get(&upload).await.json()]);
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
