//! `POST /upload-creative`: one picture in one request.

use std::{io::ErrorKind, sync::Arc};

use flowstitch::{
    catalog::MemoryCatalog,
    store::{ChunkStore, MemoryStore, StoreOp},
};
use serde_json::Value;

use crate::support::{Form, TestApp, pattern, sha256_hex};

const MIB: usize = 1 << 20;
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0";
const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01";
const GIF: &[u8] = b"GIF89a\x01\0\x01\0";

fn picture(name: &str, content: &[u8]) -> Form {
    Form::new().field("scheduled_at", "2026-12-01").file(name, content)
}

#[tokio::test]
async fn a_picture_becomes_a_creative() {
    let app = TestApp::start().await;
    let cases = [
        ("a.png", PNG, "image/png"),
        ("b.JPG", JPEG, "image/jpeg"),
        ("c.jpeg", JPEG, "image/jpeg"),
        ("../d.gif", GIF, "image/gif"),
    ];
    for (name, content, content_type) in cases {
        let reply = app.send(picture(name, content).post("/upload-creative")).await;
        reply.assert_status(201).assert_common_headers();
        let body = reply.json();
        assert_eq!(body.as_object().map(serde_json::Map::len), Some(1), "{body}");
        let creative = &body["creative"];
        assert_eq!(creative["filename"], name);
        assert_eq!(creative["content_type"], content_type);
        assert_eq!(creative["scheduled_at"], "2026-12-01");
        assert_eq!(creative["size"], content.len());
        assert_eq!(creative["sha256"], sha256_hex(content));
        assert_eq!(app.published(creative), content);
        let id = creative["upload_id"].as_str().expect("an id");
        let status = app.get(&format!("/uploads/{id}")).await.json();
        assert_eq!(status["creative"], *creative);
    }
    app.assert_ends_with(cases.len()).await;
}

#[tokio::test]
async fn the_fields_may_come_in_any_order_and_a_large_picture_too() {
    let app = TestApp::start().await;
    for len in [100, MIB + 1, 4 * MIB] {
        let content = [PNG, &pattern(len)].concat();
        let form = Form::new().field("csrf", "x").file("a.png", &content);
        let form = form.field("scheduled_at", "2026-12-02").post("/upload-creative");
        let creative = app.send(form).await.assert_status(201).json()["creative"].clone();
        assert!(app.published(&creative) == content, "not what was sent");
        assert_eq!(creative["scheduled_at"], "2026-12-02");
    }
    app.assert_ends_with(3).await;
}

#[tokio::test]
async fn the_same_picture_twice_is_two_creatives() {
    let app = TestApp::start().await;
    let mut ids = Vec::<Value>::new();
    for _ in 0..2 {
        let reply = app.send(picture("a.png", PNG).post("/upload-creative")).await;
        ids.push(reply.assert_status(201).json()["creative"]["id"].clone());
    }
    assert_ne!(ids[0], ids[1]);
    app.assert_ends_with(2).await;
}

#[tokio::test]
async fn a_day_is_required_and_must_be_one_that_is_not_over() {
    let app = TestApp::start().await;
    let file = || Form::new().file("a.png", PNG);
    for form in [
        file(),
        file().field("scheduled_at", ""),
        file().field("scheduled_at", "tomorrow"),
        file().field("scheduled_at", "2026-02-30"),
        file().field("scheduled_at", "2026-12-01T00:00:00Z"),
        file().field("scheduled_at", "2026-11-30"),
        file().field("scheduled_at", "2026-12-01").field("scheduled_at", "2026-11-30"),
        Form::new().field("scheduled_at", "01.12.2026").file("a.png", PNG),
        Form::new().file("a.png", [PNG, &pattern(3 * MIB)].concat()),
    ] {
        let reply = app.send(form.post("/upload-creative")).await;
        reply.assert_problem(400, "invalid_scheduled_at");
    }
    app.assert_left_nothing().await;
}

