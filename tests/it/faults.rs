//! Disks that fail: what was promised is kept, and nothing else is promised.

use std::io::ErrorKind;

use bytes::Bytes;
use flowstitch::{
    store::{ChunkStore, MemoryStore, StoreOp},
    upload::UploadId,
};

use crate::support::{CatalogOp, FlowFile, Machine, Reply, StagedCatalog, TestApp, idle};

const CONTENT: &[u8] = b"hello world, are you there?";

/// Sends a chunk until it is taken.
async fn insist(file: &FlowFile<'_>, number: usize) -> Reply {
    for _ in 0..5 {
        let reply = file.post(number).await;
        if reply.status.is_success() {
            return reply;
        }
        assert!(matches!(reply.status.as_u16(), 503 | 507), "{reply:?}");
        idle().await;
    }
    panic!("chunk {number} is never taken");
}

/// Brings whatever a client finds missing, again and again, until the upload has ended.
async fn finish(app: &TestApp, file: &FlowFile<'_>) {
    for _ in 0..5 {
        for number in 1..=file.count() {
            if file.probe(number).await.status != 200 {
                insist(file, number).await;
            }
        }
        let status = file.lookup().await.json();
        if status["upload"]["state"] != "receiving" {
            let id = status["upload"]["id"].as_str().expect("an id");
            assert_eq!(app.ended(id).await.state.as_str(), "complete");
            return;
        }
    }
    panic!("the upload is never full");
}

/// The id as the store knows it.
fn id_of(reply: &Reply) -> UploadId {
    reply.upload_id().parse().expect("an id")
}

/// Damages one stored byte behind the service's back.
async fn rot(machine: &Machine, upload: UploadId, offset: u64) {
    let rotten = vec![Bytes::from_static(b"\0")];
    machine.disk.write(upload, offset, rotten).await.expect("it is there");
}

/// So little memory that nothing of a large chunk is kept for the stitch.
const KEEPS_NOTHING: &str = "--memory-budget=2MiB";

#[test]
fn a_failed_fsync_refuses_the_chunk_and_a_new_try_works() {
    for (kind, status, code) in
        [(ErrorKind::Other, 503, "unavailable"), (ErrorKind::StorageFull, 507, "no_space")]
    {
        let machine = Machine::new();
        machine.process(async |app| {
            let file = app.flow(CONTENT);
            file.send([1]).await;
            machine.disk.fail_next(StoreOp::Sync, kind);
            file.post(2).await.assert_problem(status, code);
            file.probe(2).await.assert_status(204);
            file.probe(1).await.assert_status(200);
            file.send(2..=file.count()).await.assert_status(201);
            app.assert_one_creative(CONTENT).await;
        });
    }
}

#[test]
fn what_was_written_before_a_failed_fsync_is_not_acknowledged_after_it() {
    let machine = Machine::new();
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        let (client, slow) = file.trickle(1);
        let script = async {
            client.bring(b"hel").await;
            // A pause in which what has come is written out.
            client.bring(b"").await;
            idle().await;
            machine.disk.fail_next(StoreOp::Sync, ErrorKind::Other);
            file.post(2).await.assert_problem(503, "unavailable");
            client.bring(b"l").await;
            drop(client);
        };
        let ((), slow) = tokio::join!(script, slow);
        slow.assert_problem(503, "unavailable");
        file.probe(1).await.assert_status(204);
        file.send([1, 2]).await;
    });
    // Had it been acknowledged, it would be lost now.
    machine.lose_power();
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        file.probe(1).await.assert_status(200);
        file.probe(2).await.assert_status(200);
        finish(app, &file).await;
        app.assert_one_creative(CONTENT).await;
    });
}

#[test]
fn a_publish_that_fails_is_tried_again_later_and_later() {
    let machine = Machine::new();
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        file.send(1..file.count()).await;
        for _ in 0..3 {
            machine.disk.fail_next(StoreOp::Publish, ErrorKind::Other);
        }
        let began = tokio::time::Instant::now();
        file.post(file.count()).await.assert_status(201);
        // One second, two, four; the ticks between them are two seconds apart.
        assert!((7..14).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
        assert_eq!(machine.disk.count(StoreOp::Publish), 4);
        app.assert_one_creative(CONTENT).await;
    });
}

