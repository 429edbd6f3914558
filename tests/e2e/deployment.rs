//! Catalog and folders that do not belong together: the start is refused, and nothing is touched.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, chown},
    path::Path,
};

use crate::support::{FlowFile, Server, Setup, bytes, output, run};

/// Which database a folder belongs to.
const MARK: &str = ".flowstitch-deployment";

/// Every file below a folder, with its content, but for those of the database's journal.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("it can be listed") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            all.extend(contents(&path));
        } else if path.is_file() && !path.to_string_lossy().contains(".db-") {
            all.insert(path.display().to_string(), fs::read(&path).expect("it can be read"));
        }
    }
    all
}

/// A setup with one finished file, one upload half way, and a user.
fn used() -> (Setup, FlowFile) {
    let server = Server::start();
    FlowFile::new("done.bin", bytes(1, 30_000), 10_000).upload(&server);
    let half = FlowFile::new("half.bin", bytes(2, 40_000), 10_000);
    for number in [1, 2] {
        half.post(&mut server.connect(), number).expect("an answer").assert_status(200);
    }
    let setup = server.setup().clone();
    assert!(server.terminated().0.success());
    (setup, half)
}

/// Asserts that the setup does not start, says all this, and leaves everything as it is.
#[track_caller]
fn assert_refused(setup: &Setup, words: &[&str]) {
    let before = contents(setup.dir());
    for args in [&[][..], &["token", "create", "ann"], &["user", "add", "ann"], &["migrate"]] {
        let output = output(setup.command().args(args));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{args:?}: {text}");
        for word in words.iter().chain(&["Nothing was changed", "--adopt"]) {
            assert!(text.contains(word), "{args:?}: {word:?} is not in {text}");
        }
        let after = contents(setup.dir());
        assert!(before == after, "{args:?} changed {:?} to {:?}", before.keys(), after.keys());
    }
}

#[track_caller]
fn finish(server: &Server, half: &FlowFile) {
    assert_eq!(half.resume(server).1, [3, 4]);
    assert_eq!(server.creatives().len(), 2);
}

#[test]
fn a_first_start_makes_the_data_folder() {
    let setup = Setup::new();
    let data = setup.dir().join("data");
    let new = setup.clone().flag(format!("--incomplete-dir={}", data.join("in").display()));
    let new = new.flag(format!("--completed-dir={}", data.join("done").display()));
    let new = new.flag(format!("--database={}", data.join("flowstitch.db").display()));
    let made = output(new.command().args(["user", "add", "ann"]));
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert!(data.join("flowstitch.db").is_file());
    assert!(new.start().terminated().0.success());
}

#[test]
fn a_database_that_is_missing_is_not_replaced_and_nothing_is_given_up() {
    let (setup, half) = used();
    let moved = setup.dir().join("elsewhere");
    fs::create_dir(&moved).expect("made");
    fs::rename(setup.dir().join("flowstitch.db"), moved.join("flowstitch.db")).expect("moved");
    assert_refused(&setup, &["flowstitch.db is new", "incomplete", "disks are mounted"]);
    // On an address that others reach, too.
    let exposed = setup.clone().flag("--listen=0.0.0.0:0");
    let before = contents(setup.dir());
    assert!(!output(&mut exposed.command()).status.success());
    assert!(before == contents(setup.dir()));

    fs::rename(moved.join("flowstitch.db"), setup.dir().join("flowstitch.db")).expect("back");
    finish(&setup.start(), &half);
}

#[test]
fn another_services_database_is_foreign() {
    let ((setup, half), (other, _)) = (used(), used());
    let theirs = other.dir().join("flowstitch.db").display().to_string();
    let mistyped = setup.clone().flag(format!("--database={theirs}"));
    let before = contents(other.dir());
    assert_refused(&mistyped, &["is foreign to the database", &theirs]);
    assert!(before == contents(other.dir()), "their database is touched");
    finish(&setup.start(), &half);
}

