//! The reference model: a catalog that is obviously right and forgets everything.

mod deployment;
mod directory;
mod facts;
mod lists;
mod sessions;
mod trail;
mod visit;
mod visitors;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;

use self::facts::{Facts, resembles, to_millis};
use super::{
    Catalog, CatalogError, Committed, CreativeQuery, Deployment, Directory, Doomed, Fact,
    Resemblance, Trail, UploadQuery, deed_of,
};
use crate::upload::{
    Amount, By, ByteRange, Creative, CreativeId, Day, Deed, Durability, EndReason, Identity,
    IdentityKey, Principal, StoredRange, Timestamp, TrashNote, Trouble, UploadId, UploadRecord,
    UploadState, Usage, limits,
};

/// A [`Catalog`] in memory.
///
/// It keeps no more through loss of power than a journal does that is flushed when it must be: what
/// was committed as [`Durability::Relaxed`] is on the disk after the next call that takes none.
#[derive(Debug, Default)]
pub struct MemoryCatalog {
    facts: Arc<Mutex<Written>>,
    closed: AtomicBool,
}

#[derive(Debug, Default)]
struct Written {
    now: Facts,
    /// What would be left after loss of power, if that is not the same.
    durable: Option<Facts>,
}

impl MemoryCatalog {
    /// An empty catalog.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A new handle on the same facts, as if another process had opened them.
    #[must_use]
    pub fn reopened(&self) -> Self {
        Self { facts: Arc::clone(&self.facts), closed: AtomicBool::new(false) }
    }

    /// What was committed in relaxed mode, and flushed by nothing since, is gone.
    pub fn lose_power(&self) {
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(durable) = facts.durable.take() {
            facts.now = durable;
        }
    }

    /// All facts as they are now, as a backup that is made while they are in use.
    #[must_use]
    pub fn saved(&self) -> Self {
        let facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner).now.clone();
        let written = Written { now: facts, durable: None };
        Self { facts: Arc::new(Mutex::new(written)), closed: AtomicBool::new(false) }
    }

    /// Nothing holds any more but what `saved` does, for all handles on these facts.
    pub fn restore(&self, saved: &Self) {
        let saved = saved.facts.lock().unwrap_or_else(PoisonError::into_inner).now.clone();
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        *facts = Written { now: saved, durable: None };
    }
}

#[async_trait]
impl Catalog for MemoryCatalog {
    async fn open_session(&self, epoch: &str) -> Result<bool, CatalogError> {
        self.change(|facts| facts.open_session(epoch))
    }

    async fn close(&self) -> Result<(), CatalogError> {
        self.change(|facts| {
            if let Some(session) = &mut facts.session {
                session.closed = true;
            }
            self.closed.store(true, Ordering::SeqCst);
        })
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
        self.visit(|_| ())
    }

    async fn commit(
        &self,
        facts: Vec<Fact>,
        durability: Durability,
    ) -> Result<Committed, CatalogError> {
        if durability == Durability::Strict {
            return self.change(|all| all.commit(facts))?;
        }
        self.enter(|written| {
            written.durable.get_or_insert_with(|| written.now.clone());
            written.now.commit(facts)
        })?
    }

    async fn complete(&self, creative: &Creative) -> Result<bool, CatalogError> {
        self.change(|facts| facts.complete(creative))
    }

    async fn recover(&self, creative: &Creative) -> Result<bool, CatalogError> {
        self.change(|facts| facts.recover(creative))
    }

    async fn end(
        &self,
        upload: UploadId,
        state: UploadState,
        reason: Option<EndReason>,
        by: &By,
    ) -> Result<bool, CatalogError> {
        let deed = deed_of(state);
        self.change(|facts| facts.end(upload, (state, deed), reason, by))
    }

    async fn forget(&self, upload: UploadId, ranges: &[ByteRange]) -> Result<(), CatalogError> {
        self.change(|facts| facts.forget(upload, ranges))
    }

    async fn unverified(&self, id: UploadId) -> Result<Vec<StoredRange>, CatalogError> {
        self.visit(|facts| facts.unverified(id))
    }

    async fn verified(&self, upload: UploadId, ranges: &[ByteRange]) -> Result<(), CatalogError> {
        self.visit(|facts| facts.verified(upload, ranges))
    }

    async fn trust(&self, upload: UploadId) -> Result<(), CatalogError> {
        self.visit(|facts| facts.trust(upload))
    }

    async fn hold_up(&self, upload: UploadId, trouble: &Trouble) -> Result<(), CatalogError> {
        self.change(|facts| facts.hold_up(upload, trouble))
    }

    async fn hand_over(
        &self,
        upload: UploadId,
        from: &IdentityKey,
        to: &Identity,
    ) -> Result<bool, CatalogError> {
        self.change(|facts| facts.hand_over(upload, from, to))
    }

    async fn release(&self, upload: UploadId) -> Result<(), CatalogError> {
        self.change(|facts| facts.release(upload))
    }

    async fn current(&self, key: &IdentityKey) -> Result<Option<UploadRecord>, CatalogError> {
        self.visit(|facts| facts.current(key))
    }

    async fn upload(&self, id: UploadId) -> Result<Option<UploadRecord>, CatalogError> {
        self.visit(|facts| facts.uploads.get(&id).cloned())
    }

    async fn ranges(&self, id: UploadId) -> Result<Vec<StoredRange>, CatalogError> {
        self.visit(|facts| {
            facts.ranges.get(&id).into_iter().flat_map(BTreeMap::values).copied().collect()
        })
    }

