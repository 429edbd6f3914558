//! A server that has been used for years: 10⁵ unfinished uploads, and 10⁶ creatives.
//!
//! They are written into its database and its folder directly; to upload them would take hours.
//! Its files have their length and nothing in them.

use std::{
    fs::File,
    path::Path,
    sync::LazyLock,
    time::{Duration, Instant},
};

use flowstitch::upload::{CreativeId, Identity, Plan, Principal, UploadId};
use rusqlite::{Connection as Database, Transaction, params};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    connection::Connection,
    content::FlowFile,
    ground::Ground,
    load::Load,
    run::Measured,
    server::{Server, Subject},
    statistics::Latency,
};

const UPLOADS: u64 = 100_000;
const CREATIVES: u64 = 1_000_000;
/// Days over which creatives are spread, the last year of them to come: 274 a day.
const DAYS: u64 = 3650;
const DAYS_PAST: u64 = 3285;
const SIZE: u64 = 4 << 20;
const CHUNK: u64 = 1 << 20;
/// Of the first chunk of each upload: there is nothing in it but zeros.
static CHECKSUM: LazyLock<u32> = LazyLock::new(|| crc32fast::hash(&vec![0; 1 << 20]));
/// How often `GET /scheduled` is asked for.
const LISTS: usize = 200;
const FLAGS: &str = "--durability=relaxed --max-uploads=none --upload-ttl=999d";

/// All rounds on one catalog: `catalog-start` and `catalog-stop` in seconds, probes and lists in
/// milliseconds. An empty server is asked the same in each round.
pub(crate) fn measure(ground: &Ground, measured: &mut Measured, rounds: usize, shrink: u64) {
    let subject = Subject::flowstitch(FLAGS);
    let folder = ground.fresh().expect("a folder");
    stop(subject.start(folder.path()));
    crate::say("Filling a catalog; this takes a minute or more.");
    fill(folder.path(), UPLOADS / shrink, CREATIVES / shrink).expect("the database takes it");
    ground.settle().expect("the disk takes it");
    for _ in 0..rounds {
        let begun = Instant::now();
        let server = subject.start(folder.path());
        measured.number("catalog-start", begun.elapsed().as_secs_f64());
        measured.number("catalog-probe-p99", probes(&server));
        measured.number("catalog-scheduled-p99", scheduled(&server).p99_ms);
        measured.number("catalog-rss", server.usage().peak_rss_mib);
        measured.number("catalog-stop", stop(server));
        let empty = ground.fresh().expect("a folder");
        let server = subject.start(empty.path());
        measured.number("catalog-probe-p99-empty", probes(&server));
    }
}

/// Of probes for chunks of uploads that are there, or of none on the empty server: milliseconds.
fn probes(server: &Server) -> f64 {
    let load = Load {
        files: 2000,
        size: SIZE,
        only_probes: true,
        identifier_prefix: "old".to_owned(),
        ..Load::default()
    };
    server.load(&load).probes.p99_ms
}

fn scheduled(server: &Server) -> Latency {
    let mut connection = Connection::open(server.address()).expect("it accepts connections");
    let times: Vec<Duration> = (0..LISTS)
        .map(|_| {
            let begun = Instant::now();
            let answer = connection.get("/scheduled").expect("an answer");
            assert_eq!(answer.status, 200);
            begun.elapsed()
        })
        .collect();
    Latency::of(times)
}

/// Ends it in order, for a start after a crash is another measure: how many seconds it took.
fn stop(server: Server) -> f64 {
    let begun = Instant::now();
    let id = i32::try_from(server.id()).expect("an id of a process");
    kill_process(Pid::from_raw(id).expect("not 0"), Signal::TERM).expect("it is ours");
    let status = server.ended();
    if !status.success() {
        crate::say(&format!("The server did not end in order: {status}"));
    }
    begun.elapsed().as_secs_f64()
}

fn fill(folder: &Path, uploads: u64, creatives: u64) -> rusqlite::Result<()> {
    let mut database = Database::open(folder.join("flowstitch.db"))?;
    let all = database.transaction()?;
    for number in 0..uploads {
        upload(&all, folder, number)?;
    }
    let now = jiff::Timestamp::now().as_millisecond();
    let mut insert = all.prepare(
        "INSERT INTO creatives (id, principal, filename, size, sha256, content_type, scheduled,
            created_at, upload_id)
         VALUES (?1, 'anonymous', ?2, 1048576, zeroblob(32), 'image/png',
            date('now', ?3 || ' days'), ?4, ?5)",
    )?;
    for number in 0..creatives {
        let (id, upload) = (CreativeId::new(), UploadId::new());
        let name = format!("old-{number}.png");
        let day = format!("{:+}", (number % DAYS).cast_signed() - DAYS_PAST.cast_signed());
        insert.execute(params![id.as_bytes(), name, day, now, upload.as_bytes()])?;
    }
    drop(insert);
    all.commit()
}

/// An upload that has its first chunk, as our generator names it, and its file.
fn upload(all: &Transaction<'_>, folder: &Path, number: u64) -> rusqlite::Result<()> {
    let file = FlowFile::new("old", number, SIZE, CHUNK);
    let (id, now) = (UploadId::new(), jiff::Timestamp::now().as_millisecond());
    let plan = Plan::new(SIZE, CHUNK, file.count()).expect("flow.js's geometry");
    let identity = Identity::new(Principal::anonymous(), &*file.identifier, &*file.name, plan);
    let key = identity.expect("short names").key();
    all.prepare_cached(
        "INSERT INTO uploads (id, principal, identifier, relative_path, total, stride, pieces,
            identity, filename, creative_id, state, released, created_at, touched_at)
         VALUES (?1, 'anonymous', ?2, ?3, ?4, ?5, ?6, ?7, ?3, ?8, 'receiving', 0, ?9, ?9)",
    )?
    .execute(params![
        id.as_bytes(),
        file.identifier,
        file.name,
        SIZE,
        CHUNK,
        file.count(),
        key.as_bytes(),
        CreativeId::new().as_bytes(),
        now
    ])?;
    all.prepare_cached(
        "INSERT INTO ranges (upload, offset, len, checksum) VALUES (?1, 0, ?2, ?3)",
    )?
    .execute(params![id.as_bytes(), CHUNK, *CHECKSUM])?;
    let part = File::create_new(folder.join(format!("incomplete/{id}.part")));
    part.and_then(|part| part.set_len(SIZE)).expect("a file");
    Ok(())
}
