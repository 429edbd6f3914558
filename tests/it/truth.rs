//! Where memory and catalog would come to say different things of one upload: the catalog is the
//! truth, and nothing is done or said against it.

use std::io::ErrorKind;

use flowstitch::{
    catalog::Catalog,
    store::{ChunkStore, MemoryStore, StoreOp},
    upload::{By, UploadId, UploadState},
};

use crate::support::{CatalogOp, Gate, Machine, Reply, idle, sha256_hex};

/// 27 bytes in six chunks.
const CONTENT: &[u8] = b"hello world, are you there?";
const COUNT: usize = 6;
const DAY: i64 = 24 * 3600;

fn id_of(reply: &Reply) -> UploadId {
    reply.upload_id().parse().expect("an id")
}

#[test]
fn a_creative_that_is_deleted_while_its_upload_is_loaded_answers_for_nothing() {
    let machine = Machine::new();
    let url = machine.process(async |app| {
        app.flow(CONTENT).send(1..=COUNT).await;
        let creative = app.assert_one_creative(CONTENT).await;
        format!("/creatives/{}", creative["id"].as_str().expect("an id"))
    });
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        idle().await;
        // The probe has read the creative and has yet to say so.
        let held = Gate::closed();
        machine.catalog.hold_nth_after(CatalogOp::Look, 1, &held);
        let script = async {
            held.reached().await;
            let deletes = async { app.delete(&url).await.assert_status(204).status };
            let opens = async {
                idle().await;
                held.open();
            };
            tokio::join!(deletes, opens)
        };
        tokio::join!(file.probe(1), script);
        file.probe(1).await.assert_missing();
        file.send(1..=COUNT).await.assert_status(201);
        app.assert_one_creative(CONTENT).await;
    });
}

#[test]
fn one_file_that_cannot_be_removed_keeps_no_other_from_it() {
    let machine = Machine::new();
    machine.process(async |app| {
        for name in ["a.bin", "b.bin"] {
            app.flow(CONTENT).name(name).send(1..=COUNT).await;
        }
        for creative in app.creatives().await {
            machine.disk.fail_next(StoreOp::Unpublish, ErrorKind::Other);
            let url = format!("/creatives/{}", creative["id"].as_str().expect("an id"));
            app.delete(&url).await.assert_status(204);
        }
        assert_eq!(machine.files().await, (0, 2));
        machine.disk.fail_next(StoreOp::Unpublish, ErrorKind::Other);
        app.app().engine().sweep().await.ok();
        assert_eq!(machine.files().await, (0, 1));
    });
}

#[test]
fn a_chunk_that_is_recorded_while_all_is_forgotten_is_forgotten_with_it() {
    let machine = Machine::new();
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        let upload = id_of(&file.send([1]).await);
        let held = machine.catalog.hold_next(CatalogOp::Commit);
        let script = async {
            held.reached().await;
            machine.disk.discard(upload).await.expect("somebody removes it");
            let opens = async {
                idle().await;
                held.open();
            };
            tokio::join!(app.app().engine().retry(upload), opens).0.expect("tried");
        };
        tokio::join!(file.post(2), script);
        idle().await;
        for number in [1, 2] {
            file.probe(number).await.assert_missing();
        }
        file.send(1..=COUNT).await.assert_status(201);
        app.assert_one_creative(CONTENT).await;
    });
}

