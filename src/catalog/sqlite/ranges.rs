//! The ranges of an upload.

use rusqlite::{Connection, params};

use super::{columns, uploads};
use crate::{
    catalog::CatalogError,
    upload::{ByteRange, StoredRange, UploadId, UploadState},
};

type Result<T> = std::result::Result<T, CatalogError>;

/// Adds a range. What was said before of a range at the same offset is replaced: the engine may
/// store it anew after a commit whose end it never learnt.
pub(super) fn store(tx: &Connection, upload: UploadId, stored: StoredRange) -> Result<()> {
    const SQL: &str = "INSERT INTO ranges (upload, offset, len, checksum) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT DO UPDATE SET len = excluded.len, checksum = excluded.checksum";
    let (range, checksum) = (stored.range, stored.checksum);
    tx.prepare_cached(SQL)?.execute(params![upload, range.offset(), range.len(), checksum])?;
    Ok(())
}

pub(super) fn list(db: &Connection, upload: UploadId) -> Result<Vec<StoredRange>> {
    const SQL: &str = "SELECT offset, len, checksum FROM ranges WHERE upload = ?1 ORDER BY offset";
    let mut statement = db.prepare_cached(SQL)?;
    let ranges = statement.query_map([upload], columns::stored_range)?;
    Ok(ranges.collect::<rusqlite::Result<_>>()?)
}

/// Takes ranges back from a running upload.
pub(super) fn forget(tx: &Connection, upload: UploadId, ranges: &[ByteRange]) -> Result<()> {
    const SQL: &str = "DELETE FROM ranges WHERE upload = ?1 AND offset = ?2 AND len = ?3";
    if !uploads::is_running(tx, upload)? {
        return Ok(());
    }
    let mut taken_back = 0;
    let mut statement = tx.prepare_cached(SQL)?;
    for range in ranges {
        taken_back += statement.execute(params![upload, range.offset(), range.len()])?;
    }
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
