//! The reading half of [`super::FsStore`], for those who do not have the folders: no lock is taken,
//! nothing is made or changed, and a server may be writing meanwhile.

use std::{fmt, io, path::Path};

use bytes::Bytes;

use super::{
    Folders, OpenError, PublishedName, StoreError, TrashKey, Trashed,
    bin::Bin,
    durable::{Entry, Folder},
    name::Name,
};
use crate::upload::UploadId;

/// The folders as a visitor sees them. All calls block.
pub struct StoreView {
    incomplete: Folder,
    completed: Folder,
    /// Not there as long as no server of this version has run.
    bin: Option<Bin>,
}

/// A file in one of the folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<T> {
    /// It has a name that we give.
    Ours(T),
    /// It has another name.
    Foreign(String),
    /// It is no file, whatever its name: a folder, a link, a pipe.
    Odd(String),
}

impl StoreView {
    /// Opens folders that are there.
    pub fn open(folders: Folders<'_>) -> Result<Self, OpenError> {
        let open = |path: &Path| {
            let unusable = |source| OpenError::Folder { path: path.into(), source };
            Folder::open_existing(path).map_err(unusable)
        };
        let bin = match Folder::open_existing(folders.trash) {
            Ok(trash) => Some(Bin::new(trash)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => {
                return Err(OpenError::Folder { path: folders.trash.into(), source });
            }
        };
        let (incomplete, completed) = (open(folders.incomplete)?, open(folders.completed)?);
        Ok(Self { incomplete, completed, bin })
    }

    /// What is in the trash, the oldest first.
    pub fn trash(&self) -> Result<Vec<Trashed>, StoreError> {
        let Some(bin) = &self.bin else { return Ok(Vec::new()) };
        bin.list().map_err(|source| StoreError::from_io("list the trash", source))
    }

    /// The note that was kept beside a file in the trash.
    pub fn read_note(&self, key: &TrashKey) -> Result<Bytes, StoreError> {
        let note = match &self.bin {
            Some(bin) => bin.read_note(key),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        note.map_err(|source| StoreError::from_io("read a note in the trash", source))
    }

    /// Fills all of `bytes` with what is at `offset` of a file in the trash.
    pub fn read_trashed(
        &self,
        key: &TrashKey,
        offset: u64,
        bytes: &mut [u8],
    ) -> Result<(), StoreError> {
        let read = match &self.bin {
            Some(bin) => bin.read(key, offset, bytes),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        read.map_err(|source| StoreError::from_io("read a file in the trash", source))
    }

    /// The length of the file of an upload in bytes, if it is there.
    pub fn upload_len(&self, upload: UploadId) -> Result<Option<u64>, StoreError> {
        let len = self.incomplete.len(&Name::of_upload(upload));
        len.map_err(|source| StoreError::from_io("look for an upload", source))
    }

    /// The length of a finished file in bytes, if it is there.
    pub fn published_len(&self, name: &PublishedName) -> Result<Option<u64>, StoreError> {
        let len = self.completed.len(&Name::of_published(name));
        len.map_err(|source| StoreError::from_io("look for a finished file", source))
    }

    /// A finished file to be read from its start, if it is there.
    pub fn read_published(
        &self,
        name: &PublishedName,
    ) -> Result<Option<impl io::Read + use<>>, StoreError> {
        match self.completed.open_to_read(&Name::of_published(name)) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::from_io("read a finished file", source)),
        }
    }

    /// The files in the folder of uploads, but for hidden ones.
    pub fn uploads(
        &self,
    ) -> Result<impl Iterator<Item = Result<Found<UploadId>, StoreError>>, StoreError> {
        list(&self.incomplete, "list the uploads", Name::to_upload)
    }

    /// The files in the folder of finished files, but for hidden ones.
    pub fn published(
        &self,
    ) -> Result<impl Iterator<Item = Result<Found<PublishedName>, StoreError>>, StoreError> {
        list(&self.completed, "list the finished files", PublishedName::parse)
    }
}

/// Hidden files are passed over: the probes of a server that tries out its folders, and what keeps
/// an empty folder in a repository.
fn list<T>(
    folder: &Folder,
    op: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<impl Iterator<Item = Result<Found<T>, StoreError>>, StoreError> {
    let failed = move |source| StoreError::from_io(op, source);
    let entries = folder.entries().map_err(failed)?;
    let is_hidden = |entry: &Entry| entry.name.as_bytes().starts_with(b".");
    let shown = entries.filter(move |entry| !entry.as_ref().is_ok_and(is_hidden));
    let sort = move |entry: Entry| {
        let text = || entry.name.to_string_lossy().into_owned();
        if !entry.is_regular {
            return Found::Odd(text());
        }
        let ours = entry.name.to_str().ok().and_then(&parse);
        ours.map_or_else(|| Found::Foreign(text()), Found::Ours)
    };
    Ok(shown.map(move |entry| entry.map(&sort).map_err(failed)))
}

/// Without a path: nobody above the store sees one.
impl fmt::Debug for StoreView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreView").finish_non_exhaustive()
    }
}
