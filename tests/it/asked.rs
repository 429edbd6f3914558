//! What is answered before anything is sent: questions are refused as the chunk would be.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::support::{
    FlowFile, Form, TestApp,
    keys::{SECRET, Signer, at, claims},
    multipart, pattern,
};

const CONTENT: &str = "hello world";

/// Asserts that each way to ask is answered like this, and like the chunk itself.
async fn assert_refused(file: &FlowFile<'_>, status: u16, code: &str) {
    let app = file.app();
    let form = multipart(&file.fields(1), None);
    for reply in [file.probe(1).await, file.lookup().await, file.signed(form).await] {
        let detail = reply.assert_problem(status, code);
        assert_eq!(detail, file.post(1).await.assert_problem(status, code));
    }
    assert_eq!(app.files("incomplete"), Vec::<String>::new());
}

#[tokio::test]
async fn a_file_that_is_too_large_need_not_be_sent_to_hear_it() {
    let app = TestApp::builder().flag("--max-file-size=10").start().await;
    assert_refused(&app.flow(CONTENT), 413, "too_large").await;
    app.flow("hello wor").probe(1).await.assert_missing();
    // By hand, too: what is not said cannot be judged.
    for query in ["flowIdentifier=a&flowTotalSize=11", "flowFilename=a&flowTotalSize=11"] {
        let asked = app.get(&format!("/upload?{query}&flowChunkNumber=1")).await;
        asked.assert_problem(413, "too_large");
        app.get(&format!("/uploads/lookup?{query}")).await.assert_problem(413, "too_large");
    }
    app.get("/upload?flowIdentifier=a&flowChunkNumber=1").await.assert_missing();
}

#[tokio::test]
async fn a_file_of_a_wrong_kind_need_not_be_sent_to_hear_it() {
    let app = TestApp::builder().flag("--accept=image/*,.pdf").start().await;
    let file = |name: &str| app.flow(CONTENT).name(name);
    assert_refused(&file("a.exe"), 415, "type_not_accepted").await;
    file("a.pdf").probe(1).await.assert_missing();
    for (query, status) in [
        ("flowFilename=a.exe", 415),
        ("flowIdentifier=i&flowRelativePath=d/a.exe", 415),
        ("flowIdentifier=i&flowFilename=a.pdf", 204),
        // The name may come with the file.
        ("flowIdentifier=a.exe", 204),
        ("flowIdentifier=i&flowTotalSize=3&flowTotalChunks=1", 204),
    ] {
        let asked = app.get(&format!("/upload?{query}&flowChunkNumber=1")).await;
        assert_eq!(asked.status, status, "{query}: {asked:?}");
    }
}

#[tokio::test]
async fn a_file_for_which_there_is_no_quota_need_not_be_sent_to_hear_it() {
    let app =
        TestApp::builder().flag("--max-uploads=1").flag("--max-stored-bytes=20").start().await;
    let first = app.flow(CONTENT).name("first.bin");
    first.send([1]).await;
    assert_refused_without_files(&app.flow("x").name("second.bin")).await;
    // What runs goes on.
    first.probe(2).await.assert_missing();
    first.upload().await;
    assert_refused_without_files(&app.flow(pattern(10)).name("third.bin")).await;
    app.flow("x").name("small.bin").probe(1).await.assert_missing();
    first.probe(1).await.assert_status(200);
}

async fn assert_refused_without_files(file: &FlowFile<'_>) {
    for reply in [file.probe(1).await, file.lookup().await, file.post(1).await] {
        reply.assert_problem(413, "quota_exceeded");
    }
}

#[tokio::test]
async fn what_a_ticket_does_not_take_need_not_be_sent_to_hear_it() {
    let app = TestApp::builder().file("--ticket-key", SECRET).start().await;
    let end = at(Duration::from_mins(10));
    let ticket = |mut more: Value| {
        more["exp"] = json!(end);
        Signer::hs256(SECRET).sign(&claims(&more))
    };
    let file = |name: &str, more: Value| app.flow(CONTENT).name(name).by(&ticket(more));
    assert_refused(&file("a.bin", json!({ "max_size": 10 })), 413, "too_large").await;
    let pictures = json!({ "accept": ["image/*"] });
    assert_refused(&file("a.bin", pictures.clone()), 415, "type_not_accepted").await;

    // Of an upload that runs, a chunk that is here is here, and another would be refused.
    file("a.bin", json!({})).send([1]).await;
    for (more, status) in [(json!({ "max_size": 10 }), 413), (pictures, 415)] {
        let file = file("a.bin", more);
        file.probe(1).await.assert_status(200);
        file.probe(2).await.assert_status(status);
        file.post(2).await.assert_status(status);
    }
    file("a.bin", json!({})).probe(2).await.assert_missing();
}

