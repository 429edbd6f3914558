//! A store that does what the test says at the next operation of a sort: waits, or panics.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use flowstitch::{
    store::{ChunkStore, PublishedName, Space, StoreError, StoreOp},
    upload::{ByteRange, UploadId},
};

use super::Gate;

/// A store in front of another one.
#[derive(Debug)]
pub(crate) struct StagedStore {
    inner: Arc<dyn ChunkStore>,
    stages: Mutex<Vec<(StoreOp, Stage)>>,
}

#[derive(Debug)]
enum Stage {
    Wait(Gate),
    Panic,
    Rot,
}

impl StagedStore {
    pub(crate) fn new(inner: Arc<dyn ChunkStore>) -> Self {
        Self { inner, stages: Mutex::default() }
    }

    /// The next operation of this sort waits before it begins.
    pub(crate) fn hold_next(&self, op: StoreOp) -> Gate {
        let gate = Gate::closed();
        self.stages().push((op, Stage::Wait(gate.clone())));
        gate
    }

    /// The next operation of this sort panics.
    pub(crate) fn panic_next(&self, op: StoreOp) {
        self.stages().push((op, Stage::Panic));
    }

    /// The next read gives other bytes than those that were stored.
    pub(crate) fn rot_next_read(&self) {
        self.stages().push((StoreOp::Read, Stage::Rot));
    }

    fn stages(&self) -> std::sync::MutexGuard<'_, Vec<(StoreOp, Stage)>> {
        self.stages.lock().expect("nobody panics while holding it")
    }

    /// Returns whether what is read is to be damaged.
    async fn enter(&self, op: StoreOp) -> bool {
        let stage = {
            let mut stages = self.stages();
            let next = stages.iter().position(|(at, _)| *at == op);
            next.map(|index| stages.remove(index).1)
        };
        match stage {
            Some(Stage::Wait(gate)) => gate.pass().await,
            Some(Stage::Panic) => panic!("the test says so"),
            Some(Stage::Rot) => return true,
            None => {}
        }
        false
    }
}

fn rotten(bytes: &Bytes) -> Bytes {
    bytes.iter().map(|byte| byte ^ 1).collect()
}

#[async_trait]
impl ChunkStore for StagedStore {
    async fn create(&self, upload: UploadId, total: u64) -> Result<(), StoreError> {
        self.enter(StoreOp::Create).await;
        self.inner.create(upload, total).await
    }

    async fn grow(&self, upload: UploadId, total: u64) -> Result<(), StoreError> {
        self.enter(StoreOp::Grow).await;
        self.inner.grow(upload, total).await
    }

    async fn write(
        &self,
        upload: UploadId,
        offset: u64,
        frames: Vec<Bytes>,
    ) -> Result<(), StoreError> {
        self.enter(StoreOp::Write).await;
        self.inner.write(upload, offset, frames).await
    }

    async fn read(&self, upload: UploadId, range: ByteRange) -> Result<Bytes, StoreError> {
        let rots = self.enter(StoreOp::Read).await;
        let bytes = self.inner.read(upload, range).await?;
        Ok(if rots { rotten(&bytes) } else { bytes })
    }

    async fn sync(&self, uploads: &[UploadId]) -> Vec<Result<(), StoreError>> {
        self.enter(StoreOp::Sync).await;
        self.inner.sync(uploads).await
    }

    async fn publish(&self, upload: UploadId, name: &PublishedName) -> Result<(), StoreError> {
        self.enter(StoreOp::Publish).await;
        self.inner.publish(upload, name).await
    }

    async fn discard(&self, upload: UploadId) -> Result<(), StoreError> {
        self.enter(StoreOp::Discard).await;
        self.inner.discard(upload).await
    }

    async fn len(&self, upload: UploadId) -> Result<Option<u64>, StoreError> {
        self.inner.len(upload).await
    }

    async fn published_len(&self, name: &PublishedName) -> Result<Option<u64>, StoreError> {
        self.inner.published_len(name).await
    }

    async fn read_published(
        &self,
        name: &PublishedName,
        range: ByteRange,
    ) -> Result<Bytes, StoreError> {
        let rots = self.enter(StoreOp::Read).await;
        let bytes = self.inner.read_published(name, range).await?;
        Ok(if rots { rotten(&bytes) } else { bytes })
    }

    async fn unpublish(&self, name: &PublishedName) -> Result<(), StoreError> {
        self.enter(StoreOp::Unpublish).await;
        self.inner.unpublish(name).await
    }

    async fn uploads(&self) -> Result<Vec<UploadId>, StoreError> {
        self.inner.uploads().await
    }

    async fn published(&self) -> Result<Vec<PublishedName>, StoreError> {
        self.inner.published().await
    }

    async fn space(&self) -> Result<Space, StoreError> {
        self.inner.space().await
    }

    async fn check_writable(&self) -> Result<(), StoreError> {
        self.inner.check_writable().await
    }
}
