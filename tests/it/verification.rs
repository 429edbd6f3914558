//! What was stored before the machine stopped uncleanly is read back before it is believed: one
//! chunk at once for whoever asks for it, the rest by and by, and nothing for whoever gives it up.

use std::{sync::Arc, time::Duration};

use flowstitch::{
    catalog::{Catalog, Fact, MemoryCatalog, contract::sample_upload_of},
    store::{ChunkStore, StoreOp},
    upload::{
        ByteRange, Checksum, Durability, Identity, Plan, Principal, StoredRange, UploadId,
        UploadRecord,
    },
};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{FlowFile, Gate, Machine, Reply, TestApp, idle};

const CONTENT: &[u8] = b"hello world, are you there?";
const COUNT: usize = 6;

/// A machine that lost power after these chunks were stored. And the id of their upload.
fn after_loss_of_power(machine: Machine, chunks: &[usize]) -> (Machine, UploadId) {
    let send = async |app: &TestApp| app.flow(CONTENT).send(chunks.iter().copied()).await;
    let id = machine.process(send).upload_id().parse().expect("an id");
    machine.lose_power();
    (machine, id)
}

/// Other bytes than those that were stored lie on the disk.
async fn damage(machine: &Machine, id: UploadId, offset: u64) {
    machine.disk.write(id, offset, vec!["?".into()]).await.expect("written");
}

fn reads(machine: &Machine) -> u64 {
    machine.disk.count(StoreOp::Read)
}

#[test]
fn a_probe_reads_its_chunk_back_and_tells_the_truth() {
    let (machine, id) = after_loss_of_power(Machine::new(), &[1, 2, 3]);
    machine.process(async |app| {
        damage(&machine, id, 5).await;
        let file = app.flow(CONTENT);
        file.probe(2).await.assert_missing();
        file.probe(1).await.assert_status(200);
        file.probe(3).await.assert_status(200);
        file.probe(4).await.assert_missing();
        let last = file.send([2, 4, 5, 6]).await;
        last.assert_status(201);
        app.assert_one_creative(CONTENT).await;
    });
}

#[test]
fn a_probe_by_hand_reads_the_chunk_back_too() {
    let (machine, id) = after_loss_of_power(Machine::new(), &[1, 2]);
    machine.process(async |app| {
        damage(&machine, id, 5).await;
        for (number, status) in [(1, 200), (2, 204)] {
            let probe = format!("/upload?flowFilename=a.bin&flowChunkNumber={number}");
            app.get(&probe).await.assert_status(status);
        }
    });
}

#[test]
fn a_chunk_that_is_sent_again_is_compared_once_it_was_read_back() {
    let (machine, id) = after_loss_of_power(Machine::new(), &[1, 2, 3]);
    machine.process(async |app| {
        damage(&machine, id, 5).await;
        let file = app.flow(CONTENT);
        file.post_bytes(1, b"HELL").await.assert_problem(409, "conflict");
        file.send([2, 1, 3]).await.assert_status(200);
        file.probe(2).await.assert_status(200);
    });
}

#[test]
fn a_probe_whose_client_leaves_does_not_lose_what_was_read() {
    let (machine, _) = after_loss_of_power(Machine::new(), &[1]);
    machine.process(async |app| {
        let before = reads(&machine);
        let file = app.flow(CONTENT);
        let gate = machine.store.hold_next(StoreOp::Read);
        leave(file.probe(1)).await;
        gate.reached().await;
        // The next one waits for the same reading.
        leave(file.probe(1)).await;
        gate.open();
        idle().await;
        file.probe(1).await.assert_status(200);
        assert_eq!(reads(&machine) - before, 1);
    });
}

/// Drops a request that is held up, once nothing is left to do for it.
async fn leave(request: impl Future<Output = Reply>) {
    let answered = timeout(Duration::from_millis(1), request).await;
    assert!(answered.is_err(), "it is held up: {answered:?}");
}

