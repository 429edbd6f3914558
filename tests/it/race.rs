//! Whatever comes at once: one upload, one file, one creative.

use std::sync::Arc;

use flowstitch::{catalog::MemoryCatalog, store::MemoryStore};
use futures_util::future::join_all;

use crate::support::{FlowFile, Reply, TestApp};

/// The bytes of a round's file: no two rounds share any chunk.
fn content(round: usize) -> Vec<u8> {
    format!("round {round:06}, said the dealer").into_bytes()
}

/// Every chunk three times, all at once.
async fn send_everything_at_once(file: &FlowFile<'_>) -> Vec<Reply> {
    let numbers = (0..3).flat_map(|_| 1..=file.count());
    join_all(numbers.map(|number| async move {
        if number % 2 == 0 { file.octet(number).await } else { file.post(number).await }
    }))
    .await
}

/// Asserts one completion: every answer is a success, one of them a 201, and all that name a
/// creative name the same.
async fn assert_completed_once(app: &TestApp, file: &FlowFile<'_>, replies: &[Reply]) {
    let created = replies.iter().filter(|reply| reply.status == 201).count();
    assert_eq!(created, 1, "{replies:?}");
    let mut named: Vec<String> = Vec::new();
    for reply in replies {
        assert!(matches!(reply.status.as_u16(), 200 | 201), "{reply:?}");
        named.extend(reply.json()["creative"]["id"].as_str().map(str::to_owned));
    }
    named.dedup();
    assert_eq!(named.len(), 1, "one creative, whoever asks");
    let creative = app.get(&format!("/creatives/{}", named[0])).await.json()["creative"].clone();
    assert_eq!(creative["sha256"], crate::support::sha256_hex(file.content()));
    assert!(app.content(&creative).await == file.content(), "the file is not what was sent");
}

async fn rounds(app: &TestApp, rounds: usize) {
    for round in 0..rounds {
        let file = app.flow(content(round)).name(&format!("{round}.bin"));
        let replies = send_everything_at_once(&file).await;
        assert_completed_once(app, &file, &replies).await;
    }
    assert_eq!(app.creatives().await.len(), rounds, "no creative that nobody was told of");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn last_chunks_and_duplicates_at_once_complete_once() {
    for _ in 0..40 {
        let app = TestApp::builder()
            .store(Arc::new(MemoryStore::new()))
            .catalog(Arc::new(MemoryCatalog::new()))
            .flag("--durability=relaxed");
        rounds(&app.start().await, 50).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn last_chunks_and_duplicates_at_once_complete_once_on_the_disk() {
    let app = TestApp::start().await;
    rounds(&app, 25).await;
    assert_eq!(app.files("completed").len(), 25);
    assert_eq!(app.files("incomplete"), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cancelling_while_the_last_chunk_comes_ends_one_way_or_the_other() {
    let (mut complete, mut cancelled) = (0, 0);
    // How many turns the last chunk is ahead: sought where either may win, wherever that is.
    let mut ahead = 0_usize;
    for round in 0..300 {
        let app = TestApp::builder()
            .store(Arc::new(MemoryStore::new()))
            .catalog(Arc::new(MemoryCatalog::new()))
            .start()
            .await;
        let file = app.flow(content(round));
        let id = file.send(1..file.count()).await.upload_id();
        let cancel = async {
            for _ in 0..ahead {
                tokio::task::yield_now().await;
            }
            app.delete(&format!("/uploads/{id}")).await
        };
        let (last, cancel) = tokio::join!(file.post(file.count()), cancel);
        if app.ended(&id).await.state.as_str() == "complete" {
            complete += 1;
            ahead -= ahead.div_ceil(8);
            cancel.assert_problem(409, "conflict");
            last.assert_status(201);
            app.assert_one_creative(file.content()).await;
        } else {
            cancelled += 1;
            ahead += 1 + ahead / 8;
            cancel.assert_status(204);
            last.assert_problem(415, "upload_gone");
            assert_eq!(app.creatives().await.len(), 0);
        }
    }
    assert!(0 < complete && 0 < cancelled, "{complete} completed, {cancelled} cancelled");
}
