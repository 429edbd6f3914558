//! A store that does what the test says at a later operation of a sort: waits, panics, damages.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use flowstitch::{
    store::{ChunkStore, PublishedName, Space, StoreError, StoreOp, TrashKey, Trashed},
    upload::{ByteRange, Mark, UploadId},
};

use super::{Gate, stages::Stages};

/// A store in front of another one.
#[derive(Debug)]
pub(crate) struct StagedStore {
    inner: Arc<dyn ChunkStore>,
    stages: Stages<StoreOp, Stage>,
    bytes_read: AtomicU64,
}

enum Stage {
    Wait(Gate),
    WaitAfter(Gate),
    /// Done as the operation begins.
    Then(Box<dyn FnOnce() + Send>),
    Panic,
    Rot,
}

impl StagedStore {
    pub(crate) fn new(inner: Arc<dyn ChunkStore>) -> Self {
        Self { inner, stages: Stages::new(), bytes_read: AtomicU64::new(0) }
    }

    /// How many bytes of uploads and finished files were asked for so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// The next operation of this sort waits before it begins.
    pub(crate) fn hold_next(&self, op: StoreOp) -> Gate {
        let gate = Gate::closed();
        self.hold_nth(op, 0, &gate);
        gate
    }

    /// The operation of this sort after `skip` more waits at the gate before it begins.
    pub(crate) fn hold_nth(&self, op: StoreOp, skip: usize, gate: &Gate) {
        self.stages.push(op, skip, Stage::Wait(gate.clone()));
    }

    /// The operation of this sort after `skip` more takes effect, and then waits at the gate.
    pub(crate) fn hold_nth_after(&self, op: StoreOp, skip: usize, gate: &Gate) {
        self.stages.push(op, skip, Stage::WaitAfter(gate.clone()));
    }

    /// This is done as the operation of this sort after `skip` more begins.
    pub(crate) fn before_nth(&self, op: StoreOp, skip: usize, act: impl FnOnce() + Send + 'static) {
        self.stages.push(op, skip, Stage::Then(Box::new(act)));
    }

    /// The next operation of this sort panics.
    pub(crate) fn panic_next(&self, op: StoreOp) {
        self.stages.push(op, 0, Stage::Panic);
    }

    /// The next read gives other bytes than those that were stored.
    pub(crate) fn rot_next_read(&self) {
        self.rot_nth_read(0);
    }

    /// The read after `skip` more gives other bytes than those that were stored.
    pub(crate) fn rot_nth_read(&self, skip: usize) {
        self.stages.push(StoreOp::Read, skip, Stage::Rot);
    }

    /// Nothing is staged any more.
    pub(crate) fn calm(&self) {
        self.stages.clear();
    }

    /// How much is staged.
    pub(crate) fn staged(&self) -> usize {
        self.stages.len()
    }

    async fn call<T>(&self, op: StoreOp, call: impl Future<Output = T>) -> T {
        self.call_and(op, call, |done| done).await
    }

    /// What is read is damaged by `rot` if the test says so.
    async fn call_and<T>(
        &self,
        op: StoreOp,
        call: impl Future<Output = T>,
        rot: impl FnOnce(T) -> T,
    ) -> T {
        match self.stages.take(&op) {
            Some(Stage::Wait(gate)) => gate.pass().await,
            Some(Stage::WaitAfter(gate)) => {
                let done = call.await;
                gate.pass().await;
                return done;
            }
            Some(Stage::Then(act)) => act(),
            Some(Stage::Panic) => panic!("the test says so"),
            Some(Stage::Rot) => return rot(call.await),
            None => {}
        }
        call.await
    }
}

fn rotten(read: Result<Bytes, StoreError>) -> Result<Bytes, StoreError> {
    Ok(read?.iter().map(|byte| byte ^ 1).collect())
}

#[async_trait]
impl ChunkStore for StagedStore {
    async fn create(&self, upload: UploadId, total: u64) -> Result<(), StoreError> {
        self.call(StoreOp::Create, self.inner.create(upload, total)).await
    }

