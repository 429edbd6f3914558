//! The ways back from the trash: by the operator, and by a start whose catalog knows the file.

use std::slice;

use flowstitch::{store::ChunkStore, upload::UploadId};
use serde_json::Value;

use crate::support::{Machine, TestApp, idle};

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
