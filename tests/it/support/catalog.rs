//! A catalog that does what the test says at the next call of a sort: waits, or fails.

use std::sync::Arc;

use async_trait::async_trait;
use flowstitch::{
    catalog::{
        Catalog, CatalogError, Committed, CreativeQuery, Deployment, Directory, Doomed, Fact,
        Resemblance, Trail, UploadQuery,
    },
    upload::{
        Amount, By, ByteRange, Creative, CreativeId, Day, Durability, EndReason, Identity,
        IdentityKey, Principal, StoredRange, Timestamp, Trouble, UploadId, UploadRecord,
        UploadState, Usage,
    },
};

use super::{CountedDirectory, Gate, stages::Stages};

/// The calls that can be staged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CatalogOp {
    Commit,
    Complete,
    End,
    Forget,
    Verified,
    Trust,
    Release,
    HandOver,
    HoldUp,
    Upload,
    DropRanges,
    DeleteCreative,
    Buried,
    /// Everything that only looks.
    Look,
}

/// A catalog in front of another one. Clones share what is staged.
#[derive(Debug, Clone)]
pub(crate) struct StagedCatalog {
    inner: Arc<dyn Catalog>,
    /// Told to the inner one instead of the machine's own, where there is one.
    epoch: Option<String>,
    stages: Arc<Stages<CatalogOp, Stage>>,
    /// Asked about users instead of the inner one, where there is one.
    directory: Option<Arc<CountedDirectory>>,
}

#[derive(Debug)]
enum Stage {
    Wait(Gate),
    WaitAfter(Gate),
    Fail,
    FailAfter,
}

impl StagedCatalog {
    pub(crate) fn new(inner: Arc<dyn Catalog>) -> Self {
        Self { inner, epoch: None, stages: Arc::new(Stages::new()), directory: None }
    }

    /// In front of the same catalog, with what it writes of users counted.
    pub(crate) fn counted(self) -> (Self, Arc<CountedDirectory>) {
        let directory = CountedDirectory::new(self.inner.clone());
        (Self { directory: Some(directory.clone()), ..self }, directory)
    }

    /// The same stages in front of another catalog, for a process of this boot of the machine.
    pub(crate) fn booted(&self, inner: Arc<dyn Catalog>, epoch: String) -> Self {
        let (stages, directory) = (self.stages.clone(), self.directory.clone());
        Self { inner, epoch: Some(epoch), stages, directory }
    }

    /// The next call of this sort waits before it begins.
    pub(crate) fn hold_next(&self, op: CatalogOp) -> Gate {
        let gate = Gate::closed();
        self.hold_nth(op, 0, &gate);
        gate
    }

    /// The call of this sort after `skip` more waits at the gate before it begins.
    pub(crate) fn hold_nth(&self, op: CatalogOp, skip: usize, gate: &Gate) {
        self.stages.push(op, skip, Stage::Wait(gate.clone()));
    }

    /// The call of this sort after `skip` more takes effect, and then waits at the gate.
    pub(crate) fn hold_nth_after(&self, op: CatalogOp, skip: usize, gate: &Gate) {
        self.stages.push(op, skip, Stage::WaitAfter(gate.clone()));
    }

    /// The next call of this sort fails and has no effect.
    pub(crate) fn fail_next(&self, op: CatalogOp) {
        self.fail_nth(op, 0);
    }

    /// The call of this sort after `skip` more fails and has no effect.
    pub(crate) fn fail_nth(&self, op: CatalogOp, skip: usize) {
        self.stages.push(op, skip, Stage::Fail);
    }

    /// The next call of this sort takes effect, and then seems to have failed.
    pub(crate) fn fail_after_next(&self, op: CatalogOp) {
        self.fail_nth_after(op, 0);
    }

    /// The call of this sort after `skip` more takes effect, and then seems to have failed.
    pub(crate) fn fail_nth_after(&self, op: CatalogOp, skip: usize) {
        self.stages.push(op, skip, Stage::FailAfter);
    }

    /// Nothing is staged any more.
    pub(crate) fn calm(&self) {
        self.stages.clear();
    }

