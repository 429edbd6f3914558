//! Calls that seem to fail and took effect, or fail half-way: what is said stays the truth.

use std::{io::ErrorKind, pin::pin};

use flowstitch::store::StoreOp;
use futures_util::poll;

use crate::support::{CatalogOp, Machine, Reply, idle};

const CONTENT: &[u8] = b"hello world, are you there?";
const COUNT: usize = 6;

#[test]
fn an_upload_whose_opening_seemed_to_fail_goes_on_and_harms_no_other() {
    let machine = Machine::new();
    machine.process(async |app| {
        let (file, other) = (app.flow(CONTENT), app.flow("another file").name("b.bin"));
        let (client, slow) = file.trickle(1);
        let script = async {
            client.bring(b"he").await;
            idle().await;
            machine.catalog.fail_after_next(CatalogOp::Commit);
            file.post(2).await.assert_problem(503, "unavailable");
            // One batch for both.
            let held = machine.store.hold_next(StoreOp::Sync);
            let first = app.flow("the first").name("c.bin");
            let opens = async {
                held.reached().await;
                let answers = async { tokio::join!(file.post(2), other.post(1)) };
                let mut answers = pin!(answers);
                assert!(poll!(&mut answers).is_pending());
                idle().await;
                held.open();
                answers.await
            };
            let (_, (again, other)) = tokio::join!(first.post(1), opens);
            other.assert_status(200);
            again.assert_status(200);
            client.bring(b"ll").await;
            drop(client);
        };
        let ((), slow) = tokio::join!(script, slow);
        slow.assert_status(200);
        file.send(3..=COUNT).await.assert_status(201);
        app.assert_one_creative(CONTENT).await;
    });
}

#[test]
fn a_chunk_that_was_recorded_though_it_seemed_not_is_not_removed_behind_a_probe() {
    let machine = Machine::new();
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        machine.catalog.fail_after_next(CatalogOp::Commit);
        let discard = machine.store.hold_next(StoreOp::Discard);
        file.post(1).await.assert_problem(503, "unavailable");
        let before = file.probe(1).await.status;
        discard.open();
        idle().await;
        assert_eq!(machine.files().await, (1, 0), "the catalog knows it, so its bytes stay");
        assert_eq!(file.probe(1).await.status, before);
        file.send(1..=COUNT).await.assert_status(201);
        app.assert_one_creative(CONTENT).await;
    });
}

#[test]
fn a_day_that_could_not_be_written_down_is_written_with_the_next_try() {
    let machine = Machine::new();
    let later = "2026-12-24";
    machine.process(async |app| {
        let (file, moved) = (app.flow(CONTENT), app.flow(CONTENT).with("scheduled_at", later));
        file.send([1]).await;
        machine.catalog.fail_next(CatalogOp::Commit);
        moved.post(1).await.assert_problem(503, "unavailable");
        moved.post(1).await.assert_status(200);
    });
    machine.process(async |app| {
        app.flow(CONTENT).send(2..=COUNT).await.assert_status(201);
        assert_eq!(app.assert_one_creative(CONTENT).await["scheduled_at"], later);
    });
}

#[test]
fn a_cancel_that_took_effect_though_it_seemed_not_takes_no_more_chunks() {
    let machine = Machine::new();
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        let path = format!("/uploads/{}", file.send([1]).await.upload_id());
        machine.catalog.fail_after_next(CatalogOp::End);
        let cancelled = app.delete(&path).await;
        let late: Reply = file.post(2).await;
        assert_eq!((cancelled.status.as_u16(), late.status.as_u16()), (204, 415), "{late:?}");
        idle().await;
        assert_eq!(machine.files().await, (0, 0));
    });
}

#[test]
fn a_day_that_is_named_while_the_file_is_being_recorded_counts() {
    let machine = Machine::new();
    machine.process(async |app| {
        let file = app.flow(CONTENT).with("scheduled_at", "2026-12-01");
        let moved = app.flow(CONTENT).with("scheduled_at", "2026-12-24");
        file.send(1..COUNT).await;
        let held = machine.catalog.hold_next(CatalogOp::Complete);
        let script = async {
            held.reached().await;
            let mut answer = pin!(moved.post(1));
            for _ in 0..100 {
                assert!(poll!(&mut answer).is_pending(), "it waits for the file");
                tokio::task::yield_now().await;
            }
            held.open();
            answer.await
        };
        let (last, moved) = tokio::join!(file.post(COUNT), script);
        last.assert_status(201);
        moved.assert_status(200);
        assert_eq!(app.assert_one_creative(CONTENT).await["scheduled_at"], "2026-12-24");
    });
}