    async fn grow(&self, upload: UploadId, total: u64) -> Result<(), StoreError> {
        self.call(StoreOp::Grow, self.inner.grow(upload, total)).await
    }

    async fn write(
        &self,
        upload: UploadId,
        offset: u64,
        frames: Vec<Bytes>,
    ) -> Result<(), StoreError> {
        self.call(StoreOp::Write, self.inner.write(upload, offset, frames)).await
    }

    async fn read(&self, upload: UploadId, range: ByteRange) -> Result<Bytes, StoreError> {
        self.bytes_read.fetch_add(range.len(), Ordering::Relaxed);
        self.call_and(StoreOp::Read, self.inner.read(upload, range), rotten).await
    }

    async fn sync(&self, uploads: &[UploadId]) -> Vec<Result<(), StoreError>> {
        self.call(StoreOp::Sync, self.inner.sync(uploads)).await
    }

    async fn publish(&self, upload: UploadId, name: &PublishedName) -> Result<(), StoreError> {
        self.call(StoreOp::Publish, self.inner.publish(upload, name)).await
    }

    async fn discard(&self, upload: UploadId) -> Result<(), StoreError> {
        self.call(StoreOp::Discard, self.inner.discard(upload)).await
    }

    async fn len(&self, upload: UploadId) -> Result<Option<u64>, StoreError> {
        self.call(StoreOp::Look, self.inner.len(upload)).await
    }

    async fn published_len(&self, name: &PublishedName) -> Result<Option<u64>, StoreError> {
        self.call(StoreOp::Look, self.inner.published_len(name)).await
    }

    async fn read_published(
        &self,
        name: &PublishedName,
        range: ByteRange,
    ) -> Result<Bytes, StoreError> {
        self.bytes_read.fetch_add(range.len(), Ordering::Relaxed);
        self.call_and(StoreOp::Read, self.inner.read_published(name, range), rotten).await
    }

    async fn unpublish(&self, name: &PublishedName) -> Result<(), StoreError> {
        self.call(StoreOp::Unpublish, self.inner.unpublish(name)).await
    }

    async fn set_aside(&self, key: &TrashKey, note: Bytes) -> Result<bool, StoreError> {
        self.call(StoreOp::SetAside, self.inner.set_aside(key, note)).await
    }

    async fn trash(&self) -> Result<Vec<Trashed>, StoreError> {
        self.call(StoreOp::Look, self.inner.trash()).await
    }

    async fn read_note(&self, key: &TrashKey) -> Result<Bytes, StoreError> {
        self.call(StoreOp::Read, self.inner.read_note(key)).await
    }

    async fn read_trashed(&self, key: &TrashKey, range: ByteRange) -> Result<Bytes, StoreError> {
        self.call_and(StoreOp::Read, self.inner.read_trashed(key, range), rotten).await
    }

    async fn bring_back(&self, key: &TrashKey) -> Result<(), StoreError> {
        self.call(StoreOp::BringBack, self.inner.bring_back(key)).await
    }

    async fn empty(&self, key: &TrashKey) -> Result<(), StoreError> {
        self.call(StoreOp::Empty, self.inner.empty(key)).await
    }

    async fn uploads(&self) -> Result<Vec<UploadId>, StoreError> {
        self.call(StoreOp::Look, self.inner.uploads()).await
    }

    async fn published(&self) -> Result<Vec<PublishedName>, StoreError> {
        self.call(StoreOp::Look, self.inner.published()).await
    }

    async fn marks(&self) -> Result<Vec<Option<Mark>>, StoreError> {
        self.inner.marks().await
    }

    async fn set_mark(&self, mark: Mark) -> Result<(), StoreError> {
        self.inner.set_mark(mark).await
    }

    async fn space(&self) -> Result<Space, StoreError> {
        self.call(StoreOp::Look, self.inner.space()).await
    }

    async fn check_writable(&self) -> Result<(), StoreError> {
        self.call(StoreOp::Probe, self.inner.check_writable()).await
    }
}
