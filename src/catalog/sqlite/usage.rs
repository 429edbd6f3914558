//! How much of its quotas a principal uses.

use rusqlite::{Connection, OptionalExtension};

use crate::{
    catalog::CatalogError,
    upload::{Principal, UploadId, Usage},
};

type Result<T> = std::result::Result<T, CatalogError>;

/// What a principal has, besides what these uploads are or have become.
pub(super) fn besides(db: &Connection, of: &Principal, besides: &[UploadId]) -> Result<Usage> {
    const ALL: &str = "SELECT uploads, upload_bytes, stored_bytes FROM usage WHERE principal = ?1";
    const RUNNING: &str = "SELECT total FROM uploads
        WHERE id = ?1 AND principal = ?2 AND ended_at IS NULL";
    const STORED: &str = "SELECT size FROM creatives WHERE upload_id = ?1 AND principal = ?2";
    // All of it as of one moment.
    let tx = db.unchecked_transaction()?;
    let all = |row: &rusqlite::Row<'_>| {
        let (uploads, upload_bytes, stored_bytes) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(Usage { uploads, upload_bytes, stored_bytes })
    };
    let known = tx.prepare_cached(ALL)?.query_row([of], all).optional()?;
    let mut usage = known.unwrap_or_default();
    for id in besides {
        let len = |sql| tx.prepare_cached(sql)?.query_row((id, of), |row| row.get(0)).optional();
        if let Some(total) = len(RUNNING)? {
            usage.uploads = usage.uploads.saturating_sub(1);
            usage.upload_bytes = usage.upload_bytes.saturating_sub(total);
        }
        if let Some(size) = len(STORED)? {
            usage.stored_bytes = usage.stored_bytes.saturating_sub(size);
        }
    }
    Ok(usage)
}