#[test]
fn what_could_not_be_forgotten_is_not_written_over() {
    let machine = Machine::new();
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        file.send([1]).await;
        machine.store.rot_next_read();
        machine.store.rot_next_read();
        machine.catalog.fail_next(CatalogOp::Forget);
        file.post(1).await.assert_problem(503, "unavailable");
        let digest = sha256_hex(file.chunk(1));
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
fn bytes_are_taken_while_others_are_being_recorded() {
    let machine = Machine::new();
    machine.process(async |app| {
        let (file, other) = (app.flow(CONTENT), app.flow("another file").name("b.bin"));
        let held = machine.catalog.hold_next(CatalogOp::Commit);
        let script = async {
            held.reached().await;
            let before = machine.disk.count(StoreOp::Write);
            let looks = async {
                idle().await;
                assert!(before < machine.disk.count(StoreOp::Write), "it waits for a flush");
                held.open();
            };
            tokio::join!(other.post(1), looks).0
        };
        let (first, second) = tokio::join!(file.post(1), script);
        first.assert_status(200);
        second.assert_status(200);
    });
}

#[test]
fn an_upload_that_cannot_be_loaded_on_a_full_disk_holds_up_no_sweep_and_can_be_given_up() {
    let machine = Machine::with_disk(MemoryStore::with_room(60)).flag("--reserve-free=0");
    let short = machine.process(async |app| {
        let short = id_of(&app.flow(CONTENT).send([1]).await);
        machine.advance_seconds(1);
        app.flow(CONTENT).name("b.bin").send([1]).await;
        short
    });
    // What loss of power may leave of a file.
    Machine::paused(machine.disk.create(short, 4)).expect("it is shorter");
    machine.process(async |app| {
        idle().await;
        machine.disk.create(UploadId::new(), 29).await.expect("the disk is full now");
        machine.advance_seconds(2 * DAY);
        app.app().engine().sweep().await.expect("a sweep");
        assert_eq!(machine.files().await, (1, 0), "both have expired, and there is room");
    });
}

#[test]
fn the_bytes_of_an_upload_whose_end_is_in_doubt_go_with_the_next_sweep() {
    let machine = Machine::new();
    machine.process(async |app| {
        let id = app.flow(CONTENT).send([1]).await.upload_id();
        machine.catalog.fail_after_next(CatalogOp::End);
        machine.catalog.fail_next(CatalogOp::Upload);
        app.delete(&format!("/uploads/{id}")).await.assert_problem(503, "unavailable");
        assert_eq!(machine.files().await, (1, 0));
        app.app().engine().sweep().await.expect("a sweep");
        assert_eq!(machine.files().await, (0, 0));
    });
}

#[test]
fn a_cancel_spares_what_was_completed_though_that_seemed_to_fail() {
    let machine = Machine::new().flag("--completion-wait=0s");
    machine.process(async |app| {
        machine.catalog.fail_after_next(CatalogOp::Complete);
        let id = app.flow(CONTENT).send(1..=COUNT).await.upload_id();
        idle().await;
        app.delete(&format!("/uploads/{id}")).await.assert_problem(409, "conflict");
        app.assert_one_creative(CONTENT).await;
        let status = app.get(&format!("/uploads/{id}")).await.json();
        assert_eq!(status["upload"]["state"], "complete");
        assert_eq!(app.flow(CONTENT).probe(1).await.status, 200);
    });
}

#[test]
fn what_was_completed_in_doubt_answers_and_is_not_taken_twice() {
    let machine = Machine::new().flag("--completion-wait=0s");
    machine.process(async |app| {
        machine.catalog.fail_after_next(CatalogOp::Complete);
        let file = app.flow(CONTENT);
        let id = file.send(1..=COUNT).await.upload_id();
        idle().await;
        machine.catalog.fail_next(CatalogOp::End);
        machine.catalog.fail_next(CatalogOp::Upload);
        app.delete(&format!("/uploads/{id}")).await.assert_problem(503, "unavailable");
        assert_eq!(file.probe(1).await.assert_status(200).json()["complete"], true);
        file.post(1).await.assert_status(200);
        app.assert_one_creative(CONTENT).await;
    });
}

#[test]
fn a_doubt_is_not_settled_by_an_answer_from_before_it() {
    let machine = Machine::new();
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        let path = format!("/uploads/{}", file.send([1]).await.upload_id());
        machine.catalog.fail_next(CatalogOp::End);
        machine.catalog.fail_next(CatalogOp::Upload);
        app.delete(&path).await.assert_problem(503, "unavailable");
        // One asks, and is told late that it runs.
        let held = Gate::closed();
        machine.catalog.hold_nth_after(CatalogOp::Upload, 0, &held);
        let script = async {
            held.reached().await;
            // Another one cancels: it takes effect, seems to fail, and cannot be looked up.
            machine.catalog.fail_after_next(CatalogOp::End);
            machine.catalog.fail_nth(CatalogOp::Upload, 1);
            let opens = async {
                idle().await;
                held.open();
            };
            tokio::join!(app.delete(&path), opens)
        };
        tokio::join!(file.probe(1), script);
        machine.catalog.calm();
        file.probe(1).await.assert_missing();
        idle().await;
        assert_eq!(machine.files().await, (0, 0));
    });
}

