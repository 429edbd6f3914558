//! What an application adds by flow.js's `query`: the day, and checksums.

use http::Method;
use serde_json::Value;

use crate::support::{FlowFile, Reply, TestApp, pattern, sha256_hex};

const HELLO: &str = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=";
const DAY_MS: i64 = 24 * 3_600_000;

/// Sends a chunk with this header, in one of the two ways.
async fn post_with(
    app: &TestApp,
    file: &FlowFile<'_>,
    octet: bool,
    digests: &[impl AsRef<[u8]>],
) -> Reply {
    let mut request = if octet {
        file.octet_request(Method::POST, 1, file.content())
    } else {
        file.request(1, file.content())
    };
    for digest in digests {
        let value = http::HeaderValue::from_bytes(digest.as_ref()).expect("a value");
        request.headers_mut().append("content-digest", value);
    }
    app.send(request).await
}

#[tokio::test]
async fn without_a_day_it_is_for_today() {
    let app = TestApp::start().await;
    let creative = app.flow("hello world").upload().await;
    assert_eq!(creative["scheduled_at"], "2026-12-01");
}

#[tokio::test]
async fn today_is_not_in_the_past_and_yesterday_is() {
    let app = TestApp::start().await;
    let file = app.flow("hello world");
    let today = file.clone().with("scheduled_at", "2026-12-01");
    let yesterday = file.clone().with("scheduled_at", "2026-11-30");
    yesterday.post(1).await.assert_problem(400, "invalid_scheduled_at");
    yesterday.octet(1).await.assert_problem(400, "invalid_scheduled_at");
    yesterday.probe(1).await.assert_missing();
    assert_eq!(app.uploads().await.len(), 0);
    assert_eq!(today.upload().await["scheduled_at"], "2026-12-01");
    app.assert_ends_with(1).await;
}

#[tokio::test]
async fn the_time_zone_decides_which_day_it_is() {
    // Noon of the first in UTC is one in the morning of the second in Auckland.
    let app = TestApp::builder().flag("--time-zone=Pacific/Auckland").start().await;
    let file = app.flow("hello world");
    let first = file.clone().with("scheduled_at", "2026-12-01");
    first.post(1).await.assert_problem(400, "invalid_scheduled_at");
    assert_eq!(file.upload().await["scheduled_at"], "2026-12-02");
}

#[tokio::test]
async fn an_upload_runs_past_midnight_of_its_day() {
    let app = TestApp::start().await;
    let file = app.flow(pattern(12)).with("scheduled_at", "2026-12-01");
    file.send([1]).await;
    app.clock().advance(DAY_MS / 2 + 60_000);
    file.post(2).await.assert_status(200);
    // Also for who does not name it again, and after a restart.
    let builder = app.stop().await;
    let app = builder.start().await;
    let file = app.flow(pattern(12)).with("scheduled_at", "2026-12-01");
    let last = file.post(3).await;
    assert_eq!(file.assert_completed(last.assert_status(201))["scheduled_at"], "2026-12-01");
    // Only that one: for a new upload the day is over.
    let other = app.flow("another file").name("b.bin").with("scheduled_at", "2026-12-01");
    other.post(1).await.assert_problem(400, "invalid_scheduled_at");
}

#[tokio::test]
async fn the_latest_day_that_is_named_wins() {
    let app = TestApp::start().await;
    let file = app.flow(pattern(16));
    let on = |day: &str| file.clone().with("scheduled_at", day);
    on("2026-12-05").send([1]).await;
    on("2026-12-03").send([2]).await;
    file.send([3]).await;
    on("2026-11-30").post(4).await.assert_problem(400, "invalid_scheduled_at");
    let creative = file.assert_completed(file.post(4).await.assert_status(201));
    assert_eq!(creative["scheduled_at"], "2026-12-03");
    app.assert_ends_with(1).await;
}

#[tokio::test]
async fn a_chunk_that_comes_again_may_still_name_the_day() {
    let app = TestApp::start().await;
    let file = app.flow("hello world");
    file.send([1]).await;
    file.clone().with("scheduled_at", "2026-12-09").send([1]).await;
    let app = app.restart().await;
    let creative = app.flow("hello world").upload().await;
    assert_eq!(creative["scheduled_at"], "2026-12-09");
}

#[tokio::test]
async fn another_day_after_completion_is_another_creative() {
    let app = TestApp::start().await;
    let file = app.flow("hello world");
    let first = file.clone().with("scheduled_at", "2026-12-01").upload().await;
    let tomorrow = file.clone().with("scheduled_at", "2026-12-02");
    tomorrow.probe(1).await.assert_missing();
    tomorrow.lookup().await.assert_problem(404, "not_found");
    let second = tomorrow.upload().await;
    assert_ne!(first["id"], second["id"]);
    assert_eq!(second["scheduled_at"], "2026-12-02");
    // A retry that names no day is answered by the latest.
    assert_eq!(file.probe(2).await.assert_status(200).json()["creative"], second);
    app.assert_ends_with(2).await;
}

