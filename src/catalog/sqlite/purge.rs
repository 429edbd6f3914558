//! Ended uploads that may be forgotten.

use rusqlite::{Connection, ToSql, params};

use super::{
    columns::{Millis, comparable},
    ranges,
};
use crate::{
    catalog::CatalogError,
    upload::{Timestamp, UploadId, limits},
};

type Result<T> = std::result::Result<T, CatalogError>;

/// Ended before `before`, the oldest first. Returns how many went, and whether that is all: if not,
/// one of them has more ranges than are dropped at a time.
pub(super) fn purge(tx: &Connection, before: Timestamp, limit: usize) -> Result<(usize, bool)> {
    const OLDEST: &str = "SELECT id FROM uploads WHERE ended_at < ?1 ORDER BY ended_at LIMIT ?2";
    const DELETE: &str = "DELETE FROM uploads WHERE id = ?1";
    let ids: Vec<UploadId> = {
        let mut statement = tx.prepare_cached(OLDEST)?;
        let row = params![Millis(before), comparable(limit as u64)];
        let ids = statement.query_map(row, |row| row.get(0))?;
        ids.collect::<rusqlite::Result<_>>()?
    };
    let mut left = limits::RANGES_SLICE;
    for (gone, id) in ids.iter().enumerate() {
        let dropped = ranges::drop_some(tx, *id, left)?;
        left = left.saturating_sub(u32::try_from(dropped).unwrap_or(u32::MAX));
        if left == 0 {
            return Ok((gone, false));
        }
        tx.prepare_cached(DELETE)?.execute([id])?;
    }
    Ok((ids.len(), true))
}

/// Where a slice of a count ended.
pub(super) type Place = (i64, i64);

/// Counts some of those that ended before `before`, behind a place; and says where it stopped, if
/// there may be more.
pub(super) fn purgeable(
    db: &Connection,
    before: Timestamp,
    last: Option<Place>,
) -> Result<(u64, Option<Place>)> {
    const SAME_TIME: &str = "SELECT ended_at, rowid FROM uploads INDEXED BY uploads_by_end
        WHERE ended_at = ?1 AND ?2 < rowid ORDER BY rowid LIMIT ?3";
    const LATER: &str = "SELECT ended_at, rowid FROM uploads INDEXED BY uploads_by_end
        WHERE ?1 < ended_at AND ended_at < ?2 ORDER BY ended_at, rowid LIMIT ?3";
    let limit = limits::CATALOG_SLICE;
    let (ended_at, rowid) = last.unwrap_or((i64::MIN, i64::MIN));
    let mut places: Vec<Place> = Vec::new();
    let mut take = |sql: &str, row: &[&dyn ToSql]| -> Result<bool> {
        let mut statement = db.prepare_cached(sql)?;
        for place in statement.query_map(row, |row| Ok((row.get(0)?, row.get(1)?)))? {
            places.push(place?);
        }
        Ok(places.len() < limit)
    };
    let slice = comparable(limit as u64);
    let is_last = take(SAME_TIME, &[&ended_at, &rowid, &slice])?
        && take(LATER, &[&ended_at, &Millis(before), &slice])?;
    Ok((places.len() as u64, places.last().copied().filter(|_| !is_last)))
}
