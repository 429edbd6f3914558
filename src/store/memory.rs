//! The model of a store: what [`ChunkStore`] means, with nothing in the way.
//!
//! It can do what no test can ask of a disk: fail when it is told to, and lose power.

mod state;
mod stored;

use std::{
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;

use self::{
    state::{Fault, State, When},
    stored::Stored,
};
use super::{
    ChunkStore, PublishedName, Space, StoreError, TrashKey, Trashed, assert_note, assert_readable,
};
use crate::upload::{ByteRange, Mark, UploadId, limits};

/// A store in memory, with knobs for tests.
///
/// What was synced survives [`Self::lose_power`]; so does that a file was published or removed. An
/// upload that was discarded comes back, unless its folder was synced since: with the name of a
/// new upload, or by a publish.
#[derive(Debug)]
pub struct MemoryStore {
    state: Mutex<State>,
}

/// What a store is asked to do: the unit in which [`MemoryStore`] counts and fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreOp {
    /// [`ChunkStore::create`].
    Create,
    /// [`ChunkStore::grow`].
    Grow,
    /// [`ChunkStore::write`].
    Write,
    /// [`ChunkStore::read`], and of whatever else bytes are read.
    Read,
    /// [`ChunkStore::sync`]: one call, however many uploads.
    Sync,
    /// [`ChunkStore::publish`].
    Publish,
    /// [`ChunkStore::discard`].
    Discard,
    /// [`ChunkStore::unpublish`].
    Unpublish,
    /// [`ChunkStore::set_aside`].
    SetAside,
    /// [`ChunkStore::bring_back`].
    BringBack,
    /// [`ChunkStore::empty`].
    Empty,
    /// Everything that only looks.
    Look,
    /// [`ChunkStore::marks`] and [`ChunkStore::set_mark`]. Not among [`MemoryStore::operations`].
    Mark,
    /// [`ChunkStore::check_writable`].
    Probe,
}

impl MemoryStore {
    /// An empty store with room for four GiB.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a store with a certain room is no default")]
    pub fn new() -> Self {
        Self::with_room(4 * limits::GIB)
    }

    /// An empty store with this much room, in bytes.
    #[must_use]
    pub fn with_room(room: u64) -> Self {
        Self { state: Mutex::new(State { room, ..State::default() }) }
    }

    /// The next operation of this sort fails and has no effect; but for a failed sync, which
    /// forgets what it was to sync, as a kernel does.
    pub fn fail_next(&self, op: StoreOp, kind: io::ErrorKind) {
        self.state().faults.push(Fault { op: Some(op), at: None, strike: (When::Instead, kind) });
    }

    /// The next operation of this sort takes effect, and then says that it failed.
    pub fn fail_after_next(&self, op: StoreOp, kind: io::ErrorKind) {
        self.state().faults.push(Fault { op: Some(op), at: None, strike: (When::After, kind) });
    }

    /// The next operation of this sort comes half the way, and then fails: a write has written some
    /// of its bytes; a publish or unpublish has moved or removed the file, and loss of power undoes
    /// it, unless it is repeated before. Any other fails as in [`Self::fail_next`].
    pub fn fail_halfway_next(&self, op: StoreOp, kind: io::ErrorKind) {
        self.state().faults.push(Fault { op: Some(op), at: None, strike: (When::Halfway, kind) });
    }

    /// The `k`th operation from now on, whichever it is, fails as in [`Self::fail_next`]; the next
    /// one is the first.
    pub fn fail_kth(&self, k: u64, kind: io::ErrorKind) {
        self.strike_kth(k, When::Instead, kind);
    }

    /// As [`Self::fail_kth`], but it fails as in [`Self::fail_halfway_next`].
    pub fn fail_kth_halfway(&self, k: u64, kind: io::ErrorKind) {
        self.strike_kth(k, When::Halfway, kind);
    }

    /// As [`Self::fail_kth`], but it fails as in [`Self::fail_after_next`].
    pub fn fail_kth_after(&self, k: u64, kind: io::ErrorKind) {
        self.strike_kth(k, When::After, kind);
    }

    fn strike_kth(&self, k: u64, when: When, kind: io::ErrorKind) {
        let at = Some(self.operations() + k);
        self.state().faults.push(Fault { op: None, at, strike: (when, kind) });
    }

