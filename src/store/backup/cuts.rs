//! The server's side of a backup: while one is being taken, files that it may need are not removed.
//!
//! Each cut is a folder below `.backup` in the folder of uploads. The tool makes it and locks it
//! before it asks the server for a snapshot, and keeps the lock for as long as it copies. The
//! kernel releases the lock however the tool ends, and a cut that nobody has locked is over. So a
//! crash of the server does not end a backup, and a crash of the tool leaves nothing that the
//! server does not remove.

use std::{
    collections::HashSet,
    io,
    sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use super::{CUT_CATALOG, CUTS, copy};
use crate::{
    store::{durable::Folder, name::Name},
    upload::limits::CUT_NEWER_MAX,
};

/// The cut that a backup is copied from: one at a time.
#[derive(Debug, Default)]
pub(in crate::store) struct Cuts(RwLock<Option<Cut>>);

#[derive(Debug)]
struct Cut {
    id: String,
    folder: Folder,
    /// Names of files that were made after it: no backup needs them. Files that are missing here
    /// are kept for nothing, and that is all.
    newer: Mutex<HashSet<String>>,
}

impl Cuts {
    /// Goes on with the cut of a backup that outlived the server before this one, and removes those
    /// that are over.
    pub(in crate::store) fn adopt(uploads: &Folder) -> io::Result<Self> {
        let Some(all) = uploads.within(&Name::of_entry(CUTS))? else { return Ok(Self::default()) };
        let mut adopted = None;
        for id in all.folders()? {
            let Some(folder) = all.within(&Name::of_entry(&id))? else { continue };
            if folder.try_lock()? {
                remove(&all, &id, &folder)?;
                continue;
            }
            // Without a snapshot its tool has yet to ask for one, and may be refused.
            let has_begun = folder.len(&Name::of_entry(CUT_CATALOG))?.is_some();
            if adopted.is_none() || has_begun {
                adopted = Some(Cut { id, folder, newer: Mutex::default() });
            }
        }
        if adopted.is_none() {
            uploads.remove_within(&Name::of_entry(CUTS))?;
        }
        Ok(Self(RwLock::new(adopted)))
    }

    /// Begins a cut whose folder its tool has made and locked, and takes the snapshot that belongs
    /// to it. No file is removed meanwhile: what was removed before is not in the snapshot, what
    /// is to be removed afterwards is kept.
    ///
    /// Errors: of the kind `WouldBlock` if another backup is being taken, `NotFound` if the folder
    /// is not there or nobody has locked it.
    pub(in crate::store) fn begin<T>(
        &self,
        uploads: &Folder,
        id: &str,
        snapshot: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        let mut current = self.write();
        if end_if_over(&mut current, uploads)?.is_some_and(|cut| cut.id != id) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let all = uploads.within(&Name::of_entry(CUTS))?;
        let folder = all.map(|all| all.within(&Name::of_entry(id))).transpose()?.flatten();
        let folder = folder.ok_or(io::ErrorKind::NotFound)?;
        if folder.try_lock()? {
            return Err(io::ErrorKind::NotFound.into());
        }
        let taken = snapshot()?;
        *current = Some(Cut { id: id.to_owned(), folder, newer: Mutex::default() });
        Ok(taken)
    }

    /// Takes a file out of a folder: it is removed, or moved into the cut that may need it.
    pub(in crate::store) fn take_away(&self, from: &Folder, name: &Name) -> io::Result<()> {
        let current = self.read();
        if let Some(cut) = current.as_ref().filter(|cut| !cut.newer().remove(&name.0))
            && set_aside(cut, from, name)?
        {
            return Ok(());
        }
        from.remove(name)
    }

    /// Moves a file out of a folder, to where no backup looks for it. If a cut may need it, it
    /// becomes a file of the cut, too. On a file system without hard links it does not: then the
    /// backup says that the file is missing.
    pub(in crate::store) fn move_away<T>(
        &self,
        (from, name): (&Folder, &Name),
        move_it: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        use io::ErrorKind::{AlreadyExists, NotFound};
        let current = self.read();
        if let Some(cut) = current.as_ref().filter(|cut| !cut.newer().contains(&name.0)) {
            match copy::link((from, name), (&cut.folder, name)) {
                Err(error) if ![NotFound, AlreadyExists].contains(&error.kind()) => {
                    return Err(error);
                }
                // It is not there, or the cut has the file as it was at its time.
                _ => {}
            }
        }
        move_it()
    }

    /// Notes that a file is made now.
    pub(in crate::store) fn note_new(&self, name: &Name) {
        if let Some(cut) = &*self.read() {
            cut.note_newer(name);
        }
    }

    /// Notes that a file goes on under another name.
    pub(in crate::store) fn note_renamed(&self, name: &Name, new: &Name) {
        if let Some(cut) = &*self.read()
            && cut.newer().remove(&name.0)
        {
            cut.note_newer(new);
        }
    }

    /// Removes what was kept for a backup that has ended.
    pub(in crate::store) fn clear(&self, uploads: &Folder) -> io::Result<()> {
        if self.read().is_none() {
            return Ok(());
        }
        end_if_over(&mut self.write(), uploads).map(drop)
    }

    fn read(&self) -> RwLockReadGuard<'_, Option<Cut>> {
        // A panic under this lock leaves nothing half-done.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Option<Cut>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cut {
    fn note_newer(&self, name: &Name) {
        let mut newer = self.newer();
        if newer.len() < CUT_NEWER_MAX {
            newer.insert(name.0.clone());
        }
    }

    fn newer(&self) -> MutexGuard<'_, HashSet<String>> {
        self.newer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Moves a file into the folder of a cut. False if that is not possible, or not needed: the file is
/// not there, the cut is gone, or it has the file as it was when the cut was made.
fn set_aside(cut: &Cut, from: &Folder, name: &Name) -> io::Result<bool> {
    use io::ErrorKind::{AlreadyExists, NotFound};
    match from.rename(name, &cut.folder, name) {
        Ok(()) => Ok(true),
        Err(error) if [NotFound, AlreadyExists].contains(&error.kind()) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes the cut if nobody has it locked any more; gives it if somebody has.
fn end_if_over<'a>(current: &'a mut Option<Cut>, uploads: &Folder) -> io::Result<Option<&'a Cut>> {
    if let Some(cut) = current
        && let Some(all) = uploads.within(&Name::of_entry(CUTS))?
        && all.within(&Name::of_entry(&cut.id))?.is_some()
    {
        if !cut.folder.try_lock()? {
            return Ok(current.as_ref());
        }
        remove(&all, &cut.id, &cut.folder)?;
        uploads.remove_within(&Name::of_entry(CUTS))?;
    }
    *current = None;
    Ok(None)
}

/// Removes a cut with all that is in it.
pub(super) fn remove(all: &Folder, id: &str, folder: &Folder) -> io::Result<()> {
    for name in folder.list()? {
        folder.remove(&Name::of_entry(&name))?;
    }
    all.remove_within(&Name::of_entry(id))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use bytes::Bytes;

    use super::*;
    use crate::{
        store::{ChunkStore, Folders, FsStore, Origin, PublishedName, TrashKey, backup::CutView},
        upload::{CreativeId, FileName, TrashId, UploadId},
    };

    /// A store, and its folders.
    struct Data(tempfile::TempDir);

    impl Data {
        fn new() -> Self {
            Self(tempfile::tempdir().expect("a directory"))
        }

        fn folders(&self) -> [PathBuf; 3] {
            ["incomplete", "completed", "trash"].map(|name| self.0.path().join(name))
        }

        fn store(&self) -> FsStore {
            let [incomplete, completed, trash] = &self.folders();
            FsStore::open(Folders { incomplete, completed, trash }).expect("it opens")
        }

        /// As the tool claims a cut.
        fn claim(&self) -> CutView {
            let [incomplete, completed, trash] = &self.folders();
            CutView::claim(Folders { incomplete, completed, trash }).expect("it can be made")
        }

        fn begin(&self, store: &FsStore) -> CutView {
            let view = self.claim();
            store.begin_cut(view.id(), || Ok(())).expect("a cut");
            view
        }

        /// How many files are kept for backups.
        fn kept(&self) -> usize {
            let cuts = fs::read_dir(self.cuts()).into_iter().flatten().flatten();
            cuts.map(|cut| fs::read_dir(cut.path()).expect("a list").count()).sum()
        }

        fn cuts(&self) -> PathBuf {
            self.folders()[0].join(CUTS)
        }
    }

    async fn upload(store: &FsStore) -> UploadId {
        let id = UploadId::new();
        store.create(id, 3).await.expect("created");
        store.write(id, 0, vec![Bytes::from_static(b"abc")]).await.expect("written");
        id
    }

    async fn published(store: &FsStore) -> PublishedName {
        let name = name();
        store.publish(upload(store).await, &name).await.expect("published");
        name
    }

    fn name() -> PublishedName {
        PublishedName::new(CreativeId::new(), &FileName::new("a.png").expect("short"))
    }

    #[tokio::test]
    async fn what_was_there_at_the_cut_can_be_read_whatever_becomes_of_it() {
        let data = Data::new();
        let store = data.store();
        let (running, moved) = (upload(&store).await, upload(&store).await);
        let (done, soon) = (published(&store).await, name());
        let view = data.begin(&store);

        store.discard(running).await.expect("discarded");
        store.publish(moved, &soon).await.expect("published");
        store.unpublish(&soon).await.expect("removed");
        store.unpublish(&done).await.expect("removed");
        // To the service it is gone.
        assert_eq!(store.len(running).await.expect("look"), None);
        assert_eq!(store.published_len(&done).await.expect("look"), None);
        assert!(view.part(running, &name()).expect("look").is_some());
        assert!(view.part(moved, &soon).expect("look").is_some());
        assert!(view.finished(&done).expect("look").is_some());

        // Nor does a restart of the server end it.
        drop(store);
        let store = data.store();
        assert!(view.part(running, &name()).expect("look").is_some());
        let other = data.claim();
        let busy = store.begin_cut(other.id(), || Ok(())).expect_err("one at a time");
        assert_eq!(busy.kind(), io::ErrorKind::WouldBlock);
        drop(view);
        assert_eq!(data.kept(), 0);
        store.begin_cut(other.id(), || Ok(())).expect("the other is over");
    }

    #[tokio::test]
    async fn what_goes_to_the_trash_and_is_emptied_from_it_can_be_read_too() {
        let data = Data::new();
        let store = data.store();
        let (running, done) = (upload(&store).await, published(&store).await);
        let view = data.begin(&store);
        for origin in [Origin::Incomplete(running), Origin::Completed(done.clone())] {
            let key = TrashKey { id: TrashId::new(), origin };
            assert!(store.set_aside(&key, Bytes::from_static(b"{}")).await.expect("set aside"));
            store.empty(&key).await.expect("emptied");
        }
        assert!(view.part(running, &name()).expect("look").is_some());
        assert!(view.finished(&done).expect("look").is_some());
    }

    #[tokio::test]
    async fn what_was_made_after_the_cut_is_not_kept_for_it() {
        let data = Data::new();
        let store = data.store();
        let _view = data.begin(&store);
        store.discard(upload(&store).await).await.expect("discarded");
        let late = published(&store).await;
        store.unpublish(&late).await.expect("removed");
        let key =
            TrashKey { id: TrashId::new(), origin: Origin::Completed(published(&store).await) };
        store.set_aside(&key, Bytes::from_static(b"{}")).await.expect("set aside");
        assert_eq!(data.kept(), 0);
    }

    #[tokio::test]
    async fn what_nobody_copies_from_any_more_is_removed() {
        let data = Data::new();
        let store = data.store();
        let one = upload(&store).await;
        let view = data.begin(&store);
        store.discard(one).await.expect("discarded");
        store.tidy().await.expect("nothing is to do");
        assert_eq!(data.kept(), 1);
        // The tool dies: whoever asks for room gets what was kept for it.
        view.die();
        store.space().await.expect("asked");
        assert!(!data.cuts().exists());

        // So does the sweep, …
        let one = upload(&store).await;
        let view = data.begin(&store);
        store.discard(one).await.expect("discarded");
        view.die();
        store.tidy().await.expect("removed");
        assert!(!data.cuts().exists());

        // … and so does the next start.
        data.begin(&store).die();
        drop(store);
        assert!(data.cuts().exists());
        data.store();
        assert!(!data.cuts().exists());
    }

    #[tokio::test]
    async fn a_cut_begins_only_in_a_folder_that_its_tool_has_locked() {
        let data = Data::new();
        let store = data.store();
        let refused = |id: &str| store.begin_cut(id, || Ok(())).expect_err("refused").kind();
        assert_eq!(refused("1"), io::ErrorKind::NotFound);
        fs::create_dir_all(data.cuts().join("1")).expect("made");
        assert_eq!(refused("1"), io::ErrorKind::NotFound);
        // One whose snapshot fails is none, and keeps nobody else from taking one.
        let view = data.claim();
        let failed = store.begin_cut(view.id(), || Err::<(), _>(io::Error::other("on purpose")));
        failed.expect_err("no snapshot");
        data.begin(&store);
    }

    #[tokio::test]
    async fn a_tool_whose_server_is_started_before_it_answers_gets_its_cut_from_the_next() {
        let data = Data::new();
        let store = data.store();
        let one = upload(&store).await;
        let view = data.claim();
        drop(store);
        let store = data.store();
        store.begin_cut(view.id(), || Ok(())).expect("a cut");
        store.discard(one).await.expect("discarded");
        assert!(view.part(one, &name()).expect("look").is_some());
    }
}
