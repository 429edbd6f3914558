//! What the kernel remembers of the files of the catalog, and what is to be done about it when the
//! disk fails.

use std::path::Path;

use rustix::fs::{Advice, Mode, OFlags, fadvise, open};

/// Has the kernel read a file from the disk again, but for what is still to be written.
///
/// What a flush could not write stays in its memory as if it had been written; there it looks sound
/// until the power goes. And ext4, when it is written again to the same place, says that it is
/// flushed and leaves the place marked as never written (seen on Linux 6.18).
pub(super) fn forget(path: &Path) {
    // A file that is not there has nothing to forget. All else is for SQLite to find out.
    if let Ok(file) = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        fadvise(file, 0, None, Advice::DontNeed).ok();
    }
}

/// As [`forget`], for the file of a database and its journal.
pub(super) fn forget_all(path: &Path) {
    forget(path);
    let mut journal = path.as_os_str().to_owned();
    journal.push("-wal");
    forget(journal.as_ref());
}
