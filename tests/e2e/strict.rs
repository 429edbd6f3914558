//! Requests that different servers read differently, over a raw socket.

use crate::support::{Server, Setup};

/// A server for which any host will do.
fn start() -> Server {
    Setup::new().flag("--allow-anonymous=true").start()
}

/// The status of the answer to these bytes, and whether the connection was closed behind it.
fn ask(server: &Server, text: &str) -> (u16, bool) {
    let mut connection = server.connect();
    let answer = connection.ask(text.as_bytes()).expect("an answer");
    (answer.status, connection.is_closed_by_peer())
}

#[test]
fn what_proxies_read_differently_is_refused_and_ends_the_connection() {
    let server = start();
    for (what, text, status) in [
        ("no Host", "GET /healthz HTTP/1.1\r\n\r\n", 400),
        ("two Hosts", "GET /healthz HTTP/1.1\r\nhost: x\r\nhost: x\r\n\r\n", 400),
        ("two Hosts of HTTP/1.0", "GET /healthz HTTP/1.0\r\nhost: x\r\nhost: y\r\n\r\n", 400),
        ("an invalid Host", "GET /healthz HTTP/1.1\r\nhost: a/b\r\n\r\n", 400),
        ("a bare LF", "GET /healthz HTTP/1.1\nhost: x\r\n\r\n", 400),
        ("a bare LF at the end", "GET /healthz HTTP/1.1\r\nhost: x\r\n\n", 400),
        ("a folded line", "GET /healthz HTTP/1.1\r\nhost: x\r\na: b\r\n c\r\n\r\n", 400),
        ("a space before a colon", "GET /healthz HTTP/1.1\r\nhost : x\r\n\r\n", 400),
        ("a bare CR", "GET /healthz HTTP/1.1\r\nhost: x\r\na: b\rc: d\r\n\r\n", 400),
        ("a NUL", "GET /healthz HTTP/1.1\r\nhost: x\r\na: \0\r\n\r\n", 400),
        ("a space in the address", "GET /healthz /x HTTP/1.1\r\nhost: x\r\n\r\n", 400),
        ("two different lengths", &post("content-length: 1\r\ncontent-length: 2"), 400),
        ("a list of lengths", &post("content-length: 1, 1"), 400),
        ("a length with a sign", &post("content-length: +1"), 400),
        ("another coding", &post("transfer-encoding: gzip, chunked"), 501),
        ("two lines of codings", &post("transfer-encoding: x\r\ntransfer-encoding: chunked"), 501),
        ("chunked twice", &post("transfer-encoding: chunked, chunked"), 501),
        ("a coding that hides a length", &post("transfer-encoding: identity"), 400),
        ("a coding in HTTP/1.0", "POST /x HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n", 400),
    ] {
        assert_eq!(ask(&server, text), (status, true), "{what}");
    }
    server.get("/healthz").assert_status(200);
}

fn post(head: &str) -> String {
    format!("POST /upload HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\n0\r\n\r\n")
}

/// What stays lenient, and harms nobody, because the connection closes or both sides agree.
#[test]
fn what_is_only_unusual_is_served() {
    let server = start();
    for (what, text) in [
        ("HTTP/1.0 without a Host", "GET /healthz HTTP/1.0\r\n\r\n"),
        ("an empty line before", "\r\nGET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"),
        ("an empty Host", "GET /healthz HTTP/1.1\r\nhost:\r\n\r\n"),
        ("the whole address", "GET http://x/healthz HTTP/1.1\r\nhost: x\r\n\r\n"),
        (
            "chunked in capitals",
            "GET /healthz HTTP/1.1\r\nhost: x\r\ntransfer-encoding: CHUNKED\r\n\r\n0\r\n\r\n",
        ),
    ] {
        let answer = server.connect().ask(text.as_bytes()).expect("an answer");
        assert_eq!(answer.status, 200, "{what}");
    }
}

#[test]
fn a_head_is_at_most_32_kib_long() {
    let server = start();
    let of = |len: usize| {
        let head = "GET /healthz HTTP/1.1\r\nhost: x\r\nx: \r\n\r\n";
        head.replace("x: \r\n\r\n", &format!("x: {}\r\n\r\n", "x".repeat(len - head.len())))
    };
    let longest = server.connect().ask(of(32 * 1024).as_bytes());
    longest.expect("an answer").assert_status(200);
    assert_eq!(ask(&server, &of(32 * 1024 + 1)), (431, true));
}
