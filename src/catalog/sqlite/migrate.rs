//! The schema and its versions: `migrations/*.sql`, applied in order.
//!
//! `PRAGMA user_version` counts the migrations that were applied. Each is one transaction with its
//! count, so that a crash leaves a schema of some version and never one between two.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::connection;
use crate::catalog::CatalogError;

/// Name and text of each migration; the first has the number 1.
type Migrations = [(&'static str, &'static str)];

const MIGRATIONS: &Migrations = &[
    ("catalog", include_str!("../../../migrations/0001_catalog.sql")),
    ("troubles", include_str!("../../../migrations/0002_troubles.sql")),
    ("users", include_str!("../../../migrations/0003_users.sql")),
    ("tickets", include_str!("../../../migrations/0004_tickets.sql")),
    ("usage", include_str!("../../../migrations/0005_usage.sql")),
    ("accept", include_str!("../../../migrations/0006_accept.sql")),
    ("codes", include_str!("../../../migrations/0007_codes.sql")),
    ("audit", include_str!("../../../migrations/0008_audit.sql")),
    ("digest", include_str!("../../../migrations/0009_digest.sql")),
    ("deployment", include_str!("../../../migrations/0010_deployment.sql")),
    ("trash", include_str!("../../../migrations/0011_trash.sql")),
    ("bounds", include_str!("../../../migrations/0012_bounds.sql")),
    ("visitors", include_str!("../../../migrations/0013_visitors.sql")),
    ("shares", include_str!("../../../migrations/0014_shares.sql")),
    ("sessions", include_str!("../../../migrations/0015_sessions.sql")),
    ("decoys", include_str!("../../../migrations/0016_decoys.sql")),
    ("open", include_str!("../../../migrations/0017_open.sql")),
];

/// What the first migration writes into the file's header: "flst".
const APPLICATION_ID: i32 = 0x666c_7374;

/// One step of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// Its place in the order, from 1.
    pub number: u32,
    /// What it is about.
    pub name: &'static str,
    /// Whether the file has it already.
    pub applied: bool,
}

/// The migrations that this program knows, and which of them the file has. Changes nothing; a file
/// that is not there has none, and is not made.
///
/// Errors: [`CatalogError::Corrupt`] if the file is not a catalog or is of a newer program.
pub fn migrations(path: &Path) -> Result<Vec<Migration>, CatalogError> {
    let exists = path.try_exists().map_err(|error| CatalogError::Unavailable(Box::new(error)))?;
    let applied = if exists { check(&connection::visitor(path)?)? } else { 0 };
    let all = (1..).zip(MIGRATIONS);
    Ok(all
        .map(|(number, (name, _))| Migration { number, name, applied: number <= applied })
        .collect())
}

/// Refuses a file that is not a catalog, or is one of a newer program; tells the version of others.
pub(super) fn check(connection: &Connection) -> Result<u32, CatalogError> {
    check_against(connection, MIGRATIONS)
}

/// Refuses whatever does not have exactly the schema of this program.
pub(super) fn check_current(connection: &Connection) -> Result<(), CatalogError> {
    let (found, known) = (check(connection)?, MIGRATIONS.len());
    if found as usize == known {
        return Ok(());
    }
    Err(CatalogError::Corrupt(format!(
        "its schema has version {found} and this program needs version {known}: run `flowstitch \
         migrate`, or start the server of this version"
    )))
}

/// Applies what is missing.
pub(super) fn apply(connection: &mut Connection) -> Result<(), CatalogError> {
    apply_all(connection, MIGRATIONS)
}

fn check_against(connection: &Connection, known: &Migrations) -> Result<u32, CatalogError> {
    let found = version(connection)?;
    let known = known.len();
    if is_foreign(connection)? {
        return Err(CatalogError::Corrupt(
            "the file is another program's database: name another file, or move this one away"
                .into(),
        ));
    }
    if known < found as usize {
        return Err(CatalogError::Corrupt(format!(
            "its schema has version {found} and this program knows none above {known}: run the \
             newer program, or restore the data from before the upgrade"
        )));
    }
    Ok(found)
}

