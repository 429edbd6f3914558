//! The check before publishing: by a program, and by clamd.

use std::{fs, io::Read, path::PathBuf, process::Command};

use http::Method;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

use crate::support::{Reply, TestApp, pattern};

/// A file that takes a scanner several reads.
const LEN: usize = 3 << 20;

/// A folder with a scanner in it: a script, or the socket of a clamd.
struct Scanner(TempDir);

impl Scanner {
    fn script(text: &str) -> Self {
        let scanner = Self(tempfile::tempdir().expect("a folder"));
        scanner.rewrite(text);
        scanner
    }

    fn clamd() -> (Self, UnixListener) {
        let scanner = Self(tempfile::tempdir().expect("a folder"));
        let socket = UnixListener::bind(scanner.path("clamd.sock")).expect("a socket");
        (scanner, socket)
    }

    fn rewrite(&self, text: &str) {
        fs::write(self.path("scan.sh"), text).expect("written");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    async fn start(&self, flags: &[&str]) -> TestApp {
        let mut app = TestApp::builder();
        app = if self.path("scan.sh").exists() {
            // Two words: arguments are split, and no file is run that a test has just written.
            app.flag(&format!("--scan-command=/bin/sh {}", self.path("scan.sh").display()))
        } else {
            app.flag(&format!("--scan-clamd={}", self.path("clamd.sock").display()))
        };
        flags.iter().fold(app, |app, flag| app.flag(flag)).start().await
    }
}

async fn send(app: &TestApp) -> Reply {
    app.flow(pattern(LEN)).chunk_size(1 << 20).send([1, 2]).await;
    app.flow(pattern(LEN)).chunk_size(1 << 20).post(3).await
}

fn id(reply: &Reply) -> String {
    reply.json()["upload"]["id"].as_str().expect("an id").to_owned()
}

async fn status(app: &TestApp, id: &str) -> Value {
    app.get(&format!("/uploads/{id}")).await.json()["upload"].clone()
}

/// Tries to complete it now; gives how it stands after that.
async fn retry(app: &TestApp, id: &str) -> Value {
    let tried = app.app().engine().retry(id.parse().expect("an id")).await.expect("an answer");
    assert!(tried.is_some());
    status(app, id).await
}

/// Waits until an attempt has failed; a retry before that would tell of the same attempt.
async fn held_up(app: &TestApp, id: &str) -> Value {
    loop {
        let upload = status(app, id).await;
        if !upload["error"].is_null() {
            return upload;
        }
        tokio::task::yield_now().await;
    }
}

/// Asserts that nobody knows yet whether it may be published, and why.
#[track_caller]
fn assert_undecided(upload: &Value, why: &str) {
    assert_eq!(upload["state"], "quarantined", "{upload}");
    let error = upload["error"].as_str().unwrap_or_default();
    assert!(error.contains("tried again") && error.contains(why), "{error}");
}

async fn assert_refused(app: &TestApp, reply: &Reply, reason: &str) {
    reply.assert_problem(415, "refused_by_scan");
    let upload = app.uploads().await.remove(0)["upload"].clone();
    assert_eq!(upload["state"], "failed");
    let detail = reply.json()["detail"].clone();
    for (said, stop) in [(&detail, "."), (&upload["error"], "")] {
        let said = said.as_str().unwrap_or_default();
        assert!(said.ends_with(&format!("does not let it pass: {reason}{stop}")), "{said}");
    }
    assert_eq!(app.files("completed"), Vec::<String>::new());
    let late = app.flow(pattern(LEN)).chunk_size(1 << 20).post(2).await;
    late.assert_problem(415, "upload_gone");
}

#[tokio::test]
async fn a_file_that_the_program_lets_pass_is_published() {
    let scanner = Scanner::script("cat > \"$0.seen\"; env > \"$0.env\"; exit 0");
    let app = scanner.start(&[]).await;
    let reply = send(&app).await;
    assert_eq!(reply.assert_status(201).json()["complete"], true);
    assert!(fs::read(scanner.path("scan.sh.seen")).expect("seen") == pattern(LEN));
    // An empty file is a file, and a program that does not look is not forced to.
    app.flow("").upload().await;
    scanner.rewrite("exit 0");
    app.flow(pattern(LEN)).name("b.bin").chunk_size(LEN).upload().await;
    app.assert_ends_with(3).await;
}

#[tokio::test]
async fn a_file_that_the_program_refuses_is_gone_with_its_reason() {
    let long = "x".repeat(5000);
    for (script, reason) in [
        ("cat > /dev/null; echo 'Eicar found'; echo more; exit 1", "Eicar found"),
        ("cat > /dev/null; exit 1", "it gave no reason"),
        // It has seen enough, though not all.
        ("head -c 3 > /dev/null; echo no; exit 1", "no"),
        ("printf 'a\\033[2J\\342\\200\\256b\\n'; exit 1", "a\\u{1b}[2J\\u{202e}b"),
        (&format!("echo {long}; yes | head -c 1000000; exit 1"), &"x".repeat(200)),
    ] {
        let app = Scanner::script(script);
        let app = (app.start(&[]).await, app);
        let reply = send(&app.0).await;
        assert_refused(&app.0, &reply, reason).await;
        let detail = reply.json()["detail"].as_str().map(str::len).unwrap_or_default();
        assert!(detail < 400, "{detail} letters");
        app.0.assert_ends_with(0).await;
    }
}

#[tokio::test]
async fn a_program_that_cannot_tell_is_asked_again() {
    let could_not = "the scanner could not check the file";
    let scanner = Scanner::script("cat > /dev/null; echo 'no database' >&2; exit 2");
    let app = scanner.start(&["--completion-wait=0s"]).await;
    let id = id(send(&app).await.assert_status(200));
    assert_undecided(&retry(&app, &id).await, could_not);
    scanner.rewrite("kill -9 $$");
    assert_undecided(&retry(&app, &id).await, could_not);
    // Nothing of a former process is believed, but that the file is full.
    let app = app.restart().await;
    assert_undecided(&retry(&app, &id).await, could_not);
    scanner.rewrite("cat > /dev/null; exit 0");
    assert_eq!(retry(&app, &id).await["state"], "complete");
    app.assert_ends_with(1).await;
}

#[tokio::test]
async fn a_scanner_that_is_not_there_holds_files_up() {
    let (scanner, clamd) = Scanner::clamd();
    drop(clamd);
    let app = scanner.start(&["--completion-wait=0s"]).await;
    let of_clamd = id(send(&app).await.assert_status(200));
    assert_undecided(&retry(&app, &of_clamd).await, "the scanner cannot be asked");
    let app = TestApp::builder().flag("--scan-command=/no/such/program");
    let app = app.flag("--completion-wait=0s").start().await;
    let of_program = id(send(&app).await.assert_status(200));
    assert_undecided(&retry(&app, &of_program).await, "the scanner cannot be asked");
}

/// Makes a pipe, and a script that holds it open for as long as it or what it started lives.
fn hanging() -> (Scanner, impl FnOnce() -> fs::File) {
    let scanner =
        Scanner::script("exec 3> \"$0.alive\"; cat > /dev/null; cat \"$0.never\"; exit 0");
    let pipes = ["scan.sh.alive", "scan.sh.never"].map(|name| scanner.path(name));
    assert!(Command::new("mkfifo").args(&pipes).status().expect("mkfifo").success());
    let alive = pipes[0].clone();
    // Opens as soon as the script has opened it.
    (scanner, move || fs::File::open(alive).expect("a pipe"))
}

/// Waits until nobody has the pipe open any more. On a thread that nothing waits for: a program
/// that is left alive fails the test, and does not hang it.
async fn closed(mut pipe: fs::File) {
    let (tell, told) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || tell.send(pipe.read_to_end(&mut Vec::new())));
    let read = tokio::time::timeout(std::time::Duration::from_mins(1), told).await;
    let read = read.expect("what the program started is still alive").expect("no panic");
    assert_eq!(read.expect("a pipe"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_hangs_is_killed_when_its_file_is_given_up() {
    let (scanner, open) = hanging();
    let app = scanner.start(&["--completion-wait=0s"]).await;
    let id = id(send(&app).await.assert_status(200));
    let pipe = tokio::task::spawn_blocking(open).await.expect("it starts");
    assert_eq!(status(&app, &id).await["state"], "quarantined");
    app.delete(&format!("/uploads/{id}")).await.assert_status(204);
    closed(pipe).await;
    assert_eq!(status(&app, &id).await["state"], "cancelled");
    app.assert_ends_with(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_hangs_is_killed_at_the_stop_and_asked_at_the_next_start() {
    let (scanner, open) = hanging();
    let app = scanner.start(&["--completion-wait=0s"]).await;
    let id = id(send(&app).await.assert_status(200));
    let pipe = tokio::task::spawn_blocking(open).await.expect("it starts");
    let app = app.stop().await;
    closed(pipe).await;
    scanner.rewrite("cat > /dev/null");
    let app = app.start().await;
    assert_eq!(retry(&app, &id).await["state"], "complete");
    app.assert_ends_with(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_hangs_is_killed_when_its_time_is_over() {
    let (scanner, open) = hanging();
    let app = scanner.start(&["--completion-wait=0s", "--scan-timeout=1s"]).await;
    let id = id(send(&app).await.assert_status(200));
    closed(tokio::task::spawn_blocking(open).await.expect("it starts")).await;
    assert_undecided(&held_up(&app, &id).await, "the scanner took too long");
    scanner.rewrite("cat > /dev/null; echo never; exit 1");
    assert_eq!(retry(&app, &id).await["state"], "failed");
}

/// Reads one file as clamd does.
async fn received(clamd: &mut UnixStream) -> Vec<u8> {
    let mut command = [0; 10];
    clamd.read_exact(&mut command).await.expect("a command");
    assert_eq!(&command, b"zINSTREAM\0");
    let mut file = Vec::new();
    loop {
        let len = clamd.read_u32().await.expect("a length");
        if len == 0 {
            return file;
        }
        let at = file.len();
        file.resize(at + len as usize, 0);
        clamd.read_exact(&mut file[at..]).await.expect("bytes");
    }
}

/// Answers to one question.
async fn answer(clamd: &UnixListener, said: &str) -> Vec<u8> {
    let (mut clamd, _) = clamd.accept().await.expect("a question");
    let file = received(&mut clamd).await;
    clamd.write_all(said.as_bytes()).await.expect("sent");
    file
}

#[tokio::test]
async fn clamd_decides() {
    let (scanner, clamd) = Scanner::clamd();
    let app = scanner.start(&[]).await;
    let (reply, seen) = tokio::join!(send(&app), answer(&clamd, "stream: OK\0"));
    reply.assert_status(201);
    assert!(seen == pattern(LEN), "not what was sent");
    let empty = app.flow("");
    let (_, seen) = tokio::join!(empty.upload(), answer(&clamd, "stream: OK\0"));
    assert_eq!(seen, b"");
    app.assert_ends_with(2).await;

    let app = scanner.start(&[]).await;
    let found = answer(&clamd, "stream: Eicar-Test-Signature FOUND\0");
    let (reply, _) = tokio::join!(send(&app), found);
    assert_refused(&app, &reply, "Eicar-Test-Signature").await;
}

#[tokio::test]
async fn what_is_no_verdict_of_clamd_is_none() {
    let (scanner, clamd) = Scanner::clamd();
    let app = scanner.start(&["--completion-wait=0s"]).await;
    let could_not = "the scanner could not check the file";
    let (reply, _) = tokio::join!(send(&app), answer(&clamd, "stream: broken ERROR\0"));
    let id = id(reply.assert_status(200));
    assert_undecided(&held_up(&app, &id).await, could_not);
    for said in ["", "\0", "stream: OK, perhaps\0"] {
        let (upload, _) = tokio::join!(retry(&app, &id), answer(&clamd, said));
        assert_undecided(&upload, could_not);
    }
    // It answers before the end, and closes.
    let early = async {
        let (mut clamd, _) = clamd.accept().await.expect("a question");
        clamd.write_all(b"INSTREAM broken. ERROR\0").await.expect("sent");
    };
    let (upload, ()) = tokio::join!(retry(&app, &id), early);
    assert_eq!(upload["state"], "quarantined", "{upload}");
    let (upload, _) = tokio::join!(retry(&app, &id), answer(&clamd, "stream: OK\0"));
    assert_eq!(upload["state"], "complete", "{upload}");
    app.assert_ends_with(1).await;
}

#[tokio::test]
async fn an_upload_is_quarantined_while_it_is_checked_and_may_be_given_up() {
    let (scanner, clamd) = Scanner::clamd();
    let app = scanner.start(&["--completion-wait=0s"]).await;
    let id = id(send(&app).await.assert_status(200));
    let (mut asked, _) = clamd.accept().await.expect("a question");
    received(&mut asked).await;
    let upload = status(&app, &id).await;
    assert_eq!((&upload["state"], &upload["error"]), (&"quarantined".into(), &Value::Null));
    assert_eq!(app.files("completed"), Vec::<String>::new());
    app.delete(&format!("/uploads/{id}")).await.assert_status(204);
    // Whoever was asked sees that nobody waits any more.
    assert_eq!(asked.read(&mut [0]).await.expect("the end"), 0);
    assert_eq!(status(&app, &id).await["state"], "cancelled");
    app.assert_ends_with(0).await;
}

#[tokio::test]
async fn what_is_too_large_for_clamd_is_refused_for_good() {
    let (scanner, clamd) = Scanner::clamd();
    let app = scanner.start(&[]).await;
    let too_large = answer(&clamd, "INSTREAM size limit exceeded. ERROR\0");
    let (reply, _) = tokio::join!(send(&app), too_large);
    assert_refused(&app, &reply, "the file is too large for it").await;
}

/// Posts a file that is one chunk, and gives its id.
async fn post(app: &TestApp, content: &str, token: &str) -> String {
    let file = app.flow(content).name(content).chunk_size(LEN).by(token);
    let status = file.post(1).await.assert_status(200).json();
    status["upload"]["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn files_that_are_not_checked_in_time_hold_up_no_others() {
    let (scanner, clamd) = Scanner::clamd();
    let app = scanner.start(&["--completion-wait=0s", "--stitch-workers=1"]).await;
    let [ann, bob] = [app.token("ann", "upload,read").await, app.token("bob", "upload").await];
    // As many as there may be of one user: the third waits.
    let mut hanging = Vec::new();
    for content in ["first", "second", "third"] {
        post(&app, content, &ann).await;
        if hanging.len() < 2 {
            let (mut asked, _) = clamd.accept().await.expect("a question");
            assert_eq!(received(&mut asked).await, content.as_bytes());
            hanging.push(asked);
        }
    }
    let bobs = post(&app, "bob's", &bob).await;
    assert_eq!(answer(&clamd, "stream: OK\0").await, b"bob's");
    let path = format!("/uploads/{bobs}");
    loop {
        let upload = app.call_as(&bob, Method::GET, &path).await.json()["upload"].clone();
        if upload["state"] == "complete" {
            break;
        }
        assert_eq!(upload["error"], Value::Null);
        tokio::task::yield_now().await;
    }
    // As soon as nobody is asked about the others, somebody is about the next.
    drop(hanging);
    assert_eq!(answer(&clamd, "stream: OK\0").await, b"third");
}

#[tokio::test]
async fn whoever_is_disabled_during_the_check_has_no_file() {
    let (scanner, clamd) = Scanner::clamd();
    let app = scanner.start(&[]).await;
    let token = app.token("ann", "upload,read").await;
    let file = app.flow(pattern(LEN)).chunk_size(LEN).by(&token);
    let disabled = async {
        let (mut clamd, _) = clamd.accept().await.expect("a question");
        received(&mut clamd).await;
        app.control("/users/disable?name=ann").await.assert_status(200);
        clamd.write_all(b"stream: OK\0").await.expect("sent");
    };
    let (reply, ()) = tokio::join!(file.post(1), disabled);
    let detail = reply.assert_problem(403, "forbidden");
    assert!(detail.contains("may not upload any more"), "{detail}");
    assert_eq!(app.files("completed"), Vec::<String>::new());
    app.control("/users/enable?name=ann").await.assert_status(200);
    let list = app.call_as(&token, Method::GET, "/creatives").await.json();
    assert_eq!(list["creatives"], serde_json::json!([]));
}

#[tokio::test]
async fn both_must_let_it_pass() {
    let (scanner, clamd) = Scanner::clamd();
    scanner.rewrite("cat > /dev/null; exit 0");
    let socket = format!("--scan-clamd={}", scanner.path("clamd.sock").display());
    let app = scanner.start(&[&socket]).await;
    let (reply, _) = tokio::join!(send(&app), answer(&clamd, "stream: Bad FOUND\0"));
    assert_refused(&app, &reply, "Bad").await;
}