    /// How much is staged.
    pub(crate) fn staged(&self) -> usize {
        self.stages.len()
    }

    async fn call<T>(
        &self,
        op: CatalogOp,
        call: impl Future<Output = Result<T, CatalogError>>,
    ) -> Result<T, CatalogError> {
        let failed = || CatalogError::Unavailable("the test says so".into());
        match self.stages.take(&op) {
            Some(Stage::Wait(gate)) => gate.pass().await,
            Some(Stage::WaitAfter(gate)) => {
                let done = call.await;
                gate.pass().await;
                return done;
            }
            Some(Stage::Fail) => return Err(failed()),
            Some(Stage::FailAfter) => return call.await.and_then(|_| Err(failed())),
            None => {}
        }
        call.await
    }
}

#[async_trait]
impl Catalog for StagedCatalog {
    async fn open_session(&self, epoch: &str) -> Result<bool, CatalogError> {
        self.inner.open_session(self.epoch.as_deref().unwrap_or(epoch)).await
    }

    async fn close(&self) -> Result<(), CatalogError> {
        self.inner.close().await
    }

    fn deployment(&self) -> &dyn Deployment {
        self.inner.deployment()
    }

    fn directory(&self) -> &dyn Directory {
        if let Some(directory) = &self.directory {
            return &**directory;
        }
        self.inner.directory()
    }

    fn trail(&self) -> &dyn Trail {
        self.inner.trail()
    }

    async fn ping(&self) -> Result<(), CatalogError> {
        self.inner.ping().await
    }

    async fn commit(
        &self,
        facts: Vec<Fact>,
        durability: Durability,
    ) -> Result<Committed, CatalogError> {
        self.call(CatalogOp::Commit, self.inner.commit(facts, durability)).await
    }

    async fn complete(&self, creative: &Creative) -> Result<bool, CatalogError> {
        self.call(CatalogOp::Complete, self.inner.complete(creative)).await
    }

    async fn recover(&self, creative: &Creative) -> Result<bool, CatalogError> {
        self.call(CatalogOp::Complete, self.inner.recover(creative)).await
    }

    async fn end(
        &self,
        upload: UploadId,
        state: UploadState,
        reason: Option<EndReason>,
        by: &By,
    ) -> Result<bool, CatalogError> {
        self.call(CatalogOp::End, self.inner.end(upload, state, reason, by)).await
    }

    async fn forget(&self, upload: UploadId, ranges: &[ByteRange]) -> Result<(), CatalogError> {
        self.call(CatalogOp::Forget, self.inner.forget(upload, ranges)).await
    }

    async fn unverified(&self, id: UploadId) -> Result<Vec<StoredRange>, CatalogError> {
        self.call(CatalogOp::Look, self.inner.unverified(id)).await
    }

    async fn verified(&self, upload: UploadId, ranges: &[ByteRange]) -> Result<(), CatalogError> {
        self.call(CatalogOp::Verified, self.inner.verified(upload, ranges)).await
    }

    async fn trust(&self, upload: UploadId) -> Result<(), CatalogError> {
        self.call(CatalogOp::Trust, self.inner.trust(upload)).await
    }

    async fn hold_up(&self, upload: UploadId, trouble: &Trouble) -> Result<(), CatalogError> {
        self.call(CatalogOp::HoldUp, self.inner.hold_up(upload, trouble)).await
    }

    async fn hand_over(
        &self,
        upload: UploadId,
        from: &IdentityKey,
        to: &Identity,
    ) -> Result<bool, CatalogError> {
        self.call(CatalogOp::HandOver, self.inner.hand_over(upload, from, to)).await
    }

    async fn release(&self, upload: UploadId) -> Result<(), CatalogError> {
        self.call(CatalogOp::Release, self.inner.release(upload)).await
    }

    async fn current(&self, key: &IdentityKey) -> Result<Option<UploadRecord>, CatalogError> {
        self.call(CatalogOp::Look, self.inner.current(key)).await
    }

