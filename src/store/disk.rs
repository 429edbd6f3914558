//! What [`super::FsStore`] does, in the blocking calls of [`super::durable`]: which operation comes
//! after which, and which of them may be left out.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use super::{
    Origin, PublishedName, Space, TrashKey,
    bin::Bin,
    durable::{self, Failures, Folder},
    name::Name,
    open_files::{OpenFile, OpenFiles},
};
use crate::{
    store::backup::cuts::Cuts,
    upload::{Mark, UploadId, limits},
};

/// The folders and what is known of the files in them. All calls block.
#[derive(Debug)]
pub(super) struct Disk {
    incomplete: Folder,
    completed: Folder,
    bin: Bin,
    open_files: OpenFiles,
    /// The uploads whose names may not be on the disk yet, and what [`Folder::sync`] must know of
    /// them. Never held during an operation on the disk.
    unnamed: Mutex<HashMap<UploadId, Failures>>,
    /// What is to be kept for a backup.
    cuts: Cuts,
}

impl Disk {
    pub(super) fn new(incomplete: Folder, completed: Folder, trash: Folder) -> Self {
        let (open_files, bin) = (OpenFiles::new(limits::OPEN_FILES_MAX), Bin::new(trash));
        let (unnamed, cuts) = (Mutex::default(), Cuts::default());
        Self { incomplete, completed, bin, open_files, unnamed, cuts }
    }

    /// Goes on with the cut of a backup that is still being taken.
    pub(super) fn with_cuts(self, cuts: Cuts) -> Self {
        Self { cuts, ..self }
    }

    /// See [`Cuts::begin`].
    pub(super) fn begin_cut<T>(
        &self,
        id: &str,
        snapshot: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        self.cuts.begin(&self.incomplete, id, snapshot)
    }

    /// See [`Cuts::clear`].
    pub(super) fn clear_cuts(&self) -> io::Result<()> {
        self.cuts.clear(&self.incomplete)
    }

    pub(super) fn create(&self, upload: UploadId, total: u64) -> io::Result<()> {
        self.open_files.forget(upload);
        let since = self.incomplete.failures();
        let name = Name::of_upload(upload);
        if self.incomplete.len(&name)?.is_none() {
            self.cuts.note_new(&name);
        }
        let file = self.incomplete.create(&name, total)?;
        self.unnamed().insert(upload, since);
        self.open_files.keep(upload, OpenFile::new(file)?);
        Ok(())
    }

    pub(super) fn grow(&self, upload: UploadId, total: u64) -> io::Result<()> {
        self.open(upload)?.grow(total)
    }

    /// Returns the file if it is time to [write it back](OpenFile::write_back).
    pub(super) fn write(
        &self,
        upload: UploadId,
        offset: u64,
        frames: &[Bytes],
    ) -> io::Result<Option<Arc<OpenFile>>> {
        let file = self.open(upload)?;
        Ok(file.write(offset, frames)?.then_some(file))
    }

    pub(super) fn read(&self, upload: UploadId, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.open(upload)?.read(offset, bytes)
    }

    /// Whether the file of an upload is open already.
    pub(super) fn is_open(&self, upload: UploadId) -> bool {
        self.open_files.get(upload).is_some()
    }

    pub(super) fn open(&self, upload: UploadId) -> io::Result<Arc<OpenFile>> {
        if let Some(file) = self.open_files.get(upload) {
            return Ok(file);
        }
        let file = self.incomplete.open_file(&Name::of_upload(upload))?;
        Ok(self.open_files.keep(upload, OpenFile::new(file)?))
    }

    /// Makes the bytes of an upload durable; its name is [`Self::sync_names`]' part. A file whose
    /// sync failed is not used again.
    pub(super) fn sync_bytes(&self, upload: UploadId) -> io::Result<()> {
        let file = self.open(upload)?;
        let synced = file.sync().and_then(|()| self.incomplete.witness.confirm());
        if synced.is_err() {
            self.open_files.forget_file(upload, &file);
        }
        synced
    }

