//! Where bytes live: the [`ChunkStore`] and its implementations.
//!
//! A store knows uploads by [`UploadId`] and finished files by [`PublishedName`]; both are made by
//! us. It knows nothing of users, names, checksums or states, and nobody above it sees a path.

pub mod backup;
mod bin;
#[cfg(any(test, feature = "testing"))]
pub mod contract;
mod disk;

mod durable;
mod fs;
mod made;
mod marked;
#[cfg(any(test, feature = "testing"))]
mod memory;
mod name;
mod nested;
mod open_files;
mod place;
mod room;
mod survey;
mod trash;
mod view;

use std::{fmt, io};

use async_trait::async_trait;
use bytes::Bytes;
use rustix::io::Errno;

#[cfg(any(test, feature = "testing"))]
pub use self::memory::{MemoryStore, StoreOp};
pub use self::{
    fs::FsStore,
    place::{Folders, OpenError},
    survey::FolderSurvey,
    trash::{Origin, TrashKey, TrashSize, Trashed},
    view::{Found, StoreView},
};
use crate::upload::{ByteRange, CreativeId, FileName, Mark, UploadId, limits};

/// The bytes of uploads on their way in, and of the files that came of them.
///
/// Contract (held by `store::contract` for every implementation):
///
/// * An upload is created once, at its full length, and written in any order; each range is written
///   by one caller at a time.
/// * A published name is absent or whole, and whole means durable.
/// * [`ChunkStore::discard`], [`ChunkStore::unpublish`] and [`ChunkStore::publish`] may be repeated
///   after a crash or an error, with the same end. So may the operations of the trash.
/// * What was set aside stays as it was, bytes and note, until it is brought back or emptied.
///
/// Cancel safety: none of the futures may be dropped half-way by a caller who then goes on to use
/// the same upload; work that was begun on a blocking thread runs to its end.
#[async_trait]
pub trait ChunkStore: fmt::Debug + Send + Sync + 'static {
    /// Makes room for an upload of `total` bytes, all of them reserved.
    ///
    /// An upload that is there already is begun anew, empty. Not durable before [`Self::sync`].
    /// An upload for which there is no room is not there afterwards.
    async fn create(&self, upload: UploadId, total: u64) -> Result<(), StoreError>;

    /// Lengthens an upload to `total` bytes, all of them reserved. Never shortens one.
    async fn grow(&self, upload: UploadId, total: u64) -> Result<(), StoreError>;

    /// Writes `frames`, one after the other, from `offset` on. All of them or an error; after an
    /// error any of the bytes may have been written, but never one past the end of the upload.
    async fn write(
        &self,
        upload: UploadId,
        offset: u64,
        frames: Vec<Bytes>,
    ) -> Result<(), StoreError>;

    /// Reads exactly `range` of an upload that is not published yet. The caller keeps ranges to at
    /// most [`crate::upload::limits::READ_LEN_MAX`] bytes.
    async fn read(&self, upload: UploadId, range: ByteRange) -> Result<Bytes, StoreError>;

    /// Makes everything that was written to these uploads survive loss of power, their existence
    /// included. One result for each upload, in order.
    ///
    /// After an error what was written since the last success is lost, whatever a later call says
    /// (a failed fsync forgets): the caller must forget it, too.
    async fn sync(&self, uploads: &[UploadId]) -> Vec<Result<(), StoreError>>;

    /// Turns a fully written upload into a finished file, durably: sync, rename, sync the folders.
    /// Never replaces a file. If the upload is gone and the name is there, a former call did it:
    /// its last step is repeated and that is a success.
    ///
    /// Errors: [`StoreError::Exists`] if both are there. After any other the bytes are in the doubt
    /// that a failed [`Self::sync`] leaves: a caller who syncs first, and publishes after that has
    /// succeeded, has no bytes to lose here.
    async fn publish(&self, upload: UploadId, name: &PublishedName) -> Result<(), StoreError>;

    /// Removes an upload. No error if it is not there.
    async fn discard(&self, upload: UploadId) -> Result<(), StoreError>;

    /// Whether bytes of this upload are here, unpublished; and how long the file is.
    async fn len(&self, upload: UploadId) -> Result<Option<u64>, StoreError>;

    /// The length of a finished file in bytes, if it is there.
    async fn published_len(&self, name: &PublishedName) -> Result<Option<u64>, StoreError>;

    /// Reads exactly `range` of a finished file, under the same bound as [`Self::read`].
    async fn read_published(
        &self,
        name: &PublishedName,
        range: ByteRange,
    ) -> Result<Bytes, StoreError>;

    /// Removes a finished file, durably. No error if it is not there.
    async fn unpublish(&self, name: &PublishedName) -> Result<(), StoreError>;

    /// Moves a file to the trash, durably, and keeps `note` beside it: at most
    /// [`crate::upload::limits::TRASH_NOTE_LEN_MAX`] bytes, whatever the caller wants to know of
    /// it later. A disk that is too full for the note keeps the file without one. Returns whether
    /// there was such a file.
    async fn set_aside(&self, key: &TrashKey, note: Bytes) -> Result<bool, StoreError>;

    /// What is in the trash, the oldest first.
    async fn trash(&self) -> Result<Vec<Trashed>, StoreError>;

    /// How much is in the trash. The work does not grow with that, as a rule.
    async fn trash_size(&self) -> Result<TrashSize, StoreError> {
        Ok(self.trash().await?.iter().collect())
    }

    /// The note that was kept beside a file in the trash.
    async fn read_note(&self, key: &TrashKey) -> Result<Bytes, StoreError>;

    /// Reads exactly `range` of a file in the trash, under the same bound as [`Self::read`].
    async fn read_trashed(&self, key: &TrashKey, range: ByteRange) -> Result<Bytes, StoreError>;

    /// Moves a file from the trash back to where it was, durably. Its note stays, until
    /// [`Self::empty`]. Never replaces a file. If it is not in the trash any more and its old name
    /// is there, a former call did it, and that is a success.
    async fn bring_back(&self, key: &TrashKey) -> Result<(), StoreError>;

    /// Removes a file and its note from the trash for good. No error if they are not there.
    async fn empty(&self, key: &TrashKey) -> Result<(), StoreError>;

    /// The uploads that are here, unpublished.
    async fn uploads(&self) -> Result<Vec<UploadId>, StoreError>;

    /// The finished files that are here.
    async fn published(&self) -> Result<Vec<PublishedName>, StoreError>;

    /// What each folder is marked with, if it is.
    async fn marks(&self) -> Result<Vec<Option<Mark>>, StoreError>;

    /// Marks every folder, durably, in place of the mark that it has. After an error some folders
    /// may have the new one.
    async fn set_mark(&self, mark: Mark) -> Result<(), StoreError>;

    /// How much room there is. What was given to the uploads that are here is not free, written or
    /// not.
    async fn space(&self) -> Result<Space, StoreError>;

    /// Removes what was kept for a backup that has ended. Every sweep asks for it.
    async fn tidy(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Whether the store can be written to at this moment: creates, syncs and removes a probe.
    async fn check_writable(&self) -> Result<(), StoreError>;
}

