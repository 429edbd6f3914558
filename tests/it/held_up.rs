//! A completion that is held up is a state that everybody can see, and it ends well.

use std::{io::ErrorKind, time::Duration};

use flowstitch::{catalog::Catalog, store::StoreOp};
use serde_json::Value;

use crate::support::{CatalogOp, Machine, TestApp, idle};

const CONTENT: &[u8] = b"hello world, are you there?";
const COUNT: usize = 6;

/// Machines whose answers do not wait for a stitch.
fn machine() -> Machine {
    Machine::new().flag("--completion-wait=0s")
}

async fn status(app: &TestApp, id: &str) -> Value {
    app.get(&format!("/uploads/{id}")).await.json()
}

/// Asserts that the upload is full and says why it is not complete.
async fn assert_held_up(app: &TestApp, id: &str, reason: &str) {
    idle().await;
    for status in [status(app, id).await, app.flow(CONTENT).lookup().await.json()] {
        let upload = &status["upload"];
        let error = upload["error"].as_str().unwrap_or_default();
        assert_eq!(upload["state"], "stitching");
        assert!(error.contains("tried again") && error.contains(reason), "{error}");
    }
    let list = app.get("/uploads?state=stitching").await.json();
    let error = list["uploads"][0]["upload"]["error"].clone();
    assert!(error.as_str().is_some_and(|error| error.contains(reason)), "{list}");
}

#[test]
fn what_holds_up_a_completion_is_shown_and_outlives_the_process() {
    let machine = machine();
    let id = machine.process(async |app| {
        machine.disk.fail_next(StoreOp::Publish, ErrorKind::StorageFull);
        let id = app.flow(CONTENT).send(1..=COUNT).await.upload_id();
        assert_held_up(app, &id, "no space left").await;
        id
    });
    // Killed. What the next process cannot do either is held up again.
    machine.process(async |app| {
        let list = app.get("/uploads?state=stitching").await.json();
        let told = list["uploads"][0]["upload"]["error"].as_str().map(str::to_owned);
        assert!(told.is_some_and(|told| told.contains("no space left")), "{list}");
        assert_eq!(app.ended(&id).await.state.as_str(), "complete");
        assert_eq!(status(app, &id).await["upload"]["error"], Value::Null);
        app.assert_one_creative(CONTENT).await;
    });
}

#[tokio::test]
async fn a_place_for_finished_files_that_is_gone_costs_none_of_their_bytes() {
    let app = TestApp::builder().flag("--completion-wait=0s").start().await;
    let completed = app.dir().join("completed");
    std::fs::remove_dir_all(&completed).expect("it was there");
    std::fs::create_dir(&completed).expect("another one");
    let file = app.flow(CONTENT).chunk_size(CONTENT.len());
    let id = file.post(1).await.assert_status(200).upload_id();
    let held_up = async {
        while status(&app, &id).await["upload"]["error"].is_null() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), held_up).await.expect("it says so");
    file.probe(1).await.assert_status(200);
    assert_eq!(app.files("incomplete").len(), 1);
}

#[test]
fn a_probe_does_not_wait_for_what_is_held_up() {
    let machine = Machine::new();
    machine.process(async |app| {
        machine.disk.fail_next(StoreOp::Publish, ErrorKind::StorageFull);
        let gate = machine.store.hold_next(StoreOp::Publish);
        let file = app.flow(CONTENT);
        file.send(1..COUNT).await;
        let probes = async {
            gate.reached().await;
            gate.open();
            idle().await;
            let began = tokio::time::Instant::now();
            for number in 1..=COUNT {
                let status = file.probe(number).await.assert_status(200).json();
                assert!(status["upload"]["error"].is_string(), "{status}");
            }
            assert_eq!(began.elapsed(), Duration::ZERO);
        };
        let (last, ()) = tokio::join!(file.post(COUNT), probes);
        last.assert_status(201);
    });
}

#[test]
fn what_the_system_said_is_for_the_log() {
    let machine = machine();
    machine.process(async |app| {
        machine.disk.fail_next(StoreOp::Publish, ErrorKind::PermissionDenied);
        let id = app.flow(CONTENT).send(1..=COUNT).await.upload_id();
        assert_held_up(app, &id, "cannot").await;
        let error = status(app, &id).await["upload"]["error"].to_string();
        let of_the_system = std::io::Error::from(ErrorKind::PermissionDenied).to_string();
        assert!(!error.contains(&of_the_system), "{error}");
    });
}

#[test]
fn what_cannot_even_be_loaded_says_so_and_is_tried_less_and_less() {
    let machine = machine();
    let id = machine.process(async |app| {
        machine.disk.fail_next(StoreOp::Publish, ErrorKind::Other);
        app.flow(CONTENT).send(1..=COUNT).await.upload_id()
    });
    machine.process(async |app| {
        let attempts = async || {
            let record = machine.facts.upload(id.parse().expect("an id")).await.expect("read");
            record.and_then(|record| record.trouble).map_or(0, |trouble| trouble.attempts)
        };
        let before = attempts().await;
        for _ in 0..4 {
            machine.disk.fail_next(StoreOp::Look, ErrorKind::Other);
        }
        let began = tokio::time::Instant::now();
        idle().await;
        assert_eq!(attempts().await, before + 1);
        while attempts().await != 0 {
            idle().await;
        }
        assert!(Duration::from_secs(10) < began.elapsed(), "{:?}", began.elapsed());
        assert_eq!(app.ended(&id).await.state.as_str(), "complete");
        app.assert_one_creative(CONTENT).await;
    });
}

#[test]
fn a_panic_holds_up_one_upload_until_it_is_over_and_says_so() {
    let machine = machine().flag("--stitch-workers=1");
    machine.process(async |app| {
        machine.store.panic_next(StoreOp::Publish);
        let id = app.flow(CONTENT).send(1..=COUNT).await.upload_id();
        assert_held_up(app, &id, "internal error").await;
        let other = app.flow("another file").name("b.bin");
        let other_id = other.send(1..=other.count()).await.upload_id();
        assert_eq!(app.ended(&other_id).await.state.as_str(), "complete");
        assert_eq!(app.ended(&id).await.state.as_str(), "complete");
        assert_eq!(app.creatives().await.len(), 2);
    });
}

#[test]
fn a_catalog_that_does_not_even_take_the_reason_holds_nothing_up_for_good() {
    let machine = machine();
    machine.process(async |app| {
        machine.catalog.fail_next(CatalogOp::Complete);
        machine.catalog.fail_next(CatalogOp::HoldUp);
        let id = app.flow(CONTENT).send(1..=COUNT).await.upload_id();
        assert_eq!(app.ended(&id).await.state.as_str(), "complete");
        app.assert_one_creative(CONTENT).await;
    });
}

#[test]
fn a_cancel_of_what_was_published_and_not_recorded_removes_the_file_even_across_a_crash() {
    let machine = machine();
    machine.process(async |app| {
        machine.catalog.fail_next(CatalogOp::Complete);
        let id = app.flow(CONTENT).send(1..=COUNT).await.upload_id();
        assert_held_up(app, &id, "catalog").await;
        assert_eq!(machine.files().await, (0, 1), "published, and not recorded");
        machine.disk.fail_next(StoreOp::SetAside, ErrorKind::Other);
        app.delete(&format!("/uploads/{id}")).await.assert_status(204);
        assert_eq!(machine.files().await, (0, 1), "its file could not be removed");
    });
    machine.process(async |app| {
        app.app().engine().sweep().await.expect("a sweep");
        assert_eq!(machine.files().await, (0, 0));
        assert!(app.creatives().await.is_empty());
    });
}
