//! Restarts of every kind: in order, killed, without power. All of them come to the same end.

use std::{io::ErrorKind, pin::pin};

use flowstitch::{
    catalog::Catalog,
    store::{ChunkStore, StoreOp},
    upload::UploadId,
};
use futures_util::future::{Either, select};

use crate::support::{CatalogOp, FlowFile, Gate, Machine, TestApp, idle};

const CONTENT: &[u8] = b"hello world, are you there?";
const COUNT: usize = 6;

/// The statuses of the probes of all chunks.
async fn probes(file: &FlowFile<'_>) -> Vec<u16> {
    let mut statuses = Vec::new();
    for number in 1..=file.count() {
        statuses.push(file.probe(number).await.status.as_u16());
    }
    statuses
}

/// Asserts that the upload comes to its end in this process: what is missing is sent, and there is
/// one file with one creative.
async fn assert_ends_well(machine: &Machine, app: &TestApp) {
    let file = app.flow(CONTENT);
    for number in 1..=COUNT {
        if file.probe(number).await.status != 200 {
            file.send([number]).await;
        }
    }
    let id = file.lookup().await.upload_id();
    assert_eq!(app.ended(&id).await.state.as_str(), "complete");
    idle().await;
    app.assert_one_creative(CONTENT).await;
    assert_eq!(machine.files().await, (0, 1));
}

/// Sends the last chunk, and is killed at the gate.
async fn complete_and_die_at(app: &TestApp, gate: Gate) {
    let file = app.flow(CONTENT);
    let (last, reached) = (pin!(file.post(COUNT)), pin!(gate.reached()));
    // The answer may come before, if all that it promises was done.
    if let Either::Left((_, reached)) = select(last, reached).await {
        reached.await;
    }
}

#[tokio::test]
async fn an_upload_goes_on_after_a_restart_in_order() {
    let app = TestApp::start().await;
    app.flow(CONTENT).send([1, 3]).await;
    let app = app.restart().await;
    let file = app.flow(CONTENT);
    assert_eq!(probes(&file).await, [200, 204, 200, 204, 204, 204]);
    let last = file.send([2, 4, 5, 6]).await;
    file.assert_completed(&last);
    let app = app.restart().await;
    let file = app.flow(CONTENT);
    assert_eq!(file.probe(1).await.json()["complete"], true);
    file.send([1]).await.assert_status(200);
    assert_eq!(app.creatives().await.len(), 1);
    assert_eq!((app.files("incomplete").len(), app.files("completed").len()), (0, 1));
}

#[test]
fn a_killed_process_keeps_what_it_acknowledged() {
    for flag in ["--durability=strict", "--durability=relaxed"] {
        let machine = Machine::new().flag(flag);
        machine.process(async |app| app.flow(CONTENT).send([1, 3]).await);
        machine.process(async |app| {
            assert_eq!(probes(&app.flow(CONTENT)).await, [200, 204, 200, 204, 204, 204]);
            assert_ends_well(&machine, app).await;
        });
    }
}

#[test]
fn strict_chunks_survive_loss_of_power() {
    let machine = Machine::new();
    machine.process(async |app| app.flow(CONTENT).send([1, 3, 5]).await);
    machine.lose_power();
    machine.process(async |app| {
        assert_eq!(probes(&app.flow(CONTENT)).await, [200, 204, 200, 204, 200, 204]);
        assert_ends_well(&machine, app).await;
    });
}

#[test]
fn after_loss_of_power_a_relaxed_server_says_what_it_lost() {
    let machine = Machine::new().flag("--durability=relaxed");
    machine.process(async |app| {
        let id: UploadId = app.flow(CONTENT).send([1, 3]).await.upload_id().parse().expect("an id");
        // The kernel wrote some of it out by itself.
        assert!(machine.disk.sync(&[id]).await[0].is_ok());
        app.flow(CONTENT).send([2, 5]).await;
        machine.write_out_facts().await;
    });
    machine.lose_power();
    machine.process(async |app| {
        assert_eq!(probes(&app.flow(CONTENT)).await, [200, 204, 200, 204, 204, 204]);
        assert_ends_well(&machine, app).await;
    });
}

#[test]
fn a_stop_waits_for_the_stitch_of_a_full_upload() {
    let machine = Machine::new().flag("--completion-wait=0s");
    machine.process(async |app| {
        let gate = machine.store.hold_next(StoreOp::Read);
        let id = app.flow(CONTENT).send(1..=COUNT).await.upload_id();
        gate.reached().await;
        let opened = async {
            idle().await;
            gate.open();
        };
        let (stopped, ()) = tokio::join!(app.app().engine().stop(), opened);
        stopped.expect("in order");
        let record = machine.facts.upload(id.parse().expect("an id")).await.expect("read");
        assert_eq!(record.expect("it is known").state.as_str(), "complete");
    });
}

