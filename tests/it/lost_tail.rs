//! A file in `incomplete/` that became shorter than what was stored in it: `verify` calls it
//! `short_part`, and says that the server asks for the bytes again.

use std::fs::OpenOptions;

use crate::support::{FlowFile, TestApp};

const CONTENT: &[u8] = b"hello world, are you there?";

/// Cuts the one unfinished file off.
fn cut(app: &TestApp, len: u64) {
    let [part] = &app.files("incomplete")[..] else { panic!("one file") };
    let path = app.dir().join("incomplete").join(part);
    OpenOptions::new().write(true).open(path).expect("ours").set_len(len).expect("cut");
}

async fn assert_asks_for_the_tail_only(file: &FlowFile<'_>) {
    file.probe(1).await.assert_status(200);
    for number in [3, 5] {
        file.probe(number).await.assert_missing();
    }
    let missing = file.lookup().await.json()["upload"]["missing_chunks"].to_string();
    assert_eq!(missing, "[[2,6]]");
    let last = file.send([2, 3, 4, 5, 6]).await;
    file.assert_completed(&last);
}

#[tokio::test]
async fn a_tail_that_is_lost_is_missing_at_once_after_a_start() {
    let app = TestApp::start().await;
    app.flow(CONTENT).send([1, 3, 5]).await;
    cut(&app, 11);
    let app = app.restart().await;
    assert_asks_for_the_tail_only(&app.flow(CONTENT)).await;
}

#[tokio::test]
async fn a_tail_that_is_lost_is_missing_at_once_while_the_server_runs() {
    let app = TestApp::start().await;
    let file = app.flow(CONTENT);
    file.send([1, 3, 5]).await;
    cut(&app, 11);
    assert_asks_for_the_tail_only(&file).await;
}

#[tokio::test]
async fn a_lookup_or_a_status_finds_that_a_tail_is_lost_too() {
    for by_id in [false, true] {
        let app = TestApp::start().await;
        let file = app.flow(CONTENT);
        let id = file.send([1, 3, 5]).await.json()["upload"]["id"].clone();
        cut(&app, 12);
        let reply = if by_id {
            app.get(&format!("/uploads/{}", id.as_str().expect("an id"))).await
        } else {
            file.lookup().await
        };
        assert_eq!(reply.json()["upload"]["missing_chunks"].to_string(), "[[2,2],[4,6]]");
    }
}

#[tokio::test]
async fn a_full_upload_whose_tail_is_lost_takes_it_again() {
    let app = TestApp::start().await;
    app.flow(CONTENT).send([1, 2, 3, 4, 5]).await;
    // What was in memory is not any more.
    let app = app.restart().await;
    let file = app.flow(CONTENT);
    cut(&app, 11);
    // The stitch finds it, or the probes do, whichever comes first.
    file.post(6).await;
    for number in 1..=6 {
        if file.probe(number).await.status != 200 {
            file.post(number).await;
        }
    }
    app.assert_one_creative(CONTENT).await;
}
