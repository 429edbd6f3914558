//! What surrounds the process: a reader of its logs that stalls, signals, and limits of the system.
//! None of them ends it, or keeps it from ending.

use std::{
    fs,
    fs::OpenOptions,
    io,
    process::{Child, Command, Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{FlowFile, HalfSent, Log, PATIENT, Server, Setup, bytes, request, until};

const LOST: &str = "Log lines were lost";

/// How many log lines were lost, by the metrics.
fn lost_lines(server: &Server) -> u64 {
    let page = server.get("/metrics");
    let page = String::from_utf8(page.body).expect("text");
    let value = page.lines().find_map(|line| line.strip_prefix("flowstitch_log_lines_lost_total "));
    value.expect("a metric").parse().expect("a number")
}

/// Uploads until the logs that nobody reads fill the pipe and the queue.
fn stall_the_log(server: &Server) {
    let mut connection = server.connect();
    let mut sent = 0;
    until(|| {
        for _ in 0..20 {
            sent += 1;
            let file = FlowFile::new(&format!("{sent}.bin"), bytes(sent, 1000), 1000);
            file.post(&mut connection, 1).expect("an answer").assert_status(201);
        }
        0 < lost_lines(server)
    });
}

/// A server whose log nobody reads any more: everything is logged, so that it is soon full.
fn stalled() -> (Server, impl std::io::Read + Send + 'static) {
    let setup = Setup::new().flag(PATIENT).flag("--log=trace").flag("--durability=relaxed");
    let (server, unread) = setup.start_unread();
    stall_the_log(&server);
    (server, unread)
}

#[test]
fn a_log_reader_that_stalls_holds_up_neither_a_request_nor_the_stop() {
    let (server, _unread) = stalled();
    let half = HalfSent::begin(&server);
    let mut idle = server.connect();
    idle.ask(&request("GET", "/healthz", &[], b"")).expect("an answer").assert_status(200);
    server.signal(Signal::TERM);
    assert!(idle.is_closed_by_peer(), "an idle connection was kept");
    half.finish();
    assert_eq!(server.ended().0.code(), Some(0));
}

#[test]
fn a_second_signal_ends_a_server_whose_log_is_stalled() {
    let (server, _unread) = stalled();
    let _half = HalfSent::begin(&server);
    let mut idle = server.connect();
    idle.ask(&request("GET", "/healthz", &[], b"")).expect("an answer").assert_status(200);
    server.signal(Signal::TERM);
    assert!(idle.is_closed_by_peer(), "an idle connection was kept");
    server.signal(Signal::INT);
    assert_eq!(server.ended().0.code(), Some(130));
}

#[test]
fn a_log_reader_that_is_back_is_told_how_many_lines_it_missed() {
    let (server, unread) = stalled();
    let log = Log::follow(unread);
    let line = log.wait_for(LOST);
    assert!(line.contains("WARN") && line.contains("lost="), "{line}");
    server.get("/healthz").assert_status(200);
    assert_eq!(server.terminated().0.code(), Some(0));
    // What came after the gap is there again.
    log.wait_for("stopping; a second signal exits at once");
}

#[test]
fn signals_without_a_meaning_here_end_nothing() {
    let server = Server::start();
    let signals = [
        (Signal::HUP, None),
        (Signal::USR1, Some("SIGUSR1")),
        (Signal::USR2, Some("SIGUSR2")),
        (Signal::ALARM, Some("SIGALRM")),
        (Signal::VTALARM, Some("SIGVTALRM")),
        (Signal::PROF, Some("SIGPROF")),
        (Signal::IO, Some("SIGIO")),
        (Signal::PIPE, None),
        (Signal::XFSZ, None),
    ];
    for (signal, name) in signals {
        server.signal(signal);
        if let Some(name) = name {
            server.log().wait_for(name);
        }
    }
    FlowFile::new("a.bin", bytes(1, 5000), 1000).upload(&server);
    assert_eq!(server.terminated().0.code(), Some(0));
}

#[test]
fn a_limit_of_processor_time_stops_in_order() {
    let server = Setup::new().flag(PATIENT).start();
    let half = HalfSent::begin(&server);
    // Comes every second from then on, and is not a second signal.
    server.signal(Signal::XCPU);
    server.log().wait_for("stopping");
    server.signal(Signal::XCPU);
    half.finish();
    assert_eq!(server.ended().0.code(), Some(0));
}

/// A server whose start hangs: its certificate is a pipe to which nobody writes. Once it listens to
/// signals.
fn hangs_at_start(shutdown_timeout: &str) -> (Setup, Child) {
    let setup = Setup::new().after("mkfifo cert.pem key.pem");
    let setup = setup.flag("--tls-cert=cert.pem").flag("--tls-key=key.pem");
    let setup = setup.flag(format!("--shutdown-timeout={shutdown_timeout}"));
    let child = setup.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let child = child.expect("it starts");
    // It begins when all signals are handled.
    let waits_for_signals = || {
        let threads = fs::read_dir(format!("/proc/{}/task", child.id())).expect("ours");
        let name = |thread: io::Result<fs::DirEntry>| {
            fs::read_to_string(thread.ok()?.path().join("comm")).ok()
        };
        threads.filter_map(name).any(|name| name.trim() == "signals")
    };
    until(waits_for_signals);
    (setup, child)
}

fn signal(child: &Child, signal: Signal) {
    let id = i32::try_from(child.id()).expect("an id of a process");
    kill_process(Pid::from_raw(id).expect("not 0"), signal).expect("it is still ours");
}

#[track_caller]
fn status_of(mut child: Child) -> Option<i32> {
    let mut status = None;
    until(|| {
        status = child.try_wait().expect("our child");
        status.is_some()
    });
    status.and_then(|status| status.code())
}

#[test]
fn a_signal_ends_a_process_that_hangs() {
    let (_setup, child) = hangs_at_start("0s");
    signal(&child, Signal::TERM);
    assert_eq!(status_of(child), Some(1));
}

#[test]
fn a_second_signal_ends_a_process_that_hangs_at_once() {
    let (_setup, child) = hangs_at_start("1h");
    signal(&child, Signal::INT);
    // Two of a kind that are not handled yet are one.
    until(|| {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).expect("ours");
        let pending = status.lines().filter(|line| line.starts_with("ShdPnd:"));
        pending.clone().count() == 1 && pending.clone().all(|line| line.ends_with("0000"))
    });
    signal(&child, Signal::INT);
    assert_eq!(status_of(child), Some(130));
}

#[test]
fn a_limit_of_file_sizes_refuses_the_uploads_that_are_larger() {
    const MIB: usize = 1 << 20;
    // In units of 512 bytes.
    let server = Setup::new().after("ulimit -f 4096").start();
    let small = |name: &str| FlowFile::new(name, bytes(1, MIB), MIB / 2);
    small("before.bin").upload(&server);
    let large = FlowFile::new("large.bin", bytes(2, 8 * MIB), MIB);
    let answer = large.post(&mut server.connect(), 1).expect("an answer");
    assert_eq!(answer.assert_status(507).json()["code"], "no_space");
    // Of this one nobody knows how large it is before it is too large.
    let path = "/upload?flowFilename=undeclared.bin&flowIdentifier=undeclared";
    let whole = request("POST", path, &["Content-Type: image/png"], &bytes(3, 8 * MIB));
    let answer = server.connect().ask(&whole).expect("an answer");
    assert_eq!(answer.assert_status(507).json()["code"], "no_space");
    small("after.bin").upload(&server);
    assert_eq!(server.creatives().len(), 2);
    assert_eq!(server.terminated().0.code(), Some(0));
}

#[test]
fn a_limit_of_file_sizes_does_not_stop_the_journal_of_the_database() {
    // 512 KiB, or 1 MiB where a shell counts otherwise.
    let server = Setup::new().after("ulimit -f 1024").flag("--durability=relaxed").start();
    let mut connection = server.connect();
    for i in 0..150 {
        let file = FlowFile::new(&format!("{i}.bin"), bytes(i, 1000), 1000);
        file.post(&mut connection, 1).expect("an answer").assert_status(201);
    }
    assert_eq!(server.terminated().0.code(), Some(0));
}

/// Runs a tool whose answer goes to `out`.
fn tool(server: &Server, tool: &str, out: impl Into<Stdio>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flowstitch"));
    command.args(tool.split(' ')).current_dir(server.setup().dir()).stdin(Stdio::null());
    let child = command.stdout(out).stderr(Stdio::piped()).spawn().expect("the binary starts");
    child.wait_with_output().expect("our child")
}

const TOOLS: [&str; 4] = ["uploads list", "creatives list", "verify", "sweep --dry-run --json"];

#[test]
fn a_tool_whose_output_cannot_be_written_says_so() {
    let server = Server::start();
    for name in TOOLS {
        let full = OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
        let output = tool(&server, name, full);
        let err = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(2), "{name}: {err}");
        assert!(err.contains("cannot write the answer: No space left"), "{name}: {err}");
    }
}

