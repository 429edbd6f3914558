//! The store on a local file system: one preallocated file per upload in `incomplete/`, one
//! finished file per creative in `completed/`, and what was set aside in `trash/`.
//!
//! Invariant: a name in `completed/` is absent or whole, for it comes into being by the rename of a
//! synced file. No client's text is part of a path; no symbolic link in the folders is followed.
//!
//! Here is what is asynchronous about it; what is done on the blocking threads is in [`Disk`].

use std::{fmt, io, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::Mutex;

use super::{
    ChunkStore, PublishedName, Space, StoreError, TrashKey, TrashSize, Trashed, assert_note,
    assert_readable,
    disk::Disk,
    place::{Folders, OpenError, Place},
};
use crate::upload::{ByteRange, Mark, UploadId, limits};

/// Uploads, finished files and the trash in three folders of one local file system.
///
/// One process at a time has the folders: they are locked until the store is dropped and its last
/// operation has ended, or until the process is gone, however it went.
pub struct FsStore {
    disk: Arc<Disk>,
    /// Whose turn it is to write, see [`Self::writer_of`].
    writers: [Arc<Mutex<()>>; limits::WRITERS_MAX],
}

impl FsStore {
    /// Opens the store in these folders, and makes them if they are not there. Blocks.
    pub fn open(folders: Folders<'_>) -> Result<Self, OpenError> {
        let uploads = Place::open(folders.incomplete)?;
        let finished = Place::open(folders.completed)?;
        let trash = Place::open(folders.trash)?;
        uploads.check_differs_from(&finished)?;
        uploads.check_differs_from(&trash)?;
        finished.check_differs_from(&trash)?;
        uploads.lock()?;
        finished.lock()?;
        trash.lock()?;
        uploads.check_moves_to(&finished)?;
        finished.check_moves_to(&trash)?;
        for place in [&uploads, &finished, &trash] {
            place.make_durable()?;
        }
        let cuts = uploads.cuts()?;
        let disk = Disk::new(uploads.folder, finished.folder, trash.folder).with_cuts(cuts);
        let disk = Arc::new(disk);
        Ok(Self { disk, writers: Default::default() })
    }

    /// Begins a cut for a backup, and takes its snapshot: from then on files that the snapshot may
    /// name are kept, for as long as somebody has the folder of the cut locked. Blocks.
    ///
    /// Errors: of the kind `WouldBlock` if a backup is being taken already, `NotFound` if nobody
    /// has the folder of this cut locked.
    pub fn begin_cut<T>(
        &self,
        id: &str,
        snapshot: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        self.disk.begin_cut(id, snapshot)
    }

    /// Works on a blocking thread, to its end even if nobody waits for it any more.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Disk) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let disk = Arc::clone(&self.disk);
        let end = tokio::task::spawn_blocking(move || work(&disk)).await;
        end.unwrap_or_else(|panic_or_shutdown| Err(io::Error::other(panic_or_shutdown)))
    }

    /// As [`Self::run`], with its errors sorted.
    async fn work<T: Send + 'static>(
        &self,
        op: &'static str,
        work: impl FnOnce(&Disk) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(work).await.map_err(|source| StoreError::from_io(op, source))
    }

    /// Reads a range into memory that is taken here: glibc has an arena for each of a dozen threads
    /// that ask for some, and keeps in every one of them what was used there at its most.
    async fn read_with(
        &self,
        op: &'static str,
        range: ByteRange,
        read: impl FnOnce(&Disk, &mut [u8]) -> io::Result<()> + Send + 'static,
    ) -> Result<Bytes, StoreError> {
        assert_readable(range);
        let mut bytes = vec![0; usize::try_from(range.len()).expect("bounded just now")];
        let read = self.work(op, move |disk| read(disk, &mut bytes).map(|()| bytes));
        read.await.map(Bytes::from)
    }

    /// Held by whoever writes to the file of this upload. Linux lets one write to a file at a time,
    /// too, but has the others burn a processor until then. Several files share one of these.
    fn writer_of(&self, upload: UploadId) -> Arc<Mutex<()>> {
        let [.., random] = *upload.as_bytes();
        Arc::clone(&self.writers[usize::from(random) % self.writers.len()])
    }

    /// One fdatasync for each upload, several at a time.
    async fn sync_bytes(&self, uploads: &[UploadId]) -> Vec<io::Result<()>> {
        let syncs: Vec<_> =
            uploads.iter().map(|&upload| self.run(move |disk| disk.sync_bytes(upload))).collect();
        stream::iter(syncs).buffered(limits::SYNCS_AT_ONCE_MAX).collect().await
    }

    /// One fsync of the folder for all uploads together, if there is a new one among them. Returns
    /// the uploads that it fails, and why.
    async fn sync_names(&self, uploads: &[UploadId]) -> Option<(Vec<UploadId>, Arc<io::Error>)> {
        let unnamed = self.disk.unnamed_among(uploads);
        if unnamed.is_empty() {
            return None;
        }
        let named = unnamed.clone();
        let synced = self.run(move |disk| disk.sync_names(&named)).await;
        synced.err().map(|error| (unnamed, Arc::new(error)))
    }
}

