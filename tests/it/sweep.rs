//! What is forgotten, when, and what is not; and whom a tombstone answers.

use std::time::Duration;

use flowstitch::{
    catalog::Catalog,
    upload::{By, UploadState, limits},
};
use serde_json::json;

use crate::support::{CatalogOp, Machine, Reply, TestApp, idle};

const CONTENT: &str = "hello world";
const DAY: i64 = 24 * 3600;

async fn sweep(app: &TestApp) {
    app.app().engine().sweep().await.expect("a sweep");
}

/// Cancels the upload of [`CONTENT`] with one chunk; gives its id.
async fn cancel(app: &TestApp) -> String {
    let id = app.flow(CONTENT).send([1]).await.upload_id();
    app.delete(&format!("/uploads/{id}")).await.assert_status(204);
    app.delete(&format!("/uploads/{id}")).await.assert_status(204);
    id
}

#[test]
fn an_upload_expires_a_day_after_its_last_chunk_and_leaves_a_tombstone() {
    let machine = Machine::new();
    machine.process(async |app| {
        let file = app.flow("hello world, are you there?");
        let id = file.send([1]).await.upload_id();
        machine.advance_seconds(DAY - 1);
        file.send([2]).await;
        machine.advance_seconds(DAY - 1);
        sweep(app).await;
        file.probe(1).await.assert_status(200);
        machine.advance_seconds(2);
        sweep(app).await;
        assert_eq!(machine.files().await, (0, 0), "the bytes are gone");
        let status = app.get(&format!("/uploads/{id}")).await.json();
        assert_eq!(status["upload"]["state"], "expired");
        file.post(3).await.assert_problem(415, "upload_gone");
        machine.advance_seconds(DAY + 1);
        sweep(app).await;
        assert_eq!(machine.uploads().await, 0);
    });
}

#[test]
fn the_sweep_goes_by_itself() {
    let machine = Machine::new().flag("--upload-ttl=60s").flag("--sweep-interval=10s");
    machine.process(async |app| {
        let id = app.flow(CONTENT).send([1]).await.upload_id();
        // The two clocks go together: else the sweep would not believe the one on the wall.
        for _ in 0..200 {
            machine.advance_seconds(1);
            tokio::time::advance(Duration::from_secs(1)).await;
            idle().await;
        }
        let record = machine.facts.upload(id.parse().expect("an id")).await.expect("read");
        assert_eq!(record.expect("it is known").state, UploadState::Expired);
        assert_eq!(machine.files().await, (0, 0));
    });
}

#[test]
fn an_upload_that_nobody_uses_leaves_memory() {
    let machine = Machine::new();
    machine.process(async |app| {
        let id = app.flow(CONTENT).send([1]).await.upload_id();
        let state = async || {
            let status = app.get(&format!("/uploads/{id}")).await.json();
            status["upload"]["state"].as_str().expect("a state").to_owned()
        };
        // Behind the back of the engine: what it still has in memory does not know of it.
        let (catalog, upload) = (&machine.facts, id.parse().expect("an id"));
        let by = By::server(app.clock().now());
        assert!(catalog.end(upload, UploadState::Failed, None, &by).await.expect("ended"));
        assert_eq!(state().await, "receiving");
        let waited = tokio::time::timeout(limits::LIVE_IDLE * 3, std::future::pending::<()>());
        waited.await.expect_err("nobody comes");
        assert_eq!(state().await, "failed");
    });
}

#[test]
fn an_upload_that_somebody_uses_does_not_expire() {
    let machine = Machine::new();
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        file.send([1]).await;
        let (client, answer) = file.trickle(2);
        let script = async {
            client.bring(b"o w").await;
            client.bring(b"orl").await;
            machine.advance_seconds(2 * DAY);
            sweep(app).await;
            client.bring(b"d").await;
            drop(client);
        };
        let ((), last) = tokio::join!(script, answer);
        last.assert_status(201);
        app.assert_one_creative(CONTENT.as_bytes()).await;
    });
}