#[test]
fn a_file_in_one_piece_is_published_unread_and_asked_for_again_if_it_has_vanished() {
    let machine = Machine::new();
    machine.process(async |app| {
        let file = app.flow(CONTENT).chunk_size(CONTENT.len());
        let gate = machine.store.hold_next(StoreOp::Publish);
        let vanish = async {
            gate.reached().await;
            for upload in machine.disk.uploads().await.expect("a list") {
                machine.disk.discard(upload).await.expect("discarded");
            }
            gate.open();
        };
        let (reply, ()) = tokio::join!(file.post(1), vanish);
        reply.assert_problem(503, "unavailable");
        file.probe(1).await.assert_status(204);
        file.post(1).await.assert_status(201);
        assert_eq!(machine.disk.count(StoreOp::Read), 0);
        app.assert_one_creative(CONTENT).await;
    });
}

#[test]
fn a_stitch_that_takes_longer_than_the_answer_may_says_so() {
    let machine = Machine::new();
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        for _ in 0..6 {
            machine.disk.fail_next(StoreOp::Publish, ErrorKind::Other);
        }
        file.send(1..file.count()).await;
        let last = file.post(file.count()).await;
        let body = last.assert_status(200).json();
        assert_eq!(body["upload"]["state"], "stitching");
        assert_eq!(body["complete"], false);
        assert!(body["upload"]["error"].is_string(), "it says why: {body}");
        assert_eq!(app.ended(&last.upload_id()).await.state.as_str(), "complete");
        let status = file.probe(1).await.json();
        assert_eq!(status["upload"]["error"], serde_json::Value::Null);
        app.assert_one_creative(CONTENT).await;
    });
}

#[test]
fn a_file_for_which_there_is_no_room_leaves_nothing_behind() {
    let machine = Machine::with_disk(MemoryStore::with_room(40));
    machine.process(async |app| {
        app.flow(CONTENT).send([1]).await;
        let large = app.flow(vec![1; 20]);
        large.post(1).await.assert_problem(507, "no_space");
        idle().await;
        assert_eq!((machine.files().await, machine.uploads().await), ((1, 0), 1));
        large.probe(1).await.assert_status(204);
        app.flow(CONTENT).send(2..=6).await.assert_status(201);
    });
}

#[test]
fn a_disk_that_fills_up_leaves_the_upload_resumable() {
    let machine = Machine::new();
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        file.send([1]).await;
        machine.disk.fail_next(StoreOp::Write, ErrorKind::StorageFull);
        file.post(2).await.assert_problem(507, "no_space");
        file.probe(1).await.assert_status(200);
        file.probe(2).await.assert_status(204);
        finish(app, &file).await;
        app.assert_one_creative(CONTENT).await;
    });
}

#[test]
fn whichever_call_of_the_catalog_fails_the_file_arrives_whole() {
    let first_and_last = [1, 6].map(|number| (CatalogOp::Commit, number));
    let at_the_end = [CatalogOp::Complete, CatalogOp::DropRanges].map(|op| (op, 6));
    for (op, number) in first_and_last.into_iter().chain(at_the_end) {
        for stage in [StagedCatalog::fail_next, StagedCatalog::fail_after_next] {
            let machine = Machine::new();
            machine.process(async |app| {
                let file = app.flow(CONTENT);
                for chunk in 1..=file.count() {
                    if chunk == number {
                        stage(&machine.catalog, op);
                    }
                    insist(&file, chunk).await;
                }
                finish(app, &file).await;
                idle().await;
                app.assert_one_creative(CONTENT).await;
                assert_eq!(machine.files().await, (0, 1), "{op:?}");
            });
        }
    }
}

#[test]
fn a_stored_byte_that_rots_costs_its_own_chunk_only() {
    let machine = Machine::new();
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        let id = id_of(&file.send(1..file.count()).await);
        rot(&machine, id, 5).await;
        let last = file.post(file.count()).await;
        let body = last.assert_status(200).json();
        assert_eq!(body["complete"], false);
        assert_eq!(body["upload"]["received_chunks"], file.count() - 1);
        let listing = file.lookup().await.json();
        assert_eq!(listing["upload"]["missing_chunks"], serde_json::json!([[2, 2]]));
        file.probe(2).await.assert_status(204);
        file.post(2).await.assert_status(201);
        app.assert_one_creative(CONTENT).await;
    });
}

#[test]
fn a_published_byte_that_rots_before_its_record_costs_the_file_and_not_the_truth() {
    let machine = Machine::new();
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        file.send(1..file.count()).await;
        let held = machine.catalog.hold_next(CatalogOp::Complete);
        tokio::select! {
            _ = file.post(file.count()) => panic!("it is held up"),
            () = held.reached() => {}
        }
        assert_eq!(machine.files().await, (0, 1), "published and not recorded");
    });
    machine.lose_power();
    machine.store.rot_next_read();
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        file.probe(2).await.assert_status(204);
        finish(app, &file).await;
        app.assert_one_creative(CONTENT).await;
        assert_eq!(machine.files().await, (0, 1));
    });
}

