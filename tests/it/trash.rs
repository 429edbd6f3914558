//! The ways back from the trash: by the operator, and by a start whose catalog knows the file.

use std::{slice, time::Duration};

use flowstitch::{
    store::{ChunkStore, MemoryStore, Origin, PublishedName, StoreOp, TrashKey},
    upload::{CreativeId, FileName, TrashId, TrashNote, TrashReason, UploadId, limits},
};
use serde_json::Value;

use crate::support::{CatalogOp, Machine, NOW, TestApp, idle, multipart, pass};

const CONTENT: &[u8] = b"hello world, are you there?";
const COUNT: usize = 6;

/// The ids of what is in the trash, the oldest first.
async fn ids(machine: &Machine) -> Vec<String> {
    let trash = machine.disk.trash().await.expect("a list");
    trash.iter().map(|trashed| trashed.key.id.to_string()).collect()
}

/// Uploads a file as this user and removes the user: the file is in the trash.
async fn remove_user(machine: &Machine, app: &TestApp, user: &str) -> String {
    let token = app.token(user, "upload,read").await;
    app.flow(CONTENT).by(&token).send(1..=COUNT).await.assert_status(201);
    app.control(&format!("/users/remove?name={user}")).await.assert_status(200);
    assert_eq!(machine.files().await, (0, 0));
    ids(machine).await.pop().expect("one file")
}

async fn listed(app: &TestApp, token: &str) -> Vec<Value> {
    let reply = app.call_as(token, http::Method::GET, "/creatives").await;
    reply.assert_status(200).json()["creatives"].as_array().expect("a list").clone()
}

#[test]
fn the_file_of_a_user_who_was_removed_is_brought_back_for_another() {
    let machine = Machine::new();
    machine.process(async |app| {
        let id = remove_user(&machine, app, "ann").await;
        let refused = app.control(&format!("/trash/restore?id={id}")).await;
        let why = refused.assert_problem(409, "conflict");
        assert!(why.contains("--to USER") && why.contains("--output FILE"), "{why}");
        assert_eq!(ids(&machine).await, slice::from_ref(&id), "a refusal leaves it there");

        let bob = app.token("bob", "upload,read").await;
        let restored = app.control(&format!("/trash/restore?id={id}&to=bob")).await;
        assert_eq!(restored.assert_status(200).json()["user_id"], "bob");
        let [creative] = &listed(app, &bob).await[..] else { panic!("one creative") };
        assert_eq!(creative["size"], CONTENT.len());
        assert_eq!(machine.files().await, (0, 1));
        assert!(ids(&machine).await.is_empty());
        app.control(&format!("/trash/restore?id={id}")).await.assert_problem(404, "not_found");
    });
    machine.process(async |_| {
        idle().await;
        assert_eq!(machine.files().await, (0, 1), "nothing takes it away again");
    });
}

#[test]
fn a_file_that_is_not_what_it_was_is_not_brought_back_as_a_creative() {
    let machine = Machine::new();
    machine.process(async |app| {
        let id = remove_user(&machine, app, "ann").await;
        app.token("ann", "read").await;
        // The note is read first.
        machine.store.rot_nth_read(1);
        let refused = app.control(&format!("/trash/restore?id={id}")).await;
        let why = refused.assert_problem(409, "conflict");
        assert!(why.contains("not what they were"), "{why}");
        assert_eq!(ids(&machine).await.len(), 1);
        app.control(&format!("/trash/restore?id={id}")).await.assert_status(200);
    });
}

#[test]
fn a_part_is_brought_back_by_a_start_whose_catalog_knows_it() {
    let machine = Machine::new();
    let older = machine.facts.saved();
    let newer = machine.process(async |app| {
        app.flow(CONTENT).send([1, 3]).await;
        machine.facts.saved()
    });
    machine.facts.restore(&older);
    machine.process(async |_| {
        idle().await;
        assert_eq!((machine.files().await, ids(&machine).await.len()), ((0, 0), 1));
    });
    machine.facts.restore(&newer);
    machine.process(async |app| {
        idle().await;
        assert_eq!((machine.files().await, ids(&machine).await.len()), ((1, 0), 0));
        let file = app.flow(CONTENT);
        assert_eq!(file.probe(1).await.status, 200);
        assert_eq!(file.probe(2).await.status, 204);
        file.send([2, 4, 5, 6]).await;
        app.assert_one_creative(CONTENT).await;
    });
}

#[test]
fn a_part_without_an_upload_is_not_brought_back() {
    let machine = Machine::new();
    Machine::paused(async { machine.disk.create(UploadId::new(), 5).await.expect("room") });
    machine.process(async |app| {
        idle().await;
        let [id] = &ids(&machine).await[..] else { panic!("one part") };
        let refused = app.control(&format!("/trash/restore?id={id}")).await;
        let why = refused.assert_problem(409, "conflict");
        assert!(why.contains("--output FILE"), "{why}");
        assert_eq!(ids(&machine).await.len(), 1);
    });
}

