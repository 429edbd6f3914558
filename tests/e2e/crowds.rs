//! More connections than a server may have: checks of health are answered all the same.

use crate::support::{Connection, FlowFile, Server, Setup, bytes, output, request};

/// A connection with a request whose body does not come.
fn busy(server: &Server, name: &str) -> (Connection, Vec<u8>) {
    let file = FlowFile::new(name, bytes(1, 1000), 1000);
    let (content_type, body) = file.form(1);
    let whole = request("POST", "/upload", &[&content_type, "Expect: 100-continue"], &body);
    let (head, body) = whole.split_at(whole.len() - body.len());
    let mut connection = server.connect();
    // The server has asked for the body: it has read the head.
    assert_eq!(connection.ask(head).expect("an answer").status, 100);
    (connection, body.to_vec())
}

#[test]
fn health_is_answered_while_all_connections_are_busy() {
    let server = Setup::new().flag("--max-connections=2").start();
    let (mut first, body) = busy(&server, "a");
    let _second = busy(&server, "b");
    let mut waiting = server.connect();
    waiting.send(&request("GET", "/limits", &[], b"")).expect("open");
    // Others say nothing, ask for something else, or begin a check and do not end it.
    let said: [&[u8]; 3] = [b"", b"GET /limits HTTP/1.1\r\n\r\n", b"GET /healthz HTTP/1.1\r\nx: "];
    let _crowd: Vec<Connection> = (0..300)
        .map(|i| {
            let mut connection = server.connect();
            // It may be closed already.
            connection.send(said[i % said.len()]).ok();
            connection
        })
        .collect();
    for path in ["/healthz", "/readyz"] {
        let mut check = server.connect();
        let answer = check.ask(&request("GET", path, &[], b"")).expect("an answer");
        answer.assert_status(200);
        assert_eq!(answer.header("connection"), Some("close"), "it is for one request");
        assert!(check.is_closed_by_peer());
    }
    first.ask(&body).expect("an answer").assert_status(201);
    drop(first);
    waiting.answer().expect("its turn").assert_status(200);
}

#[test]
fn the_operator_has_an_address_of_its_own() {
    let setup = Setup::new().flag("--max-connections=1");
    let server = setup.flag("--admin-listen=127.0.0.1:0").start();
    let line = server.log().wait_for("admin_listen on http://");
    let (_, own) = line.split_once("://").expect("an address");
    let own = own.parse().expect("an address and a port");
    let _busy = busy(&server, "a");
    let ask = |path: &str| {
        let mut connection = Connection::open(own).expect("it listens");
        connection.ask(&request("GET", path, &[], b"")).expect("an answer")
    };
    ask("/healthz").assert_status(200);
    ask("/readyz").assert_status(200);
    assert!(String::from_utf8_lossy(&ask("/metrics").assert_status(200).body).contains("# EOF"));
    ask("/limits").assert_status(404);
    let second = Setup::new().flag(format!("--admin-listen={own}"));
    let said = String::from_utf8(output(&mut second.command()).stderr).expect("text");
    assert!(said.contains(&format!("cannot listen on {own}")), "{said}");
}
