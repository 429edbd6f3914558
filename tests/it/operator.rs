//! What the operator asks of the engine.

use std::io::ErrorKind;

use flowstitch::{
    store::StoreOp,
    upload::{By, UploadId},
};

use crate::support::{Machine, TestApp};

const CONTENT: &str = "hello world";
const DAY: i64 = 24 * 3600;

fn id_of(text: &str) -> UploadId {
    text.parse().expect("an id")
}

/// How a retry ends: the state, and why it is no other.
async fn retry(app: &TestApp, id: &str) -> (&'static str, Option<String>) {
    let snapshot = app.app().engine().retry(id_of(id)).await.expect("the catalog answers");
    let snapshot = snapshot.expect("it is known");
    (snapshot.state.as_str(), snapshot.error)
}

#[test]
fn a_retry_tells_the_outcome_of_the_next_attempt() {
    let machine = Machine::new().flag("--completion-wait=0s");
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        let id = file.send([1]).await.upload_id();
        assert_eq!(retry(app, &id).await, ("receiving", None));
        for _ in 0..10 {
            machine.disk.fail_next(StoreOp::Publish, ErrorKind::Other);
        }
        for number in 2..=file.count() {
            file.post(number).await;
        }
        for attempts in 1..5 {
            let (state, why) = retry(app, &id).await;
            assert_eq!(state, "stitching");
            let why = why.expect("it was tried and waited for");
            assert!(attempts == 1 || why.contains("several times"), "{why}");
            assert!(attempts <= machine.disk.count(StoreOp::Publish));
        }
        while let ("stitching", _) = retry(app, &id).await {}
        assert_eq!(retry(app, &id).await, ("complete", None));
        app.assert_one_creative(CONTENT.as_bytes()).await;
        let unknown = app.app().engine().retry(UploadId::new()).await.expect("an answer");
        assert!(unknown.is_none());
    });
}

#[test]
fn a_retry_does_not_wait_for_ever() {
    let machine = Machine::new().flag("--completion-wait=0s");
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        let id = file.send([1]).await.upload_id();
        let gate = machine.store.hold_next(StoreOp::Publish);
        for number in 2..=file.count() {
            file.post(number).await;
        }
        assert_eq!(retry(app, &id).await, ("stitching", None));
        drop(gate);
    });
}

#[test]
fn any_upload_is_cancelled_once() {
    let machine = Machine::new();
    machine.process(async |app| {
        let id = id_of(&app.flow(CONTENT).send([1]).await.upload_id());
        let (engine, by) = (app.app().engine(), By::server(app.clock().now()));
        for running in [true, false] {
            let (snapshot, was_running) =
                engine.cancel_any(id, &by).await.expect("an answer").expect("it is known");
            assert_eq!((snapshot.state.as_str(), was_running), ("cancelled", running));
        }
        assert_eq!(machine.files().await, (0, 0));
        assert!(engine.cancel_any(UploadId::new(), &by).await.expect("an answer").is_none());
    });
}

#[test]
fn the_plan_of_a_sweep_is_what_it_does() {
    let machine = Machine::new().flag("--sweep-interval=1000d");
    machine.process(async |app| {
        let engine = app.app().engine();
        let plan = async || engine.sweep_plan().await.expect("a plan");
        let file = app.flow(CONTENT);
        let id = id_of(&file.send([1]).await.upload_id());
        let planned = plan().await;
        assert_eq!((planned.expire.len(), planned.tombstones, planned.files.len()), (0, 0, 0));

        machine.advance_seconds(DAY + 1);
        let planned = plan().await;
        assert_eq!(planned.expire[0].id, id);
        assert_eq!(planned.expire.len(), 1);
        // Of one that somebody brings bytes for nothing expires.
        let (client, answer) = file.trickle(2);
        let script = async {
            client.bring(b"o w").await;
            client.bring(b"orl").await;
            assert_eq!(plan().await.expire.len(), 0);
            drop(client);
        };
        tokio::join!(script, answer);

        engine.sweep().await.expect("a sweep");
        assert_eq!((plan().await.expire.len(), plan().await.tombstones), (0, 0));
        machine.advance_seconds(DAY + 1);
        assert_eq!(plan().await.tombstones, 1);
        engine.sweep().await.expect("a sweep");
        assert_eq!((plan().await.tombstones, machine.uploads().await), (0, 0));
    });
}

#[test]
fn the_plan_names_the_files_of_deleted_creatives_that_are_still_there() {
    let machine = Machine::new().flag("--sweep-interval=1000d");
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        file.send(1..=file.count()).await;
        let creative = app.assert_one_creative(CONTENT.as_bytes()).await;
        let id = creative["id"].as_str().expect("an id");
        machine.disk.fail_next(StoreOp::Unpublish, ErrorKind::Other);
        app.delete(&format!("/creatives/{id}")).await.assert_status(204);
        let engine = app.app().engine();
        let files = async || engine.sweep_plan().await.expect("a plan").files;
        assert_eq!(
            files().await.iter().map(|name| name.id().to_string()).collect::<Vec<_>>(),
            [id]
        );
        engine.sweep().await.expect("a sweep");
        assert_eq!((files().await.len(), machine.files().await), (0, (0, 0)));
    });
}