#[test]
fn a_damaged_file_that_cannot_be_removed_does_not_stand_in_the_way_for_good() {
    let machine = Machine::new();
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        file.send(1..COUNT).await;
        let held = machine.catalog.hold_next(CatalogOp::Complete);
        tokio::select! {
            _ = file.post(COUNT) => panic!("it is held up"),
            () = held.reached() => {}
        }
        assert_eq!(machine.files().await, (0, 1), "published and not recorded");
    });
    machine.store.rot_next_read();
    machine.disk.fail_next(StoreOp::Unpublish, ErrorKind::Other);
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        while file.lookup().await.json()["upload"]["state"] == "stitching" {
            idle().await;
        }
        if file.probe(1).await.status == 204 {
            file.send(1..=COUNT).await.assert_status(201);
        }
        app.assert_one_creative(CONTENT).await;
        assert_eq!(machine.files().await, (0, 1));
    });
}

#[test]
fn a_chunk_is_not_acknowledged_for_an_upload_whose_end_seemed_to_fail() {
    let machine = Machine::new();
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        let id = file.send([1]).await.upload_id();
        // The end takes effect, seems to fail, and cannot be looked up.
        machine.catalog.fail_after_next(CatalogOp::End);
        machine.catalog.fail_next(CatalogOp::Upload);
        app.delete(&format!("/uploads/{id}")).await.assert_problem(503, "unavailable");
        file.post(2).await.assert_problem(415, "upload_gone");
        file.post(2).await.assert_problem(415, "upload_gone");
        file.probe(2).await.assert_missing();
        file.send(1..=COUNT).await.assert_status(201);
        app.assert_one_creative(CONTENT).await;
    });
}

#[test]
fn what_was_recorded_though_it_seemed_not_is_not_written_over() {
    let machine = Machine::new();
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        machine.catalog.fail_after_next(CatalogOp::Commit);
        file.post(1).await.assert_problem(503, "unavailable");
        let digest = crate::support::sha256_hex(file.chunk(1));
        let damaged = file.clone().with("chunk_sha256", digest).post_bytes(1, b"????").await;
        assert!(damaged.status.is_client_error(), "{damaged:?}");
    });
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        let believed = file.probe(1).await.status == 200;
        file.send(2..=COUNT).await;
        assert_eq!(file.probe(1).await.status == 200, believed, "a probe does not lie");
    });
}

#[test]
fn an_upload_is_completed_though_a_chunk_of_it_was_recorded_and_seemed_not() {
    let machine = Machine::new();
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        file.send([2]).await;
        machine.catalog.fail_after_next(CatalogOp::Commit);
        machine.catalog.fail_nth(CatalogOp::Forget, 0);
        file.post(1).await.assert_problem(503, "unavailable");
        file.send(3..=COUNT).await;
    });
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        file.probe(1).await.assert_status(204);
        file.post(1).await.assert_status(201);
        app.assert_one_creative(CONTENT).await;
    });
}

#[test]
fn nothing_is_said_of_an_upload_whose_end_is_in_doubt_until_the_catalog_answers() {
    let machine = Machine::new();
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        let id = file.send([1]).await.upload_id();
        machine.catalog.fail_after_next(CatalogOp::End);
        machine.catalog.fail_nth(CatalogOp::Upload, 0);
        app.delete(&format!("/uploads/{id}")).await.assert_problem(503, "unavailable");
        for _ in 0..2 {
            machine.catalog.fail_nth(CatalogOp::Upload, 0);
            file.probe(1).await.assert_problem(503, "unavailable");
        }
        machine.catalog.fail_nth(CatalogOp::Upload, 0);
        file.post(1).await.assert_problem(503, "unavailable");
        let status = app.get(&format!("/uploads/{id}")).await.json();
        assert_eq!(status["upload"]["state"], "cancelled");
        file.post(1).await.assert_problem(415, "upload_gone");
        file.probe(1).await.assert_missing();
        assert_eq!(machine.files().await, (0, 0), "its bytes are gone");
        file.send(1..=COUNT).await.assert_status(201);
        app.assert_one_creative(CONTENT).await;
    });
}
