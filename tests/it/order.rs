//! Any order, any duplicates, any losses: the same file.

use std::sync::Arc;

use flowstitch::{catalog::MemoryCatalog, store::MemoryStore};
use proptest::{collection::vec, prelude::*, test_runner::TestRunner};

use crate::support::TestApp;

/// What happens to one sending of a chunk.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Arrives,
    /// By the other method.
    ArrivesAsOctet,
    /// Its body breaks off.
    BreaksOff,
    /// It arrives, and its answer is lost.
    AnswerIsLost,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        Just(Fate::Arrives),
        Just(Fate::ArrivesAsOctet),
        Just(Fate::BreaksOff),
        Just(Fate::AnswerIsLost),
    ]
}

type Sending = (prop::sample::Index, Fate);

fn upload() -> impl Strategy<Value = (Vec<u8>, usize, bool, Vec<Sending>)> {
    let sendings = vec((any::<prop::sample::Index>(), fate()), 0..40);
    (vec(any::<u8>(), 0..120), 1usize..20, any::<bool>(), sendings)
}

/// Sends as planned; then, as a client does that resumes, what a probe does not know.
async fn send(content: Vec<u8>, chunk_size: usize, forced: bool, sendings: &[Sending]) {
    let app = TestApp::builder()
        .store(Arc::new(MemoryStore::new()))
        .catalog(Arc::new(MemoryCatalog::new()))
        .start()
        .await;
    let file = app.flow(content.clone()).chunk_size(chunk_size);
    let file = if forced { file.force_chunk_size() } else { file };
    for (index, fate) in sendings {
        let number = index.index(file.count()) + 1;
        match fate {
            Fate::Arrives => drop(file.send([number]).await),
            Fate::ArrivesAsOctet => {
                let status = file.octet(number).await.status.as_u16();
                assert!(matches!(status, 200 | 201), "{status}");
            }
            Fate::AnswerIsLost => drop(file.post(number).await),
            Fate::BreaksOff => {
                let here = file.probe(number).await.status;
                let (client, answer) = file.trickle(number);
                let half = file.chunk(number).len() / 2;
                let cut = async {
                    client.bring(&file.chunk(number)[..half]).await;
                    client.cut().await;
                };
                let ((), answer) = tokio::join!(cut, answer);
                assert_eq!(answer.status, 400);
                assert_eq!(file.probe(number).await.status, here, "it leaves no trace");
            }
        }
    }
    for number in 1..=file.count() {
        if file.probe(number).await.status == 204 {
            file.send([number]).await;
        }
    }
    let status = file.lookup().await.json();
    assert_eq!(status["complete"], true, "{status}");
    app.assert_one_creative(&content).await;
}

#[test]
fn any_order_duplication_and_loss_gives_the_same_file() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let config = ProptestConfig { cases: 150, failure_persistence: None, ..Default::default() };
    let outcome = TestRunner::new(config).run(&upload(), |(content, size, forced, sendings)| {
        runtime.block_on(send(content, size, forced, &sendings));
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}
