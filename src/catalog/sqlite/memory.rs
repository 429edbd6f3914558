//! What the kernel remembers of the files of the catalog, and what is to be done about it when the
//! disk fails.

use std::{fs::File, path::Path};

use rustix::fs::{Advice, fadvise};

/// The file of a database, for as long as it is in use.
///
/// To close a file takes away every lock that this process has on it, and so `SQLite`'s: this must
/// not be dropped before the last connection is.
#[derive(Debug)]
pub(super) struct Memory(Option<File>);

impl Memory {
    /// Of the database at this path.
    pub(super) fn of(path: &Path) -> Self {
        // A file that is not there has nothing to forget. All else is for SQLite to find out.
        Self(File::open(path).ok())
    }

    /// Has the kernel read the file from the disk again, but for what is still to be written.
    ///
    /// What a flush could not write stays in its memory as if it had been written; there it looks
    /// sound until the power goes. And ext4, when it is written again to the same place, says that
    /// it is flushed and leaves the place marked as never written (seen on Linux 6.18).
    pub(super) fn forget(&self) {
        if let Some(file) = &self.0 {
            fadvise(file, 0, None, Advice::DontNeed).ok();
        }
    }
}

/// As [`Memory::forget`], for a database that nobody has open, and its journal.
pub(super) fn forget_all(path: &Path) {
    Memory::of(path).forget();
    let mut journal = path.as_os_str().to_owned();
    journal.push("-wal");
    Memory::of(journal.as_ref()).forget();
}
