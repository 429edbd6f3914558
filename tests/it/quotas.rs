//! Quotas: how much one principal may have, told by `/limits` and refused as 413.

use std::sync::Arc;

use flowstitch::catalog::MemoryCatalog;
use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};

use crate::support::{Form, TestApp};

/// Three chunks of four bytes and a shorter one.
const CONTENT: &str = "hello world, ok";

async fn limits(app: &TestApp) -> Value {
    app.get("/limits").await.assert_status(200).json()
}

/// What the caller has: uploads, their bytes, and those that are stored.
fn used(limits: &Value) -> [u64; 3] {
    ["uploads", "upload_bytes", "stored_bytes"].map(|key| limits[key].as_u64().expect("a number"))
}

#[tokio::test]
async fn limits_tell_what_may_be_had_and_what_of_it_the_caller_has() {
    let app = TestApp::builder().flag("--max-upload-bytes=1MiB").start().await;
    let said = limits(&app).await;
    assert_eq!(said["max_file_size"], 1_u64 << 40);
    assert_eq!((&said["max_uploads"], &said["max_upload_bytes"]), (&json!(10000), &json!(1 << 20)));
    assert_eq!(said["max_stored_bytes"], Value::Null);
    assert_eq!(used(&said), [0, 0, 0]);

    let file = app.flow(CONTENT).chunk_size(4);
    file.post(1).await.assert_status(200);
    assert_eq!(used(&limits(&app).await), [1, 15, 0]);
    file.upload().await;
    assert_eq!(used(&limits(&app).await), [0, 0, 15]);

    let token = app.token("ann", "read").await;
    let hers = app.call_as(&token, Method::GET, "/limits").await;
    assert_eq!(used(&hers.assert_status(200).json()), [0, 0, 0], "not what others have");
}

#[tokio::test]
async fn of_many_that_begin_at_once_no_more_begin_than_may() {
    let app = TestApp::builder().flag("--max-uploads=3").start().await;
    let files: Vec<_> =
        (0..20).map(|n| app.flow(CONTENT).chunk_size(4).identifier(&format!("file {n}"))).collect();
    let replies = join_all(files.iter().map(|file| file.post(1))).await;
    let begun = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(begun, 3);
    for reply in replies.iter().filter(|reply| reply.status != 200) {
        let detail = reply.assert_problem(413, "quota_exceeded");
        assert!(detail.starts_with("3 uploads are unfinished"), "{detail}");
    }
    // One that runs may go on, and makes room for another when it ends.
    let run = files.iter().zip(&replies).find(|(_, reply)| reply.status == 200);
    run.expect("three did").0.upload().await;
    app.flow(CONTENT).chunk_size(4).identifier("late").post(1).await.assert_status(200);
    assert_eq!(used(&limits(&app).await), [3, 45, 15]);
}

#[tokio::test]
async fn a_first_chunk_that_was_cut_off_uses_nothing() {
    let app = TestApp::builder().flag("--max-uploads=1").start().await;
    let cut = app.flow(CONTENT).chunk_size(4).identifier("cut");
    cut.post_bytes(1, b"he").await.assert_problem(400, "invalid_length");
    app.flow(CONTENT).chunk_size(4).post(1).await.assert_status(200);
    assert_eq!(used(&limits(&app).await), [1, 15, 0]);
    cut.post(1).await.assert_problem(413, "quota_exceeded");
}

#[tokio::test]
async fn bytes_on_their_way_and_stored_ones_are_bounded() {
    let app = TestApp::builder().flag("--max-upload-bytes=30B").flag("--max-stored-bytes=40B");
    let app = app.catalog(Arc::new(MemoryCatalog::new())).start().await;
    let file = |name: &str| app.flow(CONTENT).chunk_size(4).identifier(name);
    file("a").post(1).await.assert_status(200);
    file("b").post(1).await.assert_status(200);
    let detail = file("c").post(1).await.assert_problem(413, "quota_exceeded");
    assert!(detail.contains("30 bytes") && detail.contains("on their way"), "{detail}");
    file("a").upload().await;
    let detail = file("c").post(1).await.assert_problem(413, "quota_exceeded");
    assert!(detail.contains("40 bytes") && detail.contains("delete some"), "{detail}");
    let picture = Form::new().field("scheduled_at", "2026-12-24").file("a.gif", "GIF89a 23456789");
    let picture = app.send(picture.post("/upload-creative")).await;
    picture.assert_problem(413, "quota_exceeded");

    let creative = file("b").upload().await["id"].as_str().expect("an id").to_owned();
    app.delete(&format!("/creatives/{creative}")).await.assert_status(204);
    file("c").post(1).await.assert_status(200);
}

