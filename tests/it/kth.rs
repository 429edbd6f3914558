//! Every operation of the disk fails once, at every place of a whole life: uploads that arrive, are
//! deleted, cancelled, expire and are resumed, two starts included. Whatever fails and however, the
//! clients come to their end, what was acknowledged stays, and nothing is left over.

use std::io::ErrorKind;

use flowstitch::store::MemoryStore;

use crate::support::{FlowFile, Machine, Reply, TestApp, idle};

const KEPT: &str = "hello world, are you there?";
const DELETED: &str = "gone tomorrow";
const CANCELLED: &str = "never mind";
const EXPIRED: &str = "forgotten";

type Plan = fn(&MemoryStore, u64, ErrorKind);
/// The ways of an operation to fail: without effect (a sync then loses what it was to flush), half
/// done, and done.
const WAYS: [Plan; 3] =
    [MemoryStore::fail_kth, MemoryStore::fail_kth_halfway, MemoryStore::fail_kth_after];

/// Does something until it is not refused for a failure of the server.
async fn insist(what: impl AsyncFn() -> Reply) -> Reply {
    for _ in 0..5 {
        let reply = what().await;
        if !matches!(reply.status.as_u16(), 503 | 507) {
            return reply;
        }
        idle().await;
    }
    panic!("it is never done")
}

/// Sends a chunk; what was acknowledged before is still here.
async fn send(file: &FlowFile<'_>, number: usize, acknowledged: &mut Vec<usize>) {
    let reply = insist(async || file.post(number).await).await;
    assert!(reply.status.is_success(), "{reply:?}");
    acknowledged.push(number);
}

/// Asks for every chunk and sends what is missing, until the file has arrived.
async fn finish(app: &TestApp, file: &FlowFile<'_>) -> String {
    for _ in 0..5 {
        for number in 1..=file.count() {
            if insist(async || file.probe(number).await).await.status == 204 {
                insist(async || file.post(number).await).await;
            }
        }
        let reply = insist(async || file.lookup().await).await;
        if reply.status == 200 && reply.json()["upload"]["state"] != "receiving" {
            assert_eq!(app.ended(&reply.upload_id()).await.state.as_str(), "complete");
            let creative = file.lookup().await.json()["creative"]["id"].clone();
            return creative.as_str().expect("an id").to_owned();
        }
    }
    panic!("the upload is never full")
}

/// The first process: everything begins, and most of it ends.
async fn first_life(machine: &Machine, app: &TestApp) -> Vec<usize> {
    let mut acknowledged = Vec::new();
    let kept = app.flow(KEPT);
    for number in [3, 1, 1, 6] {
        send(&kept, number, &mut acknowledged).await;
    }
    let deleted = app.flow(DELETED).name("deleted.bin");
    let creative = finish(app, &deleted).await;
    let gone = insist(async || app.delete(&format!("/creatives/{creative}")).await).await;
    assert!(matches!(gone.status.as_u16(), 204 | 404), "{gone:?}");
    let expired = app.flow(EXPIRED).name("expired.bin");
    insist(async || expired.post(1).await).await.assert_status(200);
    machine.advance_seconds(25 * 60 * 60);
    send(&kept, 4, &mut acknowledged).await;
    let cancelled = app.flow(CANCELLED).name("cancelled.bin");
    let id = insist(async || cancelled.post(1).await).await.upload_id();
    insist(async || app.delete(&format!("/uploads/{id}")).await).await.assert_status(204);
    // If it fails the next one goes on.
    for _ in 0..2 {
        app.app().engine().sweep().await.ok();
    }
    acknowledged
}

/// With the `k`th operation of the disk failing. Returns whether there was one.
fn survives(k: u64, flag: &str, plan: Plan, kind: ErrorKind, power_goes: bool) -> bool {
    let machine = Machine::new().flag(flag);
    let begun = machine.disk.operations();
    plan(&machine.disk, k, kind);
    let strict = flag.ends_with("strict");
    let acknowledged = Machine::paused(async {
        match machine.try_start().await {
            Ok(app) => first_life(&machine, &app).await,
            Err(_) => Vec::new(),
        }
    });
    if power_goes {
        machine.lose_power();
    }
    Machine::paused(async {
        // If it cannot start, the next one can.
        let app = match machine.try_start().await {
            Ok(app) => app,
            Err(_) => machine.start().await,
        };
        let kept = app.flow(KEPT);
        for number in acknowledged {
            let probe = insist(async || kept.probe(number).await).await;
            assert!(probe.status == 200 || power_goes && !strict, "{k}: {number} is lost");
        }
        finish(&app, &kept).await;
        app.app().engine().sweep().await.ok();
    });
    if machine.disk.operations() < begun + k {
        return false;
    }
    machine.process(async |app| {
        app.app().engine().sweep().await.expect("nothing fails any more");
        idle().await;
        app.assert_one_creative(KEPT.as_bytes()).await;
        assert_eq!(machine.files().await, (0, 1), "{k}: something is left over");
    });
    true
}

/// Every `k` until none fails.
fn survives_all(flag: &str, plan: Plan, kind: ErrorKind, power_goes: bool) {
    let struck = (1..500).take_while(|k| survives(*k, flag, plan, kind, power_goes)).count();
    assert!((40..499).contains(&struck), "only {struck} operations");
}

#[test]
fn whichever_operation_of_the_disk_fails_and_however_nothing_is_lost_or_left() {
    for flag in ["--durability=strict", "--durability=relaxed"] {
        for plan in WAYS {
            survives_all(flag, plan, ErrorKind::Other, false);
            survives_all(flag, plan, ErrorKind::Other, true);
        }
        survives_all(flag, MemoryStore::fail_kth, ErrorKind::StorageFull, false);
    }
}
