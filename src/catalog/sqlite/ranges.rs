//! The ranges of an upload.

use rusqlite::{Connection, params};

use super::{
    columns::{self, comparable},
    readers::Readers,
    session::{believed_from, number},
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
    const NEW: &str = concat!(
        "INSERT INTO ranges (upload, offset, len, checksum, session)
        VALUES (?1, ?2, ?3, ?4, ",
        number!(),
        ") ON CONFLICT DO NOTHING"
    );
    const FORMER: &str = "SELECT len FROM ranges WHERE upload = ?1 AND offset = ?2";
    const OTHER: &str = concat!(
        "UPDATE ranges SET len = ?3, checksum = ?4, session = ",
        number!(),
        " WHERE upload = ?1 AND offset = ?2"
    );
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

/// All of an upload. In slices: a reader is not for one upload alone.
pub(super) async fn all(readers: &Readers, id: UploadId) -> Result<Vec<StoredRange>> {
    let mut all = Vec::new();
    loop {
        let from = all.last().map_or(0, |last: &StoredRange| last.range.offset() + 1);
        let slice = readers.read(move |db| list(db, id, from)).await?;
        let is_last = slice.len() < limits::RANGES_SLICE as usize;
        all.extend(slice);
        if is_last {
            return Ok(all);
        }
    }
}

/// All that must be read back before they are believed, in slices, too.
pub(super) async fn all_unverified(readers: &Readers, id: UploadId) -> Result<Vec<StoredRange>> {
    let (mut all, mut from) = (Vec::new(), 0);
    loop {
        let slice = readers.read(move |db| unverified(db, id, from)).await?;
        all.extend(slice.unverified);
        let Some(next) = slice.next else { return Ok(all) };
        from = next;
    }
}

/// At most [`limits::RANGES_SLICE`], from this offset on.
fn list(db: &Connection, upload: UploadId, from: u64) -> Result<Vec<StoredRange>> {
    const SQL: &str = "SELECT offset, len, checksum FROM ranges
        WHERE upload = ?1 AND offset >= ?2 ORDER BY offset LIMIT ?3";
    let mut statement = db.prepare_cached(SQL)?;
    let row = params![upload, comparable(from), limits::RANGES_SLICE];
    let ranges = statement.query_map(row, columns::stored_range)?;
    Ok(ranges.collect::<rusqlite::Result<_>>()?)
}

/// A slice of the ranges of an upload.
#[derive(Debug, Default)]
struct Slice {
    /// Those that must be read back before they are believed.
    unverified: Vec<StoredRange>,
    /// Where the next slice begins, if there may be more.
    next: Option<u64>,
}

/// Looks at no more than [`limits::RANGES_SLICE`] ranges, from this offset on.
fn unverified(db: &Connection, upload: UploadId, from: u64) -> Result<Slice> {
    const SQL: &str = concat!(
        "SELECT offset, len, checksum, session < ",
        believed_from!(),
        " FROM ranges WHERE upload = ?1 AND offset >= ?2 ORDER BY offset LIMIT ?3"
    );
    if !uploads::by_id(db, upload)?.is_some_and(|record| record.suspect) {
        return Ok(Slice::default());
    }
    let mut statement = db.prepare_cached(SQL)?;
    let mut rows = statement.query(params![upload, comparable(from), limits::RANGES_SLICE])?;
    let (mut slice, mut seen) = (Slice::default(), 0);
    while let Some(row) = rows.next()? {
        let stored = columns::stored_range(row)?;
        seen += 1;
        slice.next = Some(stored.range.offset() + 1).filter(|_| seen == limits::RANGES_SLICE);
        if row.get(3)? {
            slice.unverified.push(stored);
        }
    }
    Ok(slice)
}

/// The bytes of these ranges are what they were.
pub(super) fn verified(tx: &Connection, upload: UploadId, ranges: &[ByteRange]) -> Result<()> {
    const SQL: &str = concat!(
        "UPDATE ranges SET session = ",
        number!(),
        " WHERE upload = ?1 AND offset = ?2 AND len = ?3"
    );
    if !uploads::is_running(tx, upload)? {
        return Ok(());
    }
    let mut statement = tx.prepare_cached(SQL)?;
    for range in ranges {
        statement.execute(params![upload, range.offset(), range.len()])?;
    }
    Ok(())
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
