//! What changes something: by the server through its control socket, or without a server.

use std::{
    fs,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::UnixStream,
    },
    path::PathBuf,
};

use serde_json::Value;

use crate::support::{FlowFile, Server, Setup, bytes, output, run};

const NOBODY: &str = "0198c0de-0000-7000-8000-000000000000";

/// What a tool said: its status, its document or its words, and its complaint.
struct Said {
    status: i32,
    out: String,
    err: String,
}

impl Said {
    #[track_caller]
    fn json(&self, status: i32) -> Value {
        assert_eq!(self.status, status, "{}{}", self.out, self.err);
        serde_json::from_str(&self.out).expect("one document")
    }

    #[track_caller]
    fn assert(&self, status: i32, words: &[&str]) {
        let text = format!("{}{}", self.out, self.err);
        assert_eq!(self.status, status, "{text}");
        for word in words {
            assert!(text.contains(word), "{word:?} is not in: {text}");
        }
    }
}

fn tool(setup: &Setup, args: &[&str]) -> Said {
    let output = run(setup.dir(), args);
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let status = output.status.code().expect("an end of its own");
    Said { status, out: text(output.stdout), err: text(output.stderr) }
}

fn socket(setup: &Setup) -> PathBuf {
    setup.dir().join("flowstitch.db.sock")
}

/// An upload of two chunks, one of which is here; its id.
fn half(server: &Server, name: &str) -> (FlowFile, String) {
    let file = FlowFile::new(name, bytes(3, 2000), 1000);
    let answer = file.post(&mut server.connect(), 1).expect("an answer");
    let id = answer.assert_status(200).json()["upload"]["id"].as_str().expect("an id").to_owned();
    (file, id)
}

/// Runs `check` while the server runs, and then on data of the same kind without one.
fn both_ways(check: impl Fn(&Setup, &str)) {
    for with_server in [true, false] {
        let server = Server::start();
        let setup = server.setup().clone();
        let (_, id) = half(&server, "half.bin");
        if with_server {
            check(&setup, &id);
            assert!(server.terminated().0.success());
        } else {
            assert!(server.terminated().0.success());
            check(&setup, &id);
        }
        assert!(!socket(&setup).exists(), "a socket stays");
        // All was stopped in order: nothing is to be recovered.
        let log = setup.start().terminated().1;
        assert!(!log.whole().iter().any(|line| line.contains("did not end in order")), "{log:?}");
    }
}

#[test]
fn a_folder_that_holds_no_data_stays_as_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let mistyped = dir.path().join("mistyped");
    for command in [&["uploads", "cancel", NOBODY][..], &["uploads", "retry", NOBODY], &["sweep"]] {
        let flag = format!("--data-dir={}", mistyped.display());
        let output = run(dir.path(), &[command, &[&flag]].concat());
        assert_eq!(output.status.code(), Some(2), "{command:?}");
        assert!(!mistyped.exists(), "{command:?}");
    }
}

#[test]
fn uploads_are_listed_and_shown() {
    both_ways(|setup, id| {
        let list = tool(setup, &["uploads", "list", "--json"]).json(0);
        let [upload] = &list["uploads"].as_array().expect("a list")[..] else { panic!("{list}") };
        assert_eq!(upload["id"], id);
        assert_eq!(
            (&upload["total_size"], &upload["received_bytes"]),
            (&2000.into(), &1000.into())
        );
        let none = tool(setup, &["uploads", "list", "--state=failed", "--json"]).json(0);
        assert_eq!(none["uploads"], serde_json::json!([]));
        tool(setup, &["uploads", "list", "--limit=1"])
            .assert(0, &["ID  ", id, "receiving", "2000", "1000", "half.bin", "Z  "]);
        tool(setup, &["uploads", "show", id]).assert(0, &["received_bytes:  1000", "half.bin"]);
        assert_eq!(tool(setup, &["uploads", "show", id, "--json"]).json(0), *upload);
        tool(setup, &["uploads", "show", NOBODY]).assert(1, &["No upload has this id"]);
        tool(setup, &["uploads", "show", "1"]).assert(2, &["not an id"]);
        tool(setup, &["uploads", "list", "--state=lost"]).assert(2, &["receiving, stitching"]);
    });
}

