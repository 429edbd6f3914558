//! What an operator's tools read of a catalog, whether or not a server has it open.

use std::{
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, OptionalExtension, Params, params, types::FromSql};

use super::{
    audit,
    columns::{comparable, upload_columns},
    connection::{self, Access},
    creatives, migrate, purge, uploads,
};
use crate::{
    catalog::{AuditQuery, CatalogError, Doomed},
    upload::{
        AuditEntry, Creative, CreativeId, FileName, Principal, Timestamp, UploadId, UploadRecord,
        UploadState,
    },
};

type Result<T> = std::result::Result<T, CatalogError>;

/// The embedded catalog as a visitor sees it, of all principals alike.
///
/// It changes nothing, makes nothing, and holds up no writer: each call is one short look, that
/// sees all that was committed before. All calls block.
pub struct CatalogView(Mutex<Connection>);

/// What is known of the ranges of one upload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Received {
    /// How many ranges there are; one of an empty file counts.
    pub ranges: u64,
    /// How many bytes they have together.
    pub bytes: u64,
    /// Where the last of them ends.
    pub end: u64,
}

impl CatalogView {
    /// Opens a catalog that is there, and that has the schema of this program.
    pub fn open(path: &Path) -> Result<Self> {
        let exists = path.try_exists().map_err(|error| CatalogError::Unavailable(error.into()))?;
        if !exists {
            let missing = "it is not there: check the settings data_dir and database, or start \
                           the server once";
            return Err(CatalogError::Unavailable(missing.into()));
        }
        let connection = connection::reader(path, Access::Shared)?;
        migrate::check_current(&connection)?;
        Ok(Self(Mutex::new(connection)))
    }

    /// Whether a session is open: a server runs, or the last one did not stop in order.
    pub fn has_open_session(&self) -> Result<bool> {
        const SQL: &str = "SELECT closed = 0 FROM session WHERE singleton = 1";
        Ok(self.db().query_row(SQL, [], |row| row.get(0)).optional()?.unwrap_or(false))
    }

    /// How many bytes the files have together of which a digest is known.
    pub fn hashed_bytes(&self) -> Result<u64> {
        const SQL: &str = "SELECT coalesce(sum(size), 0) FROM creatives
            WHERE sha256 IS NOT NULL OR blake3 IS NOT NULL";
        Ok(self.db().query_row(SQL, [], |row| row.get(0))?)
    }

    /// How many bytes all finished files have together.
    pub fn stored_bytes(&self) -> Result<u64> {
        const SQL: &str = "SELECT coalesce(sum(size), 0) FROM creatives";
        Ok(self.db().query_row(SQL, [], |row| row.get(0))?)
    }

    /// The creative with this id.
    pub fn creative(&self, id: CreativeId) -> Result<Option<Creative>> {
        creatives::by_id(&self.db(), id)
    }

    /// Ids of creatives behind this one, in order.
    pub fn creatives(&self, after: Option<CreativeId>, limit: usize) -> Result<Vec<CreativeId>> {
        const SQL: &str = "SELECT id FROM creatives WHERE id > ?1 ORDER BY id LIMIT ?2";
        // An empty id stands before every other.
        let after = after.as_ref().map_or([].as_slice(), |id| id.as_bytes());
        self.column(SQL, params![after, comparable(limit as u64)])
    }

    /// Creatives, newest first, of one principal or of all.
    pub fn newest_creatives(&self, of: Option<&Principal>, limit: usize) -> Result<Vec<Creative>> {
        const OF_ALL: &str = "SELECT * FROM creatives ORDER BY id DESC LIMIT ?1";
        const OF_ONE: &str =
            "SELECT * FROM creatives WHERE principal = ?2 ORDER BY id DESC LIMIT ?1";
        let limit = comparable(limit as u64);
        match of {
            None => creatives::records(&self.db(), OF_ALL, &[&limit]),
            Some(of) => creatives::records(&self.db(), OF_ONE, &[&limit, of]),
        }
    }

