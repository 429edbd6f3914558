//! flow.js, request by request, through the whole stack.

use std::{io::ErrorKind, sync::Arc, time::Duration};

use flowstitch::{
    catalog::MemoryCatalog,
    store::{MemoryStore, StoreOp},
};
use futures_util::{StreamExt, stream};
use http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{TestApp, pattern, sha256_hex, with_missing};

#[tokio::test]
async fn chunks_in_any_order_become_one_file() {
    let app = TestApp::start().await;
    let file = app.flow("hello world").force_chunk_size();
    file.probe(1).await.assert_missing();
    file.send([3, 1]).await.assert_status(200);
    let last = file.post(2).await;
    last.assert_status(201);
    file.assert_completed(&last);
    file.probe(2).await.assert_status(200);
    assert_eq!(app.creatives().await.len(), 1);
    assert_eq!(app.files("incomplete"), Vec::<String>::new());
}

#[tokio::test]
async fn both_layouts_arrive_whole_at_every_edge() {
    let app = TestApp::start().await;
    let (chunk_size, mut count) = (5, 0);
    for total in [0, 1, 4, 5, 6, 9, 10, 11, 14, 15, 16, 19, 20, 21] {
        let content: Vec<u8> = (1..=total).collect();
        let floor = app.flow(content).chunk_size(chunk_size).identifier("floor");
        let ceil = floor.clone().identifier("ceil").force_chunk_size();
        for file in [floor, ceil] {
            file.upload().await;
            count += 1;
        }
    }
    app.assert_ends_with(count).await;
}

#[tokio::test]
async fn octet_bodies_arrive_by_post_and_by_put() {
    let app = TestApp::start().await;
    for (method, content) in
        [(Method::POST, "hello world"), (Method::PUT, "hello earth"), (Method::PUT, "")]
    {
        let file = app.flow(content).name(&format!("{method}{content}.txt"));
        let mut last = None;
        for number in 1..=file.count() {
            file.probe(number).await.assert_missing();
            let request = file.octet_request(method.clone(), number, file.chunk(number));
            last = Some(app.send(request).await);
        }
        let last = last.expect("a chunk");
        last.assert_status(201);
        file.assert_completed(&last);
    }
    app.assert_ends_with(3).await;
}

#[tokio::test]
async fn a_put_may_be_a_form() {
    let app = TestApp::start().await;
    let file = app.flow("abc");
    let mut request = file.request(1, b"abc");
    *request.method_mut() = Method::PUT;
    let reply = app.send(request).await;
    file.assert_completed(reply.assert_status(201));
}

#[tokio::test]
async fn an_octet_body_needs_no_content_type() {
    let app = TestApp::start().await;
    // flow.js sends none if the browser does not know the type of the file.
    let file = app.flow("");
    let mut request = file.octet_request(Method::POST, 1, b"");
    request.headers_mut().remove("content-type");
    let reply = app.send(request).await;
    file.assert_completed(reply.assert_status(201));
}

#[tokio::test]
async fn a_zero_byte_file_is_a_file() {
    let app = TestApp::start().await;
    let file = app.flow("");
    file.probe(1).await.assert_missing();
    let creative = file.upload().await;
    assert_eq!(creative["size"], 0);
    file.probe(1).await.assert_status(200);
    app.assert_ends_with(1).await;
}

#[tokio::test]
async fn the_first_and_the_last_chunk_may_come_first() {
    // What `prioritizeFirstAndLastChunk` does to two files at once, as the contract measured it.
    let app = TestApp::start().await;
    let a = app.flow("1234567890abcdefghij").name("a");
    let b = app.flow("1234567890abcdef").name("b");
    for (file, number) in [(&a, 1), (&a, 5), (&b, 1), (&b, 4), (&a, 2), (&a, 3)] {
        let reply = file.post(number).await;
        assert_eq!(reply.assert_status(200).json()["complete"], false);
    }
    a.assert_completed(a.post(4).await.assert_status(201));
    b.send([2]).await.assert_status(200);
    b.assert_completed(b.post(3).await.assert_status(201));
    app.assert_ends_with(2).await;
}

#[tokio::test]
async fn chunks_are_ordered_by_number_and_not_by_text() {
    let app = TestApp::start().await;
    let content: Vec<u8> = (0..=120).collect();
    let file = app.flow(content).chunk_size(10);
    assert_eq!(file.count(), 12);
    let last = file.send([10, 2, 12, 1, 11, 9, 3, 8, 4, 7, 5, 6]).await;
    file.assert_completed(last.assert_status(201));
}

#[tokio::test]
async fn more_than_ten_thousand_chunks_in_no_order_become_one_file() {
    const COUNT: usize = 10_007;
    // Rows are not what is tested here, and a database would make a minute of it.
    let catalog = Arc::new(MemoryCatalog::new());
    let app = TestApp::builder().flag("--durability=relaxed").catalog(catalog).start().await;
    let file = app.flow(pattern(COUNT * 2 + 1)).chunk_size(2);
    assert_eq!(file.count(), COUNT);
    // 37 and the prime count have no factor in common: each number comes once.
    let numbers = (0..COUNT).map(|n| n * 37 % COUNT + 1);
    let statuses = stream::iter(numbers).map(|number| {
        let file = &file;
        async move { file.octet(number).await.status.as_u16() }
    });
    let statuses: Vec<u16> = statuses.buffer_unordered(32).collect().await;
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1);
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), COUNT - 1);
    file.assert_completed(file.probe(COUNT).await.assert_status(200));
    app.assert_ends_with(1).await;
}

