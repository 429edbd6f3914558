//! `flowstitch verify`: what it finds, and that it finds nothing where nothing is.

use std::{fs, path::PathBuf, process::Output, thread};

use serde_json::Value;

use crate::support::{FlowFile, Server, Setup, bytes, output, run};

/// What `verify --json` says of the data of this setup, and its exit status.
fn verified(setup: &Setup) -> (i32, Value) {
    let output = tool(setup, &["verify", "--json"]);
    let said = serde_json::from_slice(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(error, "", "nothing but the document");
    (output.status.code().expect("an end of its own"), said.expect("one document"))
}

fn tool(setup: &Setup, args: &[&str]) -> Output {
    run(setup.dir(), args)
}

/// The codes of what was found, of one kind.
fn codes(document: &Value, kind: &str) -> Vec<String> {
    let findings = document[kind].as_array().expect("a list").iter();
    findings.map(|finding| finding["code"].as_str().expect("a code").to_owned()).collect()
}

fn assert_clean(setup: &Setup) -> Value {
    let (status, document) = verified(setup);
    assert_eq!((status, &document["ok"]), (0, &Value::Bool(true)), "{document:#}");
    assert_eq!(codes(&document, "faults"), Vec::<String>::new());
    document
}

/// Asserts that this one fault is found, and no other; as JSON and as text.
#[track_caller]
fn assert_fault(setup: &Setup, code: &str, words: &[&str]) {
    let (status, document) = verified(setup);
    assert_eq!((status, &document["ok"]), (1, &Value::Bool(false)), "{document:#}");
    assert_eq!(codes(&document, "faults"), [code], "{document:#}");
    let output = tool(setup, &["verify"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).expect("text");
    let line = text.lines().find(|line| line.starts_with("fault: ")).expect("a line for it");
    for word in words {
        assert!(line.contains(word), "{word:?} is not in {line}");
    }
    assert!(text.trim_end().ends_with(": 1 fault, 0 notes"), "{text}");
}

/// A server with one creative; its id and its file.
fn one_creative() -> (Server, String, PathBuf) {
    let server = Server::start();
    let creative = FlowFile::new("one\u{202e}gpj.bin", bytes(1, 200_000), 50_000).upload(&server);
    let id = creative["id"].as_str().expect("an id").to_owned();
    let file = server.setup().dir().join("completed").join(format!("{id}.bin"));
    assert!(file.exists());
    (server, id, file)
}

#[test]
fn all_is_well_while_the_server_runs_and_when_it_does_not() {
    let (server, ..) = one_creative();
    let setup = server.setup().clone();
    FlowFile::new("empty", Vec::new(), 10).upload(&server);
    let running = FlowFile::new("half.bin", bytes(2, 2000), 1000);
    running.post(&mut server.connect(), 1).expect("an answer").assert_status(200);

    let seen = &assert_clean(&setup)["seen"];
    for (what, count) in
        [("creatives", 2), ("bytes", 200_000), ("files", 2), ("uploads", 1), ("parts", 1)]
    {
        assert_eq!(seen[what], count, "{what}");
    }
    assert!(server.terminated().0.success());
    // But for the journal, empty, which stays or goes with whoever closes the database last.
    let is_data = |name: &String| !name.starts_with("flowstitch.db-");
    let files = || {
        let folders = ["incomplete", "completed", "."].map(|folder| setup.files(folder));
        folders.map(|names| names.into_iter().filter(is_data).collect::<Vec<_>>())
    };
    let before = files();
    assert_clean(&setup);
    let text = String::from_utf8(tool(&setup, &["verify"]).stdout).expect("text");
    assert!(text.ends_with(": 0 faults, 0 notes\n") && text.lines().count() == 1, "{text}");
    assert_eq!(files(), before);
    assert_eq!(setup.journal_len(), 0);

    // A server finds nothing changed, and serves on.
    assert_eq!(running.resume(&setup.start()).1, [2]);
    let setup = setup.start().kill_9();
    assert_clean(&setup);
}

#[test]
fn what_is_no_file_at_all_is_noted_whatever_it_is_called() {
    let (server, id, file) = one_creative();
    let setup = server.setup();
    let completed = setup.dir().join("completed");
    fs::create_dir(completed.join("folder")).expect("made");
    std::os::unix::fs::symlink("/etc/hostname", setup.dir().join("incomplete/link")).expect("made");
    let (status, document) = verified(setup);
    assert_eq!((status, codes(&document, "notes")), (0, vec!["odd_entry".into(); 2]));
    // A link in the place of a finished file is no finished file.
    fs::rename(&file, setup.dir().join("elsewhere")).expect("moved");
    std::os::unix::fs::symlink("../elsewhere", &file).expect("made");
    let (status, document) = verified(setup);
    assert_eq!((status, codes(&document, "faults")), (1, vec!["missing_file".into()]));
    assert_eq!(document["faults"][0]["creative_id"], id);
    assert_eq!(codes(&document, "notes").len(), 3);
}

#[test]
fn a_flipped_bit_in_a_finished_file_is_found_and_named() {
    let (server, id, file) = one_creative();
    let mut content = fs::read(&file).expect("readable");
    content[123_456] ^= 4;
    fs::write(&file, &content).expect("written");
    // Escaped: a name must not turn the line around.
    let words = [id.as_str(), r#""one\u{202e}gpj.bin""#, "SHA-256", "restore the file"];
    assert_fault(server.setup(), "wrong_sha256", &words);
    let setup = server.setup().clone();
    assert!(server.terminated().0.success());
    assert_fault(&setup, "wrong_sha256", &words);
    content[123_456] ^= 4;
    fs::write(&file, &content).expect("written");
    assert_clean(&setup);
}

#[test]
fn a_file_that_is_missing_cut_or_of_nobody_is_found() {
    let (server, id, file) = one_creative();
    let setup = server.setup();
    let content = fs::read(&file).expect("readable");
    fs::write(&file, &content[1..]).expect("written");
    assert_fault(setup, "wrong_size", &[&id, "199999 bytes", "200000"]);
    fs::remove_file(&file).expect("removed");
    assert_fault(setup, "missing_file", &[&id, "not there"]);
    fs::write(&file, &content).expect("written");
    assert_clean(setup);

    for name in ["0198c0de-0000-7000-8000-000000000000.bin", "notes.txt"] {
        let foreign = file.with_file_name(name);
        fs::write(&foreign, "?").expect("written");
        assert_fault(setup, "foreign_file", &[name, "no creative has this file"]);
        fs::remove_file(&foreign).expect("removed");
    }
    let hidden = file.with_file_name(".gitkeep");
    fs::write(&hidden, "").expect("written");
    assert_clean(setup);
}

#[test]
fn the_bytes_of_a_running_upload_that_are_gone_are_missed() {
    let server = Server::start();
    let setup = server.setup().clone();
    let running = FlowFile::new("half.bin", bytes(2, 2000), 1000);
    running.post(&mut server.connect(), 1).expect("an answer").assert_status(200);
    assert!(server.terminated().0.success());
    let [part] = &setup.files("incomplete")[..] else { panic!("one file") };
    let part = setup.dir().join("incomplete").join(part);
    fs::write(&part, "short").expect("written");
    assert_fault(&setup, "short_part", &["half.bin", "has 5 bytes"]);
    fs::remove_file(&part).expect("removed");
    assert_fault(&setup, "missing_part", &["half.bin", "asks the client"]);

    // The server does as was said.
    assert_eq!(running.resume(&setup.start()).1, [1, 2]);
    assert_clean(&setup);
}

#[test]
fn bytes_that_nobody_owns_are_a_fault_unless_a_server_may_be_at_them() {
    let server = Server::start();
    let setup = server.setup().clone();
    let stray = setup.dir().join("incomplete/0198c0de-0000-7000-8000-000000000000.part");
    fs::write(&stray, "stray").expect("written");
    assert_eq!(codes(&assert_clean(&setup), "notes"), ["stray_part"]);
    assert!(server.terminated().0.success());
    assert_fault(&setup, "stray_part", &["no running upload owns"]);
    assert!(setup.start().terminated().0.success());
    assert!(!stray.exists());
}

#[test]
fn no_false_alarm_while_files_come_and_go() {
    let server = Server::start();
    let client = |seed: u64| {
        let server = &server;
        move || {
            for round in 0..40 {
                let file = FlowFile::new(&format!("{seed}-{round}"), bytes(seed, 30_000), 7_000);
                let creative = file.upload(server);
                let url = format!("/creatives/{}", creative["id"].as_str().expect("an id"));
                if round % 2 == 0 {
                    let delete = crate::support::request("DELETE", &url, &[], b"");
                    server.connect().ask(&delete).expect("an answer").assert_status(204);
                }
            }
        }
    };
    thread::scope(|scope| {
        let clients = [scope.spawn(client(1)), scope.spawn(client(2))];
        let mut rounds = 0;
        while rounds < 3 || !clients.iter().all(thread::ScopedJoinHandle::is_finished) {
            assert_clean(server.setup());
            rounds += 1;
        }
    });
    assert_eq!(assert_clean(server.setup())["seen"]["creatives"], 40);
}

#[test]
fn data_that_cannot_be_read_are_no_answer_and_nothing_is_made() {
    let setup = Setup::new();
    let refused = |words: &[&str]| {
        let output = tool(&setup, &["verify"]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{error}");
        for word in words {
            assert!(error.contains(word), "{word:?} is not in: {error}");
        }
    };
    refused(&["flowstitch.db", "is not there", "data_dir"]);
    assert_eq!(fs::read_dir(setup.dir()).expect("a folder").count(), 0);

    // A database that begins to exist: of no version yet.
    fs::write(setup.dir().join("flowstitch.db"), "").expect("written");
    refused(&["version 0", "flowstitch migrate"]);
    fs::write(setup.dir().join("flowstitch.toml"), "nonsense = 1").expect("written");
    refused(&["nonsense"]);
    fs::remove_file(setup.dir().join("flowstitch.toml")).expect("removed");
    let migrated = output(setup.command().arg("migrate"));
    assert!(migrated.status.success());
    refused(&["incomplete"]);
    assert!(!setup.dir().join("incomplete").exists());
}

#[test]
fn a_digest_of_another_kind_is_checked_and_without_one_the_length() {
    for (kind, code) in [("blake3", Some("wrong_blake3")), ("none", None)] {
        let server = Setup::new().flag(format!("--digest={kind}")).start();
        let (creative, _) =
            FlowFile::new("one.bin", bytes(1, 200_000), 50_000).resume_unhashed(&server);
        let id = creative["id"].as_str().expect("an id");
        let setup = server.setup();
        let (by_length_only, read) = if code.is_some() { (0, 200_000) } else { (1, 0) };
        let seen = &assert_clean(setup)["seen"];
        let counts = ["creatives", "by_length_only", "bytes"].map(|what| seen[what].as_u64());
        assert_eq!(counts, [1, by_length_only, read].map(Some), "{kind}");
        let text = String::from_utf8(tool(setup, &["verify"]).stdout).expect("text");
        assert_eq!(text.contains("1 by length only"), code.is_none(), "{text}");

        let file = setup.dir().join("completed").join(format!("{id}.bin"));
        let mut content = fs::read(&file).expect("readable");
        content[123_456] ^= 4;
        fs::write(&file, &content).expect("written");
        match code {
            Some(code) => assert_fault(setup, code, &[id, "BLAKE3", "restore the file"]),
            None => drop(assert_clean(setup)),
        }
        fs::write(&file, &content[1..]).expect("written");
        assert_fault(setup, "wrong_size", &[id, "199999 bytes"]);
    }
}

#[test]
fn both_digests_are_checked_where_both_are_known() {
    let server = Setup::new().flag("--digest=blake3").start();
    let (creative, _) = FlowFile::new("one.bin", bytes(1, 1000), 1000).declared().resume(&server);
    assert!(creative["sha256"].is_string() && creative["blake3"].is_string(), "{creative}");
    let setup = server.setup();
    assert_clean(setup);
    let list = tool(setup, &["uploads", "list", "--json"]).stdout;
    let list: Value = serde_json::from_slice(&list).expect("one document");
    for digest in ["sha256", "blake3"] {
        assert_eq!(list["uploads"][0][digest], creative[digest]);
    }
    let id = creative["id"].as_str().expect("an id");
    let file = setup.dir().join("completed").join(format!("{id}.bin"));
    fs::write(file, bytes(2, 1000)).expect("written");
    assert_fault(setup, "wrong_sha256", &[id, "SHA-256", "BLAKE3"]);
}
