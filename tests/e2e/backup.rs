//! `flowstitch backup` and `flowstitch restore`.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Output,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use serde_json::Value;

use crate::support::{FlowFile, Server, Setup, Tool, bytes, request, run};

/// A folder beside the data that a backup may be written to.
struct Kept(tempfile::TempDir);

impl Kept {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("backup")
    }

    fn text(&self) -> String {
        self.path().display().to_string()
    }
}

fn text(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{out}{err}")
}

#[track_caller]
fn done(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", text(output));
    serde_json::from_slice(&output.stdout).expect("one document")
}

#[track_caller]
fn refused(output: &Output, words: &str) {
    assert_eq!(output.status.code(), Some(2), "{}", text(output));
    assert!(text(output).contains(words), "{words:?} is not in {}", text(output));
}

#[track_caller]
fn backup(setup: &Setup, to: &Kept) -> Value {
    done(&run(setup.dir(), &["backup", &to.text(), "--json"]))
}

/// Restores into a data directory that is new.
#[track_caller]
fn restored(from: &Kept, flags: &[&str]) -> Setup {
    let setup = Setup::new();
    let from = from.text();
    let args = [&["restore", &from, "--json"], flags].concat();
    done(&run(setup.dir(), &args));
    setup
}

#[track_caller]
fn assert_sound(setup: &Setup) {
    let output = run(setup.dir(), &["verify"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}

/// All that is still to come of a file comes, and is what was sent.
#[track_caller]
fn finish(file: &FlowFile, server: &Server) -> Vec<usize> {
    file.resume(server).1
}

#[test]
fn a_backup_under_load_restores_to_a_service_that_completes_what_was_running() {
    let server = Server::start();
    let kept = Kept::new();
    let whole: Vec<_> =
        (0..5).map(|n| FlowFile::new(&format!("whole{n}.bin"), bytes(n, 30_000), 1000)).collect();
    let begun: Vec<_> =
        (9..13).map(|n| FlowFile::new(&format!("begun{n}.bin"), bytes(n, 9_000), 1000)).collect();
    for file in &whole {
        file.upload(&server);
    }
    for file in &begun {
        for number in [1, 4, 9] {
            file.post(&mut server.connect(), number).expect("an answer").assert_status(200);
        }
    }
    let (mut saved, mut busy) = (Value::Null, Vec::new());
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        // The clients end with the backups, however those end.
        let over = Over(&ended);
        let clients: Vec<_> = (20..23)
            .map(|n| {
                let (server, ended) = (&server, &ended);
                scope.spawn(move || uploads_until(server, n, ended))
            })
            .collect();
        for _ in 0..3 {
            saved = backup(server.setup(), &kept);
        }
        drop(over);
        busy = clients.into_iter().flat_map(|it| it.join().expect("no panic")).collect();
    });
    assert_eq!(saved["lost"], serde_json::json!([]), "{saved}");
    assert!(5 <= saved["files"].as_u64().unwrap_or_default(), "{saved}");
    assert!(!server.setup().dir().join("incomplete/.backup").exists(), "nothing is kept for it");

    let setup = restored(&kept, &["--verify"]);
    assert_sound(&setup);
    let again = setup.start();
    for file in &whole {
        assert!(again.creatives().iter().any(|it| it["filename"] == file.name.as_str()));
    }
    for file in &begun {
        assert_eq!(finish(file, &again), [2, 3, 5, 6, 7, 8], "what was here is here");
    }
    for file in &busy {
        file.resume(&again);
    }
    assert_sound(&setup);
    // What was restored is not what is served here.
    assert!(server.terminated().0.success());
}

/// Files that a client sends at most: so that it ends, and no backup has more and more to do.
const LOAD_LEN_MAX: u64 = 60;

/// Says that it is over when it is dropped, also by a panic.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Sends files, deletes some and leaves others half way, until it is told to end.
fn uploads_until(server: &Server, seed: u64, ended: &AtomicBool) -> Vec<FlowFile> {
    let mut files = Vec::new();
    for number in 0..LOAD_LEN_MAX {
        if ended.load(Ordering::SeqCst) {
            break;
        }
        let name = format!("busy{seed}-{number}.bin");
        let file = FlowFile::new(&name, bytes(seed * 1000 + number, 5000), 1000);
        if number % 3 == 0 {
            file.post(&mut server.connect(), 2).expect("an answer").assert_status(200);
            files.push(file);
        } else {
            let creative = file.upload(server);
            if number % 3 == 1 {
                delete(server, "creatives", creative["id"].as_str().expect("an id"));
            } else {
                files.push(file);
            }
        }
    }
    files
}