    async fn upload(&self, id: UploadId) -> Result<Option<UploadRecord>, CatalogError> {
        self.call(CatalogOp::Upload, self.inner.upload(id)).await
    }

    async fn ranges(&self, id: UploadId) -> Result<Vec<StoredRange>, CatalogError> {
        self.call(CatalogOp::Look, self.inner.ranges(id)).await
    }

    async fn amount(&self, id: UploadId) -> Result<Amount, CatalogError> {
        self.call(CatalogOp::Look, self.inner.amount(id)).await
    }

    async fn uploads(&self, query: &UploadQuery) -> Result<Vec<UploadRecord>, CatalogError> {
        self.inner.uploads(query).await
    }

    async fn resembling(
        &self,
        query: &Resemblance,
        complete_since: Timestamp,
    ) -> Result<Vec<UploadRecord>, CatalogError> {
        self.call(CatalogOp::Look, self.inner.resembling(query, complete_since)).await
    }

    async fn running(&self, among: &[UploadId]) -> Result<Vec<UploadId>, CatalogError> {
        self.call(CatalogOp::Look, self.inner.running(among)).await
    }

    async fn stitching(
        &self,
        after: Option<UploadId>,
        limit: usize,
    ) -> Result<Vec<UploadId>, CatalogError> {
        self.call(CatalogOp::Look, self.inner.stitching(after, limit)).await
    }

    async fn idle(&self, before: Timestamp, limit: usize) -> Result<Vec<UploadId>, CatalogError> {
        self.call(CatalogOp::Look, self.inner.idle(before, limit)).await
    }

    async fn purge(&self, before: Timestamp, limit: usize) -> Result<usize, CatalogError> {
        self.inner.purge(before, limit).await
    }

    async fn purgeable(&self, before: Timestamp) -> Result<u64, CatalogError> {
        self.inner.purgeable(before).await
    }

    async fn drop_ranges(&self, upload: UploadId) -> Result<(), CatalogError> {
        self.call(CatalogOp::DropRanges, self.inner.drop_ranges(upload)).await
    }

    async fn count_uploads(&self) -> Result<Vec<(UploadState, u64)>, CatalogError> {
        self.inner.count_uploads().await
    }

    async fn usage(&self, of: &Principal, besides: &[UploadId]) -> Result<Usage, CatalogError> {
        self.inner.usage(of, besides).await
    }

    async fn creative(&self, id: CreativeId) -> Result<Option<Creative>, CatalogError> {
        self.call(CatalogOp::Look, self.inner.creative(id)).await
    }

    async fn creatives(&self, query: &CreativeQuery) -> Result<Vec<Creative>, CatalogError> {
        self.call(CatalogOp::Look, self.inner.creatives(query)).await
    }

    async fn reschedule(
        &self,
        id: CreativeId,
        day: Day,
        by: &By,
    ) -> Result<Option<Creative>, CatalogError> {
        self.inner.reschedule(id, day, by).await
    }

    async fn delete_creative(
        &self,
        id: CreativeId,
        by: &By,
    ) -> Result<Option<Creative>, CatalogError> {
        self.call(CatalogOp::DeleteCreative, self.inner.delete_creative(id, by)).await
    }

    async fn restore_creative(&self, creative: &Creative, by: &By) -> Result<bool, CatalogError> {
        self.call(CatalogOp::Complete, self.inner.restore_creative(creative, by)).await
    }

    async fn give_creative(
        &self,
        id: CreativeId,
        to: &Principal,
        by: &By,
    ) -> Result<Option<Creative>, CatalogError> {
        self.inner.give_creative(id, to, by).await
    }

    async fn doomed(&self) -> Result<Vec<Doomed>, CatalogError> {
        self.call(CatalogOp::Look, self.inner.doomed()).await
    }

    async fn doomed_by_id(&self, id: CreativeId) -> Result<Option<Doomed>, CatalogError> {
        self.call(CatalogOp::Look, self.inner.doomed_by_id(id)).await
    }

    async fn buried(&self, id: CreativeId) -> Result<(), CatalogError> {
        self.call(CatalogOp::Buried, self.inner.buried(id)).await
    }
}