#[tokio::test]
async fn files_that_are_stored_and_on_their_way_are_bounded() {
    let app = TestApp::builder().flag("--max-stored-files=2").start().await;
    let file = |name: &str| app.flow(CONTENT).chunk_size(4).identifier(name);
    let first = file("a").upload().await;
    file("b").post(1).await.assert_status(200);
    let said = limits(&app).await;
    assert_eq!((&said["max_stored_files"], &said["stored_files"]), (&json!(2), &json!(1)));
    let detail = file("c").post(1).await.assert_problem(413, "quota_exceeded");
    assert!(detail.contains("2 files that you may store"), "{detail}");
    file("b").upload().await;
    file("c").post(1).await.assert_problem(413, "quota_exceeded");
    let id = first["id"].as_str().expect("an id");
    app.delete(&format!("/creatives/{id}")).await.assert_status(204);
    file("c").upload().await;
}

#[tokio::test]
async fn a_file_too_many_at_the_end_does_not_complete() {
    let app = TestApp::start().await;
    let file = |name: &str| app.flow(CONTENT).chunk_size(4).identifier(name);
    file("a").upload().await;
    file("b").upload().await;
    file("c").post(1).await.assert_status(200);
    let app = app.stop().await.flag("--max-stored-files=2").start().await;
    let file = app.flow(CONTENT).chunk_size(4).identifier("c");
    file.send(2..file.count()).await;
    let detail = file.post(file.count()).await.assert_problem(413, "quota_exceeded");
    assert!(detail.contains("2 files that you may store"), "{detail}");
    assert_eq!(app.creatives().await.len(), 2);
}

#[tokio::test]
async fn what_is_over_a_quota_at_the_end_does_not_complete() {
    let app = TestApp::start().await;
    app.flow(CONTENT).identifier("first").upload().await;
    app.flow(CONTENT).chunk_size(4).post(1).await.assert_status(200);
    let app = app.stop().await.flag("--max-stored-bytes=20B").start().await;
    let file = app.flow(CONTENT).chunk_size(4);
    file.send(2..file.count()).await;
    let detail = file.post(file.count()).await.assert_problem(413, "quota_exceeded");
    assert!(detail.contains("20 bytes that you may store"), "{detail}");
    let list = app.get("/uploads?state=failed").await.json();
    let reason = list["uploads"][0]["upload"]["error"].to_string();
    assert!(reason.contains("20 bytes that you may store"), "{list}");
    assert_eq!((app.creatives().await.len(), app.files("completed").len()), (1, 1));
    assert_eq!(used(&limits(&app).await), [0, 0, 15]);
}

/// Waits until the caller has so many uploads with so many bytes.
async fn until_used(app: &TestApp, uploads: u64, bytes: u64) {
    while used(&limits(app).await)[..2] != [uploads, bytes] {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_does_not_say_how_large_it_is_counts_as_it_grows() {
    const MIB: usize = 1 << 20;
    let app = TestApp::builder().flag("--max-upload-bytes=3145744B").start().await;
    let whole = |name: &str| app.trickle(&format!("flowFilename={name}&flowChunkNumber=1"));
    let piece = vec![7; MIB];
    let (first, first_reply) = whole("a.bin");
    let meanwhile = async {
        for piece in [&piece[..], &piece[..], b"."] {
            first.bring(piece).await;
        }
        // What is in memory need not be counted yet.
        until_used(&app, 1, 2 * MIB as u64).await;
        let (second, second_reply) = whole("b.bin");
        let bring = async {
            for _ in 0..3 {
                second.bring(&piece).await;
            }
            std::future::pending::<()>().await;
        };
        let reply = tokio::select! { reply = second_reply => reply, () = bring => unreachable!() };
        let detail = reply.assert_problem(413, "quota_exceeded");
        assert!(detail.contains("3145744 bytes"), "{detail}");
        let [uploads, bytes, _] = used(&limits(&app).await);
        assert!(uploads == 1 && bytes <= 2 * MIB as u64 + 1, "{uploads} uploads, {bytes} bytes");
        drop(first);
    };
    // The one that fits is not counted twice when it becomes an upload.
    let (reply, ()) = tokio::join!(first_reply, meanwhile);
    reply.assert_status(201);
    assert_eq!(used(&limits(&app).await), [0, 0, 2 * MIB as u64 + 1]);
    app.assert_ends_with(1).await;
}

#[tokio::test]
async fn what_is_kept_before_it_is_an_upload_is_one_of_those_that_may_be() {
    let app = TestApp::builder().flag("--max-uploads=1").start().await;
    let (body, reply) = app.trickle("flowFilename=a.bin&flowChunkNumber=1");
    let meanwhile = async {
        body.bring(b"hello").await;
        until_used(&app, 1, 0).await;
        let file = app.flow(CONTENT).chunk_size(4);
        file.post(1).await.assert_problem(413, "quota_exceeded");
        drop(body);
    };
    let (reply, ()) = tokio::join!(reply, meanwhile);
    reply.assert_status(201);
    app.flow(CONTENT).chunk_size(4).post(1).await.assert_status(200);
}