fn delete(server: &Server, what: &str, id: &str) {
    let request = request("DELETE", &format!("/{what}/{id}"), &[], b"");
    let answer = server.connect().ask(&request).expect("an answer");
    assert!(matches!(answer.status, 200 | 204), "{answer:?}");
}

/// A tool that has its cut and is stopped before it has copied everything.
fn stopped_tool(server: &Server, to: &Kept) -> Tool {
    let cuts = server.setup().dir().join("incomplete/.backup");
    let has_begun = || {
        let cuts = fs::read_dir(&cuts).into_iter().flatten().flatten();
        // The last file that the server writes before it answers is gone again.
        cuts.map(|it| it.path())
            .any(|cut| cut.join("catalog.db").exists() && !cut.join("catalog.db-journal").exists())
    };
    for _ in 0..20 {
        let tool = Tool::start(server.setup().dir(), &["backup", &to.text(), "--json"]);
        if tool.stop_when(has_begun) && !to.path().join("manifest.jsonl").exists() {
            return tool;
        }
        // It was faster than we.
        drop(tool);
        fs::remove_dir_all(to.path()).ok();
    }
    panic!("the tool has always ended before it could be stopped");
}

#[test]
fn whatever_happens_while_the_tool_copies_the_backup_is_of_its_moment() {
    let (server, kept) = (Server::start(), Kept::new());
    let file = |n: u64, name: &str| FlowFile::new(&format!("{name}{n}.bin"), bytes(n, 3000), 1000);
    let whole: Vec<_> = (0..30).map(|n| file(n, "whole")).collect();
    let half: Vec<_> = (100..130).map(|n| file(n, "half")).collect();
    let creatives: Vec<_> = whole.iter().map(|file| file.upload(&server)).collect();
    let post = |file: &FlowFile| {
        let answer = file.post(&mut server.connect(), 2).expect("an answer");
        answer.assert_status(200).json()["upload"]["id"].as_str().expect("an id").to_owned()
    };
    let uploads: Vec<_> = half.iter().map(post).collect();

    let tool = stopped_tool(&server, &kept);
    let (cancelled, completed) = half.split_at(15);
    for id in &uploads[..cancelled.len()] {
        delete(&server, "uploads", id);
    }
    let ids = creatives.iter().map(|it| it["id"].clone());
    let ids = ids.chain(completed.iter().map(|file| file.upload(&server)["id"].clone()));
    let ids: Vec<_> = ids.collect();
    let server = server.kill_9().start();
    for id in ids {
        delete(&server, "creatives", id.as_str().expect("an id"));
    }
    assert_eq!(server.setup().files("completed").len(), 0);
    file(200, "later").upload(&server);
    let saved = done(&tool.ended());

    assert_eq!(saved["lost"], serde_json::json!([]), "{saved}");
    assert_eq!((&saved["files"], &saved["uploads"]), (&30.into(), &30.into()), "{saved}");
    assert!(!server.setup().dir().join("incomplete/.backup").exists(), "nothing is kept for it");
    let restored = restored(&kept, &["--verify"]);
    assert_sound(&restored);
    let again = restored.start();
    assert_eq!(again.creatives().len(), whole.len());
    for (file, creative) in whole.iter().zip(&creatives) {
        assert!(restored.published(creative) == file.content, "{} is another file", file.name);
    }
    for file in &half {
        assert_eq!(finish(file, &again), [1, 3], "{}", file.name);
    }
    assert_sound(&restored);
}

#[test]
fn without_a_server_it_is_the_same() {
    let server = Server::start();
    let setup = server.setup().clone();
    let (kept, whole) = (Kept::new(), FlowFile::new("whole.bin", bytes(1, 3000), 1000));
    let half = FlowFile::new("half.bin", bytes(2, 3000), 1000);
    whole.upload(&server);
    half.post(&mut server.connect(), 2).expect("an answer").assert_status(200);
    server.kill_9();
    let saved = backup(&setup, &kept);
    assert_eq!((&saved["files"], &saved["uploads"]), (&1.into(), &1.into()));
    let restored = restored(&kept, &[]);
    assert_sound(&restored);
    let server = restored.start();
    assert_eq!(finish(&half, &server), [1, 3]);
    assert_eq!(server.creatives().len(), 2);
}

