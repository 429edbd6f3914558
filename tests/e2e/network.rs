//! Connections as networks and odd clients make them.

use std::io;

use crate::support::{Connection, FlowFile, Server, Setup, bytes, request, until};

fn file() -> FlowFile {
    FlowFile::new("a.bin", bytes(3, 3000), 1000)
}

#[test]
fn a_body_that_comes_byte_by_byte_is_taken() {
    let server = Server::start();
    let file = FlowFile::new("slow.bin", bytes(1, 600), 1000);
    let mut connection = server.connect();
    for byte in file.request(1) {
        connection.send(&[byte]).expect("open");
    }
    connection.answer().expect("an answer").assert_status(201);
    assert_eq!(file.resume(&server).1, [0; 0]);
}

#[test]
fn a_client_that_waits_to_be_asked_is_asked() {
    let (server, file) = (Server::start(), file());
    let mut connection = server.connect();
    let (content_type, body) = file.form(1);
    let whole = request("POST", "/upload", &[&content_type, "Expect: 100-continue"], &body);
    let (head, body) = whole.split_at(whole.len() - body.len());
    assert_eq!(connection.ask(head).expect("an answer").status, 100);
    connection.ask(body).expect("an answer").assert_status(200);
    // And one that cannot be understood without a byte of it is not asked at all.
    let head = request("POST", "/nowhere", &["Content-Length: 9", "Expect: 100-continue"], b"");
    let head = String::from_utf8(head).expect("text").replace("content-length: 0\r\n", "");
    server.connect().ask(head.as_bytes()).expect("an answer").assert_status(404);
}

#[test]
fn a_body_of_unsaid_length_is_taken() {
    let (server, file) = (Server::start(), file());
    let mut connection = server.connect();
    for number in 1..=file.count() {
        let (content_type, body) = file.form(number);
        let mut coded = Vec::new();
        for piece in body.chunks(97) {
            coded.extend(format!("{:x};ext=1\r\n", piece.len()).into_bytes());
            coded.extend(piece);
            coded.extend(b"\r\n");
        }
        coded.extend(b"0\r\nX-Trailer: 1\r\n\r\n");
        let lines = [&*content_type, "Transfer-Encoding: chunked"];
        let answer = connection.ask(&request("POST", "/upload", &lines, &coded));
        let status = if number == file.count() { 201 } else { 200 };
        answer.expect("an answer").assert_status(status);
    }
    assert_eq!(file.resume(&server).1, [0; 0]);
}

#[test]
fn requests_that_come_all_at_once_are_answered_in_order() {
    let (server, file) = (Server::start(), file());
    let mut connection = server.connect();
    let requests: Vec<u8> = (1..=3).flat_map(|number| file.request(number)).collect();
    connection.send(&requests).expect("open");
    for status in [200, 200, 201] {
        connection.answer().expect("an answer").assert_status(status);
    }
    // Still good for more.
    file.probe(&mut connection, 1).expect("an answer").assert_status(200);
}

#[test]
fn a_connection_is_used_again_after_an_error() {
    let (server, file) = (Server::start(), file());
    let mut connection = server.connect();
    let broken = request("POST", "/upload?flowChunkNumber=x", &[], &[0; 10_000]);
    connection.ask(&broken).expect("an answer").assert_status(400);
    file.post(&mut connection, 1).expect("an answer").assert_status(200);
    connection.ask(&request("GET", "/nowhere", &[], b"")).expect("an answer").assert_status(404);
    file.post(&mut connection, 2).expect("an answer").assert_status(200);
}

#[test]
fn a_connection_that_is_cut_in_a_body_leaves_nothing() {
    let (server, file) = (Server::start(), file());
    let whole = file.request(2);
    let ends: [fn(Connection); 2] = [drop, Connection::reset];
    // In the fields, in the file, and in the last boundary.
    for sent in [300, whole.len() - 700, whole.len() - 10] {
        for end in ends {
            let mut connection = server.connect();
            connection.send(&whole[..sent]).expect("open");
            end(connection);
            file.probe(&mut server.connect(), 2).expect("an answer").assert_status(204);
        }
    }
    until(|| server.setup().files("incomplete").is_empty());
    assert_eq!(server.get("/uploads").json()["uploads"], serde_json::json!([]));
    assert_eq!(file.resume(&server).1, [1, 2, 3]);
}

#[test]
fn a_body_that_stalls_is_given_up_and_its_chunk_can_be_sent_again() {
    let server = Setup::new().flag("--body-idle-timeout=1s").start();
    let file = file();
    let mut stalled = server.connect();
    let whole = file.request(1);
    stalled.send(&whole[..whole.len() - 500]).expect("open");
    // Refused or cut, whichever comes first: but not kept.
    match stalled.answer() {
        Ok(answer) => assert!((400..500).contains(&answer.status), "{answer:?}"),
        Err(error) => assert_ne!(error.kind(), io::ErrorKind::WouldBlock, "still open"),
    }
    assert_eq!(file.resume(&server).1, [1, 2, 3]);
}