    /// The next operation of this sort panics, as a mistake of ours would.
    pub fn panic_next(&self, op: StoreOp) {
        self.state().panics.insert(op);
    }

    /// The next sync of this upload fails, and no other's in the same call.
    pub fn fail_sync_of(&self, upload: UploadId, kind: io::ErrorKind) {
        self.state().failing_syncs.insert(upload, kind);
    }

    /// How many operations of this sort there were, failed ones included.
    #[must_use]
    pub fn count(&self, op: StoreOp) -> u64 {
        self.state().counts.get(&op).copied().unwrap_or(0)
    }

    /// How many operations there were, failed ones included.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state().operations()
    }

    /// Everything that was not synced is gone: bytes are zero again, new uploads are not there.
    pub fn lose_power(&self) {
        self.state().lose_power();
    }

    /// Counts an operation, and does it unless it is to fail.
    fn on<T>(
        &self,
        op: StoreOp,
        work: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> Result<T, StoreError> {
        self.on_or_half(op, work, |_| Ok(()))
    }

    /// As [`Self::on`], for an operation that may come half the way.
    fn on_or_half<T>(
        &self,
        op: StoreOp,
        work: impl FnOnce(&mut State) -> io::Result<T>,
        half: impl FnOnce(&mut State) -> io::Result<()>,
    ) -> Result<T, StoreError> {
        let mut state = self.state();
        let outcome = match state.begin(op) {
            None => work(&mut state),
            Some((When::Instead, kind)) => Err(kind.into()),
            Some((When::Halfway, kind)) => half(&mut state).and(Err(kind.into())),
            Some((When::After, kind)) => work(&mut state).and(Err(kind.into())),
        };
        outcome.map_err(|source| StoreError::from_io("do as it was asked", source))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ChunkStore for MemoryStore {
    async fn create(&self, upload: UploadId, total: u64) -> Result<(), StoreError> {
        self.on(StoreOp::Create, |state| state.create(upload, total))
    }

    async fn grow(&self, upload: UploadId, total: u64) -> Result<(), StoreError> {
        self.on(StoreOp::Grow, |state| state.grow(upload, total))
    }

    async fn write(
        &self,
        upload: UploadId,
        offset: u64,
        frames: Vec<Bytes>,
    ) -> Result<(), StoreError> {
        let half = &frames.concat()[..frames.iter().map(Bytes::len).sum::<usize>() / 2];
        self.on_or_half(
            StoreOp::Write,
            |state| state.upload(upload)?.write(offset, &frames),
            |state| state.upload(upload)?.write(offset, &[Bytes::copy_from_slice(half)]),
        )
    }

    async fn read(&self, upload: UploadId, range: ByteRange) -> Result<Bytes, StoreError> {
        assert_readable(range);
        self.on(StoreOp::Read, |state| state.upload(upload)?.read(range))
    }

    async fn sync(&self, uploads: &[UploadId]) -> Vec<Result<(), StoreError>> {
        let mut state = self.state();
        let fault = state.begin(StoreOp::Sync);
        let mut sync = |upload: &UploadId| state.sync(*upload, fault);
        let sort = |source| StoreError::from_io("sync an upload", source);
        uploads.iter().map(|upload| sync(upload).map_err(sort)).collect()
    }

    async fn publish(&self, upload: UploadId, name: &PublishedName) -> Result<(), StoreError> {
        let published = self.on_or_half(
            StoreOp::Publish,
            |state| state.publish(upload, name),
            |state| state.publish_half(upload, name),
        );
        published.map_err(|error| match error {
            StoreError::Io { source, .. } if source.kind() == io::ErrorKind::AlreadyExists => {
                StoreError::Exists { name: name.clone() }
            }
            error => error,
        })
    }

    async fn discard(&self, upload: UploadId) -> Result<(), StoreError> {
        self.on(StoreOp::Discard, |state| {
            state.discard(upload);
            Ok(())
        })
    }

    async fn len(&self, upload: UploadId) -> Result<Option<u64>, StoreError> {
        self.on(StoreOp::Look, |state| Ok(state.uploads.get(&upload).map(Stored::len)))
    }

    async fn published_len(&self, name: &PublishedName) -> Result<Option<u64>, StoreError> {
        self.on(StoreOp::Look, |state| Ok(state.files.get(name).map(Stored::len)))
    }

    async fn read_published(
        &self,
        name: &PublishedName,
        range: ByteRange,
    ) -> Result<Bytes, StoreError> {
        assert_readable(range);
        self.on(StoreOp::Read, |state| {
            state.files.get(name).ok_or(io::ErrorKind::NotFound)?.read(range)
        })
    }

    async fn unpublish(&self, name: &PublishedName) -> Result<(), StoreError> {
        self.on_or_half(
            StoreOp::Unpublish,
            |state| {
                state.unpublish(name);
                Ok(())
            },
            |state| {
                state.unpublish_half(name);
                Ok(())
            },
        )
    }

    async fn set_aside(&self, key: &TrashKey, note: Bytes) -> Result<bool, StoreError> {
        assert_note(&note);
        let half = note.clone();
        self.on_or_half(
            StoreOp::SetAside,
            |state| Ok(state.set_aside(key, note)),
            |state| {
                state.set_aside_half(key, half);
                Ok(())
            },
        )
    }

    async fn trash(&self) -> Result<Vec<Trashed>, StoreError> {
        self.on(StoreOp::Look, |state| Ok(state.list_trash()))
    }

    async fn read_note(&self, key: &TrashKey) -> Result<Bytes, StoreError> {
        self.on(StoreOp::Read, |state| {
            let found = state.trash.get(key).map(|(_, note)| note.clone());
            found.ok_or_else(|| io::ErrorKind::NotFound.into())
        })
    }

    async fn read_trashed(&self, key: &TrashKey, range: ByteRange) -> Result<Bytes, StoreError> {
        assert_readable(range);
        self.on(StoreOp::Read, |state| {
            let found = state.trash.get(key).and_then(|(stored, _)| stored.as_ref());
            found.ok_or(io::ErrorKind::NotFound)?.read(range)
        })
    }

    async fn bring_back(&self, key: &TrashKey) -> Result<(), StoreError> {
        self.on(StoreOp::BringBack, |state| state.bring_back(key))
    }

    async fn empty(&self, key: &TrashKey) -> Result<(), StoreError> {
        self.on(StoreOp::Empty, |state| {
            state.trash.remove(key);
            Ok(())
        })
    }

    async fn uploads(&self) -> Result<Vec<UploadId>, StoreError> {
        self.on(StoreOp::Look, |state| Ok(state.uploads.keys().copied().collect()))
    }

    async fn published(&self) -> Result<Vec<PublishedName>, StoreError> {
        self.on(StoreOp::Look, |state| Ok(state.files.keys().cloned().collect()))
    }

    async fn marks(&self) -> Result<Vec<Option<Mark>>, StoreError> {
        self.on(StoreOp::Mark, |state| Ok(vec![state.mark]))
    }

    async fn set_mark(&self, mark: Mark) -> Result<(), StoreError> {
        self.on(StoreOp::Mark, |state| {
            state.mark = Some(mark);
            Ok(())
        })
    }

    async fn space(&self) -> Result<Space, StoreError> {
        self.on(StoreOp::Look, |state| Ok(Space { free: state.free(), total: state.room }))
    }

    async fn check_writable(&self) -> Result<(), StoreError> {
        self.on(StoreOp::Probe, |_| Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::{io::ErrorKind, sync::Arc};

    use super::*;
    use crate::{
        store::contract,
        upload::{CreativeId, FileName},
    };

    async fn written(store: &MemoryStore) -> UploadId {
        let id = UploadId::new();
        store.create(id, 3).await.expect("create");
        store.write(id, 0, vec![Bytes::from_static(b"abc")]).await.expect("write");
        id
    }

    async fn read(store: &MemoryStore, id: UploadId) -> Bytes {
        store.read(id, ByteRange::new(0, 3).expect("short")).await.expect("read")
    }

    #[tokio::test]
    async fn the_model_keeps_the_contract() {
        contract::run_all(async || (Arc::new(MemoryStore::new()) as Arc<dyn ChunkStore>, ())).await;
    }

    #[tokio::test]
    async fn only_what_was_synced_survives_loss_of_power() {
        let store = MemoryStore::new();
        let (synced, new) = (written(&store).await, written(&store).await);
        assert!(store.sync(&[synced]).await[0].is_ok());
        store.write(synced, 1, vec![Bytes::from_static(b"B")]).await.expect("write");
        store.lose_power();
        assert_eq!(read(&store, synced).await, "abc");
        assert_eq!(store.len(new).await.expect("len"), None);
    }

    #[tokio::test]
    async fn a_published_file_survives_loss_of_power() {
        let store = MemoryStore::new();
        let filename = FileName::new("a.txt").expect("short");
        let name = PublishedName::new(CreativeId::new(), &filename);
        store.publish(written(&store).await, &name).await.expect("publish");
        store.lose_power();
        let range = ByteRange::new(0, 3).expect("short");
        assert_eq!(store.read_published(&name, range).await.expect("read"), "abc");
    }

    #[tokio::test]
    async fn a_failed_sync_forgets_what_it_was_to_sync() {
        let store = MemoryStore::new();
        let (one, other) = (written(&store).await, written(&store).await);
        store.fail_sync_of(one, ErrorKind::Other);
        let results = store.sync(&[one, other]).await;
        assert!(results[0].is_err() && results[1].is_ok());
        assert!(store.sync(&[one]).await[0].is_ok(), "the kernel does not say it twice");
        store.lose_power();
        assert_eq!(read(&store, one).await, [0; 3].as_slice());
        assert_eq!(read(&store, other).await, "abc");
    }

    #[tokio::test]
    async fn what_no_folder_was_synced_for_is_undone() {
        let filename = FileName::new("a.txt").expect("short");
        let name = PublishedName::new(CreativeId::new(), &filename);
        let (store, range) = (MemoryStore::new(), ByteRange::new(0, 3).expect("short"));
        let (done, gone) = (written(&store).await, written(&store).await);
        assert!(store.sync(&[done, gone]).await.iter().all(Result::is_ok));
        store.fail_halfway_next(StoreOp::Publish, ErrorKind::Other);
        assert!(store.publish(done, &name).await.is_err());
        store.discard(gone).await.expect("discard");
        assert_eq!(store.read_published(&name, range).await.expect("read"), "abc");
        store.lose_power();
        assert_eq!(store.published().await.expect("a list"), []);
        assert_eq!(
            (read(&store, done).await, read(&store, gone).await),
            ("abc".into(), "abc".into())
        );
        store.discard(gone).await.expect("discard");
        store.publish(done, &name).await.expect("publish");
        store.fail_halfway_next(StoreOp::Unpublish, ErrorKind::Other);
        assert!(store.unpublish(&name).await.is_err());
        assert_eq!(store.published().await.expect("a list"), []);
        store.lose_power();
        assert_eq!(store.uploads().await.expect("a list"), [], "the publish synced that folder");
        assert_eq!(store.read_published(&name, range).await.expect("read"), "abc");
    }

    #[tokio::test]
    async fn a_write_that_comes_half_the_way_says_so() {
        let store = MemoryStore::new();
        let id = written(&store).await;
        store.fail_halfway_next(StoreOp::Write, ErrorKind::StorageFull);
        let frames = vec![Bytes::from_static(b"AB"), Bytes::from_static(b"C")];
        assert!(store.write(id, 0, frames).await.is_err());
        assert_eq!(read(&store, id).await, "Abc");
    }

    #[tokio::test]
    async fn it_fails_as_planned_and_counts() {
        let store = MemoryStore::new();
        store.fail_next(StoreOp::Create, ErrorKind::StorageFull);
        let error = store.create(UploadId::new(), 1).await.expect_err("planned");
        assert!(matches!(error, StoreError::NoSpace { .. }));
        store.fail_after_next(StoreOp::Discard, ErrorKind::Other);
        let id = written(&store).await;
        assert!(store.discard(id).await.is_err());
        assert_eq!(store.len(id).await.expect("len"), None, "it was done all the same");
        store.fail_kth(2, ErrorKind::Other);
        assert!(store.uploads().await.is_ok() && store.uploads().await.is_err());
        assert!(store.uploads().await.is_ok(), "a fault strikes once");
        assert_eq!((store.count(StoreOp::Create), store.count(StoreOp::Look)), (2, 4));
        assert_eq!(store.operations(), 8);
    }
}
