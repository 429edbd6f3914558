//! What the binary makes of its command line, its settings and the places it is pointed to.

use std::{fs, net::TcpListener, os::unix::fs::MetadataExt, path::Path, process::Output};

use crate::support::{FlowFile, Server, Setup, bytes, output, run};

/// Asserts that the binary refuses, and says all of `words` in one line.
#[track_caller]
fn assert_refused(output: &Output, code: i32, words: &[&str]) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    for word in words {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
    assert!(!error.contains("panicked"), "{error}");
}

fn said(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout.clone()).expect("text")
}

#[test]
fn a_setting_that_is_not_known_is_refused_by_name() {
    let setup = Setup::new();
    let flag = output(&mut setup.clone().flag("--upload-tlt=1h").command());
    assert_refused(&flag, 2, &["--upload-tlt", "--upload-ttl"]);

    let mut command = setup.command();
    let variable = output(command.env("FLOWSTITCH_UPLOAD_TLT", "1h"));
    assert_refused(&variable, 1, &["FLOWSTITCH_UPLOAD_TLT", "FLOWSTITCH_UPLOAD_TTL"]);

    fs::write(setup.dir().join("flowstitch.toml"), "upload_tlt = \"1h\"\n").expect("written");
    let key = output(&mut setup.command());
    assert_refused(&key, 1, &["upload_tlt", "upload_ttl", "flowstitch.toml"]);
    // Refused before anything was touched.
    assert_eq!(fs::read_dir(setup.dir()).expect("a folder").count(), 1);
}

#[test]
fn places_on_two_file_systems_are_refused() {
    let (setup, elsewhere) = (Setup::new(), tempfile::tempdir_in("/dev/shm"));
    let device = |path: &Path| fs::metadata(path).expect("it is there").dev();
    let Some(elsewhere) = elsewhere.ok().filter(|it| device(it.path()) != device(setup.dir()))
    else {
        say("Not run: places on two file systems. Missing: /dev/shm on a device of its own.");
        return;
    };
    let completed = elsewhere.path().join("completed");
    let setup = setup.flag(format!("--completed-dir={}", completed.display()));
    let refused = output(&mut setup.command());
    let incomplete = setup.dir().join("incomplete").display().to_string();
    let completed = completed.display().to_string();
    assert_refused(&refused, 1, &["different file systems", &incomplete, &completed]);
}

#[expect(clippy::print_stderr, reason = "whoever runs the tests must be told")]
fn say(text: &str) {
    eprintln!("{text}");
}

#[test]
fn the_settings_that_are_printed_give_the_same_settings() {
    let dir = tempfile::tempdir().expect("a directory");
    let printed = said(&run(
        dir.path(),
        &["config", "--data-dir=d", "--upload-ttl=12h 30m", "--cors-origins=https://a.example"],
    ));
    assert!(printed.contains("upload_ttl = \"12h 30m\""), "{printed}");
    fs::write(dir.path().join("flowstitch.toml"), &printed).expect("written");
    assert_eq!(said(&run(dir.path(), &["config"])), printed);
    // To print them is all that it did.
    assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 1);
}

#[test]
fn the_help_lists_every_setting_by_flag_and_variable() {
    let dir = tempfile::tempdir().expect("a directory");
    let settings: toml::Table = said(&run(dir.path(), &["config"])).parse().expect("TOML");
    assert!(10 < settings.len());
    for args in [&["serve", "--help"][..], &["--help"]] {
        let help = said(&run(dir.path(), args));
        for key in settings.keys() {
            let flag = format!("--{} ", key.replace('_', "-"));
            let variable = format!("FLOWSTITCH_{}]", key.to_ascii_uppercase());
            assert!(help.contains(&flag), "{flag} is not in the help of {args:?}");
            assert!(help.contains(&variable), "{variable} is not in the help of {args:?}");
        }
    }
}

#[test]
fn the_version_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let version = said(&run(dir.path(), &["--version"]));
    assert_eq!(version, format!("flowstitch {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn migrations_are_shown_and_applied() {
    let dir = tempfile::tempdir().expect("a directory");
    let migrate = |more: &[&str]| said(&run(dir.path(), &[&["migrate"], more].concat()));
    let names = [
        "catalog",
        "troubles",
        "users",
        "tickets",
        "usage",
        "accept",
        "codes",
        "audit",
        "digest",
        "deployment",
        "trash",
        "bounds",
        "visitors",
        "shares",
        "sessions",
        "decoys",
        "open",
    ];
    let all = |state: &str| -> String {
        let lines = (1..).zip(names).map(|(number, name)| format!("{number:04} {name} {state}\n"));
        lines.collect()
    };
    assert_eq!(migrate(&["--dry-run"]), all("missing"));
    assert!(!dir.path().join("flowstitch.db").exists());
    assert_eq!(migrate(&[]), all("applied now"));
    assert_eq!(migrate(&[]), all("applied"));
    assert_eq!(migrate(&["--dry-run"]), all("applied"));
}

#[test]
fn the_database_of_a_newer_program_is_refused_and_left_alone() {
    let server = Server::start();
    let setup = server.setup().clone();
    FlowFile::new("a.bin", bytes(1, 10), 10).upload(&server);
    assert!(server.terminated().0.success());
    let path = setup.dir().join("flowstitch.db");
    let database = rusqlite::Connection::open(&path).expect("a database");
    database.pragma_update(None, "user_version", 99).expect("set");
    drop(database);

    let before = fs::read(&path).expect("a file");
    let words = ["flowstitch.db", "version 99", "run the newer program"];
    assert_refused(&output(&mut setup.command()), 1, &words);
    for args in [&["migrate"][..], &["migrate", "--dry-run"]] {
        assert_refused(&run(setup.dir(), args), 1, &words);
    }
    assert!(fs::read(&path).expect("a file") == before, "the database was changed");
}

#[test]
fn a_second_server_on_the_same_data_is_refused_and_the_first_serves_on() {
    let server = Server::start();
    let file = FlowFile::new("a.bin", bytes(1, 2000), 1000);
    file.post(&mut server.connect(), 1).expect("an answer").assert_status(200);
    let second = output(&mut server.setup().command());
    let folder = server.setup().dir().join("incomplete").display().to_string();
    assert_refused(&second, 1, &["another server is using the folder", &folder]);
    assert_eq!(file.resume(&server).1, [2]);

    // However a server ends, its folders are free.
    let server = server.kill_9().start();
    assert_eq!(server.creatives().len(), 1);
}

#[test]
fn a_port_in_use_is_said_and_the_data_stay_as_they_were() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let setup = Setup::new();
    let refused = output(&mut setup.clone().flag(format!("--listen={address}")).command());
    let cannot = format!("cannot listen on {address}");
    assert_refused(&refused, 1, &[&cannot, "in use"]);
    assert_eq!(fs::read_dir(setup.dir()).expect("a folder").count(), 0);
}

#[test]
fn a_place_that_cannot_be_used_is_named() {
    let setup = Setup::new();
    fs::write(setup.dir().join("file"), "").expect("written");
    let path = setup.dir().join("file/incomplete").display().to_string();
    let refused = output(&mut setup.clone().flag(format!("--incomplete-dir={path}")).command());
    assert_refused(&refused, 1, &["cannot use the folder", &path]);

    let refused = output(&mut setup.clone().flag("--database=none/such.db").command());
    assert_refused(&refused, 1, &["cannot open the database", "none/such.db"]);
}
