//! What is accepted: by name before anything is stored, by content before the rest is sent.

use serde_json::Value;

use crate::support::{Form, Reply, TestApp, counted, pattern};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06";
const HTML: &[u8] = b"<!DOCTYPE html><script>alert(1)</script>";
/// A chunk that has all of a file's beginning that is looked at.
const CHUNK: usize = 16 * 1024;

async fn start() -> TestApp {
    TestApp::builder().flag("--accept=image/*,.pdf").start().await
}

/// Three chunks that begin like this.
fn three_chunks(head: &[u8]) -> Vec<u8> {
    [head, &pattern(3 * CHUNK - head.len())].concat()
}

#[track_caller]
fn assert_refused(reply: &Reply) {
    reply.assert_problem(415, "type_not_accepted");
    let detail = reply.json()["detail"].clone();
    assert!(detail.as_str().is_some_and(|it| it.contains("image/*, .pdf")), "{detail}");
}

/// Asserts that there is one upload, which has failed, and gives it.
async fn the_failed_one(app: &TestApp) -> Value {
    let uploads = app.uploads().await;
    let [upload] = uploads.as_slice() else { panic!("{uploads:?}") };
    assert_eq!(upload["upload"]["state"], "failed", "{upload}");
    let error = upload["upload"]["error"].as_str().unwrap_or_default();
    assert!(error.contains("image/*, .pdf"), "{error}");
    upload["upload"].clone()
}

#[tokio::test]
async fn a_name_that_is_not_accepted_is_refused_before_anything_is_stored() {
    let app = start().await;
    for name in ["a.exe", "a.png.html", "a", "png"] {
        let content = three_chunks(PNG);
        let file = app.flow(content).name(name).chunk_size(CHUNK);
        // A client that asks first sends nothing.
        assert_refused(&file.probe(1).await);
        assert_refused(&file.post(2).await);
        assert_refused(&file.post(1).await);
        assert_refused(&file.octet(3).await);
        assert_refused(&file.probe(1).await);
        let whole = Form::new().field("flowIdentifier", "a").field("flowFilename", name);
        assert_refused(&app.send(whole.file(name, PNG).post("/upload")).await);
        let whole = Form::new().field("flowIdentifier", "a").file(name, PNG);
        assert_refused(&app.send(whole.post("/upload")).await);
    }
    app.assert_left_nothing().await;
}

#[tokio::test]
async fn the_body_of_a_file_that_has_a_wrong_name_is_not_kept() {
    let app = start().await;
    // Of undeclared size, it would be spooled; a little is read on, so that the answer arrives.
    let content = vec![0; 80 << 20];
    for kind in ["/upload", "/upload-creative"] {
        let form = Form::new().field("flowIdentifier", "a").field("scheduled_at", "2026-12-01");
        let (request, taken) = counted(form.file("a.exe", &content).post(kind), 1 << 20);
        app.send_streaming(request).await.assert_problem(415, "type_not_accepted");
        let taken = taken.load(std::sync::atomic::Ordering::SeqCst);
        assert!(taken < 70 << 20, "{kind}: {taken} bytes were read");
    }
    app.assert_left_nothing().await;
}

#[tokio::test]
async fn the_first_bytes_decide_before_the_rest_comes() {
    let app = start().await;
    let content = [HTML, &vec![0; 80 << 20]].concat();
    let file = app.flow(content).name("a.png").chunk_size(300 << 20);
    let (request, taken) = counted(file.request(1, file.chunk(1)), 64 * 1024);
    assert_refused(&app.send_streaming(request).await);
    let taken = taken.load(std::sync::atomic::Ordering::SeqCst);
    assert!(taken < 70 << 20, "{taken} bytes were read");
    // It was all there is of it: nobody can come late, and nobody needs to be told.
    app.assert_left_nothing().await;
}

#[tokio::test]
async fn what_comes_after_the_refusal_is_told_to_stop() {
    let app = start().await;
    let file = app.flow(three_chunks(HTML)).name("a.png").chunk_size(CHUNK);
    assert_refused(&file.post(1).await);
    for late in [2, 3, 1] {
        file.post(late).await.assert_problem(415, "upload_gone");
    }
    the_failed_one(&app).await;
    // To choose the file again begins anew, and ends the same.
    file.probe(1).await.assert_missing();
    assert_refused(&file.post(1).await);
    file.post(2).await.assert_problem(415, "upload_gone");
    assert_eq!(app.uploads().await.len(), 2);
    app.assert_ends_with(0).await;
}

#[tokio::test]
async fn an_upload_that_other_chunks_began_ends_with_its_first() {
    let app = start().await;
    let file = app.flow(three_chunks(HTML)).name("a.png").chunk_size(CHUNK);
    file.send([3, 2]).await;
    assert_refused(&file.post(1).await);
    let upload = the_failed_one(&app).await;
    let status = app.get(&format!("/uploads/{}", upload["id"].as_str().expect("an id"))).await;
    assert_eq!(status.json()["upload"]["state"], "failed");
    file.post(2).await.assert_problem(415, "upload_gone");
    app.assert_ends_with(0).await;
}

#[tokio::test]
async fn chunks_that_are_too_small_to_tell_are_judged_together() {
    let app = start().await;
    for (name, content) in [("a.png", HTML), ("a.pdf", PNG)] {
        let file = app.flow(content).name(name).chunk_size(8);
        file.send(1..file.count()).await;
        assert_refused(&file.post(file.count()).await);
    }
    app.assert_ends_with(0).await;
}

#[tokio::test]
async fn what_was_taken_before_the_setting_changed_is_not_published() {
    let app = TestApp::start().await;
    let content = three_chunks(HTML);
    app.flow(content.clone()).name("a.png").chunk_size(CHUNK).send([1, 2]).await;
    let app = app.stop().await.flag("--accept=image/*,.pdf").start().await;
    let file = app.flow(content).name("a.png").chunk_size(CHUNK);
    assert_refused(&file.post(3).await);
    the_failed_one(&app).await;
    app.assert_ends_with(0).await;
}

#[tokio::test]
async fn what_is_accepted_arrives_in_any_order() {
    let app = start().await;
    for (number, order) in [[1, 2, 3], [3, 2, 1], [2, 3, 1]].into_iter().enumerate() {
        let name = format!("{number}.png");
        let file = app.flow(three_chunks(PNG)).name(&name).chunk_size(CHUNK);
        let reply = file.send(order).await;
        assert_eq!(file.assert_completed(&reply)["content_type"], "image/png");
    }
    app.flow(b"%PDF-1.7\n".as_slice()).name("a.PDF").chunk_size(4).upload().await;
    app.assert_ends_with(4).await;
}

#[tokio::test]
async fn pictures_in_one_request_must_be_accepted_too() {
    let app = TestApp::builder().flag("--accept=.gif,.pdf").start().await;
    let send = async |name: &str, content: &[u8]| {
        let form = Form::new().field("scheduled_at", "2026-12-01").file(name, content);
        app.send(form.post("/upload-creative")).await
    };
    let reply = send("a.png", PNG).await;
    reply.assert_problem(415, "type_not_accepted");
    let detail = reply.json()["detail"].clone();
    assert!(detail.as_str().is_some_and(|it| it.contains(".gif, .pdf")), "{detail}");
    send("a.pdf", b"%PDF-1.7").await.assert_problem(415, "type_not_accepted");
    send("a.gif", PNG).await.assert_problem(415, "type_not_accepted");
    send("a.gif", b"GIF89a\x01\0\x01\0").await.assert_status(201);
    app.assert_ends_with(1).await;
}
