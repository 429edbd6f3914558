//! A backup of the database is restored that is older than the files beside it.

use std::{fs, path::Path};

use serde_json::Value;

use crate::support::{FlowFile, Server, Setup, bytes, run};

/// Uploads that are half way, in three sizes of chunk.
fn files() -> [FlowFile; 3] {
    [("a.bin", 1000), ("b.bin", 3000), ("c.bin", 500)]
        .map(|(name, chunk)| FlowFile::new(name, bytes(chunk as u64, 10_000), chunk))
}

/// Saves the database as `.backup` does, while the server writes to it.
fn save(setup: &Setup, to: &Path) {
    let live = rusqlite::Connection::open(setup.dir().join("flowstitch.db")).expect("there");
    live.execute("VACUUM INTO ?1", [to.to_str().expect("a name")]).expect("saved");
}

fn restore(setup: &Setup, from: &Path) {
    let database = setup.dir().join("flowstitch.db");
    for end in ["", "-wal", "-shm"] {
        fs::remove_file(format!("{}{end}", database.display())).ok();
    }
    fs::copy(from, database).expect("restored");
}

fn json(setup: &Setup, args: &[&str]) -> (i32, Value) {
    let output = run(setup.dir(), args);
    let said = serde_json::from_slice(&output.stdout);
    (output.status.code().expect("an end of its own"), said.expect("one document"))
}

fn codes(document: &Value) -> Vec<&str> {
    let faults = document["faults"].as_array().expect("a list").iter();
    faults.map(|fault| fault["code"].as_str().expect("a code")).collect()
}

#[test]
fn nothing_that_was_complete_is_lost_and_verify_says_how_to_go_on() {
    let server = Server::start();
    let setup = server.setup().clone();
    let backup = setup.dir().join("backup.db");
    let all = files();
    for file in &all {
        file.post(&mut server.connect(), 1).expect("an answer").assert_status(200);
    }
    save(&setup, &backup);
    for file in &all {
        file.resume(&server);
    }
    let late = FlowFile::new("late.bin", bytes(9, 5000), 1000);
    late.post(&mut server.connect(), 1).expect("an answer").assert_status(200);
    assert!(server.terminated().0.success());
    restore(&setup, &backup);

    let (status, found) = json(&setup, &["verify", "--json"]);
    let unrecorded = codes(&found).iter().filter(|code| **code == "unrecorded_file").count();
    // The copy of a running server's database says that a session is open: then a part that
    // nobody knows may be a first chunk under way, and is noted.
    assert_eq!((status, unrecorded), (1, 3), "{found:#}");
    assert_eq!(found["notes"][0]["code"], "stray_part", "{found:#}");

    let server = setup.start();
    for file in &all {
        let probe = file.probe(&mut server.connect(), 2).expect("an answer");
        assert_eq!(probe.json()["complete"], true, "{}", probe.json());
    }
    let (status, clean) = json(&setup, &["verify", "--json"]);
    assert_eq!((status, &clean["seen"]["creatives"]), (0, &3.into()), "{clean:#}");
    assert_eq!(clean["seen"]["trash"], 1, "{clean:#}");

    // What was begun after the backup is in the trash, and its bytes can be had.
    let (_, trash) = json(&setup, &["trash", "list", "--json"]);
    let [part] = &trash["files"].as_array().expect("a list")[..] else { panic!("{trash:#}") };
    assert_eq!((&part["finished"], &part["bytes"]), (&false.into(), &5000.into()));
    let id = part["id"].as_str().expect("an id");
    let refused = run(setup.dir(), &["trash", "restore", id]);
    assert_eq!(refused.status.code(), Some(1));
    let copy = setup.dir().join("copy.bin");
    let written =
        run(setup.dir(), &["trash", "restore", id, "--output", copy.to_str().expect("a name")]);
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    assert_eq!(fs::read(&copy).expect("written")[..1000], bytes(9, 5000)[..1000]);
    let (status, again) = json(
        &setup,
        &["trash", "restore", id, "--json", "--output", copy.to_str().expect("a name")],
    );
    assert_eq!(status, 1, "{again:#}");
    assert!(server.terminated().0.success());

    // Without a server, too.
    let note = setup.dir().join("trash").join(part["file"].as_str().expect("a name"));
    fs::remove_file(format!("{}.json", note.display())).expect("there was a note");
    let (status, found) = json(&setup, &["verify", "--json"]);
    assert_eq!((status, codes(&found)), (1, vec!["unknown_trash"]), "{found:#}");
    let (status, emptied) = json(&setup, &["trash", "empty", "--json"]);
    assert_eq!((status, &emptied["files"]), (0, &1.into()), "{emptied:#}");
    assert_eq!(json(&setup, &["verify", "--json"]).0, 0);
}

#[test]
fn verify_says_which_file_in_the_trash_a_creative_lacks() {
    let server = Server::start();
    let setup = server.setup().clone();
    let backup = setup.dir().join("backup.db");
    let file = FlowFile::new("a.bin", bytes(7, 3000), 1000);
    let creative = file.upload(&server);
    let id = creative["id"].as_str().expect("an id");
    save(&setup, &backup);
    assert_eq!(run(setup.dir(), &["creatives", "delete", id]).status.code(), Some(0));
    assert!(server.terminated().0.success());
    restore(&setup, &backup);

    let (status, found) = json(&setup, &["verify", "--json"]);
    assert_eq!((status, codes(&found)), (1, vec!["missing_file"]), "{found:#}");
    let (_, trash) = json(&setup, &["trash", "list", "--json"]);
    let trashed = trash["files"][0]["id"].as_str().expect("an id");
    let action = found["faults"][0]["action"].as_str().expect("words");
    assert!(action.contains(&format!("`flowstitch trash restore {trashed}`")), "{action}");
    let server = setup.start();
    assert!(server.terminated().0.success());
    assert_eq!(json(&setup, &["verify", "--json"]).0, 0);
}