#[test]
fn the_operator_empties_the_trash_of_what_is_old_enough_and_all_can_see_how_much_there_is() {
    let machine = Machine::new();
    machine.process(async |app| {
        remove_user(&machine, app, "ann").await;
        machine.advance_seconds(3600);
        let young = remove_user(&machine, app, "bob").await;
        let admin = app.token("ops", "read,admin").await;
        let limits = app.call_as(&admin, http::Method::GET, "/limits").await.json();
        assert_eq!((&limits["trash_files"], &limits["trash_bytes"]), (&2.into(), &54.into()));
        assert_eq!(limits["trash_ttl"], 7.0 * 24.0 * 3600.0);
        let metrics = app.call_as(&admin, http::Method::GET, "/metrics").await;
        let text = String::from_utf8_lossy(&metrics.body).into_owned();
        for line in ["\nflowstitch_trash_files 2\n", "\nflowstitch_trash_bytes 54\n"] {
            assert!(text.contains(line), "{text}");
        }

        let emptied = app.control("/trash/empty?older_than=1800").await.assert_status(200).json();
        assert_eq!((&emptied["files"], &emptied["bytes"]), (&1.into(), &27.into()));
        assert_eq!(ids(&machine).await, [young]);
        let emptied = app.control("/trash/empty").await.assert_status(200).json();
        assert_eq!(emptied["files"], 1);
        assert!(ids(&machine).await.is_empty());
    });
}

/// Uploads a file without credentials: the id of its creative.
async fn upload(app: &TestApp) -> String {
    app.flow(CONTENT).send(1..=COUNT).await;
    let creative = app.assert_one_creative(CONTENT).await;
    creative["id"].as_str().expect("an id").to_owned()
}

async fn delete(app: &TestApp, creative: &str) {
    app.control(&format!("/creatives/delete?id={creative}")).await.assert_status(200);
}

#[test]
fn a_sweep_that_is_late_leaves_a_creative_alone_that_was_restored_meanwhile() {
    let machine = Machine::new();
    machine.process(async |app| {
        let creative = upload(app).await;
        // The file is in the trash, and still listed as one to be moved there.
        machine.catalog.fail_next(CatalogOp::Buried);
        delete(app, &creative).await;
        let id = ids(&machine).await.pop().expect("one file");
        let gate = machine.store.hold_next(StoreOp::SetAside);
        let sweep = async { app.app().engine().sweep().await.expect("a sweep") };
        let restore = async {
            gate.reached().await;
            let target = format!("/trash/restore?id={id}");
            let restored = app.control(&target);
            let (restored, ()) = tokio::join!(restored, async {
                idle().await;
                gate.open();
            });
            restored.assert_status(200);
        };
        tokio::join!(sweep, restore);
        app.assert_one_creative(CONTENT).await;
        app.app().engine().sweep().await.expect("a sweep");
        app.assert_one_creative(CONTENT).await;
        assert!(ids(&machine).await.is_empty());
    });
}

/// A creative whose file is in the trash: the database was saved before it was deleted.
async fn missed(machine: &Machine, app: &TestApp) -> String {
    let creative = upload(app).await;
    let saved = machine.facts.saved();
    delete(app, &creative).await;
    machine.facts.restore(&saved);
    ids(machine).await.pop().expect("one file")
}

#[test]
fn nothing_removes_the_file_of_a_creative_from_the_trash_and_the_operator_brings_it_back() {
    let machine = Machine::new().flag("--trash-ttl=20m");
    machine.process(async |app| {
        let id = missed(&machine, app).await;
        machine.advance_seconds(24 * 3600);
        pass(Duration::from_secs(1201)).await;
        app.app().engine().sweep().await.expect("a sweep");
        assert_eq!(ids(&machine).await, slice::from_ref(&id));
        let emptied = app.control("/trash/empty").await.assert_status(200).json();
        assert_eq!((&emptied["files"], &emptied["bytes"]), (&0.into(), &0.into()));
        assert_eq!(ids(&machine).await, slice::from_ref(&id));

        let refused = app.control(&format!("/trash/restore?id={id}&to=bob")).await;
        refused.assert_problem(404, "not_found");
        // The note is read twice before the file.
        machine.store.rot_nth_read(2);
        let refused = app.control(&format!("/trash/restore?id={id}")).await;
        let why = refused.assert_problem(409, "conflict");
        assert!(why.contains("not what they were") && why.contains("--output"), "{why}");
        app.control(&format!("/trash/restore?id={id}")).await.assert_status(200);
        app.assert_one_creative(CONTENT).await;
        assert!(ids(&machine).await.is_empty());
    });
}

#[test]
fn a_full_disk_does_not_cost_a_creative_its_file_in_the_trash() {
    let machine = Machine::with_disk(MemoryStore::with_room(60)).flag("--reserve-free=0");
    machine.process(async |app| {
        missed(&machine, app).await;
        machine.advance_seconds(24 * 3600);
        let large = app.flow(vec![7; 50]).name("large").chunk_size(50).post(1).await;
        large.assert_problem(507, "no_space");
        assert_eq!(ids(&machine).await.len(), 1);
    });
}

