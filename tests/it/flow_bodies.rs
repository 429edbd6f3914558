//! Bodies that are refused early, that stall, and what is read of them.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use flowstitch::{
    catalog::MemoryCatalog,
    store::{ChunkStore, MemoryStore},
};
use futures_util::{StreamExt, stream};
use http::Method;
use tokio::time::{Instant, interval_at};

use crate::support::{Form, TestApp, counted, cut};

const MIB: usize = 1 << 20;

/// An application whose time may stand still: nothing in it waits for a disk.
async fn in_memory() -> (TestApp, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::new());
    let catalog = Arc::new(MemoryCatalog::new());
    (TestApp::builder().store(store.clone()).catalog(catalog).start().await, store)
}

#[tokio::test]
async fn a_chunk_that_is_too_long_is_refused_alike_however_it_comes() {
    let app = TestApp::start().await;
    let file = app.flow("hello world");
    for frame_len in [1, 7, 1000] {
        let (request, _) = counted(file.request(1, b"much longer than four"), frame_len);
        let detail = app.send_streaming(request).await.assert_problem(400, "invalid_length");
        assert_eq!(detail, "The chunk must be 4 bytes long, but more came.");
    }
    let detail = file.post_bytes(1, b"ell").await.assert_problem(400, "invalid_length");
    assert_eq!(detail, "The chunk must be 4 bytes long, but 3 came.");
    app.assert_left_nothing().await;
}

#[tokio::test]
async fn a_body_that_is_refused_early_is_read_to_its_end() {
    // Firefox sends a POST again by itself if the connection closes before its body was read.
    let app = TestApp::builder().flag("--max-file-size=1MiB").start().await;
    let file = app.flow(vec![1; 5 * MIB]).chunk_size(5 * MIB);
    let form = file.request(1, file.content());
    let octet = file.octet_request(Method::POST, 1, file.content());
    let nameless = Form::new().field("flowChunkNumber", "1").file("", vec![1; 5 * MIB]);
    let creative = Form::new().file("a.png", vec![1; 5 * MIB]).post("/upload-creative");
    for (request, status) in
        [(form, 413), (octet, 413), (nameless.post("/upload"), 400), (creative, 413)]
    {
        let len = request.body().len();
        let (request, taken) = counted(request, 64 << 10);
        app.send_streaming(request).await.assert_status(status);
        assert_eq!(taken.load(Ordering::SeqCst), len);
    }
    app.assert_left_nothing().await;
}

#[tokio::test]
async fn a_body_whose_client_waits_for_permission_is_not_asked_for() {
    let app = TestApp::builder().flag("--max-file-size=1MiB").start().await;
    let file = app.flow(vec![1; 2 * MIB]).chunk_size(2 * MIB);
    let mut request = file.octet_request(Method::POST, 1, file.content());
    request.headers_mut().insert("expect", "100-continue".parse().expect("a value"));
    let (request, taken) = counted(request, 64 << 10);
    app.send_streaming(request).await.assert_problem(413, "too_large");
    assert_eq!(taken.load(Ordering::SeqCst), 0);
    app.assert_left_nothing().await;
}

#[tokio::test]
async fn a_refused_body_is_not_read_for_ever() {
    let (app, store) = in_memory().await;
    let file = app.flow("hello world");
    // 64 MiB and no more are dropped for politeness.
    let request = file.octet_request(Method::POST, 1, &vec![1; 80 * MIB]);
    let (request, taken) = counted(request, MIB);
    app.send_streaming(request).await.assert_problem(400, "invalid_length");
    let taken = taken.load(Ordering::SeqCst);
    assert!((64 * MIB..=66 * MIB).contains(&taken), "{taken}");
    app.stop().await;
    assert_eq!(store.uploads().await.expect("a list"), []);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_coming_is_a_408() {
    let (app, store) = in_memory().await;
    let large = app.flow(vec![1; 300_000]).chunk_size(100_000).name("large");
    let small = app.flow("hello world").name("small");
    let whole = Form::new().field("flowIdentifier", "i").file("a", "abc").post("/upload");
    let asked = Form::new().fields(&small.fields(1)).post("/upload");
    let creative = Form::new().field("scheduled_at", "2026-12-01").file("a.png", "abc");
    for request in [
        large.request(1, large.chunk(1)),
        large.octet_request(Method::PUT, 1, large.chunk(1)),
        small.request(1, small.chunk(1)),
        small.octet_request(Method::POST, 1, small.chunk(1)),
        whole,
        asked,
        creative.post("/upload-creative"),
    ] {
        let began = Instant::now();
        let len = request.body().len() / 2;
        let reply = app.send_streaming(cut(request, len, stream::pending())).await;
        reply.assert_problem(408, "request_timeout");
        assert_eq!(began.elapsed().as_secs(), 30);
        large.probe(1).await.assert_missing();
        small.probe(1).await.assert_missing();
    }
    assert_eq!(app.uploads().await.len(), 0);
    large.send([1, 2, 3]).await.assert_status(201);
    small.send([1, 2]).await.assert_status(201);
    app.stop().await;
    assert_eq!(store.uploads().await.expect("a list"), []);
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_may_take_longer_than_any_pause() {
    let (app, _) = in_memory().await;
    // No faster than `min_progress`.
    let bytes = bytes::Bytes::from_static(&[1; 29 * 64]);
    let file = app.flow(bytes.repeat(80)).chunk_size(1 << 20);
    let request = file.octet_request(Method::POST, 1, b"");
    let almost = Duration::from_secs(29);
    let drip = interval_at(Instant::now() + almost, almost);
    let drops = stream::unfold(drip, move |mut drip| {
        let bytes = bytes.clone();
        async move {
            drip.tick().await;
            Some((Ok(bytes), drip))
        }
    });
    let drops = drops.take(80);
    let reply = app.send_streaming(cut(request, 0, drops)).await;
    assert_eq!(reply.assert_status(201).json()["complete"], true);
}

#[tokio::test(start_paused = true)]
async fn a_newer_request_takes_a_chunk_over_from_one_that_stalls() {
    let (app, _) = in_memory().await;
    let file = app.flow("hello world");
    let request = file.octet_request(Method::POST, 1, file.chunk(1));
    let stalled = app.send_streaming(cut(request, 2, stream::pending()));
    let began = Instant::now();
    let newer = async {
        tokio::task::yield_now().await;
        let reply = file.post(1).await;
        (reply, began.elapsed())
    };
    let (stalled, (newer, took)) = tokio::join!(stalled, newer);
    newer.assert_status(200);
    assert!(took < Duration::from_secs(2), "{took:?}");
    stalled.assert_problem(408, "request_timeout");
    file.post(2).await.assert_status(201);
}