#[test]
fn a_tool_whose_output_nobody_reads_ends_without_a_word() {
    let server = Server::start();
    for name in TOOLS {
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(reader);
        let output = tool(&server, name, writer);
        let err = String::from_utf8(output.stderr).expect("text");
        assert_eq!((output.status.code(), err.as_str()), (Some(141), ""), "{name}");
    }
}

#[test]
fn closed_standard_streams_are_no_files_of_the_data() {
    let server = Setup::new().after("exec <&- >&-").start();
    FlowFile::new("a.bin", bytes(1, 5000), 1000).upload(&server);
    for stream in ["fd/0", "fd/1"] {
        let open = fs::read_link(server.proc(stream)).expect("it is open");
        assert_eq!(open.to_str(), Some("/dev/null"), "{stream}");
    }
    assert_eq!(server.terminated().0.code(), Some(0));
}

#[test]
fn a_server_that_was_stopped_goes_on_when_it_is_continued() {
    let server = Setup::new().flag(PATIENT).start();
    let half = HalfSent::begin(&server);
    server.signal(Signal::STOP);
    let state = || {
        let status = fs::read_to_string(server.proc("status")).expect("Linux tells");
        status.lines().any(|line| line.starts_with("State:\tT"))
    };
    until(state);
    server.signal(Signal::CONT);
    until(|| !state());
    server.get("/readyz").assert_status(200);
    server.signal(Signal::TERM);
    half.finish();
    assert_eq!(server.ended().0.code(), Some(0));
}