#[tokio::test]
async fn only_the_answer_that_completes_is_a_201() {
    let app = TestApp::start().await;
    let file = app.flow("hello world");
    file.post(1).await.assert_status(200);
    file.post(1).await.assert_status(200);
    let (one, two) = tokio::join!(file.post(2), file.post(2));
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 201]);
    // Whichever answer flow.js hears last: each of them carries the result.
    for reply in [one, two, file.post(1).await, file.post(2).await, file.probe(1).await] {
        file.assert_completed(&reply);
    }
    file.post(2).await.assert_status(200);
    app.assert_ends_with(1).await;
}

#[tokio::test]
async fn a_status_says_all_that_the_interface_promises() {
    let app = TestApp::start().await;
    let file = app.flow("0123456789abcdefghijABCDEFGHIJ!!").name("é.bin");
    let reply = file.send([2, 7, 4]).await;
    reply.assert_common_headers();
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let status = reply.json();
    let id = status["upload"]["id"].as_str().expect("an id").to_owned();
    assert_eq!(
        status,
        json!({
            "upload": {
                "id": id,
                "state": "receiving",
                "filename": "é.bin",
                "total_size": 32,
                "received_bytes": 12,
                "chunk_size": 4,
                "total_chunks": 8,
                "received_chunks": 3,
                "created_at": "2026-12-01T12:00:00Z",
                "expires_at": "2026-12-02T12:00:00Z",
                "error": null,
            },
            "complete": false,
            "creative": null,
        })
    );
    // The same everywhere; whoever asks for the upload itself is told what is missing of it.
    assert_eq!(file.probe(2).await.json(), status);
    let listing = with_missing(&status, &json!([[1, 1], [3, 3], [5, 6], [8, 8]]));
    assert_eq!(file.lookup().await.json(), listing);
    assert_eq!(app.get(&format!("/uploads/{id}")).await.json(), listing);
    assert_eq!(app.uploads().await, [status]);

    let last = file.send([1, 3, 5, 6, 8]).await.json();
    let creative = &last["creative"];
    let creative_id = creative["id"].as_str().expect("an id");
    assert_eq!(last["upload"]["received_chunks"], 8);
    assert_eq!(last["upload"]["received_bytes"], 32);
    assert_eq!(last["upload"]["state"], "complete");
    assert_eq!(
        *creative,
        json!({
            "id": creative_id,
            "user_id": creative["user_id"],
            "creative_url": format!("/creatives/{creative_id}/content"),
            "filename": "é.bin",
            "size": 32,
            "sha256": sha256_hex(file.content()),
            "blake3": null,
            "content_type": "application/octet-stream",
            "scheduled_at": "2026-12-01",
            "created_at": "2026-12-01T12:00:00Z",
            "upload_id": id,
        })
    );
    assert_eq!(file.lookup().await.json(), with_missing(&last, &json!([])));
}

#[tokio::test]
async fn an_identifier_alone_makes_no_upload_one() {
    let app = TestApp::start().await;
    let file = app.flow("12345678").identifier("same").path("d/a.bin");
    let others = [
        app.flow("123456789").identifier("same").path("d/a.bin"),
        file.clone().path("e/a.bin"),
        file.clone().chunk_size(2),
        app.flow("12345678").identifier("same").path("d/a.bin").chunk_size(3),
        file.clone().chunk_size(3).force_chunk_size(),
        file.clone().identifier("Same"),
    ];
    file.send([1]).await.assert_status(200);
    for other in &others {
        other.probe(1).await.assert_missing();
        other.lookup().await.assert_problem(404, "not_found");
        other.send([1]).await.assert_status(200);
    }
    let ids: std::collections::HashSet<Value> =
        app.uploads().await.iter().map(|status| status["upload"]["id"].clone()).collect();
    assert_eq!(ids.len(), 1 + others.len());
    file.assert_completed(&file.post(2).await);
    for other in &others {
        other.upload().await;
    }
    let count = 1 + others.len();
    app.assert_ends_with(count).await;
}

#[tokio::test(start_paused = true)]
async fn a_stitch_that_takes_long_is_not_waited_for_for_ever() {
    let store = Arc::new(MemoryStore::new());
    let catalog = Arc::new(MemoryCatalog::new());
    let app = TestApp::builder().store(store.clone()).catalog(catalog);
    let app = app.flag("--completion-wait=500ms").start().await;
    let file = app.flow("hello world");
    file.send([1]).await;
    // It is tried again after a second.
    store.fail_next(StoreOp::Publish, ErrorKind::Other);
    let began = Instant::now();
    let status = file.post(2).await.assert_status(200).json();
    assert_eq!(began.elapsed(), Duration::from_millis(500));
    assert_eq!(status["upload"]["state"], "stitching");
    assert_eq!((&status["complete"], &status["creative"]), (&json!(false), &Value::Null));
    assert_eq!(status["upload"]["received_chunks"], 2);
    let detail = status["upload"]["error"].as_str().expect("why it takes so long");
    assert!(!detail.contains('/'), "{detail}");
    // Whoever asks hears at once that it is held up, and the truth when it is over.
    let mut answers = Vec::new();
    for _ in 0..10 {
        let answer = file.probe(1).await.assert_status(200).json();
        answers.push(answer["complete"].as_bool().expect("a bool"));
        tokio::time::advance(Duration::from_millis(250)).await;
    }
    assert!(answers.is_sorted() && answers.ends_with(&[true]), "{answers:?}");
    assert_eq!(app.creatives().await.len(), 1);
}