#[async_trait]
impl ChunkStore for FsStore {
    async fn create(&self, upload: UploadId, total: u64) -> Result<(), StoreError> {
        self.work("create an upload", move |disk| disk.create(upload, total)).await
    }

    async fn grow(&self, upload: UploadId, total: u64) -> Result<(), StoreError> {
        self.work("lengthen an upload", move |disk| disk.grow(upload, total)).await
    }

    async fn write(
        &self,
        upload: UploadId,
        offset: u64,
        frames: Vec<Bytes>,
    ) -> Result<(), StoreError> {
        // Before it is its turn: for there to be room among the open files, another may have to be
        // synced, and nobody else should wait for that.
        if !self.disk.is_open(upload) {
            self.work("open an upload", move |disk| disk.open(upload).map(drop)).await?;
        }
        let turn = self.writer_of(upload).lock_owned().await;
        let write = move |disk: &Disk| {
            // Ends with the write, even if nobody waits for that any more.
            let _turn = turn;
            disk.write(upload, offset, &frames)
        };
        if let Some(file) = self.work("write to an upload", write).await? {
            // Nobody waits for it.
            drop(tokio::task::spawn_blocking(move || file.write_back()));
        }
        Ok(())
    }

    async fn read(&self, upload: UploadId, range: ByteRange) -> Result<Bytes, StoreError> {
        self.read_with("read from an upload", range, move |disk, bytes| {
            disk.read(upload, range.offset(), bytes)
        })
        .await
    }

    async fn sync(&self, uploads: &[UploadId]) -> Vec<Result<(), StoreError>> {
        let (mut results, unnamed) =
            tokio::join!(self.sync_bytes(uploads), self.sync_names(uploads));
        if let Some((failed, error)) = unnamed {
            for (upload, result) in uploads.iter().zip(&mut results) {
                if failed.contains(upload) && result.is_ok() {
                    *result = Err(io::Error::new(error.kind(), Arc::clone(&error)));
                }
            }
        }
        let sort = |source| StoreError::from_io("sync an upload", source);
        results.into_iter().map(|result| result.map_err(sort)).collect()
    }

