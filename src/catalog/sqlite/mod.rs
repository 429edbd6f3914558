//! The embedded catalog: one `SQLite` file.
//!
//! The schema stands in `migrations/`. Calls that write go, one after the other, to a thread that
//! owns the one writing connection; calls that read use a few other connections and wait for nobody
//! (write-ahead log). A call that has returned is seen by every call that begins later.

mod audit;
mod codes;
mod columns;
mod connection;
mod creatives;
mod deployment;
mod directory;
mod error;
mod file;
mod memory;
mod migrate;
mod part;
mod purge;
mod ranges;
mod readers;
mod resembling;
mod session;
mod snapshot;
#[cfg(test)]
mod steps;
mod survey;
#[cfg(test)]
mod tests;
mod tickets;
mod turns;
mod uploads;
mod usage;
mod users;
mod view;
mod writer;

use std::{fmt, path::Path};

use async_trait::async_trait;
use rusqlite::Connection;

pub use self::{
    connection::Access,
    file::{DatabaseLock, cannot_map_when_full},
    migrate::{Migration, migrations},
    snapshot::CatalogSnapshot,
    survey::CatalogSurvey,
    view::{CatalogView, Received},
};
use self::{readers::Readers, writer::Writer};
use super::{
    Catalog, CatalogError, Committed, CreativeQuery, Deployment, Directory, Doomed, Fact,
    Resemblance, Trail, UploadQuery, deed_of,
};
use crate::upload::{
    Amount, By, ByteRange, Creative, CreativeId, Day, Durability, EndReason, Identity, IdentityKey,
    Principal, StoredRange, Timestamp, Trouble, UploadId, UploadRecord, UploadState, Usage,
    limits::RANGES_SLICE,
};

/// A [`Catalog`] in one `SQLite` file.
///
/// Must be used inside a tokio runtime. Dropping it without [`Catalog::close`] is a crash like any
/// other: nothing that was committed is lost, and the next session finds this one open.
pub struct SqliteCatalog {
    writer: Writer,
    readers: Readers,
}

impl SqliteCatalog {
    /// Opens the file, makes it if it is not there, and applies the migrations that it lacks.
    /// Blocks.
    ///
    /// Errors: [`CatalogError::Corrupt`] if the file is not a catalog or is of a newer program.
    pub fn open(path: &Path) -> Result<Self, CatalogError> {
        Self::open_for(path, Access::Shared)
    }

    /// As [`SqliteCatalog::open`], for whoever is named.
    ///
    /// Errors: [`CatalogError::Unavailable`] also if it shall be exclusive and another process has
    /// it open.
    pub fn open_for(path: &Path, access: Access) -> Result<Self, CatalogError> {
        let writer = connection::writer(path, access)?;
        Self::over(writer, connection::readers(path, access)?)
    }

    fn over(writer: Connection, readers: Vec<Connection>) -> Result<Self, CatalogError> {
        Ok(Self { writer: Writer::start(writer)?, readers: Readers::new(readers)? })
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, CatalogError> + Send + 'static,
    ) -> Result<T, CatalogError> {
        self.writer.transaction(Durability::Strict, work).await
    }
}

impl fmt::Debug for SqliteCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteCatalog").finish_non_exhaustive()
    }
}

#[async_trait]
impl Catalog for SqliteCatalog {
    async fn open_session(&self, epoch: &str) -> Result<bool, CatalogError> {
        let epoch = epoch.to_owned();
        self.write(move |tx| session::open(tx, &epoch)).await
    }

    async fn close(&self) -> Result<(), CatalogError> {
        // The readers first: a query that is running would keep the journal from being folded in.
        self.readers.close().await?;
        self.writer.finish(session::close).await
    }

    fn deployment(&self) -> &dyn Deployment {
        self
    }

    fn directory(&self) -> &dyn Directory {
        self
    }

    fn trail(&self) -> &dyn Trail {
        self
    }

    async fn ping(&self) -> Result<(), CatalogError> {
        // By way of the writer: what has nothing to write flushes nothing.
        self.write(session::ping).await
    }

