//! Signals: the service stops in order, in time, and takes up again where it stopped.

use rustix::process::Signal;

use crate::support::{
    Connection, FlowFile, HalfSent, PATIENT, Server, Setup, bytes, request, until,
};

const UNCLEAN: &str = "did not end in order";
#[test]
fn a_request_in_flight_finishes_and_nothing_new_begins() {
    for signal in [Signal::TERM, Signal::INT] {
        let server = Setup::new().flag(PATIENT).start();
        let setup = server.setup().clone();
        let half = HalfSent::begin(&server);
        let mut idle = server.connect();
        idle.ask(&request("GET", "/healthz", &[], b"")).expect("an answer").assert_status(200);

        server.signal(signal);
        server.log().wait_for("stopping; a second signal exits at once");
        assert!(idle.is_closed_by_peer(), "an idle connection was kept");
        until(|| Connection::open(server.address()).is_err());
        assert!(half.finish().is_closed_by_peer());

        let (status, _) = server.ended();
        assert_eq!(status.code(), Some(0), "{signal:?}");
        assert_eq!(setup.journal_len(), 0, "the journal was not folded in");
        assert_eq!(setup.files("incomplete"), Vec::<String>::new());
        let server = setup.start();
        assert_eq!(server.creatives().len(), 1);
        let (_, log) = server.terminated();
        assert!(!log.whole().iter().any(|line| line.contains(UNCLEAN)));
    }
}

#[test]
fn a_server_that_stops_is_not_ready() {
    let server = Setup::new().flag(PATIENT).start();
    server.get("/readyz").assert_status(200);
    // Begun before the stop, and so answered; ended after it.
    let mut late = server.connect();
    late.send(b"GET /readyz HTTP/1.1\r\nhost:").expect("open");
    until(|| has_read_all(&server, &late));
    let half = HalfSent::begin(&server);
    server.signal(Signal::TERM);
    server.log().wait_for("stopping");
    until(|| Connection::open(server.address()).is_err());
    let answer = late.ask(b" localhost\r\n\r\n").expect("an answer");
    answer.assert_status(503);
    assert_eq!(answer.json()["code"], "not_ready");
    assert!(answer.json()["detail"].as_str().is_some_and(|it| it.contains("shutting_down")));
    half.finish();
    assert_eq!(server.ended().0.code(), Some(0));
}

/// Whether the server has taken from its socket all that was sent on this connection.
fn has_read_all(server: &Server, connection: &Connection) -> bool {
    let (ours, its) = (connection.port(), server.address().port());
    let sockets = std::fs::read_to_string("/proc/net/tcp").expect("a list of sockets");
    let of = |field: &str, port| field.ends_with(&format!(":{port:04X}"));
    // `sl local_address rem_address st tx_queue:rx_queue …`
    let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let sockets = sockets.lines().map(fields);
    let mut own = sockets.filter(|fields| of(&fields[1], its) && of(&fields[2], ours));
    // With an inode: before it is accepted it has none.
    own.any(|fields| fields[4].ends_with(":00000000") && fields[9] != "0")
}

#[test]
fn nobody_who_only_listens_holds_up_the_stop() {
    let server = Setup::new().flag(PATIENT).start();
    let file = FlowFile::new("a.bin", bytes(1, 2000), 1000);
    let answer = file.post(&mut server.connect(), 1).expect("an answer").json();
    let id = answer["upload"]["id"].as_str().expect("an id");
    let mut events = server.connect();
    events.send(&request("GET", &format!("/uploads/{id}/events"), &[], b"")).expect("open");
    assert_eq!(events.head().expect("an answer").0, 200);
    events.chunk().expect("how it stands").expect("an event");
    // A connection on which nothing was ever said.
    let mut silent = server.connect();

    let (status, _) = server.terminated();
    assert_eq!(status.code(), Some(0));
    assert_eq!(events.chunk().expect("an orderly end"), None);
    assert!(silent.is_closed_by_peer());
}

#[test]
fn a_second_signal_exits_at_once() {
    for (first, second, code) in
        [(Signal::TERM, Signal::TERM, 143), (Signal::TERM, Signal::INT, 130)]
    {
        let server = Setup::new().flag(PATIENT).start();
        let setup = server.setup().clone();
        let half = HalfSent::begin(&server);
        server.signal(first);
        server.log().wait_for("stopping; a second signal exits at once");
        server.signal(second);
        assert_eq!(server.ended().0.code(), Some(code));
        let server = setup.start();
        server.log().wait_for(UNCLEAN);
        assert_eq!(half.file.resume(&server).1, [2]);
    }
}

#[test]
fn a_stop_answers_an_upload_that_stalls_and_the_next_start_resumes_it() {
    for durability in ["strict", "relaxed"] {
        let durability = format!("--durability={durability}");
        let setup = Setup::new().flag("--shutdown-timeout=1s").flag(durability);
        let server = setup.start();
        let mut half = HalfSent::begin(&server);
        let (status, log) = server.terminated();
        assert_eq!(status.code(), Some(0));
        assert!(!log.whole().iter().any(|line| line.contains("Stopped at the deadline")));
        let answer = half.connection.answer().expect("an answer");
        answer.assert_status(503);
        assert_eq!(answer.json()["code"], "unavailable");
        assert!(answer.header("retry-after").is_some());
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(half.connection.is_closed_by_peer());
        assert_eq!(setup.journal_len(), 0, "the journal was not folded in");

        let server = setup.start();
        assert_eq!(half.file.resume(&server).1, [2]);
        let (_, log) = server.terminated();
        assert!(!log.whole().iter().any(|line| line.contains(UNCLEAN)), "{log:?}");
    }
}

#[test]
fn no_time_to_stop_is_a_stop_all_the_same() {
    let setup = Setup::new().flag("--shutdown-timeout=0s");
    let server = setup.start();
    let half = HalfSent::begin(&server);
    assert_eq!(server.terminated().0.code(), Some(1));
    assert_eq!(half.file.resume(&setup.start()).1, [2]);
}

#[test]
fn a_reader_of_the_logs_that_goes_away_takes_nothing_with_it() {
    let server = Setup::new().flag("--log=debug").start_unheard();
    let setup = server.setup().clone();
    FlowFile::new("a.bin", bytes(1, 5000), 1000).upload(&server);
    server.get("/no such path").assert_status(400);
    server.get("/nowhere").assert_status(404);
    assert_eq!(server.creatives().len(), 1);
    assert_eq!(server.terminated().0.code(), Some(0));
    assert_eq!(setup.journal_len(), 0);
}
