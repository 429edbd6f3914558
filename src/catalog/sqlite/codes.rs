//! One-time codes, with which users sign in.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::columns::{Millis, comparable};
use crate::{
    catalog::CatalogError,
    upload::{CodeRecord, Principal, Timestamp},
};

type Result<T> = std::result::Result<T, CatalogError>;

pub(super) fn put(tx: &Connection, code: &CodeRecord, email: &str) -> Result<bool> {
    const SQL: &str =
        "INSERT OR REPLACE INTO codes (user, salt, hash, expires_at, tries_left, sent)
        SELECT name, ?2, ?3, ?4, ?5, ?6 FROM users WHERE name = ?1 AND email = ?7";
    let CodeRecord { user, salt, hash, expires_at, tries_left, sent } = code;
    let row = params![user, salt, hash, Millis(*expires_at), tries_left, sent, email];
    let kept = tx.prepare_cached(SQL)?.execute(row)? == 1;
    decoy_unless(tx, kept)?;
    Ok(kept)
}

pub(super) fn attempt(tx: &Connection, email: &str, now: Timestamp) -> Result<Option<CodeRecord>> {
    const SQL: &str = "UPDATE codes SET tries_left = tries_left - 1
        WHERE user = (SELECT name FROM users WHERE email = ?1 AND disabled_at IS NULL)
            AND 0 < tries_left AND ?2 < expires_at
        RETURNING *";
    let tried = tx.prepare_cached(SQL)?.query_row(params![email, Millis(now)], code).optional()?;
    decoy_unless(tx, tried.is_some())?;
    Ok(tried)
}

pub(super) fn spend(tx: &Connection, code: &CodeRecord) -> Result<bool> {
    const SQL: &str = "DELETE FROM codes WHERE user = ?1 AND hash = ?2";
    Ok(tx.prepare_cached(SQL)?.execute(params![code.user, code.hash])? == 1)
}

pub(super) fn forget(tx: &Connection, user: &Principal) -> Result<()> {
    const SQL: &str = "DELETE FROM codes WHERE user = ?1";
    tx.prepare_cached(SQL)?.execute([user])?;
    Ok(())
}

pub(super) fn sent(tx: &Connection, code: &CodeRecord) -> Result<()> {
    const SQL: &str = "UPDATE codes SET sent = 1 WHERE user = ?1 AND hash = ?2";
    let noted = tx.prepare_cached(SQL)?.execute(params![code.user, code.hash])? == 1;
    decoy_unless(tx, noted)
}

/// Writes something else, if nothing was written: a commit without changes is not synced, and so
/// takes less time.
fn decoy_unless(tx: &Connection, written: bool) -> Result<()> {
    const SQL: &str = "UPDATE decoys SET written = written + 1 WHERE singleton = 1";
    if !written {
        tx.prepare_cached(SQL)?.execute([])?;
    }
    Ok(())
}

pub(super) fn unsent(db: &Connection, now: Timestamp, limit: usize) -> Result<Vec<CodeRecord>> {
    const SQL: &str = "SELECT * FROM codes WHERE ?1 < expires_at AND sent = 0
        ORDER BY expires_at LIMIT ?2";
    let mut statement = db.prepare_cached(SQL)?;
    let rows = statement.query_map(params![Millis(now), comparable(limit as u64)], code)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn purge(tx: &Connection, before: Timestamp, limit: usize) -> Result<usize> {
    const SQL: &str = "DELETE FROM codes WHERE user IN (SELECT user FROM codes
        WHERE expires_at < ?1 LIMIT ?2)";
    Ok(tx.prepare_cached(SQL)?.execute(params![Millis(before), comparable(limit as u64)])?)
}

fn code(row: &Row<'_>) -> rusqlite::Result<CodeRecord> {
    let Millis(expires_at) = row.get("expires_at")?;
    Ok(CodeRecord {
        user: row.get("user")?,
        salt: row.get("salt")?,
        hash: row.get("hash")?,
        expires_at,
        tries_left: row.get("tries_left")?,
        sent: row.get("sent")?,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::catalog::{
        Catalog, SqliteCatalog,
        contract::{know_ann, sample_code, sample_time},
    };

    /// A commit without changes is not synced: whoever waits for it would know there is no user.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_code_of_nobody_is_written_for_like_one_of_a_user() {
        const ANN: &str = "ann@example.com";
        const NOBODY: &str = "nobody@example.com";
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("catalog.db");
        let catalog: Arc<dyn Catalog> = Arc::new(SqliteCatalog::open(&path).expect("a catalog"));
        know_ann(&catalog).await;
        let watcher = rusqlite::Connection::open(&path).expect("the same file");
        let version = || -> i64 {
            watcher
                .query_row("SELECT data_version FROM pragma_data_version", [], |row| row.get(0))
                .expect("a version")
        };
        let directory = catalog.directory();
        let (anns, nobodys) = (sample_code("ann", 1), sample_code("nobody", 1));
        let mut before = version();
        let mut assert_written = |what: &str| {
            let now = version();
            assert_ne!(now, before, "{what} wrote nothing");
            before = now;
        };
        // Tried before there is one, until its tries are used up, and once more.
        for (what, email, code) in [("known", ANN, &anns), ("unknown", NOBODY, &nobodys)] {
            directory.try_code(email, sample_time(0)).await.expect("tried");
            assert_written(what);
            let kept = directory.put_code(code, email).await.expect("answered");
            assert_eq!(kept, email == ANN);
            assert_written(what);
            directory.code_sent(code).await.expect("answered");
            assert_written(what);
            for _ in 0..=code.tries_left {
                directory.try_code(email, sample_time(0)).await.expect("tried");
                assert_written(what);
            }
        }
    }
}