fn verifying(reply: &Reply) -> Value {
    reply.json()["upload"]["verifying"].clone()
}

#[test]
fn lookup_status_and_list_say_how_far_the_verification_is_and_miss_only_what_is_not_here() {
    let (machine, id) = after_loss_of_power(Machine::new(), &[1, 3, 4]);
    machine.process(async |app| {
        let listed = async || {
            let list = app.get("/uploads").await.json();
            list["uploads"][0]["upload"].clone()
        };
        let none = json!({"bytes": 0, "of": 12});
        assert_eq!(listed().await["verifying"], none, "nobody has asked for it");
        let (file, status) = (app.flow(CONTENT), format!("/uploads/{id}"));
        // The verification comes to the second chunk, and has to wait.
        let gate = Gate::closed();
        machine.store.hold_nth(StoreOp::Read, 1, &gate);
        let first = file.lookup().await;
        assert_eq!(first.json()["upload"]["missing_chunks"], json!([[2, 2], [5, 6]]));
        gate.reached().await;
        let one = json!({"bytes": 4, "of": 12});
        for reply in [file.lookup().await, app.get(&status).await] {
            assert_eq!(verifying(&reply), one);
            let upload = &reply.json()["upload"];
            assert_eq!(upload["missing_chunks"], json!([[2, 2], [5, 6]]));
            assert_eq!(
                (&upload["received_bytes"], &upload["received_chunks"]),
                (&json!(4), &json!(1))
            );
        }
        assert_eq!(listed().await["verifying"], one);
        gate.open();
        idle().await;
        let reply = file.lookup().await;
        assert_eq!(verifying(&reply), Value::Null);
        assert_eq!(reply.json()["upload"]["received_bytes"], 12);
        assert_eq!(listed().await["verifying"], Value::Null);
    });
}

#[test]
fn to_cancel_an_upload_or_to_let_it_expire_reads_nothing() {
    for cancel in [true, false] {
        let (machine, id) = after_loss_of_power(Machine::new(), &[1, 2, 3]);
        machine.process(async |app| {
            let before = reads(&machine);
            if cancel {
                app.delete(&format!("/uploads/{id}")).await.assert_status(204);
            } else {
                machine.advance_seconds(25 * 60 * 60);
                app.app().engine().sweep().await.expect("swept");
            }
            idle().await;
            let record = machine.facts.upload(id).await.expect("read").expect("it is known");
            let state = if cancel { "cancelled" } else { "expired" };
            assert_eq!(record.state.as_str(), state);
            assert_eq!((machine.files().await, reads(&machine) - before), ((0, 0), 0));
        });
    }
}

#[test]
fn a_start_reads_nothing_of_what_nobody_asks_for() {
    let (machine, _) = after_loss_of_power(Machine::new(), &[1, 2, 3]);
    let before = reads(&machine);
    machine.process(async |_| idle().await);
    assert_eq!(reads(&machine), before);
}

#[test]
fn a_cancel_does_not_wait_for_a_verification_that_runs() {
    let (machine, id) = after_loss_of_power(Machine::new(), &[1, 2, 3]);
    machine.process(async |app| {
        let gate = machine.store.hold_next(StoreOp::Read);
        let file = app.flow(CONTENT);
        leave(file.probe(1)).await;
        gate.reached().await;
        app.delete(&format!("/uploads/{id}")).await.assert_status(204);
        assert_eq!(machine.files().await, (0, 0));
        gate.open();
        idle().await;
        file.probe(1).await.assert_missing();
    });
}

#[test]
fn a_full_upload_ends_after_its_verification_though_nobody_asks() {
    let flag = || Machine::new().flag("--completion-wait=0s");
    for killed in [false, true] {
        let (machine, _) = after_loss_of_power(flag(), &[1, 2, 3, 4, 5]);
        machine.process(async |app| {
            let gate = Gate::closed();
            machine.store.hold_nth(StoreOp::Read, 2, &gate);
            let reply = app.flow(CONTENT).post(COUNT).await;
            reply.assert_status(200);
            assert_eq!(reply.json()["upload"]["state"], "stitching");
            gate.reached().await;
            if !killed {
                gate.open();
                idle().await;
                app.assert_one_creative(CONTENT).await;
            }
        });
        machine.process(async |app| {
            idle().await;
            app.assert_one_creative(CONTENT).await;
        });
    }
}