    async fn amount(&self, id: UploadId) -> Result<Amount, CatalogError> {
        self.visit(|facts| facts.amount(id))
    }

    async fn uploads(&self, query: &UploadQuery) -> Result<Vec<UploadRecord>, CatalogError> {
        self.visit(|facts| {
            facts.select(query.limit, |upload| {
                *upload.identity.principal() == query.principal
                    && query.state.is_none_or(|state| upload.state == state)
                    && query.before.is_none_or(|before| upload.id < before)
            })
        })
    }

    async fn resembling(
        &self,
        query: &Resemblance,
        complete_since: Timestamp,
    ) -> Result<Vec<UploadRecord>, CatalogError> {
        let since = to_millis(complete_since);
        self.visit(|facts| {
            facts.select(limits::RESEMBLING_MAX, |upload| {
                let complete = upload.state == UploadState::Complete
                    && upload.ended_at.is_some_and(|at| since <= at)
                    && facts.counts(upload);
                resembles(upload, query) && (upload.state.is_running() || complete)
            })
        })
    }

    async fn running(&self, among: &[UploadId]) -> Result<Vec<UploadId>, CatalogError> {
        self.visit(|facts| {
            let is_running =
                |id: &UploadId| facts.uploads.get(id).is_some_and(|u| u.state.is_running());
            among.iter().copied().filter(is_running).collect()
        })
    }

    async fn stitching(
        &self,
        after: Option<UploadId>,
        limit: usize,
    ) -> Result<Vec<UploadId>, CatalogError> {
        self.visit(|facts| facts.stitching(after, limit))
    }

    async fn idle(&self, before: Timestamp, limit: usize) -> Result<Vec<UploadId>, CatalogError> {
        self.visit(|facts| facts.idle(before, limit))
    }

    async fn purge(&self, before: Timestamp, limit: usize) -> Result<usize, CatalogError> {
        self.change(|facts| facts.purge(before, limit))
    }

    async fn purgeable(&self, before: Timestamp) -> Result<u64, CatalogError> {
        let has_ended = |at| at < to_millis(before);
        self.visit(|facts| {
            facts.uploads.values().filter(|u| u.ended_at.is_some_and(has_ended)).count() as u64
        })
    }

    async fn drop_ranges(&self, upload: UploadId) -> Result<(), CatalogError> {
        self.change(|facts| {
            if facts.running(upload).is_none() {
                facts.ranges.remove(&upload);
            }
        })
    }

    async fn count_uploads(&self) -> Result<Vec<(UploadState, u64)>, CatalogError> {
        self.visit(|facts| {
            let count = |state| facts.uploads.values().filter(|u| u.state == state).count() as u64;
            UploadState::ALL.into_iter().map(|state| (state, count(state))).collect()
        })
    }

    async fn usage(&self, of: &Principal, besides: &[UploadId]) -> Result<Usage, CatalogError> {
        self.visit(|facts| facts.usage(of, besides))
    }

    async fn creative(&self, id: CreativeId) -> Result<Option<Creative>, CatalogError> {
        self.visit(|facts| facts.creatives.get(&id).cloned())
    }

    async fn creatives(&self, query: &CreativeQuery) -> Result<Vec<Creative>, CatalogError> {
        self.visit(|facts| {
            let mut found: Vec<_> = facts.creatives.values().cloned().collect();
            found.retain(|creative| {
                creative.principal == query.principal
                    && query.from.is_none_or(|from| from <= creative.scheduled)
                    && query.to.is_none_or(|to| creative.scheduled <= to)
                    && query.after.is_none_or(|after| after < (creative.scheduled, creative.id))
            });
            found.sort_by_key(|creative| (creative.scheduled, creative.id));
            found.truncate(query.limit);
            found
        })
    }

    async fn reschedule(
        &self,
        id: CreativeId,
        day: Day,
        by: &By,
    ) -> Result<Option<Creative>, CatalogError> {
        self.change(|facts| {
            let creative = facts.creatives.get_mut(&id)?;
            creative.scheduled = day;
            let creative = creative.clone();
            facts.note_creative(&creative, Deed::CreativeRescheduled, by, &day);
            Some(creative)
        })
    }

    async fn delete_creative(
        &self,
        id: CreativeId,
        by: &By,
    ) -> Result<Option<Creative>, CatalogError> {
        self.change(|facts| {
            let creative = facts.creatives.remove(&id)?;
            let note = TrashNote::of_deleted(&creative, by).map(|note| note.to_json());
            facts.doomed.insert(id, Doomed { id, filename: creative.filename.clone(), note });
            facts.note_creative(&creative, Deed::CreativeDeleted, by, creative.filename.as_str());
            Some(creative)
        })
    }

    async fn restore_creative(&self, creative: &Creative, by: &By) -> Result<bool, CatalogError> {
        self.change(|facts| facts.restore(creative, by))
    }

    async fn give_creative(
        &self,
        id: CreativeId,
        to: &Principal,
        by: &By,
    ) -> Result<Option<Creative>, CatalogError> {
        self.change(|facts| facts.give(id, to, by))
    }

    async fn doomed(&self) -> Result<Vec<Doomed>, CatalogError> {
        self.visit(|facts| facts.doomed.values().cloned().collect())
    }

    async fn doomed_by_id(&self, id: CreativeId) -> Result<Option<Doomed>, CatalogError> {
        self.visit(|facts| facts.doomed.get(&id).cloned())
    }

    async fn buried(&self, id: CreativeId) -> Result<(), CatalogError> {
        self.change(|facts| drop(facts.doomed.remove(&id)))
    }
}
