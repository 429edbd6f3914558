//! The digest of a whole file: which is taken, and that a client is held to the one it names.

use std::{fs, pin::pin};

use flowstitch::store::StoreOp;
use futures_util::poll;
use serde_json::Value;

use crate::support::{FlowFile, Machine, TestApp, idle, pattern, sha256_hex};

const KINDS: [&str; 3] = ["sha256", "blake3", "none"];
const CONTENT: &str = "hello world";
/// Chunks of a file that is stitched while most of it is still to come.
const LONG_CHUNK: usize = 1 << 20;
const LONG_COUNT: usize = 10;

async fn start(kind: &str) -> TestApp {
    TestApp::builder().flag(&format!("--digest={kind}")).start().await
}

fn machine(kind: &str) -> Machine {
    Machine::new().flag(&format!("--digest={kind}"))
}

/// Two digests: what a creative says, or should.
type Digests = [Option<String>; 2];

fn said(creative: &Value) -> Digests {
    ["sha256", "blake3"].map(|kind| creative[kind].as_str().map(Into::into))
}

/// What is known of this content by a setting, and whether its client named a SHA-256.
fn digests(content: &[u8], kind: &str, named: bool) -> Digests {
    let sha256 = (kind == "sha256" || named).then(|| sha256_hex(content));
    [sha256, (kind == "blake3").then(|| blake3::hash(content).to_hex().to_string())]
}

fn long(app: &TestApp) -> FlowFile<'_> {
    app.flow(pattern(LONG_COUNT * LONG_CHUNK)).chunk_size(LONG_CHUNK)
}

#[tokio::test]
async fn what_is_taken_is_what_was_chosen() {
    for kind in KINDS {
        let app = start(kind).await;
        let contents = [Vec::new(), CONTENT.into(), pattern(100_000)];
        let expected = contents.each_ref().map(|content| digests(content, kind, false));
        for (content, expected) in contents.into_iter().zip(&expected) {
            let file = app.flow(content).chunk_size(30_000);
            let creative = file.assert_arrived(&file.send(1..=file.count()).await);
            assert_eq!(said(&creative), *expected, "{kind}");
        }
        let app = app.restart().await;
        let written: Vec<Digests> = app.creatives().await.iter().map(said).collect();
        assert_eq!(written, expected, "{kind}");
        app.assert_ends_with(3).await;
    }
}

#[test]
fn what_was_published_keeps_its_digest_when_the_setting_changes() {
    let machine = machine("blake3");
    machine.process(async |app| {
        app.flow(CONTENT).send([1, 2]).await.assert_status(201);
    });
    machine.reconfigured("--digest=none").process(async |app| {
        let [creative] = &app.creatives().await[..] else { panic!("one creative") };
        assert_eq!(said(creative), digests(CONTENT.as_bytes(), "blake3", false));
        let file = app.flow(CONTENT).name("another");
        let creative = file.send([1, 2]).await.assert_status(201).json()["creative"].clone();
        assert_eq!(said(&creative), [None, None]);
    });
}

#[tokio::test]
async fn content_is_tagged_with_what_there_is() {
    for kind in KINDS {
        let app = start(kind).await;
        let file = app.flow(CONTENT);
        let creative = file.assert_arrived(&file.send([1, 2]).await);
        let url = creative["creative_url"].as_str().expect("an address");
        let [sha256, blake3] = said(&creative);
        let id = creative["id"].as_str().map(Into::into);
        let tag = format!("\"{}\"", sha256.or(blake3).or(id).expect("an id at least"));
        let reply = app.get(url).await;
        assert_eq!(reply.assert_status(200).header("etag"), Some(&*tag), "{kind}");
        let again = app.ask(http::Method::GET, url, &[("if-none-match", &tag)]).await;
        again.assert_status(304);
        let rest = [("range", "bytes=6-"), ("if-range", &tag)];
        assert_eq!(app.ask(http::Method::GET, url, &rest).await.assert_status(206).body, "world");
    }
}

#[tokio::test]
async fn a_client_is_held_to_the_sha256_it_names_whatever_was_chosen() {
    for kind in KINDS {
        let app = start(kind).await;
        let file = app.flow(CONTENT);
        let wrong = file.clone().with("sha256", sha256_hex(b"hello earth"));
        wrong.send([1]).await;
        wrong.post(2).await.assert_problem(415, "checksum_mismatch");
        assert_eq!(app.creatives().await.len(), 0, "{kind}");
        file.probe(1).await.assert_missing();
        let right = file.clone().with("sha256", sha256_hex(CONTENT.as_bytes()));
        let creative = right.assert_completed(&right.send([1, 2]).await);
        assert_eq!(said(&creative), digests(CONTENT.as_bytes(), kind, true), "{kind}");
        app.assert_ends_with(1).await;
    }
}

#[test]
fn a_sha256_that_is_named_with_the_last_chunk_is_of_the_whole_file() {
    for (kind, is_right) in [("blake3", true), ("blake3", false), ("none", true), ("none", false)] {
        machine(kind).process(async |app| {
            let file = long(app);
            file.send(1..LONG_COUNT).await;
            // Most of it is passed, and no SHA-256 was taken.
            idle().await;
            let content = if is_right { file.content() } else { b"" };
            let named = file.clone().with("sha256", sha256_hex(content));
            let last = named.post(LONG_COUNT).await;
            if is_right {
                let [creative] = &app.creatives().await[..] else { panic!("one creative") };
                assert_eq!(said(creative), digests(file.content(), kind, true), "{kind}");
                assert_eq!(app.content(creative).await, file.content());
            } else {
                last.assert_problem(415, "checksum_mismatch");
                assert_eq!(app.creatives().await.len(), 0, "{kind}");
            }
        });
    }
}