    async fn commit(
        &self,
        facts: Vec<Fact>,
        durability: Durability,
    ) -> Result<Committed, CatalogError> {
        self.writer.transaction(durability, move |tx| uploads::commit(tx, &facts)).await
    }

    async fn complete(&self, creative: &Creative) -> Result<bool, CatalogError> {
        let creative = creative.clone();
        self.write(move |tx| creatives::complete(tx, &creative)).await
    }

    async fn recover(&self, creative: &Creative) -> Result<bool, CatalogError> {
        let creative = creative.clone();
        self.write(move |tx| creatives::recover(tx, &creative)).await
    }

    async fn end(
        &self,
        upload: UploadId,
        state: UploadState,
        reason: Option<EndReason>,
        by: &By,
    ) -> Result<bool, CatalogError> {
        let (deed, by) = (deed_of(state), by.clone());
        self.write(move |tx| uploads::end(tx, upload, (state, deed), reason.as_ref(), &by)).await
    }

    async fn forget(&self, upload: UploadId, ranges: &[ByteRange]) -> Result<(), CatalogError> {
        let ranges = ranges.to_vec();
        self.write(move |tx| ranges::forget(tx, upload, &ranges)).await
    }

    async fn unverified(&self, id: UploadId) -> Result<Vec<StoredRange>, CatalogError> {
        ranges::all_unverified(&self.readers, id).await
    }

    async fn verified(&self, upload: UploadId, ranges: &[ByteRange]) -> Result<(), CatalogError> {
        // After loss of power, when it might be lost, nothing is believed anyway.
        let ranges = ranges.to_vec();
        let verified = move |tx: &Connection| ranges::verified(tx, upload, &ranges);
        self.writer.transaction(Durability::Relaxed, verified).await
    }

    async fn trust(&self, upload: UploadId) -> Result<(), CatalogError> {
        let trust = move |tx: &Connection| uploads::trust(tx, upload);
        self.writer.transaction(Durability::Relaxed, trust).await
    }

    async fn hold_up(&self, upload: UploadId, trouble: &Trouble) -> Result<(), CatalogError> {
        let trouble = trouble.clone();
        self.write(move |tx| uploads::hold_up(tx, upload, &trouble)).await
    }

    async fn hand_over(
        &self,
        upload: UploadId,
        from: &IdentityKey,
        to: &Identity,
    ) -> Result<bool, CatalogError> {
        let (from, to) = (*from, to.clone());
        self.write(move |tx| uploads::hand_over(tx, upload, from, &to)).await
    }

    async fn release(&self, upload: UploadId) -> Result<(), CatalogError> {
        self.write(move |tx| uploads::release(tx, upload)).await
    }

    async fn current(&self, key: &IdentityKey) -> Result<Option<UploadRecord>, CatalogError> {
        let key = *key;
        self.readers.read(move |db| uploads::current(db, key)).await
    }

    async fn upload(&self, id: UploadId) -> Result<Option<UploadRecord>, CatalogError> {
        self.readers.read(move |db| uploads::by_id(db, id)).await
    }

    async fn ranges(&self, id: UploadId) -> Result<Vec<StoredRange>, CatalogError> {
        ranges::all(&self.readers, id).await
    }

    async fn amount(&self, id: UploadId) -> Result<Amount, CatalogError> {
        self.readers.read(move |db| uploads::amount(db, id)).await
    }

    async fn uploads(&self, query: &UploadQuery) -> Result<Vec<UploadRecord>, CatalogError> {
        let (query, of) = (query.clone(), query.principal.clone());
        self.readers.scan(&of, move |db| uploads::list(db, &query)).await
    }

    async fn resembling(
        &self,
        query: &Resemblance,
        complete_since: Timestamp,
    ) -> Result<Vec<UploadRecord>, CatalogError> {
        let (query, of) = (query.clone(), query.principal.clone());
        self.readers.scan(&of, move |db| resembling::list(db, &query, complete_since)).await
    }

    async fn running(&self, among: &[UploadId]) -> Result<Vec<UploadId>, CatalogError> {
        let among = among.to_vec();
        self.readers.read(move |db| uploads::running(db, &among)).await
    }