#[test]
fn a_full_upload_with_a_damaged_chunk_asks_for_that_chunk() {
    let (machine, id) = after_loss_of_power(Machine::new(), &[1, 2, 3, 4, 5]);
    machine.process(async |app| {
        damage(&machine, id, 9).await;
        let file = app.flow(CONTENT);
        let reply = file.post(COUNT).await;
        assert_eq!(reply.json()["complete"], false, "{reply:?}");
        idle().await;
        let missing = file.lookup().await.json()["upload"]["missing_chunks"].clone();
        assert_eq!(missing, json!([[3, 3]]));
        file.send([3]).await.assert_status(201);
        app.assert_one_creative(CONTENT).await;
    });
}

#[test]
fn a_probe_of_a_full_upload_finds_a_damaged_chunk_before_the_stitch_does() {
    let machine = Machine::new().flag("--completion-wait=0s");
    let (machine, id) = after_loss_of_power(machine, &[1, 2, 3, 4, 5]);
    machine.process(async |app| {
        damage(&machine, id, 9).await;
        let (file, verification) = (app.flow(CONTENT), machine.store.hold_next(StoreOp::Read));
        file.lookup().await.assert_status(200);
        verification.reached().await;
        let stitch = machine.store.hold_next(StoreOp::Read);
        file.post(COUNT).await.assert_status(200);
        stitch.reached().await;
        file.probe(3).await.assert_missing();
        verification.open();
        stitch.open();
        idle().await;
        file.send([3]).await;
        idle().await;
        app.assert_one_creative(CONTENT).await;
    });
}

#[test]
fn a_restart_goes_on_with_a_verification_where_it_was() {
    let content: Vec<u8> = (0..=250).cycle().take(2400).collect();
    let machine = Machine::new();
    machine.process(async |app| app.flow(content.clone()).send(1..600).await);
    machine.lose_power();
    machine.process(async |app| {
        let gate = Gate::closed();
        machine.store.hold_nth(StoreOp::Read, 300, &gate);
        app.flow(content.clone()).lookup().await;
        gate.reached().await;
    });
    let before = reads(&machine);
    machine.process(async |app| {
        app.flow(content.clone()).lookup().await;
        idle().await;
        assert_eq!(reads(&machine) - before, 599 - 256, "the catalog is told of 256 at a time");
        assert_eq!(verifying(&app.flow(content.clone()).lookup().await), Value::Null);
    });
    machine.process(async |app| {
        let before = reads(&machine);
        assert_eq!(verifying(&app.flow(content.clone()).lookup().await), Value::Null);
        app.flow(content.clone()).probe(1).await.assert_status(200);
        assert_eq!(reads(&machine), before, "all of it is believed");
    });
}

/// Two hundred files.
fn old_files(app: &TestApp) -> Vec<FlowFile<'_>> {
    let file = |number| FlowFile::new(app, CONTENT.into()).name(&format!("old-{number}.bin"));
    (0..200).map(file).collect()
}

#[test]
fn unverified_uploads_of_one_user_hold_up_nobody_elses() {
    let machine = Machine::new();
    machine.process(async |app| {
        for file in old_files(app) {
            file.send([1, 2]).await;
        }
    });
    machine.lose_power();
    machine.process(async |app| {
        // The disk answers none of those who read: four that are waited for, one that is not.
        let gate = Gate::closed();
        for skip in 0..5 {
            machine.store.hold_nth(StoreOp::Read, skip, &gate);
        }
        let files = old_files(app);
        let probes = join_all(files.iter().map(|file| file.probe(1)));
        let others = async {
            idle().await;
            assert_eq!(machine.store.staged(), 0, "they are all at it");
            for number in 0..100 {
                let file = FlowFile::new(app, CONTENT.into()).name(&format!("new-{number}.bin"));
                file.probe(1).await.assert_missing();
                file.send(1..=COUNT).await.assert_status(201);
            }
            gate.open();
        };
        let ((), replies) = tokio::join!(others, probes);
        assert!(replies.iter().all(|reply| reply.status == 200));
    });
}

