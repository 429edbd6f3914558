//! The trash: files that were set aside, each with a note about it, until they are brought back or
//! emptied.
//!
//! Whoever takes a file from its place on the word of a catalog puts it here, because that catalog
//! may be older than the file. Here is what such a file is called; where it lies is in
//! [`super::bin`].

use std::fmt;

use super::{PublishedName, name::Name};
use crate::upload::{TrashId, UploadId};

/// Where a file was before it was set aside.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// It was the file of an upload.
    Incomplete(UploadId),
    /// It was a finished file.
    Completed(PublishedName),
}

impl fmt::Display for Origin {
    /// The name that the file had.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Name::of_origin(self).0)
    }
}

/// What names a file in the trash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrashKey {
    /// Which file, and since when it is there.
    pub id: TrashId,
    /// Where it was.
    pub origin: Origin,
}

impl fmt::Display for TrashKey {
    /// The name of the file, below the trash folder.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.id.day(), Name::of_trashed(self).0)
    }
}

/// How much is in the trash.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TrashSize {
    /// How many files.
    pub files: u64,
    /// How many bytes of the disk they take.
    pub bytes: u64,
}

impl TrashSize {
    pub(super) fn add(&mut self, occupied: u64) {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(occupied);
    }
}

impl<'a> FromIterator<&'a Trashed> for TrashSize {
    fn from_iter<T: IntoIterator<Item = &'a Trashed>>(trash: T) -> Self {
        let mut size = Self::default();
        trash.into_iter().for_each(|trashed| size.add(trashed.occupied));
        size
    }
}

/// A file in the trash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trashed {
    /// Its name.
    pub key: TrashKey,
    /// Its length in bytes. Nothing if only its note is here: the file was brought back, or a crash
    /// came before it was moved.
    pub len: Option<u64>,
    /// How many bytes it takes on the disk: fewer than its length if it has holes.
    pub occupied: u64,
}