    /// Those of the uploads whose names may not be on the disk yet.
    pub(super) fn unnamed_among(&self, uploads: &[UploadId]) -> Vec<UploadId> {
        let unnamed = self.unnamed();
        uploads.iter().copied().filter(|upload| unnamed.contains_key(upload)).collect()
    }

    /// Makes the names of these uploads durable, all at once or none.
    pub(super) fn sync_names(&self, uploads: &[UploadId]) -> io::Result<()> {
        let oldest = {
            let unnamed = self.unnamed();
            uploads.iter().filter_map(|upload| unnamed.get(upload).copied()).min()
        };
        let Some(since) = oldest else { return Ok(()) };
        let synced = self.incomplete.sync(since);
        let mut unnamed = self.unnamed();
        for upload in uploads {
            if synced.is_ok() {
                unnamed.remove(upload);
            } else if let Some(since) = unnamed.get_mut(upload) {
                // It is being told: its next sync is a new try.
                *since = self.incomplete.failures();
            }
        }
        synced
    }

    /// Errors: of the kind `AlreadyExists` if there is a finished file of that name.
    pub(super) fn publish(&self, upload: UploadId, name: &PublishedName) -> io::Result<()> {
        let (gone, there) = (self.incomplete.failures(), self.completed.failures());
        match self.finish(upload, name) {
            // A former call came as far as the rename.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && self.published_len(name)?.is_some() => {}
            finished => finished?,
        }
        self.open_files.forget(upload);
        self.unnamed().remove(&upload);
        // The new name first: to lose power in between may leave two names, but never none.
        self.completed.sync(there)?;
        self.incomplete.sync(gone)
    }

    fn finish(&self, upload: UploadId, name: &PublishedName) -> io::Result<()> {
        self.sync_bytes(upload)?;
        let (old, new) = (Name::of_upload(upload), Name::of_published(name));
        self.incomplete.rename(&old, &self.completed, &new)?;
        self.cuts.note_renamed(&old, &new);
        Ok(())
    }

    /// Its folder is not synced: if power is lost and the file comes back, it is an upload that
    /// nobody knows, and goes the way of those. Nothing was promised on its being gone.
    pub(super) fn discard(&self, upload: UploadId) -> io::Result<()> {
        self.unnamed().remove(&upload);
        let removed = self.cuts.take_away(&self.incomplete, &Name::of_upload(upload));
        // Only now: whoever opened it anew before it was removed would keep its blocks.
        self.open_files.forget(upload);
        removed
    }

    pub(super) fn len(&self, upload: UploadId) -> io::Result<Option<u64>> {
        self.incomplete.len(&Name::of_upload(upload))
    }

    pub(super) fn published_len(&self, name: &PublishedName) -> io::Result<Option<u64>> {
        self.completed.len(&Name::of_published(name))
    }

    pub(super) fn read_published(
        &self,
        name: &PublishedName,
        offset: u64,
        bytes: &mut [u8],
    ) -> io::Result<()> {
        let file = self.completed.open_to_read(&Name::of_published(name))?;
        durable::read_exact_at(&file, offset, bytes)
    }

    /// The folder is synced even if the file is not there: a former call may not have come so far.
    pub(super) fn unpublish(&self, name: &PublishedName) -> io::Result<()> {
        let since = self.completed.failures();
        self.cuts.take_away(&self.completed, &Name::of_published(name))?;
        self.completed.sync(since)
    }

    pub(super) fn set_aside(&self, key: &TrashKey, note: &Bytes) -> io::Result<bool> {
        let (from, name) = (self.folder_of(key), Name::of_origin(&key.origin));
        let set_aside = || self.bin.set_aside(from, key, note);
        let was_there = self.cuts.move_away((from, &name), set_aside)?;
        // Only now, as in `discard`.
        if let Origin::Incomplete(upload) = key.origin {
            self.unnamed().remove(&upload);
            self.open_files.forget(upload);
        }
        Ok(was_there)
    }

    pub(super) fn bring_back(&self, key: &TrashKey) -> io::Result<()> {
        self.bin.bring_back(key, self.folder_of(key))
    }