#[test]
fn what_a_restored_catalog_says_of_running_uploads_is_checked_against_their_bytes() {
    let kept = Kept::new();
    let server = Server::start();
    let half = FlowFile::new("half.bin", bytes(2, 3000), 1000);
    for number in [1, 2] {
        half.post(&mut server.connect(), number).expect("an answer").assert_status(200);
    }
    let saved = backup(server.setup(), &kept);
    drop(server);
    let parts = kept.path().join(format!("parts-{}", saved["id"].as_str().expect("an id")));
    let part = fs::read_dir(parts).expect("a list").flatten().next().expect("one").path();
    let mut content = fs::read(&part).expect("read");
    content[1500] ^= 1;
    fs::write(&part, content).expect("written");
    // On the same machine, since the same boot: that is no reason to believe them.
    let setup = restored(&kept, &[]);
    assert_eq!(finish(&half, &setup.start()), [2, 3]);
}

#[test]
fn a_database_of_the_server_alone_is_saved_by_it() {
    let server = Setup::new().flag("--database-exclusive").start();
    let kept = Kept::new();
    FlowFile::new("a.bin", bytes(1, 3000), 1000).upload(&server);
    backup(server.setup(), &kept);
    assert_sound(&restored(&kept, &[]));
}

#[test]
fn a_second_run_copies_what_is_new_and_removes_what_is_gone() {
    let server = Server::start();
    let kept = Kept::new();
    let first = FlowFile::new("first.bin", bytes(1, 3000), 1000).upload(&server);
    FlowFile::new("second.bin", bytes(2, 3000), 1000).upload(&server);
    backup(server.setup(), &kept);
    let files = |folder: &str| fs::read_dir(kept.path().join(folder)).expect("a list").count();
    assert_eq!(files("completed"), 2);
    let id = first["id"].as_str().expect("an id");
    delete(&server, "creatives", id);
    FlowFile::new("third.bin", bytes(3, 3000), 1000).upload(&server);
    let saved = backup(server.setup(), &kept);
    assert_eq!((&saved["files"], &saved["unchanged"]), (&2.into(), &1.into()), "{saved}");
    assert_eq!(files("completed"), 2);
    let catalogs = fs::read_dir(kept.path()).expect("a list").flatten();
    let catalogs = catalogs.filter(|it| it.file_name().to_string_lossy().starts_with("catalog-"));
    assert_eq!(catalogs.count(), 1);
    assert_sound(&restored(&kept, &["--verify"]));
}

#[test]
fn the_bytes_of_a_running_upload_are_never_shared_with_the_backup() {
    let server = Server::start();
    let kept = Kept::new();
    let half = FlowFile::new("half.bin", bytes(2, 3000), 1000);
    half.post(&mut server.connect(), 2).expect("an answer").assert_status(200);
    let saved = backup(server.setup(), &kept);
    let part = format!("parts-{}", saved["id"].as_str().expect("an id"));
    let only = |folder: &Path| {
        let mut files = fs::read_dir(folder).expect("a list").flatten();
        files.find(|it| it.file_name().to_string_lossy().ends_with(".part")).expect("one").path()
    };
    let (copy, live) =
        (only(&kept.path().join(part)), only(&server.setup().dir().join("incomplete")));
    let inode = |path: &Path| fs::metadata(path).expect("it is there").ino();
    assert_ne!(inode(&copy), inode(&live));
    let before = fs::read(&copy).expect("read");
    half.upload(&server);
    assert!(fs::read(&copy).expect("read") == before, "the backup changed with the upload");
}

#[test]
fn a_folder_of_something_else_is_refused_and_left_alone() {
    let server = Server::start();
    let kept = Kept::new();
    fs::create_dir(kept.path()).expect("made");
    fs::write(kept.path().join("precious.txt"), "precious").expect("written");
    let output = run(server.setup().dir(), &["backup", &kept.text()]);
    refused(&output, "is not empty and holds no backup");
    assert_eq!(fs::read_dir(kept.path()).expect("a list").count(), 1);
    refused(&run(Setup::new().dir(), &["restore", &kept.text()]), "holds no backup");
    // Nor is a backup of other data replaced.
    let (other, taken) = (Server::start(), Kept::new());
    backup(other.setup(), &taken);
    let output = run(server.setup().dir(), &["backup", &taken.text()]);
    refused(&output, "another deployment");
    restored(&taken, &[]);
}

#[test]
fn a_backup_that_was_interrupted_is_recognised_and_goes_on() {
    let server = Server::start();
    let kept = Kept::new();
    FlowFile::new("a.bin", bytes(1, 3000), 1000).upload(&server);
    backup(server.setup(), &kept);
    // As it is just before its end.
    let manifest = kept.path().join("manifest.jsonl");
    fs::rename(&manifest, kept.path().join("manifest.jsonl.partial")).expect("renamed");
    fs::write(kept.path().join("unfinished"), "").expect("written");
    refused(&run(Setup::new().dir(), &["restore", &kept.text()]), "was interrupted");
    let saved = backup(server.setup(), &kept);
    assert_eq!((&saved["unchanged"], &saved["copied"]), (&1.into(), &0.into()), "{saved}");
    // One that was cut off says so, too.
    let whole = fs::read(&manifest).expect("read");
    fs::write(&manifest, &whole[..whole.len() - 5]).expect("written");
    refused(&run(Setup::new().dir(), &["restore", &kept.text()]), "cannot believe the backup");
}

