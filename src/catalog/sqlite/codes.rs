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
    Ok(tx.prepare_cached(SQL)?.execute(row)? == 1)
}

pub(super) fn attempt(tx: &Connection, email: &str, now: Timestamp) -> Result<Option<CodeRecord>> {
    const SQL: &str = "UPDATE codes SET tries_left = tries_left - 1
        WHERE user = (SELECT name FROM users WHERE email = ?1 AND disabled_at IS NULL)
            AND 0 < tries_left AND ?2 < expires_at
        RETURNING *";
    Ok(tx.prepare_cached(SQL)?.query_row(params![email, Millis(now)], code).optional()?)
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
    tx.prepare_cached(SQL)?.execute(params![code.user, code.hash])?;
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