    fn folder_of(&self, key: &TrashKey) -> &Folder {
        match key.origin {
            Origin::Incomplete(_) => &self.incomplete,
            Origin::Completed(_) => &self.completed,
        }
    }

    pub(super) fn bin(&self) -> &Bin {
        &self.bin
    }

    pub(super) fn uploads(&self) -> io::Result<Vec<UploadId>> {
        Ok(self.incomplete.list()?.iter().filter_map(|name| Name::to_upload(name)).collect())
    }

    pub(super) fn published(&self) -> io::Result<Vec<PublishedName>> {
        Ok(self.completed.list()?.iter().filter_map(|name| PublishedName::parse(name)).collect())
    }

    pub(super) fn space(&self) -> io::Result<Space> {
        // What a backup needs no more is room. If it cannot be removed now, the sweep says so.
        self.clear_cuts().ok();
        self.incomplete.space()
    }

    /// The marks of the folders.
    pub(super) fn marks(&self) -> io::Result<Vec<Option<Mark>>> {
        self.folders().into_iter().map(Folder::mark).collect()
    }

    pub(super) fn set_mark(&self, mark: Mark) -> io::Result<()> {
        self.folders().into_iter().try_for_each(|folder| folder.set_mark(mark))
    }

    fn folders(&self) -> [&Folder; 3] {
        [&self.incomplete, &self.completed, self.bin.root()]
    }

    pub(super) fn check_writable(&self) -> io::Result<()> {
        check_writable(&self.incomplete)?;
        check_writable(&self.completed)
    }

    fn unnamed(&self) -> MutexGuard<'_, HashMap<UploadId, Failures>> {
        // A panic under this lock leaves nothing half-done.
        self.unnamed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn open_file_count(&self) -> usize {
        self.open_files.count()
    }
}

/// Writes, syncs and removes a file of one byte: a full disk may still have room for empty ones.
fn check_writable(folder: &Folder) -> io::Result<()> {
    let probe = Name::of_probe();
    let file = folder.create(&probe, 1)?;
    durable::write_all_at(&file, 0, &[Bytes::from_static(b"?")])?;
    durable::sync_bytes(&file)?;
    folder.remove(&probe)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::{
        upload::{CreativeId, FileName},
        witness::Witness,
    };

    #[test]
    fn a_sync_that_is_not_confirmed_is_none() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let folder = |name| Folder::open(&root.path().join(name)).expect("a folder");
        let doubtful = |name| {
            let mut folder = folder(name);
            folder.witness = Witness::failing();
            folder
        };
        let id = UploadId::new();
        let filename = FileName::new("a.png").expect("short");
        let name = PublishedName::new(CreativeId::new(), &filename);

        let disk = Disk::new(doubtful("incomplete"), folder("completed"), folder("trash"));
        disk.create(id, 3).expect("create");
        disk.sync_bytes(id).expect_err("not confirmed");
        disk.sync_names(&[id]).expect_err("not confirmed");
        disk.publish(id, &name).expect_err("not confirmed");
        assert_eq!(disk.len(id).expect("look"), Some(3), "it was not moved");

        let disk = Disk::new(folder("incomplete"), doubtful("completed"), folder("trash"));
        disk.publish(id, &name).expect_err("not confirmed");
    }

    #[test]
    fn a_file_that_cannot_be_synced_is_not_published() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let [incomplete, completed, trash] = ["incomplete", "completed", "trash"]
            .map(|folder| Folder::open(&root.path().join(folder)).expect("a folder"));
        let disk = Disk::new(incomplete, completed, trash);
        let id = UploadId::new();
        disk.create(id, 3).expect("create");
        disk.open_files.forget(id);
        // The null device has nothing to sync, and says so.
        let null = File::open("/dev/null").expect("the null device");
        disk.open_files.keep(id, OpenFile::new(null).expect("a file"));
        let filename = FileName::new("a.png").expect("short");
        let name = PublishedName::new(CreativeId::new(), &filename);
        disk.publish(id, &name).expect_err("its bytes are not safe");
        assert_eq!(disk.published_len(&name).expect("look"), None);
        assert_eq!(disk.len(id).expect("look"), Some(3));
    }
}