#[test]
fn a_backup_is_restored_into_empty_folders_only() {
    let server = Server::start();
    let kept = Kept::new();
    FlowFile::new("a.bin", bytes(1, 3000), 1000).upload(&server);
    backup(server.setup(), &kept);
    // Of a server that runs, and of one that does not.
    refused(&run(server.setup().dir(), &["restore", &kept.text()]), "is using the folder");
    let setup = server.kill_9();
    refused(&run(setup.dir(), &["restore", &kept.text()]), "restored into empty folders only");
    let database = Setup::new();
    fs::write(database.dir().join("flowstitch.db"), "precious").expect("written");
    refused(&run(database.dir(), &["restore", &kept.text()]), "restored into empty folders only");
    assert_eq!(fs::read(database.dir().join("flowstitch.db")).expect("read"), b"precious");
    for folder in ["incomplete", "completed", "trash"] {
        let setup = Setup::new();
        fs::create_dir(setup.dir().join(folder)).expect("made");
        // Every ext4 file system has this one.
        fs::create_dir(setup.dir().join(folder).join("lost+found")).expect("made");
        let file = setup.dir().join(folder).join("precious.txt");
        fs::write(&file, "precious").expect("written");
        refused(&run(setup.dir(), &["restore", &kept.text()]), "restored into empty folders only");
        fs::remove_file(&file).expect("it is still there");
        done(&run(setup.dir(), &["restore", &kept.text(), "--json"]));
        assert_sound(&setup);
    }
}