    async fn stitching(
        &self,
        after: Option<UploadId>,
        limit: usize,
    ) -> Result<Vec<UploadId>, CatalogError> {
        self.readers.read(move |db| uploads::stitching(db, after, limit)).await
    }

    async fn idle(&self, before: Timestamp, limit: usize) -> Result<Vec<UploadId>, CatalogError> {
        self.readers.read(move |db| uploads::idle(db, before, limit)).await
    }

    async fn purge(&self, before: Timestamp, limit: usize) -> Result<usize, CatalogError> {
        // In slices: what is left of one upload may be a million ranges.
        let mut gone = 0;
        loop {
            let (more, is_done) =
                self.write(move |tx| purge::purge(tx, before, limit - gone)).await?;
            gone += more;
            if is_done {
                return Ok(gone);
            }
        }
    }

    async fn purgeable(&self, before: Timestamp) -> Result<u64, CatalogError> {
        let (mut count, mut last) = (0, None);
        loop {
            let (more, end) =
                self.readers.read(move |db| purge::purgeable(db, before, last)).await?;
            (count, last) = (count + more, end);
            if last.is_none() {
                return Ok(count);
            }
        }
    }

    async fn drop_ranges(&self, upload: UploadId) -> Result<(), CatalogError> {
        // Nothing depends on it: what comes back after loss of power goes when it is purged.
        // In slices: neither the memory nor the turn of the writer is for one upload alone.
        let slice = move |tx: &Connection| ranges::drop_some(tx, upload, RANGES_SLICE);
        while self.writer.transaction(Durability::Relaxed, slice).await? == RANGES_SLICE as usize {}
        Ok(())
    }

    async fn count_uploads(&self) -> Result<Vec<(UploadState, u64)>, CatalogError> {
        self.readers.read(uploads::count).await
    }

    async fn usage(&self, of: &Principal, besides: &[UploadId]) -> Result<Usage, CatalogError> {
        let (of, besides) = (of.clone(), besides.to_vec());
        self.readers.read(move |db| usage::besides(db, &of, &besides)).await
    }

    async fn creative(&self, id: CreativeId) -> Result<Option<Creative>, CatalogError> {
        self.readers.read(move |db| creatives::by_id(db, id)).await
    }

    async fn creatives(&self, query: &CreativeQuery) -> Result<Vec<Creative>, CatalogError> {
        let (query, of) = (query.clone(), query.principal.clone());
        self.readers.scan(&of, move |db| creatives::list(db, &query)).await
    }

    async fn reschedule(
        &self,
        id: CreativeId,
        day: Day,
        by: &By,
    ) -> Result<Option<Creative>, CatalogError> {
        let by = by.clone();
        self.write(move |tx| creatives::reschedule(tx, id, day, &by)).await
    }

    async fn delete_creative(
        &self,
        id: CreativeId,
        by: &By,
    ) -> Result<Option<Creative>, CatalogError> {
        let by = by.clone();
        self.write(move |tx| creatives::delete(tx, id, &by)).await
    }

    async fn restore_creative(&self, creative: &Creative, by: &By) -> Result<bool, CatalogError> {
        let (creative, by) = (creative.clone(), by.clone());
        self.write(move |tx| creatives::restore(tx, &creative, &by)).await
    }

    async fn give_creative(
        &self,
        id: CreativeId,
        to: &Principal,
        by: &By,
    ) -> Result<Option<Creative>, CatalogError> {
        let (to, by) = (to.clone(), by.clone());
        self.write(move |tx| creatives::give(tx, id, &to, &by)).await
    }

    async fn doomed(&self) -> Result<Vec<Doomed>, CatalogError> {
        self.readers.read(creatives::doomed).await
    }

    async fn doomed_by_id(&self, id: CreativeId) -> Result<Option<Doomed>, CatalogError> {
        self.readers.read(move |db| creatives::doomed_by_id(db, id)).await
    }

    async fn buried(&self, id: CreativeId) -> Result<(), CatalogError> {
        self.write(move |tx| creatives::buried(tx, id)).await
    }
}