#[test]
fn what_is_doubtful_is_not_listed_as_received_until_it_was_read_back() {
    let machine = Machine::new();
    let id = machine.process(async |app| app.flow(CONTENT).send([1, 3]).await.upload_id());
    machine.lose_power();
    machine.process(async |app| {
        let received = async || {
            let list = app.get("/uploads").await.json();
            list["uploads"][0]["upload"]["received_bytes"].as_u64().expect("a number")
        };
        let is_suspect = async || {
            let record = machine.facts.upload(id.parse().expect("an id")).await.expect("read");
            record.expect("it is known").suspect
        };
        assert_eq!((received().await, is_suspect().await), (0, true));
        app.flow(CONTENT).probe(1).await.assert_status(200);
        idle().await;
        assert_eq!((received().await, is_suspect().await), (8, false));
    });
}

#[test]
fn what_is_doubtful_is_still_so_after_another_crash() {
    let machine = Machine::new().flag("--durability=relaxed");
    machine.process(async |app| {
        app.flow(CONTENT).send([1, 3]).await;
        machine.write_out_facts().await;
    });
    machine.lose_power();
    // Nobody asks for the upload, and the process is killed, too.
    machine.process(async |_| ());
    machine.process(async |app| {
        assert_eq!(probes(&app.flow(CONTENT)).await, [204; COUNT]);
        assert_ends_well(&machine, app).await;
    });
}

#[test]
fn a_stop_in_order_makes_relaxed_chunks_durable_even_those_of_a_killed_process() {
    let mut machine = Machine::new().flag("--durability=relaxed");
    machine.process(async |app| app.flow(CONTENT).send([1, 3]).await);
    machine = machine.reconfigured("--durability=strict");
    machine.process(async |app| app.app().engine().stop().await.expect("in order"));
    machine.lose_power();
    machine.process(async |app| {
        assert_eq!(probes(&app.flow(CONTENT)).await, [200, 204, 200, 204, 204, 204]);
        assert_ends_well(&machine, app).await;
    });
}

#[test]
fn a_stop_that_cannot_sync_leaves_the_session_open_and_the_chunks_in_doubt() {
    let machine = Machine::new().flag("--durability=relaxed");
    machine.process(async |app| {
        app.flow(CONTENT).send([1, 3]).await;
        machine.disk.fail_next(StoreOp::Sync, ErrorKind::Other);
        app.app().engine().stop().await.expect_err("it cannot sync");
        machine.write_out_facts().await;
    });
    machine.lose_power();
    machine.process(async |app| {
        assert_eq!(probes(&app.flow(CONTENT)).await, [204; COUNT]);
        assert_ends_well(&machine, app).await;
    });
}

#[test]
fn killed_anywhere_on_the_way_to_the_creative_the_next_start_finishes() {
    type Hold = fn(&Machine) -> Gate;
    let places: [(&str, Hold); 4] = [
        ("before the stitch", |m| m.store.hold_next(StoreOp::Read)),
        ("before the publish", |m| m.store.hold_next(StoreOp::Publish)),
        ("between publish and record", |m| m.catalog.hold_next(CatalogOp::Complete)),
        ("between record and clean-up", |m| m.catalog.hold_next(CatalogOp::DropRanges)),
    ];
    for (place, hold) in places {
        for power_goes in [false, true] {
            eprintln!("killed {place}; loss of power: {power_goes}");
            let machine = Machine::new();
            machine.process(async |app| {
                app.flow(CONTENT).send(1..COUNT).await;
                complete_and_die_at(app, hold(&machine)).await;
            });
            if power_goes {
                machine.lose_power();
            }
            machine.process(async |app| assert_ends_well(&machine, app).await);
            machine.process(async |app| assert_ends_well(&machine, app).await);
        }
    }
}

#[test]
fn a_full_upload_is_stitched_after_a_restart_though_nobody_asks() {
    let machine = Machine::new();
    machine.process(async |app| {
        app.flow(CONTENT).send(1..COUNT).await;
        complete_and_die_at(app, machine.store.hold_next(StoreOp::Read)).await;
    });
    machine.process(async |app| {
        idle().await;
        app.assert_one_creative(CONTENT).await;
    });
}

#[test]
fn a_record_that_fails_once_is_written_the_next_time() {
    for stage in
        [crate::support::StagedCatalog::fail_next, crate::support::StagedCatalog::fail_after_next]
    {
        let machine = Machine::new();
        machine.process(async |app| {
            app.flow(CONTENT).send(1..COUNT).await;
            stage(&machine.catalog, CatalogOp::Complete);
            app.flow(CONTENT).post(COUNT).await.assert_status(201);
            assert_ends_well(&machine, app).await;
        });
    }
}

