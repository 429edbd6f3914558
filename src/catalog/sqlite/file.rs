//! The files of the database: who may read them, and that they are files.
//!
//! None of them is opened here but one that is new: to close a file takes away the locks that
//! `SQLite` has on it in this process.

use std::{
    fs::{self, OpenOptions, Permissions},
    io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{FsWord, statfs};

use crate::catalog::CatalogError;

/// The group may read it, to back it up.
const MODE: u32 = 0o640;
/// What others may do.
const OTHERS: u32 = 0o007;

/// Makes the database with its mode, if it is not there, before `SQLite` makes it with another. The
/// journal and its index get what the database has.
pub(super) fn make(path: &Path) -> Result<(), CatalogError> {
    match OpenOptions::new().write(true).create_new(true).mode(MODE).open(path) {
        // Whatever the umask took away from it.
        Ok(file) => file.set_permissions(Permissions::from_mode(MODE)).map_err(unavailable),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(unavailable(error)),
    }
}

/// Refuses a symbolic link in the place of the database: whoever put it there would choose what we
/// write to. `SQLite` itself refuses one in the place of the journal or its index.
pub(super) fn refuse_link(path: &Path) -> Result<(), CatalogError> {
    if path.is_symlink() {
        let message = "it is a symbolic link: name the file itself in the setting database";
        return Err(CatalogError::Unavailable(message.into()));
    }
    Ok(())
}

/// Whether the file system ends a process that writes to a page it has mapped when there is no room
/// for it (SIGBUS), and `SQLite` shares the index of its journal so: btrfs, which writes no block
/// where it was, on a full disk and at the end of a quota.
#[must_use]
pub fn cannot_map_when_full(path: &Path) -> bool {
    const BTRFS: FsWord = 0x9123_683e;
    statfs(path).is_ok_and(|system| system.f_type == BTRFS)
}

/// Takes from others what an earlier version or somebody else gave them.
pub(super) fn close_to_others(path: &Path) -> Result<(), CatalogError> {
    for path in ["", "-wal", "-shm"].map(|suffix| with_suffix(path, suffix)) {
        match close(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(unavailable(error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn close(path: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    let mode = metadata.permissions().mode();
    if !metadata.is_file() || mode & OTHERS == 0 {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(mode & !OTHERS))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from([path.as_os_str(), suffix.as_ref()].join("".as_ref()))
}

fn unavailable(error: io::Error) -> CatalogError {
    CatalogError::Unavailable(error.into())
}
