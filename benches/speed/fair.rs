//! Whether one client at full speed leaves the others their part: small files beside a large one.

use crate::{
    ground::Ground,
    load::Load,
    run::Measured,
    server::{Server, Subject},
};

/// One round: the latency of small files alone and beside a large one, and what a large file is
/// worth while the files of others wait to be hashed.
pub(crate) fn measure(ground: &Ground, measured: &mut Measured, shrink: u64) {
    let folder = ground.fresh().expect("a folder");
    let server = Subject::flowstitch("--durability=relaxed").start(folder.path());
    let alone = small(&server, "alone", shrink);
    measured.number("fair-alone-p50", alone.p50_ms);
    measured.number("fair-alone-p99", alone.p99_ms);
    let large = server.begin(&load("large", 2 << 30, shrink));
    let beside = small(&server, "beside", shrink);
    large.outcome();
    measured.number("fair-beside-p50", beside.p50_ms);
    measured.number("fair-beside-p99", beside.p99_ms);
    backlog(ground, measured, shrink);
}

/// How fast a file is received alone, and while others are stitched. Its chunks are few enough that
/// the others' stitches outlast it.
fn backlog(ground: &Ground, measured: &mut Measured, shrink: u64) {
    let folder = ground.fresh().expect("a folder");
    let server = Subject::flowstitch("--durability=relaxed").start(folder.path());
    let own = |prefix| load(prefix, 512 << 20, shrink);
    // When its own stitch ends depends on the others', as it must; its chunks should not.
    let received = |prefix| server.load(&own(prefix)).received_mb_per_s;
    measured.number("fair-receive-alone", received("own-alone"));
    let others = Load { clients: 8, ..load("others", 256 << 20, shrink) };
    let others = server.begin(&others);
    measured.number("fair-receive-backlog", received("own-beside"));
    others.outcome();
}

fn small(server: &Server, prefix: &str, shrink: u64) -> crate::statistics::Latency {
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
