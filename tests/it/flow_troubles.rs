//! The table of troubles: each error with its status, its code and its headers, and nothing left
//! behind.

use std::{io::ErrorKind, sync::Arc};

use flowstitch::{
    catalog::MemoryCatalog,
    store::{ChunkStore, MemoryStore, StoreOp},
};
use futures_util::stream;
use http::Method;

use crate::support::{Form, Reply, TestApp, counted, cut, pattern, sha256_hex};

/// Fields of one request with one of them changed.
type Fields = Vec<(String, String)>;

async fn form(app: &TestApp, fields: &Fields, bytes: &[u8]) -> Reply {
    app.send(Form::new().fields(fields).file("a.bin", bytes).post("/upload")).await
}

async fn octet(app: &TestApp, fields: &Fields, bytes: &'static [u8]) -> Reply {
    let request = http::Request::post(format!("/upload?{}", query(fields)));
    app.send(request.body(bytes.into()).expect("a request")).await
}

fn query(fields: &Fields) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// The second and last chunk of `hello world` in chunks of four bytes, but for one field.
fn but(app: &TestApp, name: &str, value: &str) -> Fields {
    let mut fields = app.flow("hello world").fields(2);
    fields.retain(|(field, _)| field != name);
    fields.push((name.to_owned(), value.to_owned()));
    fields
}

#[tokio::test]
async fn what_is_malformed_is_refused_by_its_own_name() {
    let app = TestApp::start().await;
    let long = "9".repeat(5_000);
    for (name, code, values) in [
        ("flowChunkNumber", "invalid_chunk_number", vec!["0", "-1", "3", "1e3", "NaN", &long]),
        ("flowChunkSize", "invalid_chunk_size", vec!["0", "-4", "4.5", "Infinity", "1e308", ""]),
        ("flowTotalSize", "invalid_total_size", vec!["-1", "11.0", "NaN", "1e21", ""]),
        ("flowTotalChunks", "invalid_total_chunks", vec!["1000001", "4", "-1", "2.0", &long]),
        ("scheduled_at", "invalid_scheduled_at", vec!["soon", "2026-02-30", "2026-12-01T00:00"]),
        ("sha256", "invalid_sha256", vec!["x", "00"]),
        ("chunk_sha256", "invalid_chunk_sha256", vec!["x", "é"]),
    ] {
        for value in values {
            let fields = but(&app, name, value);
            form(&app, &fields, b"o world").await.assert_problem(400, code);
            octet(&app, &fields, b"o world").await.assert_problem(400, code);
            let probed = app.get(&format!("/upload?{}", query(&fields))).await;
            // Without a value it is a probe by hand.
            probed.assert_status(if value.is_empty() { 204 } else { 400 });
        }
    }
    app.assert_left_nothing().await;
}

#[tokio::test]
async fn more_chunks_than_anybody_needs_are_refused() {
    let app = TestApp::start().await;
    let mut fields = but(&app, "flowChunkSize", "1");
    for (name, value) in [("flowTotalSize", "2000000"), ("flowTotalChunks", "2000000")] {
        fields.retain(|(field, _)| field != name);
        fields.push((name.into(), value.into()));
    }
    form(&app, &fields, b"o").await.assert_problem(400, "invalid_total_chunks");
    app.assert_left_nothing().await;
}

#[tokio::test]
async fn what_is_missing_is_listed() {
    let app = TestApp::start().await;
    for (given, missing) in [
        ("flowTotalChunks=3", "flowChunkNumber, flowTotalSize, flowChunkSize"),
        ("flowChunkNumber=2", "flowTotalSize, flowChunkSize, flowTotalChunks"),
        ("flowChunkNumber=1&flowTotalSize=9&flowChunkSize=4", "flowTotalChunks"),
        ("flowChunkNumber=2&flowTotalChunks=2", "flowTotalSize, flowChunkSize"),
    ] {
        let path = format!("/upload?flowIdentifier=i&{given}");
        let octet = http::Request::put(&*path).body("abc".into()).expect("a request");
        for request in [Form::new().file("a", "abc").post(&path), octet] {
            let reply = app.send(request).await;
            reply.assert_status(400);
            let detail = reply.json()["detail"].as_str().expect("a detail").to_owned();
            let listed = format!(": `{}`.", missing.replace(", ", "`, `"));
            assert!(detail.ends_with(&listed), "{detail}");
        }
    }
    let nameless = Form::new().field("flowChunkNumber", "1").file("", "abc").post("/upload");
    app.send(nameless).await.assert_problem(400, "invalid_identifier");
    app.assert_left_nothing().await;
}