    async fn publish(&self, upload: UploadId, name: &PublishedName) -> Result<(), StoreError> {
        let new = name.clone();
        let published = self.run(move |disk| disk.publish(upload, &new)).await;
        published.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => StoreError::Exists { name: name.clone() },
            _ => StoreError::from_io("publish an upload", source),
        })
    }

    async fn discard(&self, upload: UploadId) -> Result<(), StoreError> {
        self.work("discard an upload", move |disk| disk.discard(upload)).await
    }

    async fn len(&self, upload: UploadId) -> Result<Option<u64>, StoreError> {
        self.work("look for an upload", move |disk| disk.len(upload)).await
    }

    async fn published_len(&self, name: &PublishedName) -> Result<Option<u64>, StoreError> {
        let name = name.clone();
        self.work("look for a finished file", move |disk| disk.published_len(&name)).await
    }

    async fn read_published(
        &self,
        name: &PublishedName,
        range: ByteRange,
    ) -> Result<Bytes, StoreError> {
        let name = name.clone();
        self.read_with("read a finished file", range, move |disk, bytes| {
            disk.read_published(&name, range.offset(), bytes)
        })
        .await
    }

    async fn unpublish(&self, name: &PublishedName) -> Result<(), StoreError> {
        let name = name.clone();
        self.work("remove a finished file", move |disk| disk.unpublish(&name)).await
    }

    async fn set_aside(&self, key: &TrashKey, note: Bytes) -> Result<bool, StoreError> {
        assert_note(&note);
        let key = key.clone();
        self.work("move a file to the trash", move |disk| disk.set_aside(&key, &note)).await
    }

    async fn trash(&self) -> Result<Vec<Trashed>, StoreError> {
        self.work("list the trash", |disk| disk.bin().list_readable()).await
    }

    async fn trash_size(&self) -> Result<TrashSize, StoreError> {
        self.work("list the trash", |disk| disk.bin().size()).await
    }

    async fn read_note(&self, key: &TrashKey) -> Result<Bytes, StoreError> {
        let key = key.clone();
        self.work("read a note in the trash", move |disk| disk.bin().read_note(&key)).await
    }

    async fn read_trashed(&self, key: &TrashKey, range: ByteRange) -> Result<Bytes, StoreError> {
        let key = key.clone();
        self.read_with("read a file in the trash", range, move |disk, bytes| {
            disk.bin().read(&key, range.offset(), bytes)
        })
        .await
    }

    async fn bring_back(&self, key: &TrashKey) -> Result<(), StoreError> {
        let key = key.clone();
        self.work("bring a file back from the trash", move |disk| disk.bring_back(&key)).await
    }

    async fn empty(&self, key: &TrashKey) -> Result<(), StoreError> {
        let key = key.clone();
        self.work("remove a file from the trash", move |disk| disk.bin().empty(&key)).await
    }

    async fn uploads(&self) -> Result<Vec<UploadId>, StoreError> {
        self.work("list the uploads", Disk::uploads).await
    }

    async fn published(&self) -> Result<Vec<PublishedName>, StoreError> {
        self.work("list the finished files", Disk::published).await
    }

    async fn marks(&self) -> Result<Vec<Option<Mark>>, StoreError> {
        self.work("read which deployment the folders belong to", Disk::marks).await
    }

    async fn set_mark(&self, mark: Mark) -> Result<(), StoreError> {
        self.work("mark the folders", move |disk| disk.set_mark(mark)).await
    }

    async fn space(&self) -> Result<Space, StoreError> {
        self.work("ask for the free space", Disk::space).await
    }

    async fn tidy(&self) -> Result<(), StoreError> {
        self.work("remove what was kept for a backup", Disk::clear_cuts).await
    }

    async fn check_writable(&self) -> Result<(), StoreError> {
        self.work("write a probe", Disk::check_writable).await
    }
}

