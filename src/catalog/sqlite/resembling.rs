//! The uploads that a probe by hand may mean.
//!
//! Each statement takes the newest candidates from one index, and only then compares what else is
//! named: so it reads so many rows at most, however many uploads there are.

use rusqlite::{Connection, named_params};

use super::columns::{self, Millis, comparable, upload_columns};
use crate::{
    catalog::{CatalogError, Resemblance},
    upload::{Timestamp, UploadRecord, UploadState, limits},
};

type Result<T> = std::result::Result<T, CatalogError>;

/// A statement that takes its candidates by this condition.
macro_rules! among {
    ($candidates:literal) => {
        concat!(
            "SELECT ",
            upload_columns!(),
            " FROM (SELECT rowid AS candidate FROM uploads
                WHERE principal = :principal",
            $candidates,
            " AND state = :state ORDER BY id DESC LIMIT :candidates) AS candidates
            CROSS JOIN uploads ON uploads.rowid = candidate
            WHERE (:state <> 'complete' OR ended_at >= :since)
                AND (:total IS NULL OR total = :total)
                AND (:stride IS NULL OR stride = :stride)
                AND (:count IS NULL OR pieces = :count)
                AND (:identifier IS NULL OR identifier = :identifier)
                AND (:filename IS NULL OR filename = :filename)
                AND (:relative_path IS NULL OR relative_path = :relative_path)
                AND (:state <> 'complete'
                    OR EXISTS (SELECT 1 FROM creatives WHERE upload_id = uploads.id))
            LIMIT :limit"
        )
    };
}

const BY_IDENTIFIER: &str = among!(" AND identifier = :identifier");
const BY_FILENAME: &str = among!(" AND filename = :filename");
const BY_PRINCIPAL: &str = among!("");

pub(super) fn list(
    db: &Connection,
    query: &Resemblance,
    complete_since: Timestamp,
) -> Result<Vec<UploadRecord>> {
    let mut found = Vec::new();
    for state in [UploadState::Receiving, UploadState::Stitching, UploadState::Complete] {
        found.extend(in_state(db, query, state, complete_since)?);
    }
    found.sort_unstable_by_key(|record| std::cmp::Reverse(record.id));
    found.truncate(limits::RESEMBLING_MAX);
    Ok(found)
}

fn in_state(
    db: &Connection,
    query: &Resemblance,
    state: UploadState,
    complete_since: Timestamp,
) -> Result<Vec<UploadRecord>> {
    // The identifier says more than the name.
    let sql = match (&query.identifier, &query.filename) {
        (Some(_), _) => BY_IDENTIFIER,
        (None, Some(_)) => BY_FILENAME,
        (None, None) => BY_PRINCIPAL,
    };
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map(
        named_params! {
            ":principal": query.principal,
            ":identifier": query.identifier,
            ":filename": query.filename,
            ":relative_path": query.relative_path,
            ":total": query.total.map(comparable),
            ":stride": query.stride.map(comparable),
            ":count": query.count.map(comparable),
            ":state": state,
            ":since": Millis(complete_since),
            ":candidates": comparable(limits::RESEMBLING_CANDIDATES_MAX as u64),
            ":limit": comparable(limits::RESEMBLING_MAX as u64),
        },
        columns::upload,
    )?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