#[test]
fn a_folder_that_is_not_mounted_is_not_taken_for_an_empty_one() {
    for (folder, is_there) in
        [("incomplete", true), ("completed", true), ("incomplete", false), ("completed", false)]
    {
        let (setup, half) = used();
        let place = setup.dir().join(folder);
        fs::rename(&place, setup.dir().join("unmounted")).expect("moved");
        if is_there {
            fs::create_dir(&place).expect("made");
        }
        assert_refused(&setup, &["flowstitch.db is in use", folder, "is empty", "not mounted"]);
        if is_there {
            fs::remove_dir(&place).expect("it is empty");
        }
        fs::rename(setup.dir().join("unmounted"), &place).expect("back");
        finish(&setup.start(), &half);
    }
}

#[test]
fn files_without_their_mark_are_refused_until_somebody_means_it() {
    let (setup, half) = used();
    let mark = setup.dir().join("completed/.flowstitch-deployment");
    fs::remove_file(&mark).expect("it was there");
    assert_refused(&setup, &["completed is not marked"]);
    let adopting = setup.clone().flag("--adopt").start();
    assert!(mark.is_file());
    adopting.log().wait_for("Overruled by --adopt");
    drop(adopting);
    finish(&setup.start(), &half);
}

#[test]
fn a_new_database_takes_over_a_folder_only_when_it_is_told_to() {
    let (setup, _) = used();
    fs::remove_file(setup.dir().join("flowstitch.db")).expect("it was there");
    let published = setup.files("completed").len();
    assert_refused(&setup, &["flowstitch.db is new"]);
    let server = setup.clone().flag("--adopt").start();
    assert_eq!(server.creatives().len(), 0);
    assert_eq!(setup.files("completed").len(), published, "finished files stay");
    assert!(server.terminated().0.success());
    drop(setup.start());
}

/// The schema of the last version whose catalogs have no deployment.
const EARLIER: [&str; 9] = [
    include_str!("../../migrations/0001_catalog.sql"),
    include_str!("../../migrations/0002_troubles.sql"),
    include_str!("../../migrations/0003_users.sql"),
    include_str!("../../migrations/0004_tickets.sql"),
    include_str!("../../migrations/0005_usage.sql"),
    include_str!("../../migrations/0006_accept.sql"),
    include_str!("../../migrations/0007_codes.sql"),
    include_str!("../../migrations/0008_audit.sql"),
    include_str!("../../migrations/0009_digest.sql"),
];
/// What it knows: it ran once, was closed, and has one finished file.
const KNOWN: &str = "
    INSERT INTO session (singleton, epoch, closed) VALUES (1, 'boot', 1);
    INSERT INTO creatives (id, principal, filename, size, content_type, scheduled, created_at,
        upload_id)
    VALUES (x'01a22ef3c77671cd8ad0d2ae6400c0e0', 'anonymous', 'a.png', 3, 'image/png',
        '2026-12-01', 5, x'01a22ef3c77671cd8ad0d2adc525c67f');
    PRAGMA user_version = 9;";

#[test]
fn data_of_an_earlier_version_are_taken_over_and_a_cut_in_between_is_no_harm() {
    let setup = Setup::new();
    let db = rusqlite::Connection::open(setup.dir().join("flowstitch.db")).expect("made");
    for sql in EARLIER.iter().chain(&[KNOWN]) {
        db.execute_batch(sql).expect("as it was");
    }
    drop(db);
    // Where the files are not, nothing is taken over.
    assert_refused(&setup, &["flowstitch.db is in use", "completed", "is empty"]);
    let completed = setup.dir().join("completed");
    fs::create_dir(&completed).expect("made");
    fs::write(completed.join("01a22ef3-c776-71cd-8ad0-d2ae6400c0e0.png"), "abc").expect("written");
    let mark = |folder: &str| setup.dir().join(folder).join(".flowstitch-deployment");
    for _ in 0..2 {
        let server = setup.start();
        assert_eq!(server.creatives().len(), 1);
        server.kill_9();
        assert!(mark("incomplete").is_file() && mark("completed").is_file());
        // As if it had been cut before it came to the folders.
        for folder in ["completed", "incomplete", "trash"] {
            fs::remove_file(mark(folder)).expect("there");
        }
    }
}