#[tokio::test]
async fn a_day_may_be_required() {
    let app = TestApp::builder().flag("--schedule=required").start().await;
    let file = app.flow("hello world");
    file.post(1).await.assert_problem(400, "invalid_scheduled_at");
    // What an application leaves out, flow.js sends as a word.
    for nothing in ["", "undefined", "null"] {
        let file = file.clone().with("scheduled_at", nothing);
        file.octet(1).await.assert_problem(400, "invalid_scheduled_at");
    }
    assert_eq!(app.uploads().await.len(), 0);
    file.clone().with("scheduled_at", "2026-12-01").send([1]).await;
    file.assert_completed(file.post(2).await.assert_status(201));
    app.assert_ends_with(1).await;
}

#[tokio::test]
async fn a_file_that_hashes_as_was_said_is_complete() {
    let app = TestApp::start().await;
    for digest in [sha256_hex(b"hello world"), sha256_hex(b"hello world").to_uppercase()] {
        app.flow("hello world").name(&digest).with("sha256", digest).upload().await;
    }
    app.assert_ends_with(2).await;
}

#[tokio::test]
async fn a_file_that_hashes_otherwise_is_refused_for_good() {
    let app = TestApp::start().await;
    let file = app.flow("hello world");
    let wrong = file.clone().with("sha256", sha256_hex(b"hello earth"));
    wrong.send([1]).await.assert_status(200);
    let last = wrong.post(2).await;
    last.assert_problem(415, "checksum_mismatch");
    file.post(1).await.assert_problem(415, "upload_gone");
    let [status] = &app.uploads().await[..] else { panic!("one upload") };
    assert_eq!(status["upload"]["state"], "failed");
    assert!(status["upload"]["error"].is_string());
    assert_eq!(status["upload"]["received_chunks"], 0);
    // Whoever starts anew asks first; and then it is another upload.
    file.probe(1).await.assert_missing();
    file.upload().await;
    app.assert_ends_with(1).await;
}

#[tokio::test]
async fn two_checksums_of_one_file_are_a_conflict() {
    let app = TestApp::start().await;
    let file = app.flow("hello world");
    let right = file.clone().with("sha256", sha256_hex(b"hello world"));
    // The first to name one need not be the first chunk.
    file.send([1]).await;
    right.send([1]).await;
    let wrong = file.clone().with("sha256", sha256_hex(b"hello earth"));
    wrong.post(2).await.assert_problem(409, "conflict");
    file.assert_completed(file.post(2).await.assert_status(201));
    app.assert_ends_with(1).await;
}

#[tokio::test]
async fn a_file_with_another_sha256_is_not_taken_for_the_one_that_is_here() {
    let app = TestApp::start().await;
    let with = |content: &str| app.flow(content).with("sha256", sha256_hex(content.as_bytes()));
    let (first, edited) = (with("hello world"), with("hello earth"));
    first.send([1]).await;
    for reply in [edited.probe(1).await, edited.lookup().await, edited.post(1).await] {
        let detail = reply.assert_problem(409, "conflict");
        assert!(detail.contains("another `flowIdentifier`"), "{detail}");
    }
    first.upload().await;
    // Complete: the same file is not sent again, and the edited one is.
    assert_eq!(first.probe(1).await.json()["complete"], true);
    assert_eq!(app.flow("hello world").probe(1).await.json()["complete"], true);
    edited.probe(1).await.assert_missing();
    edited.lookup().await.assert_problem(404, "not_found");
    edited.upload().await;
    app.assert_ends_with(2).await;
}

/// Without a digest of its own the server knows of a file what its client said.
#[tokio::test]
async fn a_sha256_that_nobody_can_compare_is_of_another_file() {
    let app = TestApp::builder().flag("--digest=none").start().await;
    let file = app.flow("hello world");
    let named = file.clone().with("sha256", sha256_hex(b"hello world"));
    file.assert_arrived(&file.send([1, 2]).await);
    named.probe(1).await.assert_missing();
    named.upload().await;
    assert_eq!(named.probe(2).await.json()["complete"], true);
}