#[test]
fn what_the_service_has_lost_is_named_and_all_the_rest_is_saved() {
    let (server, kept) = (Server::start(), Kept::new());
    let file = |n: u64| FlowFile::new(&format!("{n}.bin"), bytes(n, 3000), 1000);
    let [missing, short, _whole] = [1, 2, 3].map(|n| file(n).upload(&server));
    file(4).post(&mut server.connect(), 2).expect("an answer").assert_status(200);
    let dir = server.setup().dir().to_owned();
    let path = |creative: &Value| {
        dir.join("completed").join(format!("{}.bin", creative["id"].as_str().expect("an id")))
    };
    fs::remove_file(path(&missing)).expect("removed");
    fs::write(path(&short), b"short").expect("written");
    let part = server.setup().files("incomplete");
    fs::remove_file(dir.join("incomplete").join(&part[0])).expect("removed");

    let output = run(&dir, &["backup", &kept.text(), "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let saved: Value = serde_json::from_slice(&output.stdout).expect("one document");
    let lost = saved["lost"].as_array().expect("a list");
    let of = |key: &str, id: &Value| lost.iter().filter(|it| it[key] == *id).count();
    assert_eq!((of("creative_id", &missing["id"]), of("creative_id", &short["id"])), (1, 1));
    assert_eq!(of("upload_id", &part[0].trim_end_matches(".part").into()), 1, "{saved}");
    assert_eq!(lost.len(), 3, "{saved}");
    let output = run(&dir, &["backup", &kept.text()]);
    assert!(text(&output).contains("so it is not in the backup"), "{}", text(&output));
    let restored = restored(&kept, &["--verify"]);
    assert_eq!(restored.files("completed").len(), 1);
}

#[test]
fn a_damaged_backup_is_refused_before_anything_is_written() {
    let server = Server::start();
    let kept = Kept::new();
    FlowFile::new("a.bin", bytes(1, 3000), 1000).upload(&server);
    server.kill_9();
    let (setup, empty) = (server_of(&kept), Setup::new());
    drop(setup);
    let file = fs::read_dir(kept.path().join("completed")).expect("a list").flatten().next();
    let file = file.expect("one").path();
    // Not the service's own file, which it may share.
    let mut content = fs::read(&file).expect("read");
    fs::remove_file(&file).expect("removed");
    content[7] ^= 1;
    fs::write(&file, &content).expect("written");
    refused(&run(empty.dir(), &["restore", &kept.text(), "--verify"]), "does not hash to");
    content.pop();
    fs::write(&file, &content).expect("written");
    refused(&run(empty.dir(), &["restore", &kept.text()]), "has 2999 bytes and should have 3000");
    fs::remove_file(&file).expect("removed");
    refused(&run(empty.dir(), &["restore", &kept.text()]), "is not there");
    fs::write(&file, bytes(1, 3000)).expect("written");
    let catalog = fs::read_dir(kept.path()).expect("a list").flatten().map(|it| it.path());
    let catalog = catalog.into_iter().find(|it| it.extension().is_some_and(|end| end == "db"));
    let catalog = catalog.expect("one");
    let mut content = fs::read(&catalog).expect("read");
    *content.last_mut().expect("not empty") ^= 1;
    fs::write(&catalog, content).expect("written");
    refused(&run(empty.dir(), &["restore", &kept.text()]), "does not hash to");
    assert_eq!(fs::read_dir(empty.dir()).expect("a list").count(), 0, "it was begun");
}

/// A server with one file, of which there is a backup.
fn server_of(kept: &Kept) -> Server {
    let server = Server::start();
    FlowFile::new("a.bin", bytes(1, 3000), 1000).upload(&server);
    backup(server.setup(), kept);
    server
}

#[test]
fn a_restore_that_was_interrupted_is_no_service_yet_and_goes_on() {
    let (server, kept) = (Server::start(), Kept::new());
    for n in 0..30 {
        FlowFile::new(&format!("{n}.bin"), bytes(n, 3000), 1000).upload(&server);
    }
    let half = FlowFile::new("half.bin", bytes(99, 3000), 1000);
    half.post(&mut server.connect(), 2).expect("an answer").assert_status(200);
    backup(server.setup(), &kept);
    drop(server);
    let interrupted = || {
        let setup = Setup::new();
        let has = |name: &str| setup.dir().join(name).exists();
        let tool = Tool::start(setup.dir(), &["restore", &kept.text()]);
        let is_between = tool
            .stop_when(|| has("completed") && !setup.files("completed").is_empty())
            && !has("flowstitch.db");
        // It is killed.
        drop(tool);
        is_between.then_some(setup)
    };
    // Unless it is always faster than we.
    let setup = (0..20).find_map(|_| interrupted()).expect("a restore that can be interrupted");
    for flags in [&[][..], &["--adopt"]] {
        let output = crate::support::output(setup.command().args(flags));
        assert!(text(&output).contains("run `flowstitch restore` again"), "{}", text(&output));
    }
    done(&run(setup.dir(), &["restore", &kept.text(), "--json"]));
    assert_sound(&setup);
    let server = setup.start();
    assert_eq!(server.creatives().len(), 30);
    assert_eq!(finish(&half, &server), [1, 3]);
}

#[test]
fn finished_files_are_linked_only_if_that_is_asked_for() {
    let kept = Kept::new();
    drop(server_of(&kept));
    for (flags, links) in [(&[][..], 1), (&["--hard-links"][..], 2)] {
        let setup = restored(&kept, flags);
        let name = setup.files("completed").into_iter().find(|name| !name.starts_with('.'));
        let file = setup.dir().join("completed").join(name.expect("one"));
        let backed_up = kept.path().join("completed").join(file.file_name().expect("a name"));
        let same = fs::metadata(&file).expect("there").ino()
            == fs::metadata(&backed_up).expect("there").ino();
        assert_eq!(same, links == 2, "{flags:?}");
        assert_sound(&setup);
    }
}

#[test]
fn the_death_of_the_tool_leaves_nothing_that_the_server_keeps_for_it() {
    let (server, kept) = (Server::start(), Kept::new());
    let half = |n: u64| FlowFile::new(&format!("half{n}.bin"), bytes(n, 3000), 1000);
    for n in 0..30 {
        half(n).post(&mut server.connect(), 2).expect("an answer").assert_status(200);
    }
    let cuts = server.setup().dir().join("incomplete/.backup");
    let tool = stopped_tool(&server, &kept);
    // While it is there, no other can begin, and nothing is left of that one.
    let output = run(server.setup().dir(), &["backup", &Kept::new().text()]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("is being taken already"), "{}", text(&output));
    assert_eq!(fs::read_dir(&cuts).expect("a list").count(), 1);
    drop(tool);
    assert!(cuts.exists());
    // Whoever asks for room gets what was kept for it.
    half(99).post(&mut server.connect(), 2).expect("an answer").assert_status(200);
    assert!(!cuts.exists());

    // The next start removes it, too, and the next backup goes on with what is there.
    drop(stopped_tool(&server, &kept));
    let server = server.kill_9().start();
    assert!(!cuts.exists(), "it is still there");
    assert_eq!(backup(server.setup(), &kept)["uploads"], 31);
    assert_sound(&restored(&kept, &[]));
}
