//! An honest client: three connections at a time, as flow.js has them.

use std::{
    fs,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::support::{Server, request};

const CONNECTIONS: usize = 3;
const CHUNK_LEN: usize = 1 << 20;

/// How an upload went.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Upload {
    /// From the first connection to the end of the upload.
    pub(crate) took: Duration,
    /// How much of it passed before a first question was answered.
    pub(crate) first_answer: Duration,
    /// Processor time of the server meanwhile: that is its own, whatever else the machine does.
    pub(crate) cpu: Duration,
    /// Bytes that the server read from files meanwhile.
    pub(crate) read: u64,
    /// Connections that the attackers held when it ended.
    pub(crate) open: usize,
}

/// Uploads a file of so many MiB, and sees that it completes.
pub(crate) fn upload(server: &Server, mib: usize, open: impl Fn() -> usize) -> Upload {
    let (next, completed) = (AtomicUsize::new(1), AtomicUsize::new(0));
    let (begun, cpu_before, read_before) = (Instant::now(), cpu(server), read(server));
    // As the page does before it sends: is it there already?
    server.connect().ask(&request("GET", &path(1, mib), &[], b"")).expect("answered");
    let first_answer = begun.elapsed();
    thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let (mut connection, bytes) = (server.connect(), vec![b'x'; CHUNK_LEN]);
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if mib < number {
                        return;
                    }
                    let octets = ["content-type: application/octet-stream"];
                    let chunk = request("POST", &path(number, mib), &octets, &bytes);
                    match connection.ask(&chunk).expect("an answer").status {
                        200 => {}
                        201 => drop(completed.fetch_add(1, Ordering::Relaxed)),
                        status => panic!("{status}"),
                    }
                }
            });
        }
    });
    let took = begun.elapsed();
    assert_eq!(completed.into_inner(), 1, "it completes, once");
    let cpu = cpu(server).saturating_sub(cpu_before);
    Upload { took, first_answer, cpu, read: read(server) - read_before, open: open() }
}

/// The processor time that a server has had. (Linux counts it in hundredths of a second here.)
fn cpu(server: &Server) -> Duration {
    let stat = fs::read_to_string(server.proc("stat")).expect("Linux tells");
    let (_, fields) = stat.rsplit_once(')').expect("behind its name");
    let fields = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = fields.map(|field| field.parse::<u64>().expect("a count")).sum();
    Duration::from_millis(10 * ticks)
}

/// How many bytes a server has read from files, whether or not they were in memory. (Linux does not
/// count what comes from sockets there.)
fn read(server: &Server) -> u64 {
    let io = fs::read_to_string(server.proc("io")).expect("Linux tells");
    let read = io.lines().find_map(|line| line.strip_prefix("rchar: "));
    read.and_then(|bytes| bytes.parse().ok()).expect("a count")
}

fn path(number: usize, mib: usize) -> String {
    format!(
        "/upload?flowIdentifier=honest&flowFilename=honest.bin&flowChunkNumber={number}\
         &flowTotalChunks={mib}&flowChunkSize={CHUNK_LEN}&flowTotalSize={}",
        mib * CHUNK_LEN
    )
}
