//! How much of its quotas a principal uses.

use rusqlite::{Connection, OptionalExtension};

use crate::{
    catalog::CatalogError,
    upload::{Principal, UploadId, Usage},
};

type Result<T> = std::result::Result<T, CatalogError>;

/// What a principal has, besides what these uploads are or have become.
pub(super) fn besides(db: &Connection, of: &Principal, besides: &[UploadId]) -> Result<Usage> {
    const ALL: &str = "SELECT uploads, upload_bytes, received_bytes, stored_bytes, stored_files
        FROM usage WHERE principal = ?1";
    const RUNNING: &str = "SELECT total, received_bytes FROM uploads
        WHERE id = ?1 AND principal = ?2 AND ended_at IS NULL";
    const STORED: &str = "SELECT size FROM creatives WHERE upload_id = ?1 AND principal = ?2";
    // All of it as of one moment.
    let tx = db.unchecked_transaction()?;
    let all = |row: &rusqlite::Row<'_>| {
        Ok(Usage {
            uploads: row.get(0)?,
            upload_bytes: row.get(1)?,
            received_bytes: row.get(2)?,
            stored_bytes: row.get(3)?,
            stored_files: row.get(4)?,
        })
    };
    let known = tx.prepare_cached(ALL)?.query_row([of], all).optional()?;
    let mut usage = known.unwrap_or_default();
    for id in besides {
        let pair = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let running = tx.prepare_cached(RUNNING)?.query_row((id, of), pair).optional()?;
        if let Some((total, received)) = running {
            usage.uploads = usage.uploads.saturating_sub(1);
            usage.upload_bytes = usage.upload_bytes.saturating_sub(total);
            usage.received_bytes = usage.received_bytes.saturating_sub(received);
        }
        let stored = tx.prepare_cached(STORED)?.query_row((id, of), |row| row.get(0)).optional()?;
        if let Some(size) = stored {
            usage.stored_bytes = usage.stored_bytes.saturating_sub(size);
            usage.stored_files = usage.stored_files.saturating_sub(1);
        }
    }
    Ok(usage)
}