#[test]
fn a_database_of_the_server_alone_is_not_mapped_and_not_read_by_others() {
    let server = Setup::new().flag("--database-exclusive").start();
    let setup = server.setup().clone();
    let (_, id) = half(&server, "half.bin");
    assert!(!setup.dir().join("flowstitch.db-shm").exists(), "the journal's index is mapped");
    tool(&setup, &["uploads", "list"]).assert(2, &["locked", "database_exclusive"]);
    let setup = server.kill_9();
    tool(&setup, &["uploads", "show", &id]).assert(0, &["received_bytes:  1000"]);
    let server = setup.start();
    tool(&setup, &["uploads", "cancel", &id]).assert(0, &["cancelled", &id]);
    assert!(server.terminated().0.success());
    tool(&setup, &["uploads", "list"]).assert(0, &[&id, "cancelled"]);
}

#[test]
fn an_upload_is_cancelled_once() {
    both_ways(|setup, id| {
        tool(setup, &["uploads", "cancel", id]).assert(0, &["cancelled", id]);
        assert_eq!(setup.files("incomplete"), Vec::<String>::new());
        tool(setup, &["uploads", "cancel", id]).assert(1, &["had ended before: it is cancelled"]);
        tool(setup, &["uploads", "cancel", NOBODY]).assert(1, &["No upload has this id"]);
        let refused = tool(setup, &["uploads", "cancel", NOBODY, "--json"]).json(1);
        assert!(refused["refused"].as_str().is_some_and(|why| why.contains("No upload")));
        let shown = tool(setup, &["uploads", "show", id, "--json"]).json(0);
        assert_eq!((&shown["state"], &shown["received_bytes"]), (&"cancelled".into(), &0.into()));
    });
}

#[test]
fn a_complete_upload_is_not_cancelled() {
    let server = Server::start();
    let creative = FlowFile::new("a.bin", bytes(1, 10), 10).upload(&server);
    let id = creative["upload_id"].as_str().expect("an id");
    tool(server.setup(), &["uploads", "cancel", id]).assert(1, &["delete its creative"]);
    tool(server.setup(), &["uploads", "retry", id]).assert(0, &["completed"]);
    assert_eq!(server.creatives().len(), 1);
}

/// Where the file of this upload will be published.
fn published(setup: &Setup, id: &str) -> PathBuf {
    let database = rusqlite::Connection::open(setup.dir().join("flowstitch.db")).expect("there");
    let id = id.replace('-', "");
    let creative: Vec<u8> = database
        .query_row("SELECT creative_id FROM uploads WHERE hex(id) = upper(?1)", [id], |r| r.get(0))
        .expect("it is known");
    let creative = uuid::Uuid::from_slice(&creative).expect("an id");
    setup.dir().join("completed").join(format!("{creative}.bin"))
}

#[test]
fn a_postponed_stitch_is_retried_and_its_outcome_is_told() {
    for with_server in [true, false] {
        let server = Setup::new().flag("--completion-wait=0s").start();
        let setup = server.setup().clone();
        let (file, id) = half(&server, "half.bin");
        tool(&setup, &["uploads", "retry", &id]).assert(1, &["waits for chunks", "1000 of 2000"]);
        let in_the_way = published(&setup, &id);
        // A folder: a file would be moved to the trash.
        fs::create_dir(&in_the_way).expect("made");
        file.post(&mut server.connect(), 2).expect("an answer").assert_status(200);
        tool(&setup, &["uploads", "retry", &id]).assert(1, &["cannot be stitched"]);

        let server = if with_server {
            Some(server)
        } else {
            assert!(server.terminated().0.success());
            tool(&setup, &["uploads", "retry", &id]).assert(1, &["cannot be stitched"]);
            None
        };
        fs::remove_dir(&in_the_way).expect("removed");
        let status = tool(&setup, &["uploads", "retry", &id, "--json"]).json(0);
        assert_eq!(status["complete"], true);
        assert!(fs::read(&in_the_way).expect("published") == file.content);
        drop(server);
    }
}