#[test]
fn a_database_from_a_backup_makes_what_runs_suspect_and_says_so() {
    let (setup, half) = used();
    let (database, copy) = (setup.dir().join("flowstitch.db"), setup.dir().join("copy"));
    fs::copy(&database, &copy).expect("copied");
    assert!(setup.start().terminated().0.success());
    fs::copy(&copy, &database).expect("restored");
    let server = setup.start();
    server.log().wait_for("restored from a backup");
    finish(&server, &half);
}

/// Copies the files of a folder to another one.
fn copy_files(from: &Path, to: &Path) {
    for (path, content) in contents(from) {
        let path = to.join(Path::new(&path).strip_prefix(from).expect("below it"));
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, content).expect("written");
    }
}

/// Asserts that every chunk that is said to be here is, and that the upload can be finished.
#[track_caller]
fn finish_whatever_is_lost(server: &Server, half: &FlowFile, lost: &[usize]) {
    let probed = |number| half.probe(&mut server.connect(), number).expect("an answer").status;
    for number in 1..=half.count() {
        let is_missing = lost.contains(&number) || number == half.count();
        assert_eq!(probed(number), if is_missing { 204 } else { 200 }, "chunk {number}");
    }
    let (creative, _) = half.resume(server);
    assert!(server.setup().published(&creative) == half.content, "not what was sent");
}

/// Chunk 1 is stored and the folder copied; then chunks 2 and 3 are stored, and the session ends.
fn with_a_copy(end: impl FnOnce(Server)) -> (Setup, FlowFile, std::path::PathBuf) {
    let server = Server::start();
    let half = FlowFile::new("half.bin", bytes(2, 40_000), 10_000);
    let post = |number| {
        half.post(&mut server.connect(), number).expect("an answer").assert_status(200);
    };
    post(1);
    let setup = server.setup().clone();
    let copy = setup.dir().join("copy");
    copy_files(&setup.dir().join("incomplete"), &copy);
    post(2);
    post(3);
    end(server);
    (setup, half, copy)
}

#[test]
fn parts_that_are_older_than_the_database_are_not_believed() {
    let (setup, half, copy) = with_a_copy(|server| assert!(server.terminated().0.success()));
    copy_files(&copy, &setup.dir().join("incomplete"));
    let server = setup.start();
    server.log().wait_for("read back before it is believed");
    finish_whatever_is_lost(&server, &half, &[2, 3]);
}

#[test]
fn parts_from_between_two_sessions_are_not_believed_after_a_crash() {
    let (setup, half) = used();
    let (place, copy) = (setup.dir().join("incomplete"), setup.dir().join("copy"));
    copy_files(&place, &copy);
    let server = setup.start();
    half.post(&mut server.connect(), 3).expect("an answer").assert_status(200);
    server.kill_9();
    // All folders: none of them tells of the last session.
    copy_files(&copy, &place);
    for folder in ["completed", "trash"] {
        fs::copy(copy.join(MARK), setup.dir().join(folder).join(MARK)).expect("copied");
    }
    finish_whatever_is_lost(&setup.start(), &half, &[3]);
}

#[test]
fn parts_that_the_operator_lets_in_are_not_believed() {
    for is_marked in [false, true] {
        let (setup, half, _) = with_a_copy(|server| assert!(server.terminated().0.success()));
        let place = setup.dir().join("incomplete");
        if !is_marked {
            fs::remove_file(place.join(MARK)).expect("there");
        }
        for (path, content) in contents(&place) {
            if !path.ends_with(MARK) {
                fs::write(path, vec![0; content.len()]).expect("written");
            }
        }
        finish_whatever_is_lost(&setup.flag("--adopt").start(), &half, &[1, 2, 3]);
    }
}

