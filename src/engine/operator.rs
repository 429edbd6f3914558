//! What the operator may ask for: any upload, whoever's it is, and what a sweep would do.

use tokio::{sync::watch, time::timeout};

use super::{Engine, Shared, Snapshot, UploadError, registry::Registry, registry::Use, sweep::ago};
use crate::{
    catalog::{CreativeQuery, UploadQuery},
    store::PublishedName,
    upload::{
        By, Creative, CreativeId, FileName, Principal, Timestamp, UploadId, UploadState,
        limits::{OPERATOR_WAIT, PAGE_LEN_MAX, SWEEP_PLAN_LEN_MAX},
    },
};

/// What a sweep would do.
#[derive(Debug, Clone, Default)]
pub struct SweepPlan {
    /// Uploads that would expire, the longest idle first; no more than
    /// [`SWEEP_PLAN_LEN_MAX`] are listed.
    pub expire: Vec<Expiring>,
    /// How many ended uploads would be forgotten.
    pub tombstones: u64,
    /// Files of deleted creatives that would be removed.
    pub files: Vec<PublishedName>,
}

/// An upload that would expire.
#[derive(Debug, Clone)]
pub struct Expiring {
    /// Its id.
    pub id: UploadId,
    /// The client's name for the file.
    pub filename: FileName,
    /// When its last range came.
    pub idle_since: Timestamp,
}

impl Engine {
    /// Gives up an upload. How it stands then, and whether it was running until now; nothing if it
    /// is not known.
    pub async fn cancel_any(
        &self,
        id: UploadId,
        by: &By,
    ) -> Result<Option<(Snapshot, bool)>, UploadError> {
        let Some(live) = Shared::by_id(&self.shared, id).await? else { return Ok(None) };
        let was_running = self.cancel_in_a_task(&live, by).await?;
        Ok(Some((self.shared.snapshot(&live), was_running)))
    }

    /// Gives up all uploads of a principal and deletes all its creatives with their files. What
    /// comes in meanwhile may stay: the caller has seen to it that the principal is let in no more.
    pub async fn remove_all_of(&self, principal: &Principal, by: &By) -> Result<(), UploadError> {
        for state in [UploadState::Receiving, UploadState::Stitching] {
            let query = UploadQuery {
                principal: principal.clone(),
                state: Some(state),
                before: None,
                limit: PAGE_LEN_MAX,
            };
            self.cancel_all(query, by).await?;
        }
        let (from, to, after) = (None, None, None);
        let mut query =
            CreativeQuery { principal: principal.clone(), from, to, after, limit: PAGE_LEN_MAX };
        loop {
            let page = self.creatives(&query).await?;
            let Some(last) = page.last() else { return Ok(()) };
            query.after = Some((last.scheduled, last.id));
            for creative in page {
                self.delete_creative(principal, creative.id, by).await?;
            }
        }
    }

    /// The creative with this id, whoever's it is.
    pub async fn any_creative(&self, id: CreativeId) -> Result<Option<Creative>, UploadError> {
        Ok(self.shared.catalog.creative(id).await?)
    }

    /// Gives a creative to a user. Whoever had it has it no more, and may send the file again.
    /// Returns false if it is not there, or there is no such user.
    pub async fn give_creative(
        &self,
        id: CreativeId,
        to: &Principal,
        by: &By,
    ) -> Result<bool, UploadError> {
        let Some(known) = self.any_creative(id).await? else { return Ok(false) };
        // Whoever loads the upload at this moment would believe what was before.
        let upload = self.shared.catalog.upload(known.upload_id).await?;
        let gate = upload.map(|upload| self.shared.registry.gate(&upload.identity.key()));
        let held = match &gate {
            Some(gate) => Some(gate.lock().await),
            None => None,
        };
        let given = self.shared.catalog.give_creative(id, to, by).await;
        drop(held);
        if given.is_err() {
            self.question(&known).await;
        }
        let given = given?.is_some();
        if given {
            self.refresh(&known, None).await;
        }
        Ok(given)
    }

    /// Gives all creatives of one principal to a user. Returns how many.
    pub async fn give_all(
        &self,
        from: &Principal,
        to: &Principal,
        by: &By,
    ) -> Result<u64, UploadError> {
        let (day, after, limit) = (None, None, PAGE_LEN_MAX);
        let mut query = CreativeQuery { principal: from.clone(), from: day, to: day, after, limit };
        let mut count = 0;
        loop {
            let page = self.creatives(&query).await?;
            let Some(last) = page.last() else { return Ok(count) };
            query.after = Some((last.scheduled, last.id));
            for creative in page {
                count += u64::from(self.give_creative(creative.id, to, by).await?);
            }
        }
    }

    async fn cancel_all(&self, mut query: UploadQuery, by: &By) -> Result<(), UploadError> {
        loop {
            let page = self.shared.catalog.uploads(&query).await?;
            let Some(last) = page.last() else { return Ok(()) };
            query.before = Some(last.id);
            for upload in page {
                self.cancel_any(upload.id, by).await?;
            }
        }
    }

    /// Tries at once to stitch an upload whose last attempt failed, and waits for the outcome: the
    /// upload has ended, or lacks ranges again, or says in [`Snapshot::error`] why it still cannot
    /// be stitched. For at most [`OPERATOR_WAIT`]: then it is still being tried. Nothing if the
    /// upload is not known.
    pub async fn retry(&self, id: UploadId) -> Result<Option<Snapshot>, UploadError> {
        let Some(live) = Shared::by_id(&self.shared, id).await? else { return Ok(None) };
        let changes = live.watch();
        let failed = {
            let mut state = live.lock();
            state.retry_at = None;
            state.record.trouble.as_ref().map_or(0, |trouble| trouble.attempts)
        };
        // A stitch that runs at the moment says how it ends, too. That the time is over, or the
        // engine is about to stop, is seen in the snapshot.
        let _ = timeout(OPERATOR_WAIT, self.stitched(&live, changes, failed)).await;
        Ok(Some(self.shared.snapshot(&live)))
    }

    /// Waits until an upload of which so many attempts have failed is decided, or one more has.
    async fn stitched(&self, live: &Use, mut changes: watch::Receiver<u64>, failed: u32) {
        if self.shared.hints.send(live.id).await.is_err() {
            return;
        }
        let is_decided = || {
            let state = live.lock();
            let attempts = state.record.trouble.as_ref().map_or(0, |trouble| trouble.attempts);
            state.record.state != UploadState::Stitching || failed < attempts
        };
        // Fails only if the upload is gone from memory, which its use prevents.
        let _ = changes.wait_for(|_| is_decided()).await;
    }

    /// What a sweep would do at this moment.
    pub async fn sweep_plan(&self) -> Result<SweepPlan, UploadError> {
        let shared = &self.shared;
        let options = &shared.options;
        let mut plan = SweepPlan::default();
        let idle_before = ago(shared, options.upload_ttl);
        for id in shared.catalog.idle(idle_before, SWEEP_PLAN_LEN_MAX).await? {
            let used = Registry::by_id(shared, id)
                .is_some_and(|live| shared.registry.is_used(id, 1 + live.watchers()));
            let record = shared.catalog.upload(id).await?.filter(|_| !used);
            plan.expire.extend(record.map(|record| Expiring {
                id,
                filename: record.filename,
                idle_since: record.touched_at,
            }));
        }
        plan.tombstones = shared.catalog.purgeable(ago(shared, options.tombstone_ttl)).await?;
        let doomed = shared.catalog.doomed().await?;
        plan.files = doomed.iter().map(|it| PublishedName::new(it.id, &it.filename)).collect();
        Ok(plan)
    }
}
