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

use rustix::{
    fs::{FlockOperation, FsWord, flock, statfs},
    io::{Errno, retry_on_intr},
    process::{Resource, getrlimit},
};

use crate::{catalog::CatalogError, owner::give_to_owner_of};

/// How large this process may make a file, in bytes (`ulimit -f`); nothing if there is no limit.
pub(super) fn len_max() -> Option<u64> {
    getrlimit(Resource::Fsize).current
}

/// The group may read it, to back it up.
const MODE: u32 = 0o640;
/// What others may do.
const OTHERS: u32 = 0o007;

/// That no other process writes to a database, whatever folders it uses: a lock on the file itself,
/// which the kernel gives back however the process ends.
///
/// Not one of the locks that `SQLite` takes. But to close a file takes those away: so this is to be
/// dropped only after the catalog was closed.
#[derive(Debug)]
pub struct DatabaseLock(#[expect(dead_code, reason = "held, not used")] fs::File);

impl DatabaseLock {
    /// Locks a database; nothing if none is there. Blocks for a moment.
    ///
    /// Errors: [`CatalogError::InUse`] if another process has the lock.
    pub fn of_existing(path: &Path) -> Result<Option<Self>, CatalogError> {
        refuse_link(path)?;
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unavailable(error)),
        };
        match retry_on_intr(|| flock(&file, FlockOperation::NonBlockingLockExclusive)) {
            Ok(()) => Ok(Some(Self(file))),
            Err(Errno::WOULDBLOCK) => Err(CatalogError::InUse),
            Err(errno) => Err(unavailable(errno.into())),
        }
    }

    /// As [`Self::of_existing`]; makes the file, empty, if it is not there.
    pub fn of(path: &Path) -> Result<Self, CatalogError> {
        make(path)?;
        Self::of_existing(path)?.ok_or_else(|| unavailable(io::ErrorKind::NotFound.into()))
    }
}

/// Makes the database with its mode, if it is not there, before `SQLite` makes it with another. The
/// journal and its index get what the database has.
pub(super) fn make(path: &Path) -> Result<(), CatalogError> {
    match OpenOptions::new().write(true).create_new(true).mode(MODE).open(path) {
        Ok(file) => {
            // Whatever the umask took away from it.
            file.set_permissions(Permissions::from_mode(MODE)).map_err(unavailable)?;
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = fs::File::open(folder.unwrap_or(Path::new("."))).map_err(unavailable)?;
            give_to_owner_of(&folder, &file).map_err(unavailable)
        }
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
