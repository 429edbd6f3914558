//! A server with a past: very many ended uploads in its catalog.

use rusqlite::{Connection, named_params};

use crate::support::Setup;

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
    // Makes the catalog.
    drop(setup.start().terminated());
    let catalog = setup.dir().join("flowstitch.db");
    let mut catalog = Connection::open(catalog).expect("the catalog of a server that has stopped");
    let transaction = catalog.transaction().expect("a transaction");
    // Later than any start, so that no sweep forgets them while the attack goes on.
    let at = jiff::Timestamp::now().as_millisecond();
    let row = named_params! { ":uploads": uploads, ":at": at };
    transaction.execute(SQL, row).expect("written");
    transaction.commit().expect("committed");
}