const PART: u64 = 64 << 30;
const MIB: u64 = 1 << 20;

/// An upload of ann's of 128 GiB in chunks of 1 MiB, of which the first half is here: zeros, in a
/// sparse file.
async fn with_a_large_part(app: &TestApp, facts: &MemoryCatalog) {
    let plan = Plan::new(2 * PART, MIB, 2 * PART / MIB).expect("it fits");
    let ann = Principal::named("ann");
    let identity = Identity::new(ann.clone(), "large", "large.bin", plan).expect("short");
    let record = UploadRecord { identity, ..sample_upload_of(&ann, "large") };
    let (upload, at) = (record.id, record.created_at);
    let checksum = Checksum(crc32fast::hash(&vec![0; 1 << 20]));
    let stored = (0..PART / MIB).map(|index| {
        let range = ByteRange::new(index * MIB, MIB).expect("inside the file");
        Fact::Stored { upload, stored: StoredRange { range, checksum }, at }
    });
    let facts_of_it = [Fact::Opened(Box::new(record))].into_iter().chain(stored).collect();
    facts.commit(facts_of_it, Durability::Strict).await.expect("committed");
    let part = app.dir().join("incomplete").join(format!("{upload}.part"));
    let part = std::fs::File::create_new(part).expect("a new file");
    part.set_len(PART).expect("sparse");
}

#[tokio::test]
async fn a_chunk_of_a_part_of_64_gib_is_read_back_at_once_and_nothing_else_for_it() {
    let facts = MemoryCatalog::new();
    let builder = TestApp::builder();
    let start = async || {
        let store = builder.staged_files();
        let catalog = Arc::new(facts.reopened());
        (builder.clone().store(store.clone()).catalog(catalog).start().await, store)
    };
    let (app, store) = start().await;
    let token = app.token("ann", "upload,read").await;
    with_a_large_part(&app, &facts).await;
    app.app().engine().stop().await.expect("in order");
    drop((app, store));
    facts.open_session("the boot before this one").await.expect("opened");

    let (app, store) = start().await;
    let fields = format!(
        "flowIdentifier=large&flowFilename=cat.png&flowRelativePath=large.bin&flowChunkSize={MIB}\
         &flowTotalSize={}&flowTotalChunks={}",
        2 * PART,
        2 * PART / MIB
    );
    // The disk is slow: the verification does not get further than its first slice.
    let gate = store.hold_next(StoreOp::Read);
    let ask = async |path: &str| app.call_as(&token, http::Method::GET, path).await;
    let lookup = ask(&format!("/uploads/lookup?{fields}")).await;
    assert_eq!(verifying(&lookup), json!({"bytes": 0, "of": PART}));
    gate.reached().await;
    let before = store.bytes_read();
    for (number, status) in [(40_000, 200), (65_536, 200), (65_537, 204)] {
        let probe = format!("/upload?{fields}&flowChunkNumber={number}&flowCurrentChunkSize={MIB}");
        ask(&probe).await.assert_status(status);
    }
    assert_eq!(store.bytes_read() - before, 2 * MIB);
    let lookup = ask(&format!("/uploads/lookup?{fields}")).await;
    assert_eq!(verifying(&lookup), json!({"bytes": 2 * MIB, "of": PART}));
    let id = lookup.upload_id();
    let gone = app.call_as(&token, http::Method::DELETE, &format!("/uploads/{id}")).await;
    gone.assert_status(204);
    assert_eq!(store.bytes_read() - before, 2 * MIB);
    gate.open();
}