/// Puts a finished file of these bytes into the trash, with what is known of it.
async fn plant(machine: &Machine, note: &TrashNote, bytes: &'static [u8]) -> String {
    let upload = UploadId::new();
    machine.disk.create(upload, bytes.len() as u64).await.expect("room");
    machine.disk.write(upload, 0, vec![bytes.into()]).await.expect("written");
    let filename = FileName::new("a.png").expect("short");
    let name = PublishedName::new(note.creative_id.expect("an id"), &filename);
    machine.disk.publish(upload, &name).await.expect("published");
    let time = NOW.parse().expect("a time");
    let key = TrashKey { id: TrashId::at(time), origin: Origin::Completed(name) };
    assert!(machine.disk.set_aside(&key, note.to_json().into()).await.expect("set aside"));
    key.id.to_string()
}

#[test]
fn no_creative_is_made_of_a_file_that_is_known_not_to_match() {
    use TrashReason::{Damaged, DeletedByOperator, Ended, InTheWay, NotMatching};
    let machine = Machine::new();
    machine.process(async |app| {
        for (reason, size, status) in [
            (NotMatching, 5, 409),
            (Damaged, 5, 409),
            (InTheWay, 5, 409),
            (DeletedByOperator, 4, 409),
            (Ended, 6, 409),
            (Ended, 5, 200),
        ] {
            let note = TrashNote {
                creative_id: Some(CreativeId::new()),
                size: Some(size),
                ..TrashNote::unknown(reason)
            };
            let id = plant(&machine, &note, b"hello").await;
            let reply = app.control(&format!("/trash/restore?id={id}")).await;
            reply.assert_status(status);
            if status == 409 {
                let why = reply.assert_problem(409, "conflict");
                assert!(why.contains("--output FILE"), "{why}");
                assert!(ids(&machine).await.contains(&id), "{reason:?}");
            }
        }
        assert_eq!(app.creatives().await.len(), 1);
    });
}

#[test]
fn a_part_of_which_nothing_counts_stays_in_the_trash() {
    let machine = Machine::new();
    let older = machine.facts.saved();
    let newer = machine.process(async |app| {
        app.flow(CONTENT).send([1, 3]).await;
        machine.facts.saved()
    });
    machine.facts.restore(&older);
    machine.process(async |app| {
        idle().await;
        let [id] = &ids(&machine).await[..] else { panic!("one part") };
        machine.facts.restore(&newer);
        // Both ranges are damaged.
        machine.store.rot_nth_read(0);
        machine.store.rot_nth_read(1);
        let refused = app.control(&format!("/trash/restore?id={id}")).await;
        let why = refused.assert_problem(409, "conflict");
        assert!(why.contains("--output FILE"), "{why}");
        assert_eq!(ids(&machine).await, slice::from_ref(id));
        assert_eq!(machine.files().await, (0, 0));
        // And again, now that the upload knows of no range.
        app.control(&format!("/trash/restore?id={id}")).await.assert_problem(409, "conflict");
        app.flow(CONTENT).send(1..=COUNT).await;
        app.assert_one_creative(CONTENT).await;
    });
}

#[tokio::test]
async fn the_longest_name_is_known_in_the_trash() {
    let app = TestApp::start().await;
    let name = "\u{1}".repeat(limits::NAME_LEN_MAX);
    let file = app.flow(CONTENT).name(&name).path("a").identifier("a");
    for number in 1..=COUNT {
        let fields = file.fields(number);
        app.send(multipart(&fields, Some(("a", file.chunk(number))))).await;
    }
    let creative = app.creatives().await.remove(0);
    delete(&app, creative["id"].as_str().expect("an id")).await;
    let trash = app.dir().join("trash");
    let day = std::fs::read_dir(&trash).expect("there").filter_map(|entry| {
        let entry = entry.expect("read");
        entry.file_type().expect("read").is_dir().then(|| entry.path())
    });
    let day = day.last().expect("a day");
    let file = std::fs::read_dir(day).expect("there").map(|entry| entry.expect("read").file_name());
    let file = file.last().expect("a file").into_string().expect("ours");
    let id = &file[..36];
    let restored = app.control(&format!("/trash/restore?id={id}")).await;
    restored.assert_status(200);
    assert_eq!(app.creatives().await[0]["filename"], name);
}

#[test]
fn what_went_to_the_trash_under_a_wrong_clock_has_its_time_like_the_rest() {
    let machine = Machine::new().flag("--trash-ttl=20m");
    let since_2001 = 26 * 365 * 24 * 3600;
    machine.advance_seconds(-since_2001);
    Machine::paused(async { machine.disk.create(UploadId::new(), 5).await.expect("room") });
    machine.process(async |_| idle().await);
    machine.advance_seconds(since_2001);
    machine.process(async |app| {
        let sweep = async || app.app().engine().sweep().await.expect("a sweep");
        sweep().await;
        pass(Duration::from_secs(1199)).await;
        sweep().await;
        assert_eq!(ids(&machine).await.len(), 1);
        pass(Duration::from_secs(1)).await;
        sweep().await;
        assert!(ids(&machine).await.is_empty());
    });
}