#[tokio::test]
async fn only_pictures_are_taken_by_name_and_by_content() {
    let app = TestApp::start().await;
    let large = pattern(2 * MIB);
    for (name, content) in [
        ("a.txt", PNG),
        ("a", PNG),
        ("", PNG),
        ("a.png.exe", PNG),
        ("a.svg", b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>"),
        ("a.webp", b"RIFF\x10\0\0\0WEBPVP8 "),
        ("a.png", b"<html><script>alert(1)</script>"),
        ("a.png", b"%PDF-1.7"),
        ("a.png", JPEG),
        ("a.jpg", PNG),
        ("a.gif", b""),
        ("a.png", &PNG[1..]),
        ("a.png", &large),
    ] {
        let reply = app.send(picture(name, content).post("/upload-creative")).await;
        reply.assert_problem(415, "type_not_accepted");
    }
    app.assert_left_nothing().await;
}

#[tokio::test]
async fn what_is_no_form_with_one_file_is_refused() {
    let app = TestApp::start().await;
    let json = http::Request::post("/upload-creative").header("content-type", "application/json");
    let nothing = http::Request::post("/upload-creative").body("".into());
    let mut unreadable = picture("a.png", PNG).post("/upload-creative");
    let content_type = "multipart/form-data; boundary=é".parse().expect("a value");
    unreadable.headers_mut().insert("content-type", content_type);
    let mut cut = picture("a.png", PNG).post("/upload-creative");
    *cut.body_mut() = cut.body().slice(..cut.body().len() - 10);
    for request in [
        Form::new().field("scheduled_at", "2026-12-01").post("/upload-creative"),
        Form::new().post("/upload-creative"),
        picture("a.png", PNG).file("b.png", PNG).post("/upload-creative"),
        picture("a.png", PNG).field("file", "text").post("/upload-creative"),
        json.body("{}".into()).expect("a request"),
        nothing.expect("a request"),
        unreadable,
        cut,
    ] {
        app.send(request).await.assert_problem(400, "invalid_form");
    }
    app.assert_left_nothing().await;
}

#[tokio::test]
async fn a_picture_that_is_too_large_is_refused() {
    let app = TestApp::builder().flag("--max-file-size=2MiB").start().await;
    let content = [PNG, &pattern(3 * MIB)].concat();
    let reply = app.send(picture("a.png", &content).post("/upload-creative")).await;
    reply.assert_problem(413, "too_large");
    app.assert_left_nothing().await;
}

#[tokio::test]
async fn a_name_that_is_too_long_is_refused() {
    let app = TestApp::start().await;
    let name = format!("{}.png", "x".repeat(16 * 1024));
    let reply = app.send(picture(&name, PNG).post("/upload-creative")).await;
    reply.assert_problem(400, "invalid_filename");
    app.assert_left_nothing().await;
}

#[tokio::test]
async fn trouble_with_the_store_passes() {
    let store = Arc::new(MemoryStore::with_room(100));
    let app = TestApp::builder().store(store.clone()).start().await;
    store.fail_next(StoreOp::Write, ErrorKind::Other);
    let reply = app.send(picture("a.png", PNG).post("/upload-creative")).await;
    reply.assert_problem(503, "unavailable");
    assert!(reply.header("retry-after").is_some());
    let large = [PNG, &pattern(100)].concat();
    let reply = app.send(picture("a.png", &large).post("/upload-creative")).await;
    reply.assert_problem(507, "no_space");
    assert_eq!(app.uploads().await, Vec::<Value>::new());
    app.send(picture("a.png", PNG).post("/upload-creative")).await.assert_status(201);
    app.stop().await;
    assert_eq!(store.uploads().await.expect("a list"), []);
}

#[tokio::test(start_paused = true)]
async fn a_creative_that_takes_long_is_promised() {
    let store = Arc::new(MemoryStore::new());
    let catalog = Arc::new(MemoryCatalog::new());
    let app = TestApp::builder().store(store.clone()).catalog(catalog);
    let app = app.flag("--completion-wait=500ms").start().await;
    store.fail_next(StoreOp::Publish, ErrorKind::Other);
    let reply = app.send(picture("a.png", PNG).post("/upload-creative")).await;
    let status = reply.assert_status(202).json();
    assert_eq!(status["upload"]["state"], "stitching");
    let id = status["upload"]["id"].as_str().expect("an id");
    // The events end when the upload has ended.
    let events = app.get(&format!("/uploads/{id}/events")).await;
    assert!(String::from_utf8_lossy(&events.body).contains("\"complete\":true"));
    assert_eq!(app.creatives().await.len(), 1);
}