#[test]
fn a_clean_restart_reads_nothing_back() {
    let (setup, half) = used();
    let server = setup.start();
    finish(&server, &half);
    assert!(!server.terminated().1.whole().iter().any(|line| line.contains("read back")));
}

#[test]
fn a_database_from_before_an_upgrade_is_called_old_and_can_be_used() {
    let (setup, _) = used();
    let database = setup.dir().join("flowstitch.db");
    for file in ["flowstitch.db", "flowstitch.db-wal", "flowstitch.db-shm"] {
        fs::remove_file(setup.dir().join(file)).ok();
    }
    let db = rusqlite::Connection::open(&database).expect("made");
    for sql in EARLIER.iter().chain(&[KNOWN]) {
        db.execute_batch(sql).expect("as it was");
    }
    drop(db);
    assert_refused(&setup, &["is older than the folder", "before an upgrade", "saved with it"]);
    let server = setup.flag("--adopt").start();
    assert_eq!(server.creatives().len(), 1);
    server.log().wait_for("read back before it is believed");
}

#[test]
fn two_servers_share_neither_the_database_nor_a_folder() {
    let server = Server::start();
    let setup = server.setup();
    let elsewhere = tempfile::tempdir().expect("a directory");
    let own =
        |name: &str, flag: &str| format!("--{flag}={}", elsewhere.path().join(name).display());
    let (incomplete, completed) = (own("i", "incomplete-dir"), own("c", "completed-dir"));
    for flags in [[&incomplete, &completed], [&incomplete, &incomplete.replace("incomplete", "x")]]
    {
        let flags = flags.iter().filter(|flag| !flag.starts_with("--x"));
        let second = flags.fold(setup.clone(), |setup, flag| setup.flag(flag.as_str()));
        let output = output(&mut second.command());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains("another server is using"), "{text}");
        assert_eq!(fs::read_dir(elsewhere.path()).expect("list").count(), 0, "nothing was made");
    }
    assert_eq!(server.get("/readyz").status, 200);
}

/// The first token is made by root as often as not, in a folder of the service's user.
#[test]
fn what_root_makes_belongs_to_the_owner_of_the_folder() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let setup = Setup::new();
    chown(setup.dir(), Some(1234), Some(2345)).expect("root may");
    let output = run(setup.dir(), &["token", "create", "ann"]);
    assert!(output.status.success(), "{output:?}");
    let mut names = Vec::new();
    for name in ["flowstitch.db", "incomplete", "completed", "incomplete/.flowstitch-deployment"] {
        let metadata = fs::metadata(setup.dir().join(name)).expect("it was made");
        names.push((name, metadata.uid(), metadata.gid()));
    }
    assert!(names.iter().all(|(_, uid, gid)| (*uid, *gid) == (1234, 2345)), "{names:?}");
}

/// So is what root puts into the trash: a later start by the service's user could not look into it.
#[test]
fn what_root_makes_in_the_trash_belongs_to_the_owner_of_the_trash() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let setup = Setup::new();
    let server = setup.start();
    let creative = FlowFile::new("a.bin", bytes(7, 3000), 1000).upload(&server);
    assert!(server.terminated().0.success());
    for folder in [setup.dir().to_owned(), setup.dir().join("trash")] {
        chown(folder, Some(1234), Some(2345)).expect("root may");
    }
    let id = creative["id"].as_str().expect("an id");
    assert!(run(setup.dir(), &["creatives", "delete", id]).status.success());
    let mut pending = vec![setup.dir().join("trash")];
    let mut seen = 0;
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("read").path();
            let metadata = fs::metadata(&path).expect("there");
            let is_moved = path.extension().is_some_and(|it| it == "bin");
            if !path.ends_with(".flowstitch-deployment") && !is_moved {
                assert_eq!((metadata.uid(), metadata.gid()), (1234, 2345), "{}", path.display());
                seen += 1;
            }
            if metadata.is_dir() {
                pending.push(path);
            }
        }
    }
    assert!(2 <= seen, "a folder and a note");
}
