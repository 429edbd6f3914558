//! Folders that are made here, and who may look into what is made.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{Mode, OFlags},
    io::{Errno, retry_on_intr},
};

use crate::owner::give_to_owner_of;

/// Folders: the server and its group look inside, nobody else.
pub(super) const FOLDER_MODE: Mode = Mode::from_raw_mode(0o750);
/// Files: the group may read them, to serve or to back them up.
pub(super) const FILE_MODE: Mode = Mode::from_raw_mode(0o640);

/// Opens a folder, by way of links if the operator has made some.
pub(super) fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))?)
}

/// Makes a folder and its parents. Each new name is synced at once: files in a folder that is gone
/// after a power cut would be gone, too.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let make = || match rustix::fs::mkdir(path, FOLDER_MODE) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(errno) => Err(errno),
    };
    let is_new = match make() {
        Err(Errno::NOENT) if parent != Path::new(".") => {
            make_folder(parent)?;
            // Once more and no oftener: in /proc nothing can be made although the parent exists.
            make()
        }
        result => result,
    };
    if !is_new? {
        return Ok(());
    }
    let (folder, parent) = (open_folder(path)?, open_folder(parent)?);
    set_mode(&folder, FOLDER_MODE)?;
    give_to_owner_of(&parent, &folder)?;
    Ok(retry_on_intr(|| rustix::fs::fsync(&parent))?)
}

/// Gives what we have made its mode, whatever the umask of the process took away from it. What is
/// more than permissions stays: that a folder hands its group on, say.
pub(super) fn set_mode(what: impl AsFd, mode: Mode) -> io::Result<()> {
    let permissions = Mode::RWXU | Mode::RWXG | Mode::RWXO;
    let now = Mode::from_raw_mode(rustix::fs::fstat(&what)?.st_mode);
    if now & permissions == mode {
        return Ok(());
    }
    Ok(rustix::fs::fchmod(what, (now - permissions) | mode)?)
}

/// Says what the kernel's word for it does not.
pub(super) fn planted(errno: Errno) -> io::Error {
    match errno {
        Errno::LOOP => io::Error::other("a symbolic link is in the place of a file: remove it"),
        errno => errno.into(),
    }
}
