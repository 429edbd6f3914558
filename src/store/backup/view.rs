//! The tool's side of a cut: where a file is that the snapshot names.

use std::{fs::File, io, path::Path};

use rustix::{
    fs::{FlockOperation, flock},
    io::retry_on_intr,
};
use uuid::Uuid;

use super::{CUTS, cuts};
use crate::{
    store::{Folders, OpenError, PublishedName, StoreError, durable::Folder, name::Name},
    upload::{UploadId, limits::CUT_CLAIMS_MAX},
};

/// The folders as they were when a cut was made. The cut ends when this is dropped, and what was
/// kept for it is removed.
#[derive(Debug)]
pub struct CutView {
    incomplete: Folder,
    completed: Folder,
    /// Locked.
    cut: Folder,
    id: String,
}

impl CutView {
    /// Makes and locks the folder of a cut, of which a server can be asked from then on. Blocks.
    pub fn claim(folders: Folders<'_>) -> Result<Self, OpenError> {
        let open = |path: &Path| Folder::open_existing(path).map_err(unusable(path));
        let (incomplete, completed) = (open(folders.incomplete)?, open(folders.completed)?);
        let id = Uuid::new_v4().to_string();
        for _ in 0..CUT_CLAIMS_MAX {
            let made = make(&incomplete, &id).map_err(unusable(folders.incomplete))?;
            if let Some(cut) = made {
                return Ok(Self { incomplete, completed, cut, id });
            }
        }
        let error = io::Error::other("its folder .backup is removed again and again");
        Err(unusable(folders.incomplete)(error))
    }

    /// What the cut is called.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The snapshot of the catalog.
    pub(super) fn catalog(&self) -> io::Result<File> {
        self.cut.open_to_read(&Name::of_entry(super::CUT_CATALOG))
    }

    /// A finished file, and the folder it is in.
    pub(super) fn finished(&self, name: &PublishedName) -> io::Result<Option<(File, &Folder)>> {
        let name = Name::of_published(name);
        first(&[(&self.completed, &name), (&self.cut, &name)])
    }

    /// The bytes of an upload that was running: it may have been published since, and then deleted.
    pub(super) fn part(
        &self,
        upload: UploadId,
        published: &PublishedName,
    ) -> io::Result<Option<File>> {
        let (name, published) = (Name::of_upload(upload), Name::of_published(published));
        // In the order in which files move.
        let places = [
            (&self.incomplete, &name),
            (&self.completed, &published),
            (&self.cut, &name),
            (&self.cut, &published),
        ];
        Ok(first(&places)?.map(|(file, _)| file))
    }

    /// How many bytes of a part are there to be copied, for a progress bar.
    pub fn part_len(&self, upload: UploadId) -> Result<Option<u64>, StoreError> {
        let len = self.incomplete.len(&Name::of_upload(upload));
        len.map_err(|source| StoreError::from_io("look for an upload", source))
    }

    /// Ends as a tool that is killed: the kernel releases the lock, and nothing else is done.
    #[cfg(test)]
    pub(super) fn die(self) {
        flock(self.cut.handle(), FlockOperation::Unlock).expect("it was locked");
        std::mem::forget(self);
    }
}

impl Drop for CutView {
    /// What cannot be removed now, the server removes.
    fn drop(&mut self) {
        if let Ok(Some(all)) = self.incomplete.within(&Name::of_entry(CUTS)) {
            cuts::remove(&all, &self.id, &self.cut).ok();
            self.incomplete.remove_within(&Name::of_entry(CUTS)).ok();
        }
    }
}

/// Makes the folder of a cut. Nothing if a server removed it before it was locked: one that starts
/// removes cuts that nobody has locked, and whoever ends one removes the folder of them all.
fn make(incomplete: &Folder, id: &str) -> io::Result<Option<Folder>> {
    let made = || -> io::Result<Folder> {
        let all = incomplete.make_within(&Name::of_entry(CUTS))?;
        let cut = all.make_within(&Name::of_entry(id))?;
        retry_on_intr(|| flock(cut.handle(), FlockOperation::LockShared))?;
        let all = incomplete.within(&Name::of_entry(CUTS))?.ok_or(io::ErrorKind::NotFound)?;
        all.within(&Name::of_entry(id))?.ok_or(io::ErrorKind::NotFound)?;
        Ok(cut)
    };
    match made() {
        Ok(cut) => Ok(Some(cut)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn unusable(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Folder { path, source }
}

/// The first of these files that is there.
fn first<'a>(places: &[(&'a Folder, &Name)]) -> io::Result<Option<(File, &'a Folder)>> {
    for (folder, name) in places {
        match folder.open_to_read(name) {
            Ok(file) => return Ok(Some((file, folder))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
