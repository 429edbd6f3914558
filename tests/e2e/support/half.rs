//! An upload that is in flight when the server stops.

use super::{Connection, FlowFile, Server, bytes, request};

/// A stop that waits for it never ends, and the test fails.
pub(crate) const PATIENT: &str = "--shutdown-timeout=1h";

/// A file of two chunks, of which the first is acknowledged and half of the second was read.
pub(crate) struct HalfSent {
    pub(crate) file: FlowFile,
    pub(crate) connection: Connection,
    rest: Vec<u8>,
}

impl HalfSent {
    pub(crate) fn begin(server: &Server) -> Self {
        let file = FlowFile::new("half.bin", bytes(7, 200_000), 100_000);
        let mut connection = server.connect();
        file.post(&mut connection, 1).expect("an answer").assert_status(200);
        let (content_type, body) = file.form(2);
        let whole = request("POST", "/upload", &[&content_type, "Expect: 100-continue"], &body);
        let (head, body) = whole.split_at(whole.len() - body.len());
        // It asks for the body: so the request is in flight, not only on its way.
        assert_eq!(connection.ask(head).expect("an answer").status, 100);
        let (half, rest) = body.split_at(body.len() / 2);
        connection.send(half).expect("open");
        Self { file, connection, rest: rest.to_vec() }
    }

    pub(crate) fn finish(mut self) -> Connection {
        let answer = self.connection.ask(&self.rest).expect("it is let finish");
        answer.assert_status(201);
        assert_eq!(answer.json()["complete"], true);
        assert_eq!(answer.header("connection"), Some("close"));
        self.connection
    }
}
