//! «Is this chunk here?», as flow.js asks and as people ask.

use http::Method;

use crate::support::{Reply, TestApp, multipart, with_missing};

/// A probe with these fields.
async fn ask(app: &TestApp, query: &str) -> Reply {
    app.get(&format!("/upload?{query}")).await
}

#[tokio::test]
async fn a_chunk_is_here_once_it_was_acknowledged_and_not_before() {
    let app = TestApp::start().await;
    let file = app.flow("hello world").force_chunk_size();
    for number in 1..=3 {
        file.probe(number).await.assert_missing();
    }
    file.send([2]).await;
    file.probe(1).await.assert_missing();
    file.probe(3).await.assert_missing();
    let reply = file.probe(2).await;
    reply.assert_status(200).assert_common_headers();
    assert_eq!(reply.json()["upload"]["received_chunks"], 1);
}

#[tokio::test]
async fn a_form_without_a_file_asks_by_post_and_by_put() {
    let app = TestApp::start().await;
    let file = app.flow("hello world");
    file.send([1]).await;
    for method in [Method::POST, Method::PUT] {
        for (number, status) in [(1, 200), (2, 204)] {
            let mut request = multipart(&file.fields(number), None);
            *request.method_mut() = method.clone();
            app.send(request).await.assert_status(status).assert_common_headers();
        }
    }
    let bad = multipart(&[("flowIdentifier".into(), "a".into())], None);
    app.send(bad).await.assert_problem(400, "invalid_chunk_number");
    file.probe(2).await.assert_missing();
}

#[tokio::test]
async fn a_form_that_asks_may_say_the_rest_in_the_query() {
    let app = TestApp::start().await;
    let file = app.flow("hello world");
    file.send([1]).await;
    let mut request = multipart(&[("flowChunkNumber".into(), "1".into())], None);
    // The form wins.
    let uri = format!("/upload?{}", file.query_string(2));
    *request.uri_mut() = uri.parse().expect("an address");
    app.send(request).await.assert_status(200);
}

#[tokio::test]
async fn what_cannot_be_understood_is_never_a_200() {
    let app = TestApp::start().await;
    let file = app.flow("abc");
    file.upload().await;
    for query in [
        "",
        "flowChunkNumber=1",
        "flowIdentifier=3-abin",
        "flowIdentifier=&flowChunkNumber=1",
        "flowIdentifier=3-abin&flowChunkNumber=0",
        "flowIdentifier=3-abin&flowChunkNumber=-1",
        "flowIdentifier=3-abin&flowChunkNumber=one",
        "flowIdentifier=3-abin&flowChunkNumber=1&flowChunkNumber=2",
        "flowIdentifier=3-abin&flowChunkNumber=2&flowTotalChunks=1",
        "flowIdentifier=3-abin&flowChunkNumber=1&flowTotalChunks=0",
        "flowIdentifier=3-abin&flowChunkNumber=1&flowTotalSize=-3",
        "flowIdentifier=3-abin&flowChunkNumber=1&scheduled_at=someday",
        "flowIdentifier=3-abin&flowChunkNumber=1&sha256=0",
        "flowFilename=%FF&flowChunkNumber=1",
        "test",
        "%",
    ] {
        let reply = ask(&app, query).await;
        reply.assert_status(400);
        let code = reply.json()["code"].as_str().expect("a code").to_owned();
        reply.assert_problem(400, &code);
        assert!(code.starts_with("invalid_"), "{query}: {code}");
    }
}

#[tokio::test]
async fn a_probe_by_hand_is_answered_from_all_uploads_that_agree() {
    let app = TestApp::start().await;
    let one = app.flow("hello world").name("a.png").identifier("i");
    let two = app.flow("12345678").name("b.png").identifier("i");
    let by_id = "flowIdentifier=i&flowChunkNumber=1";
    ask(&app, by_id).await.assert_missing();
    one.send([1]).await;
    let id = ask(&app, by_id).await.assert_status(200).json()["upload"]["id"].clone();
    ask(&app, "flowIdentifier=i&flowChunkNumber=2").await.assert_missing();
    ask(&app, "flowIdentifier=i&flowChunkNumber=99").await.assert_missing();
    ask(&app, "flowFilename=a.png&flowChunkNumber=1").await.assert_status(200);
    ask(&app, "flowFilename=A.png&flowChunkNumber=1").await.assert_missing();
    ask(&app, "flowIdentifier=%25&flowChunkNumber=1").await.assert_missing();

    // A second one agrees, and has it not; then it has.
    two.send([2]).await;
    ask(&app, by_id).await.assert_missing();
    ask(&app, "flowIdentifier=i&flowFilename=a.png&flowChunkNumber=1").await.assert_status(200);
    ask(&app, "flowIdentifier=i&flowTotalSize=11&flowChunkNumber=1").await.assert_status(200);
    ask(&app, "flowIdentifier=i&flowTotalSize=8&flowChunkNumber=1").await.assert_missing();
    ask(&app, "flowIdentifier=i&flowChunkSize=5&flowChunkNumber=1").await.assert_missing();
    two.send([1]).await;
    let newest = ask(&app, by_id).await.assert_status(200).json()["upload"]["id"].clone();
    assert_ne!(newest, id);
    let kept = ask(&app, "flowIdentifier=i&flowTotalSize=11&flowChunkNumber=1").await.json();
    assert_eq!(kept["upload"]["id"], id);
}

#[tokio::test]
async fn a_complete_upload_answers_a_probe_by_hand_for_as_long_as_it_answers_at_all() {
    let app = TestApp::builder().flag("--result-ttl=1h").start().await;
    app.flow("hello world").identifier("i").upload().await;
    let by_id = "flowIdentifier=i&flowChunkNumber=2";
    assert_eq!(ask(&app, by_id).await.assert_status(200).json()["complete"], true);
    app.clock().advance(3_600_001);
    ask(&app, by_id).await.assert_missing();
}

#[tokio::test]
async fn a_lookup_stands_for_all_probes() {
    let app = TestApp::start().await;
    let file = app.flow("hello world").identifier("i").force_chunk_size();
    file.lookup().await.assert_problem(404, "not_found");
    app.get("/uploads/lookup?flowIdentifier=i").await.assert_problem(404, "not_found");
    file.send([2]).await;
    for reply in [
        file.lookup().await,
        app.get("/uploads/lookup?flowIdentifier=i").await,
        app.get("/uploads/lookup?flowFilename=a.bin&flowTotalSize=11").await,
    ] {
        reply.assert_status(200).assert_common_headers();
        assert_eq!(reply.json()["upload"]["missing_chunks"], serde_json::json!([[1, 1], [3, 3]]));
    }
    for query in ["", "flowChunkNumber=1", "flowIdentifier=i&flowTotalSize=x"] {
        app.get(&format!("/uploads/lookup?{query}")).await.assert_status(400);
    }
    app.get("/uploads/lookup?flowIdentifier=j").await.assert_problem(404, "not_found");
    let last = file.send([1, 3]).await;
    let listing = with_missing(&last.json(), &serde_json::json!([]));
    assert_eq!(file.lookup().await.json(), listing);
}
