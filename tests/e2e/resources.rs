//! Memory and file descriptors: bounded, and a shortage of them is slow, not fatal.

use std::{fs, thread};

use crate::support::{Connection, FlowFile, Server, Setup, bytes, request};

#[test]
fn a_server_that_runs_out_of_descriptors_serves_on_when_they_are_back() {
    let server = Setup::new().after("ulimit -n 64").start();
    let mut greedy: Vec<Connection> = (0..200).map(|_| server.connect()).collect();
    for connection in &mut greedy {
        connection.send(&request("GET", "/healthz", &[], b"")).expect("open");
    }
    // Some are served, and what they hold is not enough for all.
    greedy[0].answer().expect("an answer").assert_status(200);
    drop(greedy);
    FlowFile::new("a.bin", bytes(1, 10_000), 1000).upload(&server);
    server.get("/readyz").assert_status(200);
    assert!(server.terminated().0.success());
}

#[test]
fn connections_leave_uploads_their_share_of_the_descriptors() {
    let server = Setup::new().after("ulimit -n 64").start();
    server.log().wait_for("allows fewer connections than max_connections");
    let mut uploading = server.connect();
    uploading.ask(&request("GET", "/readyz", &[], b"")).expect("an answer").assert_status(200);
    let _greedy: Vec<Connection> = (0..200).map(|_| server.connect()).collect();
    // Each is a file that has to be opened.
    for i in 0..30 {
        let file = FlowFile::new(&format!("{i}.bin"), bytes(i, 1000), 1000);
        file.post(&mut uploading, 1).expect("an answer").assert_status(201);
    }
}

#[test]
fn the_soft_limit_of_open_files_is_raised_to_the_hard_one() {
    let server = Setup::new().after("ulimit -Sn 64 && ulimit -Hn 2000").start();
    server.log().wait_for("Raised the limit of open files");
    let limits = fs::read_to_string(server.proc("limits")).expect("Linux tells");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    let fields: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(fields[3..5], ["2000", "2000"]);
}

/// 512 MiB in parallel, in chunks that together would be too much, and 200 small files. Zeros, and
/// relaxed: it is the memory that is tried and not the disk.
#[test]
fn memory_stays_small_whatever_is_uploaded() {
    const MIB: usize = 1 << 20;
    const PEAK_MAX: usize = 80 * MIB;
    let server = Setup::new().flag("--durability=relaxed").start();
    thread::scope(|scope| {
        for i in 0..4 {
            let server = &server;
            scope.spawn(move || send_zeros(server, &format!("{i}.bin"), 128, 64 * MIB));
        }
    });
    let mut connection = server.connect();
    for i in 0..200 {
        let file = FlowFile::new(&format!("{i}.txt"), bytes(i, 500), 1000);
        file.post(&mut connection, 1).expect("an answer").assert_status(201);
    }
    assert_eq!(server.creatives().len(), 204);
    let status = fs::read_to_string(server.proc("status")).expect("Linux tells");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let peak = peak.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024;
    assert!(peak < PEAK_MAX, "{} MiB", peak / MIB);
}

/// Sends a file of that many MiB in chunks of this size, from one buffer.
fn send_zeros(server: &Server, name: &str, len_mib: usize, chunk_size: usize) {
    let (total, zeros) = (len_mib << 20, vec![0; chunk_size]);
    let mut connection = server.connect();
    for number in 1..=total / chunk_size {
        let path = format!(
            "/upload?flowChunkNumber={number}&flowChunkSize={chunk_size}&flowTotalSize={total}\
             &flowIdentifier={name}&flowFilename={name}&flowTotalChunks={}",
            total / chunk_size
        );
        let answer = connection.ask(&request("POST", &path, &[], &zeros)).expect("an answer");
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    }
}
