//! A server with a past: very many ended uploads in its catalog.

use std::fs::File;

use flowstitch::upload::UploadId;
use rusqlite::{Connection, named_params};

use crate::support::Setup;

/// Chunks of 1 MiB of each upload that must be read back.
pub(crate) const UNVERIFIED_CHUNKS: u64 = 4096;

/// Writes so many ended uploads into the catalog of a server that does not run. They share one
/// identifier and one file name: whoever asks for those would have all of them walked over.
pub(crate) fn make(setup: &Setup, uploads: usize) {
    const SQL: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n
            WHERE i < :uploads)
        INSERT INTO uploads (id, principal, identifier, relative_path, total, stride, pieces,
            identity, filename, creative_id, state, released, created_at, touched_at,
            ended_at)
        SELECT randomblob(16), 'anonymous', 'old', 'old.bin', 30, 10, 3, zeroblob(32), 'old.bin',
            randomblob(16), iif(i % 2, 'complete', 'failed'), 0, :at, :at, :at FROM n";
    let mut catalog = catalog(setup);
    let transaction = catalog.transaction().expect("a transaction");
    // Later than any start, so that no sweep forgets them while the attack goes on.
    let at = jiff::Timestamp::now().as_millisecond();
    let row = named_params! { ":uploads": uploads, ":at": at };
    transaction.execute(SQL, row).expect("written");
    transaction.commit().expect("committed");
}

/// The catalog of a server that has run, and does not run any more.
fn catalog(setup: &Setup) -> Connection {
    drop(setup.start().terminated());
    let catalog = setup.dir().join("flowstitch.db");
    Connection::open(catalog).expect("the catalog of a server that has stopped")
}

/// Writes so many unfinished uploads of one caller into the catalog of a server that does not run.
/// All their chunks but the last were stored before an unclean stop. Their files are sparse.
pub(crate) fn make_unverified(setup: &Setup, uploads: usize) {
    const UPLOAD: &str = "INSERT INTO uploads (id, principal, identifier, relative_path, total,
            stride, pieces, identity, filename, creative_id, state, released, created_at,
            touched_at, session, received_ranges, received_bytes)
        VALUES (:id, 'anonymous', :name, :name, :total, 1048576, :chunks + 1, randomblob(32), :name,
            randomblob(16), 'receiving', 0, :at, :at, 0, :chunks, :chunks * 1048576)";
    const RANGES: &str = "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n
            WHERE i + 1 < :chunks)
        INSERT INTO ranges (upload, offset, len, checksum, session)
        SELECT :id, i * 1048576, 1048576, :checksum, 0 FROM n";
    let (mut catalog, chunks) = (catalog(setup), UNVERIFIED_CHUNKS);
    let (total, checksum) = ((chunks + 1) << 20, crc32fast::hash(&vec![0; 1 << 20]));
    let at = jiff::Timestamp::now().as_millisecond();
    let transaction = catalog.transaction().expect("a transaction");
    for number in 0..uploads {
        let (id, name) = (UploadId::new(), format!("unverified-{number}"));
        let upload = named_params! {
            ":id": id.as_bytes(), ":name": name, ":total": total, ":chunks": chunks, ":at": at,
        };
        transaction.execute(UPLOAD, upload).expect("written");
        let ranges = named_params! {
            ":id": id.as_bytes(), ":chunks": chunks, ":checksum": checksum,
        };
        transaction.execute(RANGES, ranges).expect("written");
        let part = setup.dir().join("incomplete").join(format!("{id}.part"));
        File::create_new(part).and_then(|part| part.set_len(total)).expect("a sparse file");
    }
    transaction.commit().expect("committed");
}