#[tokio::test]
async fn what_runs_or_is_complete_is_not_refused_when_limits_are_lowered() {
    let app = TestApp::start().await;
    let running = app.flow(CONTENT).name("running.bin");
    running.send([1]).await;
    app.flow(CONTENT).name("done.bin").upload().await;
    let builder = app.stop().await.flag("--max-file-size=10").flag("--accept=.pdf");
    let app = builder.start().await;
    let (running, done) =
        (app.flow(CONTENT).name("running.bin"), app.flow(CONTENT).name("done.bin"));
    running.probe(1).await.assert_status(200);
    running.probe(2).await.assert_missing();
    assert_eq!(done.probe(1).await.json()["complete"], true);
}

/// However the sizes are said: what names only some of the file is by hand.
#[tokio::test]
async fn a_probe_by_hand_finds_a_chunk_that_is_here() {
    let app = TestApp::start().await;
    let file = app.flow(CONTENT).name("a.bin").identifier("i");
    file.send([2]).await;
    let sizes = "flowTotalSize=11&flowChunkSize=4&flowTotalChunks=2";
    for names in [
        "flowIdentifier=i",
        "flowFilename=a.bin",
        "flowRelativePath=a.bin",
        "flowFilename=a.bin&flowRelativePath=a.bin",
        "flowIdentifier=i&flowFilename=a.bin",
        "flowIdentifier=i&flowRelativePath=a.bin",
    ] {
        for sizes in ["", "flowTotalSize=11", sizes] {
            let probe = async |number: u32| {
                app.get(&format!("/upload?{names}&{sizes}&flowChunkNumber={number}")).await
            };
            probe(2).await.assert_status(200);
            probe(1).await.assert_missing();
            let found = app.get(&format!("/uploads/lookup?{names}&{sizes}")).await;
            assert_eq!(
                found.json()["upload"]["missing_chunks"],
                json!([[1, 1]]),
                "{names} {sizes}"
            );
        }
    }
    let other = "flowIdentifier=i&flowTotalSize=12&flowChunkSize=4&flowTotalChunks=3";
    app.get(&format!("/upload?{other}&flowChunkNumber=2")).await.assert_missing();
    let none = format!("flowIdentifier=i&{sizes}&flowChunkNumber=3");
    app.get(&format!("/upload?{none}")).await.assert_problem(400, "invalid_chunk_number");
}

/// As an exact one: see `engine::admit`.
#[tokio::test]
async fn a_probe_by_hand_is_answered_by_day_and_digest_too_and_frees_what_was_cancelled() {
    let app = TestApp::start().await;
    let file = app.flow("hello").identifier("i").chunk_size(5);
    file.upload().await;
    let by_hand = async |more: &str| {
        app.get(&format!("/upload?flowIdentifier=i&flowChunkNumber=1{more}")).await
    };
    by_hand("").await.assert_status(200);
    by_hand("&scheduled_at=2026-12-24").await.assert_missing();
    by_hand(&format!("&sha256={}", "0".repeat(64))).await.assert_missing();

    // Named by its identifier alone, in the query, by a program of its own.
    let query = "flowIdentifier=j&flowChunkSize=4&flowTotalSize=11&flowTotalChunks=2";
    let post = async |number: usize| {
        let form = Form::new().file("part.bin", app.flow(CONTENT).chunk(number));
        let mut request = form.post("/upload");
        let uri = format!("/upload?{query}&flowChunkNumber={number}");
        *request.uri_mut() = uri.parse().expect("an address");
        app.send(request).await
    };
    let id = post(1).await.assert_status(200).upload_id();
    app.call(Method::DELETE, &format!("/uploads/{id}")).await.assert_status(204);
    post(2).await.assert_problem(415, "upload_gone");
    app.get(&format!("/upload?{query}&flowChunkNumber=1")).await.assert_missing();
    post(1).await.assert_status(200);
}
