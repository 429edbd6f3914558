//! Questions about uploads, and the wish to give one up.

use std::sync::Arc;

use super::{
    Engine, Shared, Snapshot, UploadError,
    registry::{Registry, Use},
};
use crate::{
    catalog::UploadQuery,
    store::Space,
    upload::{Amount, By, Creative, CreativeId, Principal, UploadId, UploadRecord, UploadState},
};

/// What happened to a wish to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// The upload has no file and will have none.
    Ended,
    /// It is complete: what is to go now is its creative, which has this id.
    Complete(CreativeId),
}

impl Engine {
    /// The upload with this id, if it is this principal's, with the pieces that are missing, from
    /// the one with the index `from` on.
    pub async fn upload(
        &self,
        principal: &Principal,
        id: UploadId,
        from: u64,
    ) -> Result<Option<Snapshot>, UploadError> {
        let Some(live) = self.own(principal, id).await? else { return Ok(None) };
        Shared::attend(&self.shared, &live).await?;
        Ok(Some(self.shared.listing(&live, from)))
    }

    /// Gives up the upload with this id. Nothing if it is not this principal's.
    pub async fn cancel(
        &self,
        principal: &Principal,
        id: UploadId,
        by: &By,
    ) -> Result<Option<Cancelled>, UploadError> {
        let Some(live) = self.own(principal, id).await? else { return Ok(None) };
        self.cancel_in_a_task(&live, by).await?;
        // Where the creative is deleted, too, nothing is left to give up.
        let creative = live.lock().creative.as_ref().map(|creative| creative.id);
        Ok(Some(creative.map_or(Cancelled::Ended, Cancelled::Complete)))
    }

    /// Returns whether it was running until now.
    pub(super) async fn cancel_in_a_task(&self, live: &Use, by: &By) -> Result<bool, UploadError> {
        // Given up half-way, it would hold up the stitch for good.
        let (shared, own, by) = (self.shared.clone(), Arc::clone(live), by.clone());
        let cancelled = self.shared.requests.spawn(async move { shared.cancel(&own, &by).await });
        cancelled.await.map_err(|error| UploadError::Unavailable(error.into()))?
    }

    /// Uploads of one principal, newest first.
    pub async fn uploads(&self, query: &UploadQuery) -> Result<Vec<Snapshot>, UploadError> {
        let mut list = Vec::new();
        for record in self.shared.catalog.uploads(query).await? {
            list.push(self.describe(record).await?);
        }
        Ok(list)
    }

    /// Whether everything works that an upload needs, and how much room there is. Errors: what does
    /// not work, and why.
    pub async fn check(&self) -> Result<Space, (&'static str, UploadError)> {
        if self.committer.is_finished() {
            return Err(("commits", UploadError::unavailable("the group commit has ended")));
        }
        self.shared.catalog.ping().await.map_err(|error| ("catalog", error.into()))?;
        let store = &self.shared.store;
        let checked = async {
            store.check_writable().await?;
            store.space().await
        };
        checked.await.map_err(|error| ("store", error.into()))
    }

    /// Brings the metrics that are measured rather than counted up to date, and writes all of them.
    pub async fn metrics(&self) -> Result<String, UploadError> {
        let metrics = &self.shared.metrics;
        let counts = self.shared.catalog.count_uploads().await?;
        for state in UploadState::ALL {
            let count = counts.iter().find(|(of, _)| *of == state).map_or(0, |(_, count)| *count);
            let label = crate::metrics::StateLabels { state: state.as_str() };
            metrics.uploads.get_or_create(&label).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let queue = self.shared.options.stitch_queue;
        let waiting = queue.saturating_sub(self.shared.hints.capacity());
        metrics.stitch_queue.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        metrics.free_bytes.set(self.shared.store.space().await?.free);
        Ok(metrics.encode())
    }

    /// An upload by id, for its own principal only: to anybody else it does not exist, and it takes
    /// them as long to hear of it as of one that never was: one question to the catalog.
    pub(super) async fn own(
        &self,
        principal: &Principal,
        id: UploadId,
    ) -> Result<Option<Use>, UploadError> {
        let shared = &self.shared;
        let is_own = |record: &UploadRecord| record.identity.principal() == principal;
        let in_memory = Registry::by_id(shared, id).is_some_and(|live| is_own(&live.lock().record));
        if in_memory || shared.catalog.upload(id).await?.is_some_and(|record| is_own(&record)) {
            return Shared::by_id(shared, id).await;
        }
        Ok(None)
    }

    /// A listed upload. Read from the catalog alone: a list must not bring every upload to memory.
    async fn describe(&self, record: UploadRecord) -> Result<Snapshot, UploadError> {
        let shared = &self.shared;
        if let Some(live) = Registry::by_id(shared, record.id) {
            return Ok(shared.snapshot(&live));
        }
        let here = if record.state.is_running() {
            shared.catalog.amount(record.id).await?
        } else {
            Amount::default()
        };
        // Of a suspect one nothing is believed before it is read back, and a list does not do that.
        let unverified = if record.suspect { here } else { Amount::default() };
        let creative = self.creative_of(&record).await?;
        Ok(Snapshot::of_record(&record, here, unverified, creative, shared.lifetimes()))
    }

    async fn creative_of(&self, record: &UploadRecord) -> Result<Option<Creative>, UploadError> {
        if record.state == UploadState::Complete {
            Ok(self.shared.catalog.creative(record.creative_id).await?)
        } else {
            Ok(None)
        }
    }
}