    /// The client's names of files that there is reason to have under this id: the creative's, a
    /// deleted creative's, or that of an upload that is being published.
    pub fn names_of(&self, id: CreativeId) -> Result<Vec<FileName>> {
        const SQL: &str = "SELECT filename FROM creatives WHERE id = ?1
            UNION ALL SELECT filename FROM doomed WHERE id = ?1
            UNION ALL SELECT filename FROM uploads WHERE state = 'stitching' AND creative_id = ?1";
        self.column(SQL, [id])
    }

    /// The client's names of files that unfinished uploads are to have under this id. The finished
    /// file of one that lacks ranges is newer than this catalog.
    pub fn names_of_receiving(&self, id: CreativeId) -> Result<Vec<FileName>> {
        const SQL: &str =
            "SELECT filename FROM uploads WHERE state = 'receiving' AND creative_id = ?1";
        self.column(SQL, [id])
    }

    /// The upload with this id.
    pub fn upload(&self, id: UploadId) -> Result<Option<UploadRecord>> {
        uploads::by_id(&self.db(), id)
    }

    /// Uploads, newest first, of one state or of any.
    pub fn uploads(&self, state: Option<UploadState>, limit: usize) -> Result<Vec<UploadRecord>> {
        const IN_ANY_STATE: &str =
            concat!("SELECT ", upload_columns!(), " FROM uploads ORDER BY id DESC LIMIT ?1");
        const IN_STATE: &str = concat!(
            "SELECT ",
            upload_columns!(),
            " FROM uploads WHERE state = ?2 ORDER BY id DESC LIMIT ?1"
        );
        let limit = comparable(limit as u64);
        match &state {
            None => uploads::records(&self.db(), IN_ANY_STATE, &[&limit]),
            Some(state) => uploads::records(&self.db(), IN_STATE, &[&limit, state]),
        }
    }

    /// Ids of running uploads behind this one, in order.
    pub fn running(&self, after: Option<UploadId>, limit: usize) -> Result<Vec<UploadId>> {
        const SQL: &str =
            "SELECT id FROM uploads WHERE ended_at IS NULL AND id > ?1 ORDER BY id LIMIT ?2";
        let after = after.as_ref().map_or([].as_slice(), |id| id.as_bytes());
        self.column(SQL, params![after, comparable(limit as u64)])
    }

    /// What has come of an upload.
    pub fn received(&self, id: UploadId) -> Result<Received> {
        const SQL: &str = "SELECT count(*), coalesce(sum(len), 0), coalesce(max(offset + len), 0)
            FROM ranges WHERE upload = ?1";
        let read = |row: &rusqlite::Row<'_>| {
            Ok(Received { ranges: row.get(0)?, bytes: row.get(1)?, end: row.get(2)? })
        };
        Ok(self.db().prepare_cached(SQL)?.query_row([id], read)?)
    }

    /// See [`crate::catalog::Catalog::idle`].
    pub fn idle(&self, before: Timestamp, limit: usize) -> Result<Vec<UploadId>> {
        uploads::idle(&self.db(), before, limit)
    }

    /// See [`crate::catalog::Catalog::purgeable`].
    pub fn purgeable(&self, before: Timestamp) -> Result<u64> {
        let (mut count, mut last) = (0, None);
        loop {
            let (more, end) = purge::purgeable(&self.db(), before, last)?;
            count += more;
            last = end;
            if last.is_none() {
                return Ok(count);
            }
        }
    }

    /// See [`crate::catalog::Catalog::doomed`].
    pub fn doomed(&self) -> Result<Vec<Doomed>> {
        creatives::doomed(&self.db())
    }

    /// See [`crate::catalog::Trail::entries`].
    pub fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>> {
        audit::list(&self.db(), query)
    }

    fn column<T: FromSql>(&self, sql: &str, values: impl Params) -> Result<Vec<T>> {
        let db = self.db();
        let mut statement = db.prepare_cached(sql)?;
        let values = statement.query_map(values, |row| row.get(0))?;
        Ok(values.collect::<rusqlite::Result<_>>()?)
    }

    /// The connection. Nothing is half-done when a look panics, so a poisoned lock is as good.
    fn db(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for CatalogView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CatalogView").finish_non_exhaustive()
    }
}
