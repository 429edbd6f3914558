//! The memory budget: over it clients wait, and all of them come to their end.

use futures_util::future::join_all;
use http::{Method, Request};

use crate::support::{Machine, Reply, TestApp, idle, multipart};

/// The smallest budget there is, in bytes.
const BUDGET: u64 = 2 << 20;

fn machine() -> Machine {
    Machine::new().flag("--memory-budget=2MiB")
}

/// The value of a metric without labels.
async fn metric(app: &TestApp, name: &str) -> u64 {
    let text = String::from_utf8(app.get("/metrics").await.body.to_vec()).expect("text");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is not in {text}")).parse().expect("a number")
}

/// Asserts that memory is used within the budget at this moment.
async fn assert_within_budget(app: &TestApp) {
    let used = metric(app, "flowstitch_memory_used_bytes").await;
    assert!(used <= BUDGET, "{used} bytes are used");
}

#[test]
fn many_slow_uploads_at_once_all_finish_within_the_budget() {
    const LEN: usize = 300_000;
    machine().process(async |app| {
        assert_eq!(metric(app, "flowstitch_memory_budget_bytes").await, BUDGET);
        let replies = join_all((0..40).map(async |n| {
            let content = vec![n; LEN];
            let file = app.flow(content.clone()).name(&format!("{n}.bin")).chunk_size(LEN);
            let (client, answer) = file.trickle(1);
            let script = async {
                for frame in content.chunks(50_000) {
                    client.bring(frame).await;
                    assert_within_budget(app).await;
                }
                drop(client);
            };
            tokio::join!(script, answer).1
        }))
        .await;
        assert!(replies.iter().all(|reply| reply.status == 201), "{replies:?}");
        assert_eq!(app.creatives().await.len(), 40);
        assert_eq!(metric(app, "flowstitch_memory_used_bytes").await, 0);
    });
}

/// Sends `head`, says nothing more until another file has come in whole, and then sends `tail`.
async fn assert_others_go_first(app: &TestApp, query: &str, head: &[u8], tail: &[u8]) {
    let (client, silent) = app.trickle(query);
    let script = async {
        for frame in head.chunks(100_000) {
            client.bring(frame).await;
        }
        idle().await;
        let other = app.flow(vec![2; 1_000_000]).name("other.bin").chunk_size(1_000_000);
        other.octet(1).await.assert_status(201);
        client.bring(tail).await;
        drop(client);
    };
    let (silent, ()) = tokio::join!(silent, script);
    silent.assert_status(201);
    assert_eq!(app.creatives().await.len(), 2);
}

#[test]
fn whoever_falls_silent_gives_its_memory_to_others() {
    machine().process(async |app| {
        let content = vec![1; 1_000_001];
        let file = app.flow(content.clone()).chunk_size(content.len());
        let (head, tail) = content.split_at(1_000_000);
        assert_others_go_first(app, &file.query_string(1), head, tail).await;
    });
}

#[test]
fn so_does_whoever_sends_a_file_of_undeclared_size() {
    machine().process(async |app| {
        // More than is kept in memory, and most of a batch.
        let query = "flowIdentifier=a&flowFilename=a.bin";
        assert_others_go_first(app, query, &vec![1; 1_400_000], b"end").await;
    });
}

/// A whole file in one request that says its size only by its end.
async fn send_whole(app: &TestApp, n: u8, len: usize) -> Reply {
    let name = format!("{n}.bin");
    let fields = [("flowIdentifier".to_owned(), name.clone())];
    app.send(multipart(&fields, Some((&name, &vec![n; len])))).await
}

#[test]
fn files_of_undeclared_size_at_once_do_not_wait_for_each_other() {
    machine().process(async |app| {
        let lens = [1 << 20, 900_000, 300_000, 3 << 20];
        let replies = join_all((0..40).map(async |n| {
            let reply = send_whole(app, n, lens[usize::from(n) % lens.len()]).await;
            assert_within_budget(app).await;
            reply
        }))
        .await;
        assert!(replies.iter().all(|reply| reply.status == 201), "{replies:?}");
        assert_eq!(metric(app, "flowstitch_memory_used_bytes").await, 0);
    });
}

#[test]
fn a_kept_file_that_waits_for_another_writer_does_not_keep_that_one_waiting() {
    const LEN: usize = 1_000_000;
    machine().process(async |app| {
        let content = vec![7; LEN];
        let file = app.flow(content.clone()).chunk_size(LEN);
        let (client, streamed) = file.trickle(1);
        let fields = file.fields(1);
        let kept = async || {
            // The file comes first, so that it must be kept until its fields are known.
            let request = backwards(&fields, &content);
            app.send(request).await
        };
        let script = async {
            client.bring(&content[..10]).await;
            client.bring(&content[10..20]).await;
            let rest = async {
                for _ in 0..1000 {
                    tokio::task::yield_now().await;
                }
                client.bring(&content[20..]).await;
                drop(client);
            };
            tokio::join!(kept(), kept(), kept(), rest)
        };
        let ((a, b, c, ()), d) = tokio::join!(script, streamed);
        for reply in [a, b, c, d] {
            assert!(matches!(reply.status.as_u16(), 200 | 201), "{reply:?}");
        }
        app.assert_one_creative(&content).await;
    });
}

/// A form with its file before its fields.
fn backwards(fields: &[(String, String)], file: &[u8]) -> Request<bytes::Bytes> {
    let mut body = Vec::new();
    let head = "Content-Disposition: form-data; name=";
    body.extend(format!("--b\r\n{head}\"file\"; filename=\"a\"\r\n\r\n").bytes());
    body.extend_from_slice(file);
    for (name, value) in fields {
        body.extend(format!("\r\n--b\r\n{head}\"{name}\"\r\n\r\n{value}").bytes());
    }
    body.extend_from_slice(b"\r\n--b--\r\n");
    let request = Request::builder().method(Method::POST).uri("/upload");
    let request = request.header("content-type", "multipart/form-data; boundary=b");
    request.body(body.into()).expect("a request")
}
