//! How much memory the binary takes: idle, and for bodies that come in drips.

use std::{
    io::Write,
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use crate::{connection::Connection, ground::Ground, run::Measured, server::Subject};

/// Slow connections, and what each has sent of its chunk before it only drips.
const SLOW: usize = 1000;
const SENT_LEN: usize = 64 << 10;
const CHUNK_LEN: usize = 1 << 20;
/// How often each sends a byte more, and for how long.
const DRIP: Duration = Duration::from_millis(100);
const DRIPPING: Duration = Duration::from_secs(5);

/// One round: `memory-idle` and `memory-slow`, in MiB.
pub(crate) fn measure(ground: &Ground, measured: &mut Measured) {
    let folder = ground.fresh().expect("a folder");
    let server = Subject::flowstitch("").start(folder.path());
    // It is idle, not unborn: it has answered.
    let mut connection = Connection::open(server.address()).expect("it accepts connections");
    connection.get("/healthz").expect("an answer");
    measured.number("memory-idle", server.usage().rss_mib);
    let mut slow: Vec<TcpStream> = (0..SLOW)
        .map(|number| {
            let mut stream = TcpStream::connect(server.address()).expect("a connection");
            let head = format!(
                "POST /upload?flowIdentifier=drip-{number}&flowFilename=drip-{number}\
                 &flowChunkNumber=1&flowTotalChunks=2&flowChunkSize={CHUNK_LEN}&flowTotalSize={} \
                 HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/octet-stream\r\n\
                 content-length: {CHUNK_LEN}\r\n\r\n",
                2 * CHUNK_LEN
            );
            stream.write_all(head.as_bytes()).expect("it reads the head");
            stream
        })
        .collect();
    // What the server does not take waits here; that must not hold up the other connections.
    let first = vec![0x5a; SENT_LEN];
    for stream in &mut slow {
        stream.set_nonblocking(true).expect("a socket");
        // If the system takes less of it, the connection is one that sent less.
        stream.write_all(&first).ok();
    }
    let begun = Instant::now();
    while begun.elapsed() < DRIPPING {
        for stream in &mut slow {
            stream.write_all(b"x").ok();
        }
        thread::park_timeout(DRIP);
    }
    measured.number("memory-slow", server.usage().peak_rss_mib);
}
