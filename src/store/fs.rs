//! The store on a local file system: one preallocated file per upload in `incomplete/`, one
//! finished file per creative in `completed/`.
//!
//! Invariant: a name in `completed/` is absent or whole, for it comes into being by the rename of a
//! synced file. No client's text is part of a path; no symbolic link in the folders is followed.
//!
//! Here is what is asynchronous about it; what is done on the blocking threads is in [`Disk`].

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::{
    ChunkStore, PublishedName, Space, StoreError, assert_readable, disk::Disk, durable::Folder,
    name::Name,
};
use crate::upload::{ByteRange, UploadId, limits};

/// Uploads and finished files in two folders of one local file system.
///
/// One process at a time has the folders: they are locked until the store is dropped and its last
/// operation has ended, or until the process is gone, however it went.
pub struct FsStore {
    disk: Arc<Disk>,
}

impl FsStore {
    /// Opens the store in these two folders, and makes them if they are not there. Blocks.
    pub fn open(incomplete: &Path, completed: &Path) -> Result<Self, OpenError> {
        let uploads = Place::open(incomplete)?;
        let finished = Place::open(completed)?;
        uploads.check_differs_from(&finished)?;
        uploads.lock()?;
        uploads.check_moves_to(&finished)?;
        uploads.make_durable()?;
        finished.make_durable()?;
        Ok(Self { disk: Arc::new(Disk::new(uploads.folder, finished.folder)) })
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
        let write = move |disk: &Disk| disk.write(upload, offset, &frames);
        if let Some(file) = self.work("write to an upload", write).await? {
            // Nobody waits for it.
            drop(tokio::task::spawn_blocking(move || file.write_back()));
        }
        Ok(())
    }

    async fn read(&self, upload: UploadId, range: ByteRange) -> Result<Bytes, StoreError> {
        assert_readable(range);
        let read = self.work("read from an upload", move |disk| disk.read(upload, range));
        read.await.map(Bytes::from)
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
        assert_readable(range);
        let name = name.clone();
        let read = self.work("read a finished file", move |disk| disk.read_published(&name, range));
        read.await.map(Bytes::from)
    }

    async fn unpublish(&self, name: &PublishedName) -> Result<(), StoreError> {
        let name = name.clone();
        self.work("remove a finished file", move |disk| disk.unpublish(&name)).await
    }

    async fn uploads(&self) -> Result<Vec<UploadId>, StoreError> {
        self.work("list the uploads", Disk::uploads).await
    }

    async fn published(&self) -> Result<Vec<PublishedName>, StoreError> {
        self.work("list the finished files", Disk::published).await
    }

    async fn space(&self) -> Result<Space, StoreError> {
        self.work("ask for the free space", Disk::space).await
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

/// Why a server cannot keep its files where it was told to.
///
/// These name paths: they are for the operator, who wrote them into the settings.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A folder cannot be made, opened or locked.
    #[error(
        "cannot use the folder {}: it must be a folder of this user on a local disk",
        path.display()
    )]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Nothing can be written into a folder.
    #[error(
        "cannot write to the folder {}: check its owner, its mode and the room on the disk",
        path.display()
    )]
    NotWritable {
        /// Which folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Uploads and finished files would lie in one folder.
    #[error(
        "{} and {} are the same folder: give each its own",
        incomplete.display(), completed.display()
    )]
    SameFolder {
        /// Where uploads were to be.
        incomplete: PathBuf,
        /// Where finished files were to be.
        completed: PathBuf,
    },
    /// A finished file could not be moved in one step.
    #[error(
        "{} and {} are on different file systems or mounts, but a finished file must move from one \
         to the other in a single step: put both on the same one",
        incomplete.display(), completed.display()
    )]
    DifferentFileSystems {
        /// Where uploads were to be.
        incomplete: PathBuf,
        /// Where finished files were to be.
        completed: PathBuf,
    },
    /// Two servers would write to the same uploads.
    #[error(
        "another server is using the folder {}: stop it, or give this one its own",
        path.display()
    )]
    InUse {
        /// Which folder.
        path: PathBuf,
    },
}