#[test]
fn those_that_cannot_be_expired_keep_nobody_behind_them() {
    let machine = Machine::new();
    machine.process(async |app| {
        let count = limits::SWEEP_BATCH_LEN_MAX;
        for number in 0..=count {
            app.flow(CONTENT).name(&format!("{number}.bin")).send([1]).await;
            machine.advance_seconds(1);
        }
        machine.advance_seconds(DAY + 1);
        for _ in 0..count {
            machine.catalog.fail_next(CatalogOp::End);
        }
        sweep(app).await;
        let expired = app.get("/uploads?state=expired").await.json();
        let expired = expired["uploads"].as_array().expect("a list").len();
        assert_eq!(expired, 1, "the last one was not behind a wall of others");
    });
}

#[test]
fn whoever_only_watches_does_not_keep_an_upload_for_ever() {
    let machine = Machine::new();
    machine.process(async |app| {
        let id = app.flow(CONTENT).send([1]).await.upload_id();
        let events = app.open(&format!("/uploads/{id}/events")).await;
        machine.advance_seconds(DAY + 1);
        sweep(app).await;
        assert_eq!(app.get(&format!("/uploads/{id}")).await.json()["upload"]["state"], "expired");
        let told = Reply::read(events).await;
        assert!(String::from_utf8_lossy(&told.body).contains("expired"), "{told:?}");
    });
}

#[test]
fn a_completed_file_outlives_every_sweep() {
    let machine = Machine::new();
    machine.process(async |app| {
        app.flow(CONTENT).send([1, 2]).await;
        for seconds in [2 * DAY, 400 * DAY, -300 * DAY, -200 * DAY, 500 * DAY] {
            machine.advance_seconds(seconds);
            sweep(app).await;
            app.assert_one_creative(CONTENT.as_bytes()).await;
        }
        assert_eq!(machine.uploads().await, 0, "its tombstone did not");
    });
}

#[test]
fn a_clock_that_jumps_back_expires_nothing_and_frees_nothing() {
    let machine = Machine::new();
    machine.process(async |app| {
        let running = app.flow("still on its way").name("b.bin");
        running.send([1]).await;
        app.flow(CONTENT).send([1, 2]).await;
        machine.advance_seconds(-5 * 60);
        sweep(app).await;
        running.probe(1).await.assert_status(200);
        assert_eq!(app.flow(CONTENT).probe(1).await.json()["complete"], true);
        machine.advance_seconds(-DAY);
        sweep(app).await;
        running.probe(1).await.assert_status(200);
        // Nor does it hold the identity of a complete upload for ever.
        app.flow(CONTENT).probe(1).await.assert_status(204);
    });
}

#[test]
fn a_complete_upload_answers_for_ten_minutes_and_then_the_same_file_is_a_new_one() {
    let machine = Machine::new();
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        let first = file.send([1, 2]).await.upload_id();
        machine.advance_seconds(599);
        assert_eq!(file.probe(2).await.json()["complete"], true);
        assert_eq!(file.post(2).await.json()["upload"]["id"], first);
        machine.advance_seconds(1);
        file.probe(2).await.assert_status(204);
        file.lookup().await.assert_status(404);
        let second = file.send([1, 2]).await;
        second.assert_status(201);
        assert_ne!(second.upload_id(), first);
        assert_eq!(app.creatives().await.len(), 2);
    });
}

#[test]
fn a_creative_that_was_moved_answers_for_the_day_that_was_asked_for_and_for_its_own() {
    Machine::new().process(async |app| {
        let on = |day: &str| app.flow(CONTENT).with("scheduled_at", day);
        let id = on("2026-12-05").send([1, 2]).await.upload_id();
        let creative = app.creatives().await[0]["id"].as_str().expect("an id").to_owned();
        let moved = json!({ "scheduled_at": "2026-12-06" }).to_string();
        app.patch(&format!("/creatives/{creative}"), moved).await.assert_status(200);
        for day in ["2026-12-05", "2026-12-06"] {
            assert_eq!(on(day).send([1, 2]).await.upload_id(), id, "{day}");
        }
        assert_ne!(on("2026-12-07").send([1, 2]).await.upload_id(), id);
    });
}

#[test]
fn another_day_after_completion_is_another_upload() {
    let machine = Machine::new();
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        file.send([1, 2]).await.assert_status(201);
        // Scheduled for today, because it named no day.
        let same = file.clone().with("scheduled_at", "2026-12-01");
        assert_eq!(same.probe(1).await.json()["complete"], true);
        let other = file.clone().with("scheduled_at", "2026-12-24");
        other.probe(1).await.assert_status(204);
        other.send([1, 2]).await.assert_status(201);
        let days: Vec<_> =
            app.creatives().await.into_iter().map(|c| c["scheduled_at"].clone()).collect();
        assert_eq!(days, [json!("2026-12-01"), json!("2026-12-24")]);
    });
}

