//! The ranges of an upload.

use rusqlite::{Connection, params};

use super::{
    columns::{self, comparable},
    uploads,
};
use crate::{
    catalog::CatalogError,
    upload::{ByteRange, StoredRange, UploadId, UploadState, limits},
};

type Result<T> = std::result::Result<T, CatalogError>;

/// Adds a range, and to `more` what there is more by it. What was said before of a range at the
/// same offset is replaced: the engine may store it anew after a commit whose end it never learnt.
pub(super) fn store(
    tx: &Connection,
    upload: UploadId,
    stored: StoredRange,
    more: &mut More,
) -> Result<()> {
    const NEW: &str = "INSERT INTO ranges (upload, offset, len, checksum) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT DO NOTHING";
    const FORMER: &str = "SELECT len FROM ranges WHERE upload = ?1 AND offset = ?2";
    const OTHER: &str = "UPDATE ranges SET len = ?3, checksum = ?4
        WHERE upload = ?1 AND offset = ?2";
    let (range, checksum) = (stored.range, stored.checksum);
    let row = params![upload, range.offset(), range.len(), checksum];
    more.bytes += comparable(range.len());
    if tx.prepare_cached(NEW)?.execute(row)? == 1 {
        more.ranges += 1;
        return Ok(());
    }
    let former = params![upload, range.offset()];
    more.bytes -= tx.prepare_cached(FORMER)?.query_row(former, |row| row.get::<_, i64>(0))?;
    tx.prepare_cached(OTHER)?.execute(row)?;
    Ok(())
}

/// By how much what is here of an upload grows.
#[derive(Debug, Default)]
pub(super) struct More {
    ranges: i64,
    bytes: i64,
}

impl More {
    /// Adds it to what is known of the upload.
    pub(super) fn add(&self, tx: &Connection, upload: UploadId) -> Result<()> {
        const SQL: &str = "UPDATE uploads SET received_ranges = received_ranges + ?2,
            received_bytes = received_bytes + ?3 WHERE id = ?1";
        if self.ranges != 0 || self.bytes != 0 {
            tx.prepare_cached(SQL)?.execute(params![upload, self.ranges, self.bytes])?;
        }
        Ok(())
    }
}

/// At most [`limits::RANGES_SLICE`], from this offset on.
pub(super) fn list(db: &Connection, upload: UploadId, from: u64) -> Result<Vec<StoredRange>> {
    const SQL: &str = "SELECT offset, len, checksum FROM ranges
        WHERE upload = ?1 AND offset >= ?2 ORDER BY offset LIMIT ?3";
    let mut statement = db.prepare_cached(SQL)?;
    let row = params![upload, comparable(from), limits::RANGES_SLICE];
    let ranges = statement.query_map(row, columns::stored_range)?;
    Ok(ranges.collect::<rusqlite::Result<_>>()?)
}

/// Takes ranges back from a running upload.
pub(super) fn forget(tx: &Connection, upload: UploadId, ranges: &[ByteRange]) -> Result<()> {
    const SQL: &str = "DELETE FROM ranges WHERE upload = ?1 AND offset = ?2 AND len = ?3";
    if !uploads::is_running(tx, upload)? {
        return Ok(());
    }
    let (mut taken_back, mut more) = (0, More::default());
    let mut statement = tx.prepare_cached(SQL)?;
    for range in ranges {
        let gone = statement.execute(params![upload, range.offset(), range.len()])?;
        if 0 < gone {
            more.ranges -= 1;
            more.bytes -= comparable(range.len());
        }
        taken_back += gone;
    }
    more.add(tx, upload)?;
    uploads::trust(tx, upload)?;
    if 0 < taken_back {
        uploads::advance(tx, upload, UploadState::Receiving)?;
    }
    Ok(())
}

/// Forgets up to `limit` ranges of an upload that has ended. Returns how many went.
pub(super) fn drop_some(tx: &Connection, upload: UploadId, limit: u32) -> Result<usize> {
    const SQL: &str = "DELETE FROM ranges WHERE upload = ?1
        AND offset IN (SELECT offset FROM ranges WHERE upload = ?1 LIMIT ?2)";
    if uploads::is_running(tx, upload)? {
        return Ok(0);
    }
    Ok(tx.prepare_cached(SQL)?.execute(params![upload, limit])?)
}