/// A folder, and what its operator calls it.
struct Place<'a> {
    folder: Folder,
    path: &'a Path,
}

impl<'a> Place<'a> {
    fn open(path: &'a Path) -> Result<Self, OpenError> {
        match Folder::open(path) {
            Ok(folder) => Ok(Self { folder, path }),
            Err(source) => Err(OpenError::Folder { path: path.into(), source }),
        }
    }

    fn check_differs_from(&self, other: &Self) -> Result<(), OpenError> {
        let identity = |it: &Self| it.folder.identity().map_err(|source| it.unusable(source));
        if identity(self)? == identity(other)? {
            let (incomplete, completed) = (self.path.into(), other.path.into());
            return Err(OpenError::SameFolder { incomplete, completed });
        }
        Ok(())
    }

    /// The folder of uploads stands for both: whoever does not have it publishes nothing.
    fn lock(&self) -> Result<(), OpenError> {
        match self.folder.try_lock() {
            Ok(true) => Ok(()),
            Ok(false) => Err(OpenError::InUse { path: self.path.into() }),
            Err(source) => Err(self.unusable(source)),
        }
    }

    /// Moves a probe as a finished file will be moved. Nothing less can tell: two mounts of one
    /// file system (two volumes of a container, say) have one device number, and yet no file moves
    /// from the one to the other. An empty probe: a full disk must not keep the server from
    /// starting, for it is the server that can make room.
    fn check_moves_to(&self, other: &Self) -> Result<(), OpenError> {
        let probe = Name::of_probe();
        self.folder.create(&probe, 0).map_err(|source| self.not_writable(source))?;
        other.folder.remove(&probe).map_err(|source| other.not_writable(source))?;
        let moved = self.folder.rename(&probe, &other.folder, &probe);
        self.folder.remove(&probe).map_err(|source| self.not_writable(source))?;
        moved.map_err(|source| match source.kind() {
            io::ErrorKind::CrossesDevices => OpenError::DifferentFileSystems {
                incomplete: self.path.into(),
                completed: other.path.into(),
            },
            _ => other.not_writable(source),
        })?;
        other.folder.remove(&probe).map_err(|source| other.not_writable(source))
    }

    /// A server that was killed may have made or moved files whose names were not synced yet: from
    /// here on what is in the folder is there to stay.
    fn make_durable(&self) -> Result<(), OpenError> {
        self.folder.sync(self.folder.failures()).map_err(|source| self.not_writable(source))
    }

    fn unusable(&self, source: io::Error) -> OpenError {
        OpenError::Folder { path: self.path.into(), source }
    }

    fn not_writable(&self, source: io::Error) -> OpenError {
        OpenError::NotWritable { path: self.path.into(), source }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        error::Error as _,
        fs,
        os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    };

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

        fn open(&self) -> Result<FsStore, OpenError> {
            FsStore::open(&self.incomplete(), &self.completed())
        }

        fn store(&self) -> FsStore {
            self.open().expect("the store opens")
        }
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
    fn the_folders_are_two_of_one_file_system() {
        let folders = Folders::new();
        let (incomplete, completed) = (folders.incomplete(), folders.completed());
        let error = FsStore::open(&incomplete, &incomplete).expect_err("one folder twice");
        assert!(matches!(error, OpenError::SameFolder { .. }), "{error}");

        let Ok(elsewhere) = TempDir::new_in("/dev/shm") else {
            return; // no such file system here: nothing to tell apart
        };
        let device = |path: &Path| fs::metadata(path).expect("metadata").dev();
        if device(elsewhere.path()) == device(folders.root.path()) {
            return; // temporary files are kept there: nothing to tell apart
        }
        let error = FsStore::open(elsewhere.path(), &completed).expect_err("two file systems");
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
        let error = FsStore::open(&proc.join("a/incomplete"), &proc.join("a/completed"));
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
}