#[test]
fn bytes_that_were_lost_and_come_anew_are_hashed_anew() {
    let machine = Machine::new().flag("--durability=relaxed");
    machine.process(async |app| {
        let (old, new) = (app.flow("aaaabbbbcccc"), app.flow("AAAABBBBCCCC"));
        old.send([1, 2]).await;
        // The flush before the publish: nothing that came before it counts any more.
        machine.disk.fail_next(StoreOp::Sync, ErrorKind::Other);
        old.post(3).await.assert_problem(503, "unavailable");
        for number in 1..=3 {
            old.probe(number).await.assert_status(204);
        }
        new.send(1..=3).await.assert_status(201);
        app.assert_one_creative(b"AAAABBBBCCCC").await;
    });
}

#[test]
fn a_chunk_that_rots_behind_the_stitch_and_comes_anew_is_hashed_anew() {
    const CHUNK: usize = 8 << 20;
    let machine = Machine::new().flag(KEEPS_NOTHING);
    machine.process(async |app| {
        let old = app.flow(vec![1; 2 * CHUNK]).chunk_size(CHUNK);
        let new = app.flow([vec![2; CHUNK], vec![1; CHUNK]].concat()).chunk_size(CHUNK);
        let id = id_of(&old.send([1]).await);
        idle().await;
        assert!(0 < machine.disk.count(StoreOp::Read), "the stitch has passed it");
        rot(&machine, id, 5).await;
        old.post(1).await.assert_problem(503, "unavailable");
        old.probe(1).await.assert_status(204);
        new.send([1, 2]).await.assert_status(201);
        app.assert_one_creative(new.content()).await;
    });
}

/// How often a range is read before it counts as unreadable.
const READS_OF_ONE_ATTEMPT: u64 = 3;

#[test]
fn a_range_that_stays_unreadable_on_a_disk_that_is_well_is_asked_for_again() {
    let machine = Machine::new();
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        file.send(1..file.count()).await;
        for _ in 0..READS_OF_ONE_ATTEMPT {
            machine.disk.fail_next(StoreOp::Read, ErrorKind::Other);
        }
        let status = file.post(file.count()).await.json();
        assert_eq!(status["upload"]["state"], "receiving");
        file.probe(1).await.assert_status(204);
        file.probe(2).await.assert_status(200);
        file.post(1).await.assert_status(201);
        app.assert_one_creative(file.content()).await;
    });
}

#[test]
fn a_range_that_is_read_at_the_last_attempt_is_not_lost() {
    let machine = Machine::new();
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        file.send(1..file.count()).await;
        for _ in 1..READS_OF_ONE_ATTEMPT {
            machine.disk.fail_next(StoreOp::Read, ErrorKind::Other);
        }
        file.post(file.count()).await.assert_status(201);
        app.assert_one_creative(file.content()).await;
    });
}

#[test]
fn a_stitch_that_cannot_read_ahead_rests_between_attempts() {
    const CHUNK: usize = 8 << 20;
    let machine = Machine::new().flag(KEEPS_NOTHING);
    machine.process(async |app| {
        let file = app.flow(vec![1; 2 * CHUNK]).chunk_size(CHUNK);
        for _ in 0..READS_OF_ONE_ATTEMPT {
            machine.disk.fail_next(StoreOp::Read, ErrorKind::Other);
        }
        // The whole store is ill, so that no range is to blame.
        machine.disk.fail_next(StoreOp::Probe, ErrorKind::Other);
        file.send([1]).await;
        let reads = machine.disk.count(StoreOp::Read);
        assert_eq!(reads, READS_OF_ONE_ATTEMPT, "one attempt, and then a rest");
        file.send([2]).await.assert_status(201);
        app.assert_one_creative(file.content()).await;
    });
}

#[test]
fn a_panic_while_stitching_takes_nothing_down() {
    let machine = Machine::new().flag("--stitch-workers=1");
    machine.process(async |app| {
        let file = app.flow(CONTENT);
        file.send(1..file.count()).await;
        machine.store.panic_next(StoreOp::Read);
        file.post(file.count()).await.assert_status(201);
        let other = app.flow("another file").name("b.bin");
        other.send(1..=other.count()).await.assert_status(201);
        assert_eq!(app.creatives().await.len(), 2);
    });
}
