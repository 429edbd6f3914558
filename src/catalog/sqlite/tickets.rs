//! How many uploads were begun with each ticket that allows only so many.

use rusqlite::{Connection, OptionalExtension, params};

use super::columns::{Millis, comparable};
use crate::{
    catalog::CatalogError,
    upload::{Allowance, TicketKey, Timestamp},
};

type Result<T> = std::result::Result<T, CatalogError>;

/// Counts one more upload. False, and nothing is written, if the ticket allows no more.
pub(super) fn spend(tx: &Connection, allowance: Allowance) -> Result<bool> {
    const SQL: &str = "INSERT INTO tickets (key, begun, expires_at) SELECT ?1, 1, ?3 WHERE 0 < ?2
        ON CONFLICT (key) DO UPDATE SET begun = begun + 1 WHERE begun < ?2";
    let row = params![allowance.ticket, allowance.uploads, Millis(allowance.expires_at)];
    Ok(tx.prepare_cached(SQL)?.execute(row)? == 1)
}

pub(super) fn begun_with(db: &Connection, ticket: TicketKey) -> Result<u32> {
    const SQL: &str = "SELECT begun FROM tickets WHERE key = ?1";
    let begun = db.prepare_cached(SQL)?.query_row([ticket], |row| row.get(0)).optional()?;
    Ok(begun.unwrap_or_default())
}

pub(super) fn purge(
    tx: &Connection,
    before: Timestamp,
    keep: usize,
    limit: usize,
) -> Result<usize> {
    const SQL: &str = "DELETE FROM tickets WHERE key IN (SELECT key FROM tickets
        WHERE expires_at < ?1 AND expires_at <= (SELECT expires_at FROM tickets
            ORDER BY expires_at DESC LIMIT 1 OFFSET ?3) LIMIT ?2)";
    let row = params![Millis(before), comparable(limit as u64), comparable(keep as u64)];
    Ok(tx.prepare_cached(SQL)?.execute(row)?)
}