fn apply_all(connection: &mut Connection, known: &Migrations) -> Result<(), CatalogError> {
    loop {
        // The version is read under the write lock: two processes may start at the same time.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let applied = version(&transaction)?;
        let Some((name, sql)) = known.get(applied as usize) else { return Ok(()) };
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", applied + 1)?;
        transaction.commit()?;
        tracing::info!(number = applied + 1, name, "Applied a migration of the catalog");
    }
}

fn version(connection: &Connection) -> Result<u32, CatalogError> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

/// Whether there is something in the file that did not come from our migrations.
fn is_foreign(connection: &Connection) -> Result<bool, CatalogError> {
    let id: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let empty = "SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)";
    let empty: bool = connection.query_row(empty, [], |row| row.get(0))?;
    Ok(id != APPLICATION_ID && !empty)
}

#[cfg(test)]
mod tests {
    use rusqlite::{params, types::Value};

    use super::*;

    const TWO: &Migrations = &[
        ("a", "PRAGMA application_id = 1718383476; CREATE TABLE a (x INTEGER) STRICT;"),
        ("b", "CREATE TABLE b (x INTEGER) STRICT;"),
    ];
    const BROKEN: &Migrations = &[TWO[0], ("b", "CREATE TABLE b (x INTEGER) STRICT; nonsense;")];

    fn memory() -> Connection {
        Connection::open_in_memory().expect("memory")
    }

    #[test]
    fn each_migration_is_applied_once_and_in_order() {
        let mut connection = memory();
        apply_all(&mut connection, &TWO[..1]).expect("the first");
        assert_eq!(version(&connection).expect("a version"), 1);
        apply_all(&mut connection, TWO).expect("the second");
        apply_all(&mut connection, TWO).expect("nothing to do");
        assert_eq!(check_against(&connection, TWO).expect("ours"), 2);
    }

    #[test]
    fn a_migration_that_fails_leaves_the_version_before_it() {
        let mut connection = memory();
        apply_all(&mut connection, BROKEN).expect_err("nonsense");
        assert_eq!(version(&connection).expect("a version"), 1);
        apply_all(&mut connection, TWO).expect("nothing of the broken one is there");
    }

    /// One creative of ann's, as a program wrote it that knew no other digest than SHA-256.
    const BEFORE_DIGEST: &str = "
        INSERT INTO users (name, created_at) VALUES ('ann', 1);
        INSERT INTO creatives (id, principal, filename, size, sha256, content_type, scheduled,
            created_at, upload_id)
        VALUES (zeroblob(16), 'ann', 'a.png', 7, randomblob(32), 'image/png', '2026-12-01', 5,
            zeroblob(16));";
    /// Another one, of this size and with these digests.
    const ANOTHER: &str = "
        INSERT INTO creatives (id, principal, filename, size, sha256, blake3, content_type,
            scheduled, created_at, upload_id)
        VALUES (randomblob(16), 'ann', 'b.png', ?1, ?2, ?3, 'image/png', '2026-12-01', 5,
            randomblob(16))";

    #[test]
    fn creatives_keep_their_digest_when_it_becomes_optional() {
        let mut connection = memory();
        connection.pragma_update(None, "foreign_keys", true).expect("set");
        apply_all(&mut connection, &MIGRATIONS[..8]).expect("as it was");
        connection.execute_batch(BEFORE_DIGEST).expect("written");
        let row = "SELECT hex(sha256), principal, filename, size, scheduled, owner FROM creatives";
        let row = |connection: &Connection| {
            let all = |row: &rusqlite::Row<'_>| {
                (0..6).map(|column| row.get(column)).collect::<rusqlite::Result<Vec<Value>>>()
            };
            connection.query_row(row, [], all).expect("the creative")
        };
        let before = row(&connection);
        apply(&mut connection).expect("now");
        assert_eq!(row(&connection), before);
        let blake3: Option<Vec<u8>> = connection
            .query_row("SELECT blake3 FROM creatives", [], |row| row.get(0))
            .expect("the creative");
        assert_eq!(blake3, None);