#[test]
fn a_sha256_that_is_named_while_the_file_is_read_or_published_counts() {
    for kind in KINDS {
        for op in [StoreOp::Read, StoreOp::Publish] {
            for content in [CONTENT, "hello earth"] {
                name_late(kind, op, content);
            }
        }
    }
}

/// Names the SHA-256 of this content when all is here and the store is at this.
fn name_late(kind: &str, op: StoreOp, content: &str) {
    let machine = machine(kind);
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        file.send([1]).await;
        let named = file.clone().with("sha256", sha256_hex(content.as_bytes()));
        let held = machine.store.hold_next(op);
        let late = async {
            held.reached().await;
            let mut answer = pin!(named.post(1));
            for _ in 0..100 {
                assert!(poll!(&mut answer).is_pending(), "it waits for the file");
                tokio::task::yield_now().await;
            }
            held.open();
            answer.await
        };
        let (last, late) = tokio::join!(file.post(2), late);
        if content == CONTENT {
            last.assert_status(201);
            late.assert_status(200);
            let creative = app.assert_one_creative(CONTENT.as_bytes()).await;
            assert_eq!(said(&creative), digests(CONTENT.as_bytes(), kind, true));
        } else {
            last.assert_problem(415, "checksum_mismatch");
            late.assert_problem(415, "checksum_mismatch");
            assert_eq!(app.creatives().await.len(), 0, "{kind}");
            assert_eq!(machine.files().await, (0, 0), "what was published is gone");
        }
    });
}

#[test]
fn a_restart_in_the_middle_changes_no_digest() {
    for kind in KINDS {
        let machine = machine(kind);
        machine.process(async |app| {
            long(app).send(1..LONG_COUNT).await;
            idle().await;
        });
        machine.process(async |app| {
            let file = long(app);
            file.probe(LONG_COUNT - 1).await.assert_status(200);
            file.post(LONG_COUNT).await.assert_status(201);
            let [creative] = &app.creatives().await[..] else { panic!("one creative") };
            assert_eq!(said(creative), digests(file.content(), kind, false), "{kind}");
        });
    }
}

#[test]
fn a_sha256_that_was_named_outlives_the_process_and_the_setting() {
    let machine = machine("sha256");
    machine.process(async |app| {
        for (name, content) in [("right", CONTENT), ("wrong", "hello earth")] {
            let file = app.flow(CONTENT).name(name);
            file.with("sha256", sha256_hex(content.as_bytes())).send([1]).await;
        }
    });
    let machine = machine.reconfigured("--digest=none");
    machine.process(async |app| {
        let wrong = app.flow(CONTENT).name("wrong");
        wrong.post(2).await.assert_problem(415, "checksum_mismatch");
        app.flow(CONTENT).name("right").post(2).await.assert_status(201);
        let creative = app.assert_one_creative(CONTENT.as_bytes()).await;
        assert_eq!(said(&creative), digests(CONTENT.as_bytes(), "none", true));
    });
}

#[test]
fn a_publish_that_was_cut_short_is_finished_with_its_digest() {
    for kind in KINDS {
        let machine = machine(kind);
        machine.process(async |app| {
            let file = app.flow(CONTENT);
            file.send([1]).await;
            let held = machine.catalog.hold_next(crate::support::CatalogOp::Complete);
            tokio::select! {
                _ = file.post(2) => panic!("it is held up"),
                () = held.reached() => {}
            }
        });
        machine.process(async |app| {
            idle().await;
            let [creative] = &app.creatives().await[..] else { panic!("one creative") };
            assert_eq!(said(creative), digests(CONTENT.as_bytes(), kind, false), "{kind}");
            assert_eq!(app.content(creative).await, CONTENT.as_bytes());
        });
    }
}

#[test]
fn bytes_that_rot_before_the_stitch_are_found_without_a_digest_too() {
    let machine = machine("none");
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        file.send([1]).await;
        machine.store.rot_next_read();
        file.post(2).await;
        idle().await;
        assert_eq!(app.creatives().await.len(), 0);
        let missing = [file.probe(1).await.status, file.probe(2).await.status];
        assert!(missing.iter().any(|status| *status == 204), "{missing:?}");
    });
}

#[tokio::test]
async fn a_file_without_a_digest_is_scanned_once() {
    for kind in KINDS {
        let folder = tempfile::tempdir().expect("a folder");
        let [script, log] = ["scan.sh", "log"].map(|name| folder.path().join(name));
        let lines = format!("cat > /dev/null\necho asked >> {}", log.display());
        fs::write(&script, lines).expect("written");
        let app = TestApp::builder()
            .flag(&format!("--scan-command=/bin/sh {}", script.display()))
            .flag(&format!("--digest={kind}"));
        let app = app.start().await;
        let file = app.flow(CONTENT);
        file.assert_arrived(&file.send([1, 2]).await);
        assert_eq!(fs::read_to_string(&log).expect("a log"), "asked\n", "{kind}");
    }
}