#[test]
fn a_sweep_does_what_its_dry_run_says() {
    for with_server in [true, false] {
        let server = Setup::new().flag("--sweep-interval=1h").start();
        let setup = server.setup().clone();
        let (_, id) = half(&server, "old.bin");
        let (_, young) = half(&server, "young.bin");
        let (_, gone) = half(&server, "gone.bin");
        tool(&setup, &["uploads", "cancel", &gone]).assert(0, &["cancelled"]);
        let (_, first) = half(&server, "first.bin");
        tool(&setup, &["uploads", "cancel", &first]).assert(0, &["cancelled"]);
        // The server lets go of what is in memory only by and by: it is asked anew.
        assert!(server.terminated().0.success());
        let database = rusqlite::Connection::open(setup.dir().join("flowstitch.db"));
        let database = database.expect("there");
        let long_ago = "UPDATE uploads SET ended_at = 0 WHERE filename = 'first.bin'";
        assert_eq!(database.execute(long_ago, []).expect("changed"), 1);
        let server = with_server.then(|| setup.start());
        // By itself a server that has just started lets everybody come back first.
        tool(&setup, &["sweep"]).assert(0, &["forgot 1 ended upload,"]);
        let long_ago = "UPDATE uploads SET touched_at = 0 WHERE filename = 'old.bin'";
        assert_eq!(database.execute(long_ago, []).expect("changed"), 1);
        let long_ago = "UPDATE uploads SET ended_at = 0 WHERE filename = 'gone.bin'";
        assert_eq!(database.execute(long_ago, []).expect("changed"), 1);
        drop(database);

        let plan = tool(&setup, &["sweep", "--dry-run", "--json"]).json(0);
        assert_eq!(plan["expire"][0]["id"], id.as_str(), "{plan}");
        assert_eq!(plan["expire"].as_array().map(Vec::len), Some(1));
        assert_eq!(plan["tombstones"], 1);
        tool(&setup, &["sweep", "--dry-run"])
            .assert(0, &["old.bin", "idle since 1970-01-01T00:00:00Z", "would expire 1 upload,"]);
        // It was a plan.
        tool(&setup, &["uploads", "show", &id]).assert(0, &["receiving"]);
        tool(&setup, &["uploads", "show", &gone]).assert(0, &["cancelled"]);

        tool(&setup, &["sweep"]).assert(0, &["expired 1 upload, forgot 1 ended upload"]);
        tool(&setup, &["uploads", "show", &id]).assert(0, &["expired"]);
        tool(&setup, &["uploads", "show", &young]).assert(0, &["receiving"]);
        tool(&setup, &["uploads", "show", &gone]).assert(1, &["No upload"]);
        tool(&setup, &["sweep"]).assert(0, &["expired 0 uploads, forgot 0 ended uploads"]);
        drop(server);
    }
}

#[test]
fn a_tool_does_one_thing_and_lets_nothing_else_expire() {
    let server = Server::start();
    let setup = server.setup().clone();
    let (_, id) = half(&server, "a.bin");
    let (_, other) = half(&server, "b.bin");
    assert!(server.terminated().0.success());
    let database = rusqlite::Connection::open(setup.dir().join("flowstitch.db")).expect("there");
    database.execute("UPDATE uploads SET touched_at = 0", []).expect("changed");
    drop(database);
    tool(&setup, &["uploads", "cancel", &id]).assert(0, &["cancelled"]);
    tool(&setup, &["uploads", "show", &other]).assert(0, &["receiving"]);
}

#[test]
fn the_socket_is_its_users_own_and_survives_a_crash_of_the_server() {
    let server = Server::start();
    let setup = server.setup().clone();
    let path = socket(&setup);
    let metadata = fs::symlink_metadata(&path).expect("it is there");
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);

    // A second server is refused before it comes to the socket.
    assert_eq!(output(&mut setup.command()).status.code(), Some(1));
    tool(&setup, &["sweep"]).assert(0, &["expired 0"]);

    let setup = server.kill_9();
    assert!(path.exists(), "a crash leaves it");
    assert!(UnixStream::connect(&path).is_err());
    tool(&setup, &["sweep"]).assert(0, &["expired 0"]);
    let server = setup.start();
    let (_, id) = half(&server, "a.bin");
    tool(&setup, &["uploads", "cancel", &id]).assert(0, &["cancelled"]);
    assert!(server.terminated().0.success());
    assert!(!path.exists());
}