        let digest = |len: usize| (len != 0).then(|| vec![7_u8; len]);
        for (sha256, blake3, is_one) in
            [(0, 0, true), (32, 0, true), (0, 32, true), (31, 0, false), (0, 33, false)]
        {
            let row = params![2, digest(sha256), digest(blake3)];
            assert_eq!(connection.execute(ANOTHER, row).is_ok(), is_one, "{sha256} {blake3}");
        }
        // What hangs on the table is still there: the sums, the owner, the indexes.
        let used = "SELECT stored_bytes FROM usage WHERE principal = 'ann'";
        let used = connection.query_row(used, [], |row| row.get::<_, i64>(0));
        assert_eq!(used.expect("a sum"), 7 + 3 * 2);
        connection.execute("DELETE FROM users", []).expect_err("creatives refer to her");
        let names = "SELECT group_concat(name) FROM (SELECT name FROM sqlite_schema
            WHERE tbl_name = 'creatives' AND sql IS NOT NULL AND type <> 'table' ORDER BY name)";
        let names = connection.query_row(names, [], |row| row.get::<_, String>(0));
        assert_eq!(
            names.expect("a list"),
            "creatives_by_day,creatives_by_owner,usage_creative_comes,usage_creative_goes"
        );
    }

    /// Who may use a service without users that comes from version `from`, where this happened.
    fn access_after(from: usize, happened: &str) -> Option<String> {
        let mut connection = memory();
        apply_all(&mut connection, &MIGRATIONS[..from]).expect("as it was");
        let ran = "INSERT INTO session (singleton, epoch, closed) VALUES (1, 'boot', 1);";
        connection.execute_batch(ran).expect("written");
        connection.execute_batch(happened).expect("written");
        if 10 <= from {
            connection.execute("UPDATE deployment SET access = 'open'", []).expect("decided");
        }
        apply(&mut connection).expect("now");
        connection.query_row("SELECT access FROM deployment", [], |row| row.get(0)).expect("a row")
    }

    #[test]
    fn a_service_that_lost_its_last_user_before_it_stored_its_access_is_not_open() {
        const ANN: &str = "INSERT INTO users (name, created_at) VALUES ('ann', 1);";
        let creative = |owner: &str| {
            format!(
                "INSERT INTO creatives (id, principal, filename, size, content_type, scheduled,
                    created_at, upload_id)
                VALUES (randomblob(16), '{owner}', 'a', 1, 'a/b', '2026-12-01', 5, zeroblob(16));"
            )
        };
        let line = |action: &str, owner: &str| {
            format!(
                "INSERT INTO audit (at, action, principal, subject, means)
                VALUES (1, '{action}', '{owner}', 'x', 'operator');"
            )
        };
        for from in [9, 16] {
            for (happened, expected) in [
                (String::new(), "open"),
                (creative("anonymous"), "open"),
                (line("upload_opened", "anonymous"), "open"),
                (format!("{ANN} {}", creative("ann")), "users"),
                (line("user_removed", "ann"), "users"),
                (line("token_created", "ann"), "users"),
            ] {
                assert_eq!(access_after(from, &happened).as_deref(), Some(expected), "{happened}");
            }
        }
    }

    #[test]
    fn a_newer_schema_is_refused_with_both_versions() {
        let mut connection = memory();
        apply_all(&mut connection, TWO).expect("both");
        let error = check_against(&connection, &TWO[..1]).expect_err("newer").to_string();
        assert!(error.contains("version 2") && error.contains("none above 1"), "{error}");
        assert!(error.contains("run the newer program"), "{error}");
    }

    #[test]
    fn another_programs_database_is_refused() {
        let connection = memory();
        assert_eq!(check(&connection).expect("an empty one may become ours"), 0);
        connection.execute_batch("CREATE TABLE theirs (x)").expect("a table");
        let error = check(&connection).expect_err("not ours").to_string();
        assert!(error.contains("another program's database"), "{error}");
    }
}