#[tokio::test]
async fn a_content_digest_is_checked() {
    let app = TestApp::start().await;
    for octet in [false, true] {
        let file = app.flow("hello").name(&format!("{octet}")).chunk_size(8);
        let other = app.flow("hellp").name(&format!("{octet}")).chunk_size(8);
        let right = format!("sha-256=:{HELLO}:");
        for header in [&right, &format!("md5=:YQ==:, {right}")] {
            let refused = post_with(&app, &other, octet, &[header]).await;
            refused.assert_problem(400, "checksum_mismatch");
            other.probe(1).await.assert_missing();
        }
        post_with(&app, &file, octet, &[&right]).await.assert_status(201);
    }
    app.assert_ends_with(2).await;
}

#[tokio::test]
async fn a_content_digest_is_read_from_all_of_its_lines() {
    let app = TestApp::start().await;
    let file = app.flow("hellp").chunk_size(8);
    let right = format!("sha-256=:{HELLO}:");
    let reply = post_with(&app, &file, true, &["md5=:YQ==:", &right]).await;
    reply.assert_problem(400, "checksum_mismatch");
    app.assert_left_nothing().await;
}

#[tokio::test]
async fn a_content_digest_that_cannot_be_read_is_refused() {
    let app = TestApp::start().await;
    let file = app.flow("hello").chunk_size(8);
    let bad: [&[u8]; 4] = [b"sha-256=x", b"sha-256=:YQ==:", b"?", b"sha-256=:\xff:"];
    for header in bad {
        for octet in [false, true] {
            let reply = post_with(&app, &file, octet, &[header]).await;
            reply.assert_problem(400, "invalid_content_digest");
        }
    }
    let contradicting = file.clone().with("chunk_sha256", sha256_hex(b"hellp"));
    let reply = post_with(&app, &contradicting, true, &[format!("sha-256=:{HELLO}:")]).await;
    reply.assert_problem(400, "invalid_content_digest");
    app.assert_left_nothing().await;
}

#[tokio::test]
async fn a_sha_512_is_checked_too() {
    let app = TestApp::start().await;
    let file = app.flow("hello").chunk_size(8);
    for octet in [false, true] {
        let reply = post_with(&app, &file, octet, &[sha512("hellp")]).await;
        reply.assert_problem(400, "checksum_mismatch");
        // The SHA-256 beside it is right.
        let both = [format!("sha-256=:{HELLO}:"), sha512("hellp")];
        let reply = post_with(&app, &file, octet, &both).await;
        reply.assert_problem(400, "checksum_mismatch");
        file.probe(1).await.assert_missing();
    }
    let both = [format!("sha-256=:{HELLO}:"), sha512("hello")];
    post_with(&app, &file, true, &both).await.assert_status(201);
    // A duplicate that was damaged on the way is damaged, and no conflict.
    let damaged = app.flow("hellp").chunk_size(8);
    let reply = post_with(&app, &damaged, true, &[sha512("hello")]).await;
    reply.assert_problem(400, "checksum_mismatch");
    app.assert_ends_with(1).await;
}

#[tokio::test]
async fn a_digest_that_nobody_checks_is_refused_with_those_that_are() {
    let app = TestApp::start().await;
    let file = app.flow("hello").chunk_size(8);
    for octet in [false, true] {
        let reply = post_with(&app, &file, octet, &["md5=:XUFAKrxLKna5cZ2REBfFkg==:"]).await;
        reply.assert_problem(400, "unsupported_digest");
        assert_eq!(reply.header("want-content-digest"), Some("sha-256=10, sha-512=5"));
    }
    app.assert_left_nothing().await;
}

/// `Content-Digest` of "hello" and of "hellp", in parts because they are long.
fn sha512(text: &str) -> String {
    let parts = match text {
        "hello" => [
            "m3HSJL1i83hdltRq0+o9czGb+8KJDKra4t/3JRlnPKcj",
            "I8PZm6XBHXx6zG4UuMXaDEZjR1wuXDre9G9zvN7AQw==",
        ],
        _ => [
            "da42BbVeXyxuNqcBNEfpGOCOgIn3y1SZ33rHcpFtfqNM",
            "8BLA4lZZlhTTyqBjKe7EVO8/LkdBxLbbo/3EfAoBjw==",
        ],
    };
    format!("sha-512=:{}:", parts.concat())
}

#[tokio::test]
async fn a_checksum_of_each_chunk_makes_the_same_file() {
    let app = TestApp::start().await;
    let file = app.flow("hello world").force_chunk_size();
    let mut last: Option<Value> = None;
    for number in [3, 1, 2] {
        let checked = file.clone().with("chunk_sha256", sha256_hex(file.chunk(number)));
        let reply = checked.post(number).await;
        assert!(reply.status.is_success(), "{reply:?}");
        // Again, as a duplicate.
        checked.post(number).await.assert_status(200);
        last = Some(file.probe(number).await.json());
    }
    assert_eq!(last.expect("three chunks")["complete"], true);
    app.assert_ends_with(1).await;
}