impl fmt::Debug for FsStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FsStore").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        error::Error as _,
        fs, iter,
        os::unix::fs::{MetadataExt, PermissionsExt, symlink},
        path::{Path, PathBuf},
    };

    use futures_util::poll;
    use tempfile::TempDir;

    use super::*;
    use crate::{
        store::contract,
        upload::{CreativeId, FileName},
    };

    /// A store in a folder that is removed with it.
    struct Folders {
        root: TempDir,
    }

    impl Folders {
        fn new() -> Self {
            Self { root: TempDir::new().expect("a temporary folder") }
        }

        fn incomplete(&self) -> PathBuf {
            self.root.path().join("data/incomplete")
        }

        fn completed(&self) -> PathBuf {
            self.root.path().join("data/completed")
        }

        fn part(&self, id: UploadId) -> PathBuf {
            self.incomplete().join(format!("{id}.part"))
        }

        fn trash(&self) -> PathBuf {
            self.root.path().join("data/trash")
        }

        fn open(&self) -> Result<FsStore, OpenError> {
            let (incomplete, completed) = (self.incomplete(), self.completed());
            open(&incomplete, &completed, &self.trash())
        }

        fn store(&self) -> FsStore {
            self.open().expect("the store opens")
        }
    }

    fn open(incomplete: &Path, completed: &Path, trash: &Path) -> Result<FsStore, OpenError> {
        FsStore::open(super::Folders { incomplete, completed, trash })
    }

    async fn create(store: &FsStore, bytes: &'static [u8]) -> UploadId {
        let id = UploadId::new();
        store.create(id, bytes.len() as u64).await.expect("create");
        store.write(id, 0, vec![Bytes::from_static(bytes)]).await.expect("write");
        id
    }

    async fn read(store: &FsStore, id: UploadId, len: u64) -> Result<Bytes, StoreError> {
        store.read(id, ByteRange::new(0, len).expect("short")).await
    }

    fn name() -> PublishedName {
        PublishedName::new(CreativeId::new(), &FileName::new("a.png").expect("short"))
    }

    #[tokio::test]
    async fn a_file_system_keeps_the_contract() {
        contract::run_all(async || {
            let folders = Folders::new();
            (Arc::new(folders.store()) as Arc<dyn ChunkStore>, folders)
        })
        .await;
    }

    #[tokio::test]
    async fn a_store_that_is_opened_again_has_its_files() {
        let (folders, name) = (Folders::new(), name());
        let store = folders.store();
        let (id, done) = (create(&store, b"abc").await, create(&store, b"xyz").await);
        store.publish(done, &name).await.expect("publish");
        drop(store);
        let store = folders.store();
        assert_eq!(store.uploads().await.expect("uploads"), [id]);
        assert_eq!(read(&store, id, 3).await.expect("read"), "abc");
        assert!(store.sync(&[id]).await[0].is_ok());
        assert_eq!(store.published_len(&name).await.expect("len"), Some(3));
    }

    #[tokio::test]
    async fn one_store_at_a_time_has_the_folders() {
        let folders = Folders::new();
        let store = folders.store();
        let error = folders.open().expect_err("a second store");
        assert!(matches!(error, OpenError::InUse { .. }), "{error}");
        assert!(error.to_string().contains("data/incomplete: stop it"), "{error}");
        drop(store);
        folders.store();
    }

    #[test]
    fn the_folders_are_of_one_file_system() {
        let folders = Folders::new();
        let (incomplete, completed, trash) =
            (folders.incomplete(), folders.completed(), folders.trash());
        for [a, b, c] in [
            [&incomplete, &incomplete, &trash],
            [&incomplete, &completed, &incomplete],
            [&incomplete, &completed, &completed],
        ] {
            let error = open(a, b, c).expect_err("one folder twice");
            assert!(matches!(error, OpenError::SameFolder { .. }), "{error}");
        }

        let Ok(elsewhere) = TempDir::new_in("/dev/shm") else {
            return; // no such file system here: nothing to tell apart
        };
        let device = |path: &Path| fs::metadata(path).expect("metadata").dev();
        if device(elsewhere.path()) == device(folders.root.path()) {
            return; // temporary files are kept there: nothing to tell apart
        }
        let error = open(&incomplete, &completed, elsewhere.path()).expect_err("its own trash");
        assert!(matches!(error, OpenError::DifferentFileSystems { .. }), "{error}");
        let error = open(elsewhere.path(), &completed, &trash).expect_err("two file systems");
        assert!(matches!(error, OpenError::DifferentFileSystems { .. }), "{error}");
        for path in [elsewhere.path(), completed.as_path()] {
            assert!(error.to_string().contains(&path.display().to_string()), "{error}");
            assert_eq!(fs::read_dir(path).expect("list").count(), 0, "no probe stays");
        }
    }

    #[test]
    fn a_file_where_a_folder_should_be_is_named() {
        let folders = Folders::new();
        fs::create_dir(folders.root.path().join("data")).expect("make a folder");
        fs::write(folders.completed(), "").expect("write a file");
        let error = folders.open().expect_err("a file");
        assert!(matches!(error, OpenError::Folder { .. }), "{error}");
        assert!(error.to_string().contains("data/completed:"), "{error}");
        assert!(error.source().is_some());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_folder_that_cannot_be_made_is_named() {
        let proc = Path::new("/proc");
        let [incomplete, completed, trash] = ["a/incomplete", "a/completed", "a/trash"];
        let error = open(&proc.join(incomplete), &proc.join(completed), &proc.join(trash));
        let error = error.expect_err("nothing can be made there");
        assert!(matches!(error, OpenError::Folder { .. }), "{error}");
    }

    #[test]
    fn the_folder_itself_may_be_a_link() {
        let folders = Folders::new();
        fs::create_dir_all(folders.root.path().join("elsewhere")).expect("make a folder");
        fs::create_dir(folders.root.path().join("data")).expect("make a folder");
        symlink("../elsewhere", folders.incomplete()).expect("link");
        folders.store();
    }

    #[tokio::test]
    async fn a_planted_link_is_not_followed() {
        let (folders, name) = (Folders::new(), name());
        let store = folders.store();
        let target = folders.root.path().join("target");
        fs::write(&target, "untouched").expect("write the target");
        let id = UploadId::new();
        symlink(&target, folders.part(id)).expect("plant a link");
        symlink(&target, folders.completed().join(name.to_string())).expect("plant a link");

        let refused = store.create(id, 3).await.expect_err("it is a link");
        let reason = refused.source().map(ToString::to_string).unwrap_or_default();
        assert!(reason.contains("symbolic link"), "{refused:?}");
        assert!(store.write(id, 0, vec![Bytes::from_static(b"abc")]).await.is_err());
        assert!(read(&store, id, 3).await.is_err());
        assert!(store.sync(&[id]).await[0].is_err());
        assert_eq!(store.len(id).await.expect("len"), None);
        assert_eq!(store.published_len(&name).await.expect("len"), None);
        let range = ByteRange::new(0, 3).expect("short");
        assert!(store.read_published(&name, range).await.is_err());
        let upload = create(&store, b"new").await;
        assert!(matches!(store.publish(upload, &name).await, Err(StoreError::Exists { .. })));
        store.discard(id).await.expect("the link goes, not its target");
        assert!(!folders.part(id).is_symlink());
        assert_eq!(fs::read(&target).expect("read the target"), b"untouched");
    }

    #[tokio::test]
    async fn lists_hold_nothing_but_our_own_files() {
        let folders = Folders::new();
        let store = folders.store();
        let id = create(&store, b"abc").await;
        for folder in [folders.incomplete(), folders.completed()] {
            fs::write(folder.join(".gitkeep"), "").expect("write");
            fs::write(folder.join("x.part"), "").expect("write");
            fs::write(folder.join(format!("{}.PNG", CreativeId::new())), "").expect("write");
            fs::create_dir(folder.join(format!("{}.part", UploadId::new()))).expect("folder");
            symlink(folders.part(id), folder.join(format!("{}.png", CreativeId::new())))
                .expect("link");
        }
        symlink(folders.part(id), folders.part(UploadId::new())).expect("link");
        assert_eq!(store.uploads().await.expect("uploads"), [id]);
        assert_eq!(store.published().await.expect("published"), []);
    }

    #[tokio::test]
    async fn an_interrupted_publish_is_finished() {
        let (folders, name) = (Folders::new(), name());
        let store = folders.store();
        let id = create(&store, b"abc").await;
        let published = folders.completed().join(name.to_string());
        fs::hard_link(folders.part(id), &published).expect("link");
        store.publish(id, &name).await.expect("publish");
        assert!(!folders.part(id).exists());
        assert_eq!(fs::read(published).expect("read"), b"abc");
    }

    #[tokio::test]
    async fn open_files_are_bounded_and_lose_nothing() {
        let folders = Folders::new();
        let store = folders.store();
        let mut ids = Vec::new();
        for _ in 0..2 * limits::OPEN_FILES_MAX {
            ids.push(create(&store, b"abc").await);
            assert!(store.disk.open_file_count() <= limits::OPEN_FILES_MAX);
        }
        assert!(store.sync(&ids).await.iter().all(Result::is_ok));
        for id in ids {
            assert_eq!(read(&store, id, 3).await.expect("read"), "abc");
            store.discard(id).await.expect("discard");
        }
        assert_eq!(store.disk.open_file_count(), 0);
    }

    #[tokio::test]
    async fn an_upload_takes_its_room_at_once() {
        let folders = Folders::new();
        let store = folders.store();
        let id = UploadId::new();
        store.create(id, limits::MIB).await.expect("create");
        // In blocks of 512 bytes, whatever the block size of the file system.
        let reserved = fs::metadata(folders.part(id)).expect("metadata").blocks() * 512;
        assert!(limits::MIB <= reserved, "{reserved} bytes are reserved");
    }

    #[tokio::test]
    async fn others_may_not_look_inside() {
        let (folders, name) = (Folders::new(), name());
        let store = folders.store();
        store.publish(create(&store, b"abc").await, &name).await.expect("publish");
        let file = folders.completed().join(name.to_string());
        for path in [folders.incomplete(), folders.completed(), file] {
            let mode = fs::metadata(&path).expect("metadata").permissions().mode();
            assert_eq!(mode & 0o027, 0, "{}: {mode:o}", path.display());
        }
    }

    #[tokio::test]
    async fn a_panic_on_a_blocking_thread_is_an_error() {
        let folders = Folders::new();
        let store = folders.store();
        let end = store.work("panic", |_| -> io::Result<()> { panic!("on purpose") }).await;
        assert!(matches!(end, Err(StoreError::Io { op: "panic", .. })), "{end:?}");
    }

    #[test]
    fn an_error_shows_no_path() {
        let store = Folders::new().store();
        assert_eq!(format!("{store:?}"), "FsStore { .. }");
    }

    #[tokio::test]
    async fn writes_to_one_file_take_turns() {
        let folders = Folders::new();
        let store = folders.open().expect("a store");
        let id = UploadId::new();
        let is_other = |it: &UploadId| !Arc::ptr_eq(&store.writer_of(id), &store.writer_of(*it));
        let other = iter::repeat_with(UploadId::new).find(is_other).expect("there are several");
        for id in [id, other] {
            store.create(id, 3).await.expect("create");
        }
        let write = |id, text: &'static str| store.write(id, 0, vec![text.into()]);

        let turn = store.writer_of(id).lock_owned().await;
        let (mut gave_up, mut waits) = (write(id, "no."), write(id, "one"));
        assert!(poll!(&mut gave_up).is_pending() && poll!(&mut waits).is_pending());
        write(other, "two").await.expect("nobody else writes to it");
        assert_eq!(read(&store, id, 3).await.expect("read"), [0; 3].as_slice(), "not its turn");

        drop((gave_up, turn));
        waits.await.expect("it is its turn");
        assert_eq!(read(&store, id, 3).await.expect("read"), "one");
        assert_eq!(read(&store, other, 3).await.expect("read"), "two");
    }
}
