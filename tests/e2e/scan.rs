//! The check before publishing, with a shell script as the scanner of a real server.

use std::{fs, io::Read, process::Command};

use crate::support::{FlowFile, Setup, bytes, until};

/// A server whose scanner is this script; what the script names is in the folder of the data.
fn with_scanner(script: &str) -> Setup {
    let setup = Setup::new();
    let path = setup.dir().join("scan.sh");
    fs::write(&path, script).expect("written");
    setup.flag(format!("--scan-command=sh {}", path.display()))
}

#[test]
fn a_script_decides_what_is_published() {
    let setup = with_scanner("env > env; if grep -q EICAR; then echo 'EICAR found'; exit 1; fi");
    let server = setup.after("export FLOWSTITCH_LOG=info").start();
    FlowFile::new("good.bin", bytes(1, 3_000_000), 1_000_000).upload(&server);
    let bad = FlowFile::new("bad.bin", b"this has EICAR in it".to_vec(), 10);
    let mut connection = server.connect();
    bad.post(&mut connection, 2).expect("an answer").assert_status(200);
    let refused = bad.post(&mut connection, 1).expect("an answer");
    assert_eq!(refused.assert_status(415).json()["code"], "refused_by_scan");
    let detail = refused.json()["detail"].clone();
    assert!(detail.as_str().is_some_and(|it| it.contains("EICAR found")), "{detail}");
    assert_eq!(server.setup().files("completed").len(), 1);
    // The tombstone goes before the bytes, and who is told of it may be faster than they are.
    until(|| server.setup().files("incomplete").is_empty());
    // What the operator told the server, a password perhaps, is not told to others.
    let env = fs::read_to_string(server.setup().dir().join("env")).expect("written");
    assert!(env.contains("PATH=") && !env.contains("FLOWSTITCH_"), "{env}");
}

#[test]
fn a_stop_ends_a_script_that_hangs() {
    let setup =
        with_scanner("exec 3> alive; cat > /dev/null; cat never").flag("--completion-wait=0s");
    let pipes = ["alive", "never"].map(|name| setup.dir().join(name));
    assert!(Command::new("mkfifo").args(&pipes).status().expect("mkfifo").success());
    let server = setup.start();
    let file = FlowFile::new("a.bin", bytes(2, 1000), 1000);
    let status = file.post(&mut server.connect(), 1).expect("an answer");
    let id = status.assert_status(200).json()["upload"]["id"].as_str().expect("an id").to_owned();
    // Opens when the script has begun.
    let mut alive = fs::File::open(&pipes[0]).expect("a pipe");
    let upload = server.get(&format!("/uploads/{id}")).json()["upload"].clone();
    assert_eq!(upload["state"], "quarantined", "{upload}");
    assert!(server.terminated().0.success());
    assert_eq!(alive.read_to_end(&mut Vec::new()).expect("the end"), 0, "nobody is left");
    fs::write(setup.dir().join("scan.sh"), "cat > /dev/null").expect("written");
    file.upload(&setup.start());
}