#[test]
fn a_deleted_creative_frees_its_identity_at_once() {
    let machine = Machine::new();
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        let creative = file.send([1, 2]).await.json()["creative"]["id"].clone();
        let path = format!("/creatives/{}", creative.as_str().expect("an id"));
        app.delete(&path).await.assert_status(204);
        assert_eq!(machine.files().await, (0, 0));
        file.probe(1).await.assert_status(204);
        file.send([1, 2]).await.assert_status(201);
        app.assert_one_creative(CONTENT.as_bytes()).await;
    });
}

#[test]
fn late_chunks_do_not_bring_a_cancelled_upload_back() {
    let machine = Machine::new();
    machine.process(async |app| {
        let id = cancel(app).await;
        let file = app.flow(CONTENT);
        file.post(2).await.assert_problem(415, "upload_gone");
        machine.advance_seconds(29);
        file.post(1).await.assert_problem(415, "upload_gone");
        assert_eq!(machine.files().await, (0, 0));
        let status = app.get(&format!("/uploads/{id}")).await.json();
        assert_eq!(status["upload"]["state"], "cancelled");
    });
    // Nor after a restart.
    machine.process(async |app| {
        app.flow(CONTENT).post(1).await.assert_problem(415, "upload_gone");
        machine.advance_seconds(1);
        app.flow(CONTENT).send([1, 2]).await.assert_status(201);
    });
}

#[test]
fn whoever_asks_first_begins_a_cancelled_upload_anew() {
    for asks in ["probe", "lookup"] {
        let machine = Machine::new();
        machine.process(async |app| {
            let id = cancel(app).await;
            let file = app.flow(CONTENT);
            match asks {
                "probe" => file.probe(1).await.assert_status(204),
                _ => file.lookup().await.assert_status(404),
            };
            let last = file.send([1, 2]).await;
            last.assert_status(201);
            assert_ne!(last.upload_id(), id);
        });
    }
}

#[test]
fn a_chunk_on_its_way_when_its_upload_is_cancelled_is_told_so() {
    let machine = Machine::new();
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        let id = file.send([1]).await.upload_id();
        let (client, answer) = file.trickle(2);
        let script = async {
            client.bring(b"o w").await;
            client.bring(b"orl").await;
            app.delete(&format!("/uploads/{id}")).await.assert_status(204);
            client.bring(b"d").await;
            drop(client);
        };
        let ((), late) = tokio::join!(script, answer);
        late.assert_problem(415, "upload_gone");
        idle().await;
        assert_eq!(machine.files().await, (0, 0));
        assert_eq!(app.creatives().await.len(), 0);
    });
}

#[test]
fn an_upload_that_is_cancelled_after_its_publish_and_before_its_record_has_no_file() {
    let machine = Machine::new();
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        let id = file.send([1]).await.upload_id();
        for _ in 0..8 {
            machine.catalog.fail_next(CatalogOp::Complete);
        }
        assert_eq!(file.post(2).await.json()["upload"]["state"], "stitching");
        assert_eq!(machine.files().await, (0, 1), "published and not recorded");
        app.delete(&format!("/uploads/{id}")).await.assert_status(204);
        assert_eq!(app.ended(&id).await.state, UploadState::Cancelled);
        assert_eq!(machine.files().await, (0, 0));
        assert_eq!(app.creatives().await.len(), 0);
    });
}

#[test]
fn cancelling_waits_for_a_stitch_that_has_published_and_finds_the_upload_complete() {
    let machine = Machine::new();
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        let id = file.send([1]).await.upload_id();
        let gate = machine.catalog.hold_next(CatalogOp::Complete);
        let path = format!("/uploads/{id}");
        let script = async {
            gate.reached().await;
            let mut cancel = std::pin::pin!(app.delete(&path));
            for _ in 0..100 {
                assert!(futures_util::poll!(&mut cancel).is_pending(), "it waits");
                tokio::task::yield_now().await;
            }
            gate.open();
            cancel.await
        };
        let (last, cancel) = tokio::join!(file.post(2), script);
        last.assert_status(201);
        cancel.assert_problem(409, "conflict");
        app.assert_one_creative(CONTENT.as_bytes()).await;
    });
}