#[test]
fn a_socket_that_cannot_be_had_is_done_without_and_said() {
    let long = format!("--control-socket={}", "x".repeat(200));
    let foreign = "--control-socket=precious.txt";
    for flag in [&long, foreign] {
        let setup = Setup::new().flag(flag);
        fs::write(setup.dir().join("precious.txt"), "precious").expect("written");
        let server = setup.start();
        server.log().wait_for("No control socket");
        let (_, id) = half(&server, "a.bin");
        let refused = tool(&setup, &["uploads", "cancel", &id, flag]);
        refused.assert(2, &["a server uses these data and does not answer at"]);
        tool(&setup, &["uploads", "show", &id]).assert(0, &["receiving"]);
        assert!(server.terminated().0.success());
        assert_eq!(fs::read(setup.dir().join("precious.txt")).expect("there"), b"precious");
        tool(&setup, &["uploads", "cancel", &id, flag]).assert(0, &["cancelled"]);
    }
}

#[test]
fn two_servers_that_share_a_socket_by_mistake_do_not_take_it_from_each_other() {
    let server = Server::start();
    let path = socket(server.setup());
    let other = Setup::new().flag(format!("--control-socket={}", path.display())).start();
    other.log().wait_for("No control socket");
    assert!(other.terminated().0.success());
    assert!(path.exists());
    tool(server.setup(), &["sweep"]).assert(0, &["expired 0"]);
}

#[test]
fn the_audit_trail_is_shown() {
    both_ways(|setup, id| {
        tool(setup, &["uploads", "cancel", id]).assert(0, &["cancelled"]);
        let audit = tool(setup, &["audit", "--json"]).json(0);
        let lines = audit["audit"].as_array().expect("a list");
        let [cancelled, opened] = &lines[..] else { panic!("{audit}") };
        assert_eq!(
            (&cancelled["action"], &opened["action"]),
            (&"upload_cancelled".into(), &"upload_opened".into())
        );
        assert_eq!(
            (&cancelled["means"], &cancelled["address"]),
            (&"operator".into(), &Value::Null)
        );
        assert_eq!(
            (&opened["means"], &opened["address"]),
            (&"nothing".into(), &"127.0.0.1".into())
        );
        assert_eq!((&opened["upload_id"], &opened["detail"]), (&id.into(), &"half.bin".into()));
        let some = |filter: &str| {
            let list = tool(setup, &["audit", "--json", filter]).json(0)["audit"].clone();
            list.as_array().map(Vec::len)
        };
        let (this, other) = (format!("--upload={id}"), format!("--upload={NOBODY}"));
        assert_eq!((some(&this), some(&other)), (Some(2), Some(0)));
        assert_eq!((some("--user=anonymous"), some("--user=ann")), (Some(2), Some(0)));
        assert_eq!((some("--since=1h"), some("--limit=1")), (Some(2), Some(1)));
        tool(setup, &["audit"]).assert(0, &["AT  ", "upload_cancelled", "half.bin", "127.0.0.1"]);
        tool(setup, &["audit", "--upload=1"]).assert(2, &["not an id"]);
    });
}

/// The rule for names became stricter: who was added before must still be managed.
#[test]
fn a_user_whose_name_would_be_refused_today_is_managed_like_any_other() {
    const STORED: &str = "mi\u{200c}ra";
    const SHOWN: &str = "mi\\u{200c}ra";
    let server = Server::start();
    let setup = server.setup().clone();
    assert!(server.terminated().0.success());
    let add = "INSERT INTO users (name, created_at) VALUES (?1, 1)";
    let db = rusqlite::Connection::open(setup.dir().join("flowstitch.db")).expect("there");
    db.execute(add, [STORED]).expect("added");
    drop(db);
    let tool = |args: &[&str]| run(setup.dir(), args);
    let running = setup.start();
    let listed = tool(&["user", "list"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains(SHOWN), "{listed:?}");
    for name in [STORED, SHOWN] {
        for args in [
            &["user", "disable", name][..],
            &["user", "enable", name],
            &["user", "email", name, "mira@example.org"],
            &["token", "list", name],
            &["creatives", "list", "--user", name],
            &["creatives", "give", "--public", "--to", name],
        ] {
            let output = tool(args);
            assert!(output.status.success(), "{args:?}: {output:?}");
        }
    }
    // Nobody new gets such a name.
    for args in [&["user", "add", STORED][..], &["token", "create", STORED]] {
        assert_eq!(tool(args).status.code(), Some(2), "{args:?}");
    }
    let removed = tool(&["user", "remove", "--yes", SHOWN]);
    assert!(removed.status.success(), "{removed:?}");
    assert!(!tool(&["user", "disable", STORED]).status.success());
    assert!(running.terminated().0.success());
}