/// The memory of one read is bounded by its caller: see [`ChunkStore::read`].
fn assert_readable(range: ByteRange) {
    assert!(range.len() <= limits::READ_LEN_MAX as u64, "a read of {range} at once");
}

/// A longer note could be written and not be read, see [`ChunkStore::set_aside`].
fn assert_note(note: &Bytes) {
    assert!(note.len() as u64 <= limits::TRASH_NOTE_LEN_MAX, "a note of {} bytes", note.len());
}

/// Room in a store, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// How much can still be written.
    pub free: u64,
    /// How much there is in all.
    pub total: u64,
}

/// The name of a finished file: `<creative id>.<extension>`.
///
/// Made of our own id and of an extension that is harmless by construction
/// ([`FileName::extension`]); files without one are called `.bin`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublishedName {
    id: CreativeId,
    extension: String,
}

impl PublishedName {
    /// The name of the file that this creative records.
    #[must_use]
    pub fn new(id: CreativeId, filename: &FileName) -> Self {
        Self { id, extension: filename.extension().unwrap_or_else(|| "bin".into()) }
    }

    /// The creative whose file this is.
    #[must_use]
    pub fn id(&self) -> CreativeId {
        self.id
    }

    /// Reads a name as [`fmt::Display`] writes it; nothing for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (id, _) = text.split_once('.')?;
        let name = Self::new(id.parse().ok()?, &FileName::new(text).ok()?);
        (name.to_string() == text).then_some(name)
    }
}

impl fmt::Display for PublishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.id, self.extension)
    }
}

impl fmt::Debug for PublishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No room: disk, quota or inodes.
    #[error("no space left to {op}")]
    NoSpace {
        /// What was being done.
        op: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// What was asked for is not there, or shorter than asked.
    #[error("cannot {op}: it is not there, or too short")]
    NotFound {
        /// What was being done.
        op: &'static str,
    },
    /// A finished file of that name is there already, and the upload, too.
    #[error("{name} is published already")]
    Exists {
        /// The name.
        name: PublishedName,
    },
    /// Anything else.
    #[error("cannot {op}")]
    Io {
        /// What was being done.
        op: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl StoreError {
    /// Whether it says nothing of the file: memory or descriptors are used up for the moment.
    #[must_use]
    pub fn is_shortage(&self) -> bool {
        const SHORTAGES: [Errno; 3] = [Errno::MFILE, Errno::NFILE, Errno::NOMEM];
        let Self::Io { source, .. } = self else { return false };
        Errno::from_io_error(source).is_some_and(|errno| SHORTAGES.contains(&errno))
    }

    /// Sorts what the system said by what the caller can do about it.
    #[must_use]
    pub fn from_io(op: &'static str, source: io::Error) -> Self {
        use io::ErrorKind::{FileTooLarge, NotFound, QuotaExceeded, StorageFull, UnexpectedEof};
        match source.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => Self::NoSpace { op, source },
            NotFound | UnexpectedEof => Self::NotFound { op },
            _ => Self::Io { op, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_of_the_process_says_nothing_of_the_file() {
        let error = |errno: Errno| StoreError::from_io("read from an upload", errno.into());
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM] {
            assert!(error(errno).is_shortage(), "{errno}");
        }
        for errno in [Errno::IO, Errno::NOENT, Errno::NOSPC, Errno::ROFS] {
            assert!(!error(errno).is_shortage(), "{errno}");
        }
        let other = StoreError::from_io("read from an upload", io::Error::other("a panic"));
        assert!(!other.is_shortage());
    }
}