#[tokio::test]
async fn a_chunk_that_is_not_as_long_as_it_must_be_leaves_no_trace() {
    let app = TestApp::start().await;
    let large = app.flow(pattern(400_000)).chunk_size(150_000).name("large");
    let small = app.flow("hello world").name("small");
    for file in [&large, &small] {
        for number in [1, 2] {
            let right = file.chunk(number);
            let long = [right, b"!"].concat();
            for wrong in [&right[1..], &long, b""] {
                file.post_bytes(number, wrong).await.assert_problem(400, "invalid_length");
                let request = file.octet_request(Method::POST, number, wrong);
                app.send(request).await.assert_problem(400, "invalid_length");
                file.probe(number).await.assert_missing();
            }
        }
    }
    assert_eq!(app.uploads().await.len(), 0);
    // Nor is anything held that the right bytes would need.
    large.upload().await;
    small.upload().await;
    app.assert_ends_with(2).await;
}

#[tokio::test]
async fn a_small_chunk_with_an_endless_body_is_not_kept() {
    let store = Arc::new(MemoryStore::new());
    let app = TestApp::builder().store(store.clone()).start().await;
    let file = app.flow("hello world");
    let long = vec![7; 8 << 20];
    let (request, _) = counted(file.request(1, &long), 64 << 10);
    app.send_streaming(request).await.assert_problem(400, "invalid_length");
    assert_eq!((store.count(StoreOp::Create), store.count(StoreOp::Write)), (0, 0));
    app.assert_left_nothing().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_no_trace() {
    let app = TestApp::start().await;
    let large = app.flow(pattern(400_000)).chunk_size(150_000).name("large");
    let small = app.flow("hello world").name("small");
    for file in [&large, &small] {
        for request in
            [file.request(1, file.chunk(1)), file.octet_request(Method::PUT, 1, file.chunk(1))]
        {
            let lost = || stream::iter([Err(std::io::Error::from(ErrorKind::BrokenPipe).into())]);
            for len in [0, request.body().len() / 2, request.body().len() - 1] {
                let reply = app.send_streaming(cut(request.clone(), len, lost())).await;
                reply.assert_problem(400, "incomplete_body");
                file.probe(1).await.assert_missing();
            }
        }
        // A form that ends without its last boundary, on a connection that ends in order.
        let request = file.request(1, file.chunk(1));
        let len = request.body().len() - 20;
        let reply = app.send_streaming(cut(request, len, stream::empty())).await;
        reply.assert_problem(400, "invalid_form");
    }
    assert_eq!(app.uploads().await.len(), 0);
    large.upload().await;
    small.upload().await;
    app.assert_ends_with(2).await;
}

#[tokio::test]
async fn what_is_no_form_is_refused_as_such() {
    let app = TestApp::start().await;
    let file = app.flow("abc");
    let bad_boundary = "multipart/form-data; boundary=";
    for content_type in ["multipart/form-data", bad_boundary, "multipart/form-data; boundary=\"é\""]
    {
        let mut request = file.octet_request(Method::POST, 1, b"abc");
        request.headers_mut().insert("content-type", content_type.parse().expect("a value"));
        app.send(request).await.assert_problem(400, "invalid_form");
    }
    let file_twice = Form::new().fields(&file.fields(1)).file("a", "abc").file("b", "abc");
    let as_text = Form::new().fields(&file.fields(1)).field("file", "data:;base64,YWJj");
    let encoded = "Content-Disposition: form-data; name=file; filename=a\r\n\
                   Content-Transfer-Encoding: base64";
    let encoded = Form::new().fields(&file.fields(1)).part(encoded, b"YWJj");
    let many = (0..65).fold(Form::new(), |form, n| form.field(&format!("x{n}"), ""));
    for form in [file_twice, as_text, encoded, many.file("a", "abc")] {
        app.send(form.post("/upload")).await.assert_problem(400, "invalid_form");
    }
    app.assert_left_nothing().await;
}

#[tokio::test]
async fn a_damaged_copy_of_a_stored_chunk_is_not_taken_for_another_file() {
    let app = TestApp::start().await;
    let file = app.flow("hello world").with("chunk_sha256", sha256_hex(b"hell"));
    file.post(1).await.assert_status(200);
    file.post_bytes(1, b"jell").await.assert_problem(400, "checksum_mismatch");
    file.post(1).await.assert_status(200);
}

#[tokio::test]
async fn other_bytes_for_a_stored_chunk_are_a_conflict() {
    let app = TestApp::start().await;
    let file = app.flow("hello world");
    file.send([1]).await;
    for bytes in [b"hell".as_slice(), b"Hell", b"help"] {
        let status = if bytes == b"hell" { 200 } else { 409 };
        file.post_bytes(1, bytes).await.assert_status(status);
    }
    file.post_bytes(1, b"jell").await.assert_problem(409, "conflict");
    file.post_bytes(1, b"hel").await.assert_problem(400, "invalid_length");
    file.upload().await;
    // Likewise when it is complete.
    file.post_bytes(1, b"jell").await.assert_problem(409, "conflict");
    file.post_bytes(2, b"o World").await.assert_problem(409, "conflict");
    file.post(2).await.assert_status(200);
    app.assert_ends_with(1).await;
}

#[tokio::test]
async fn a_file_that_is_too_large_is_refused_for_good() {
    let app = TestApp::builder().flag("--max-file-size=10").start().await;
    app.flow("0123456789").upload().await;
    let file = app.flow("0123456789a");
    file.post(1).await.assert_problem(413, "too_large");
    file.octet(1).await.assert_problem(413, "too_large");
    // Of undeclared size: as soon as it is too long.
    let whole = Form::new().field("flowIdentifier", "i").file("a", "0123456789a");
    app.send(whole.post("/upload")).await.assert_problem(413, "too_large");
    let whole = http::Request::put("/upload?flowIdentifier=i").body("0123456789a".into());
    app.send(whole.expect("a request")).await.assert_problem(413, "too_large");
    let fields = but(&app, "flowTotalSize", "18446744073709551615");
    form(&app, &fields, b"o world").await.assert_problem(413, "too_large");
    app.assert_ends_with(1).await;
}

#[tokio::test]
async fn late_chunks_of_a_cancelled_upload_are_refused_until_somebody_asks() {
    let app = TestApp::start().await;
    let file = app.flow("hello world");
    let status = file.send([1]).await.json();
    let path = format!("/uploads/{}", status["upload"]["id"].as_str().expect("an id"));
    app.delete(&path).await.assert_missing();
    // flow.js's retry timers survive `cancel()`.
    file.post(1).await.assert_problem(415, "upload_gone");
    file.octet(2).await.assert_problem(415, "upload_gone");
    assert_eq!(app.uploads().await.len(), 1);
    // Who chooses the file again asks first.
    file.probe(1).await.assert_missing();
    file.upload().await;
    assert_eq!(app.get(&path).await.json()["upload"]["state"], "cancelled");
    app.assert_ends_with(1).await;
}

#[tokio::test]
async fn a_lookup_or_time_frees_a_cancelled_identity_too() {
    let app = TestApp::builder().flag("--cancel-grace=30s").start().await;
    let file = app.flow("hello world");
    for way in ["lookup", "time"] {
        let status = file.send([1]).await.json();
        let id = status["upload"]["id"].as_str().expect("an id");
        app.delete(&format!("/uploads/{id}")).await.assert_status(204);
        file.post(1).await.assert_problem(415, "upload_gone");
        match way {
            "lookup" => drop(file.lookup().await.assert_problem(404, "not_found")),
            _ => app.clock().advance(30_000),
        }
    }
    file.upload().await;
    app.assert_ends_with(1).await;
}

#[tokio::test]
async fn a_chunk_of_no_chunks_is_a_zombie() {
    let app = TestApp::start().await;
    let fields = but(&app, "flowTotalChunks", "0");
    form(&app, &fields, b"o world").await.assert_problem(415, "upload_gone");
    octet(&app, &fields, b"o world").await.assert_problem(415, "upload_gone");
    let probed = app.get(&format!("/upload?{}", query(&fields))).await;
    probed.assert_problem(400, "invalid_total_chunks");
    app.assert_left_nothing().await;
}

#[tokio::test]
async fn a_full_disk_is_a_507() {
    let store = Arc::new(MemoryStore::with_room(20));
    let app = TestApp::builder().store(store.clone()).start().await;
    let file = app.flow("a file of more than twenty bytes");
    file.post(1).await.assert_problem(507, "no_space");
    file.octet(1).await.assert_problem(507, "no_space");
    assert_eq!(app.uploads().await.len(), 0);
    app.flow("hello world").send([1, 2]).await.assert_status(201);
    app.stop().await;
    assert_eq!(store.uploads().await.expect("a list"), []);
}

#[tokio::test]
async fn a_store_that_fails_for_a_moment_is_a_503() {
    let store = Arc::new(MemoryStore::new());
    let app = TestApp::builder().store(store.clone()).start().await;
    let file = app.flow("hello world");
    for op in [StoreOp::Create, StoreOp::Write, StoreOp::Sync] {
        store.fail_next(op, ErrorKind::Other);
        let reply = file.post(1).await;
        reply.assert_problem(503, "unavailable");
        let seconds = reply.header("retry-after").and_then(|value| value.parse::<u32>().ok());
        assert!(seconds.is_some_and(|seconds| 0 < seconds), "{reply:?}");
        let text = String::from_utf8_lossy(&reply.body).to_lowercase();
        assert!(!text.contains("sync") && !text.contains("/incomplete"), "{text}");
        file.probe(1).await.assert_missing();
    }
    file.send([1, 2]).await.assert_status(201);
    assert_eq!(app.creatives().await.len(), 1);
}

#[tokio::test]
async fn a_bug_is_a_500_that_tells_nothing_of_itself() {
    let store = Arc::new(MemoryStore::new());
    let catalog = Arc::new(MemoryCatalog::new());
    let app = TestApp::builder().store(store.clone()).catalog(catalog).start().await;
    let file = app.flow("hello world");
    let bug = stream::poll_fn(|_| panic!("a bug, planted by a test"));
    let request = file.octet_request(Method::POST, 1, file.chunk(1));
    let reply = app.send_streaming(cut(request, 2, bug)).await;
    reply.assert_problem(500, "internal");
    assert!(!String::from_utf8_lossy(&reply.body).contains("planted"));
    // It took nothing with it: neither the claim nor the upload.
    file.send([1, 2]).await.assert_status(201);
    app.stop().await;
    assert_eq!(store.uploads().await.expect("a list"), []);
}

#[tokio::test]
async fn a_damaged_chunk_is_refused_and_may_be_sent_again() {
    let app = TestApp::start().await;
    for content in ["hello world".repeat(20_000), "hello world".into()] {
        let plain = app.flow(content).name("a.bin").chunk_size(100_000);
        let chunk = plain.chunk(1);
        let file = plain.clone().with("chunk_sha256", sha256_hex(chunk));
        let mut damaged = chunk.to_vec();
        damaged[chunk.len() / 2] ^= 1;
        file.post_bytes(1, &damaged).await.assert_problem(400, "checksum_mismatch");
        let request = file.octet_request(Method::POST, 1, &damaged);
        app.send(request).await.assert_problem(400, "checksum_mismatch");
        file.probe(1).await.assert_missing();
        assert!(app.uploads().await.iter().all(|status| status["complete"] == true));
        file.post(1).await;
        plain.upload().await;
    }
    app.assert_ends_with(2).await;
}