#[test]
fn an_upload_that_is_cancelled_at_its_first_chunk_harms_no_other_though_that_seemed_to_fail() {
    let machine = Machine::new();
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        let (client, first) = file.trickle(1);
        let script = async {
            client.bring(b"he").await;
            client.bring(b"").await;
            let path = format!("/uploads/{}", file.lookup().await.upload_id());
            machine.catalog.fail_after_next(CatalogOp::Commit);
            app.delete(&path).await.assert_problem(503, "unavailable");
            app.delete(&path).await.assert_status(204);
            drop(client);
        };
        tokio::join!(script, first);
        idle().await;
        assert_eq!(machine.files().await, (0, 0));
    });
}

#[test]
fn a_creative_whose_deletion_seemed_to_fail_and_could_not_be_looked_up_answers_for_nothing() {
    let machine = Machine::new();
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        file.send(1..=COUNT).await;
        let creative = app.assert_one_creative(CONTENT).await;
        let url = format!("/creatives/{}", creative["id"].as_str().expect("an id"));
        machine.catalog.fail_after_next(CatalogOp::DeleteCreative);
        machine.catalog.fail_nth(CatalogOp::Look, 1);
        app.delete(&url).await.assert_problem(503, "unavailable");
        app.delete(&url).await.assert_problem(404, "not_found");
        file.probe(1).await.assert_missing();
        file.send(1..=COUNT).await.assert_status(201);
        app.assert_one_creative(CONTENT).await;
    });
}

#[test]
fn a_chunk_of_an_upload_that_ended_elsewhere_leaves_no_bytes_behind() {
    let machine = Machine::new();
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        let id = id_of(&file.send([1]).await);
        let by = By::server(app.clock().now());
        let ended = machine.facts.reopened().end(id, UploadState::Cancelled, None, &by).await;
        assert!(ended.expect("it is open"));
        file.post(2).await.assert_problem(415, "upload_gone");
        app.app().engine().sweep().await.expect("a sweep");
        assert_eq!(machine.files().await, (0, 0));
        file.probe(1).await.assert_missing();
    });
}

#[test]
fn what_is_published_for_an_upload_that_ended_meanwhile_is_removed_again() {
    let machine = Machine::new().flag("--completion-wait=0s");
    machine.process(async |app| {
        let held = machine.store.hold_next(StoreOp::Publish);
        let id = id_of(&app.flow(CONTENT).send(1..=COUNT).await);
        held.reached().await;
        let by = By::server(app.clock().now());
        let ended = machine.facts.reopened().end(id, UploadState::Cancelled, None, &by).await;
        assert!(ended.expect("it is open"));
        // There is nothing to remove yet.
        app.app().engine().sweep().await.expect("a sweep");
        held.open();
        assert_eq!(app.ended(&id.to_string()).await.state, UploadState::Cancelled);
        idle().await;
        assert_eq!(machine.files().await, (0, 0));
    });
}

#[test]
fn what_could_not_be_forgotten_is_forgotten_by_the_next_sweep() {
    let machine = Machine::new();
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        let id = id_of(&file.send([1]).await);
        machine.disk.write(id, 0, vec!["rot!".into()]).await.expect("it is there");
        machine.catalog.fail_next(CatalogOp::Forget);
        file.post(1).await.assert_problem(503, "unavailable");
        app.app().engine().sweep().await.expect("a sweep");
    });
    machine.process(async |app| app.flow(CONTENT).probe(1).await.assert_missing());
}