#[test]
fn bytes_that_nobody_owns_are_removed_at_the_start() {
    let machine = Machine::new();
    machine.process(async |app| {
        app.flow(CONTENT).send([1]).await;
        machine.disk.create(UploadId::new(), 5).await.expect("room");
        let (client, answer) = app.flow("first and last").trickle(1);
        let script = async {
            client.bring(b"fi").await;
            client.bring(b"").await;
            idle().await;
        };
        tokio::select! {
            _ = answer => panic!("it is cut"),
            () = script => {}
        }
        assert_eq!(machine.files().await, (3, 0));
    });
    machine.process(async |app| {
        idle().await;
        assert_eq!(machine.files().await, (1, 0), "the running upload stays");
        assert_ends_well(&machine, app).await;
    });
}

#[test]
fn a_file_whose_creative_was_deleted_is_buried_at_the_start() {
    let machine = Machine::new();
    machine.process(async |app| {
        app.flow(CONTENT).send(1..=COUNT).await;
        let creative = app.assert_one_creative(CONTENT).await;
        let gate = machine.store.hold_next(StoreOp::Unpublish);
        let path = format!("/creatives/{}", creative["id"].as_str().expect("an id"));
        tokio::select! {
            _ = app.delete(&path) => panic!("it is killed before"),
            () = gate.reached() => {}
        }
        assert_eq!(machine.files().await, (0, 1));
    });
    machine.process(async |app| {
        idle().await;
        assert_eq!(app.creatives().await.len(), 0);
        assert_eq!(machine.files().await, (0, 0));
        assert_eq!(machine.facts.doomed().await.expect("a list").len(), 0);
    });
}

#[tokio::test]
async fn a_client_that_leaves_does_not_cancel_a_commit_that_has_begun() {
    let machine = Machine::new();
    let app = machine.start().await;
    let gate = machine.store.hold_next(StoreOp::Sync);
    let file = app.flow(CONTENT);
    tokio::select! {
        _ = file.post(1) => panic!("it is held up"),
        () = gate.reached() => {}
    }
    gate.open();
    app.app().engine().stop().await.expect("in order");
    let app = machine.start().await;
    app.flow(CONTENT).probe(1).await.assert_status(200);
}

#[tokio::test]
async fn a_client_that_leaves_does_not_cancel_a_cancellation_half_way() {
    let machine = Machine::new();
    let app = machine.start().await;
    let id = app.flow(CONTENT).send(1..COUNT).await.upload_id();
    let gate = machine.catalog.hold_next(CatalogOp::End);
    let path = format!("/uploads/{id}");
    tokio::select! {
        _ = app.delete(&path) => panic!("it is held up"),
        () = gate.reached() => {}
    }
    gate.open();
    assert_eq!(app.ended(&id).await.state.as_str(), "cancelled");
}

#[tokio::test]
async fn a_stop_waits_for_requests_and_stitches_that_run() {
    let machine = Machine::new();
    let app = machine.start().await;
    let file = app.flow(CONTENT);
    file.send(1..COUNT).await;
    let publish = machine.store.hold_next(StoreOp::Publish);
    let engine = app.app().engine();
    let (last, ()) = tokio::join!(file.post(COUNT), async {
        publish.reached().await;
        let mut stop = std::pin::pin!(engine.stop());
        for _ in 0..100 {
            assert!(futures_util::poll!(&mut stop).is_pending(), "a request runs");
            tokio::task::yield_now().await;
        }
        publish.open();
        stop.await.expect("in order");
    });
    last.assert_status(201);
    assert_eq!(machine.files().await, (0, 1));
}

#[tokio::test]
async fn a_stop_waits_for_a_stitch_that_nobody_waits_for() {
    let machine = Machine::new().flag("--completion-wait=0s");
    let app = machine.start().await;
    let file = app.flow(CONTENT);
    file.send(1..COUNT).await;
    let publish = machine.store.hold_next(StoreOp::Publish);
    assert_eq!(file.post(COUNT).await.json()["upload"]["state"], "stitching");
    publish.reached().await;
    let mut stop = std::pin::pin!(app.app().engine().stop());
    for _ in 0..100 {
        assert!(futures_util::poll!(&mut stop).is_pending(), "a stitch runs");
        tokio::task::yield_now().await;
    }
    publish.open();
    stop.await.expect("in order");
    let id = machine.facts.stitching(None, 2).await.expect("a list");
    assert_eq!((id.len(), machine.files().await), (0, (0, 1)));
}

#[test]
fn a_file_that_was_published_and_not_recorded_is_not_orphaned_by_loss_of_power() {
    let machine = Machine::new().flag("--durability=relaxed").flag("--completion-wait=0s");
    let id = machine.process(async |app| {
        machine.catalog.fail_next(CatalogOp::Complete);
        let id = app.flow(CONTENT).send(1..=COUNT).await.upload_id();
        idle().await;
        assert_eq!(machine.files().await, (0, 1), "published");
        id
    });
    machine.lose_power();
    machine.process(async |app| {
        assert_eq!(app.ended(&id).await.state.as_str(), "complete");
        app.assert_one_creative(CONTENT).await;
    });
}
