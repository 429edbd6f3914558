//! Whether one client at full speed leaves the others their part: small files beside a large one.

use std::{thread, time::Duration};

use crate::{
    ground::Ground,
    load::Load,
    run::Measured,
    server::{Server, Subject},
    statistics::Latency,
};

/// How often it is looked whether all bytes of others are here.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// One round: latencies of small files in milliseconds, alone and beside a large one; and MB/s of
/// what one client sends, alone and while others' files are stitched.
pub(crate) fn measure(ground: &Ground, measured: &mut Measured, shrink: u64) {
    let folder = ground.fresh().expect("a folder");
    let server = Subject::flowstitch("--durability=relaxed").start(folder.path());
    let alone = small(&server, "alone", shrink);
    measured.number("fair-small-alone-p50", alone.p50_ms);
    measured.number("fair-small-alone-p99", alone.p99_ms);
    let large = server.begin(&load("large", 2 << 30, shrink));
    let beside = small(&server, "beside", shrink);
    large.outcome();
    measured.number("fair-small-beside-large-p50", beside.p50_ms);
    measured.number("fair-small-beside-large-p99", beside.p99_ms);
    backlog(ground, measured, shrink);
}

/// How fast a file is received alone, and while others are stitched: these were sent from their
/// ends, so that nothing of them could be stitched before all was there.
fn backlog(ground: &Ground, measured: &mut Measured, shrink: u64) {
    let folder = ground.fresh().expect("a folder");
    let server = Subject::flowstitch("--durability=relaxed").start(folder.path());
    let own = |prefix| load(prefix, 512 << 20, shrink);
    // When its own stitch ends depends on the others', as it must; when its chunks are taken not.
    let received = |prefix| server.load(&own(prefix)).received_mb_per_s;
    measured.number("fair-received-alone", received("own-alone"));
    let others = Load { clients: 8, reverse: true, ..load("others", 256 << 20, shrink) };
    let all = server.usage().written + bytes(&others);
    let mut others = server.begin(&others);
    while server.usage().written < all && !others.has_ended() {
        thread::park_timeout(LOOK_AGAIN);
    }
    measured.number("fair-received-beside-stitches", received("own-beside"));
    others.outcome();
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn bytes(load: &Load) -> f64 {
    load.bytes() as f64
}

fn small(server: &Server, prefix: &str, shrink: u64) -> Latency {
    let mut load = Load {
        files: 200,
        size: 64 << 10,
        connections: 1,
        identifier_prefix: prefix.to_owned(),
        completed: Some(server.completed()),
        ..Load::default()
    };
    load.shrink(shrink);
    server.load(&load).chunks
}

fn load(prefix: &str, size: u64, shrink: u64) -> Load {
    let mut load = Load { size, identifier_prefix: prefix.to_owned(), ..Load::default() };
    load.shrink(shrink);
    load
}
