//! A second opinion on a flush: whether the file system has given up in the meantime.
//!
//! When ext4 meets an error of the disk it aborts its journal. Whoever waits just then for the
//! transaction that is being written may be told that it is on the disk, and it is not. Seen on
//! Linux 6.18: of 100 aborts during appends with `fdatasync`, 64 lost an append whose flush had
//! returned success. The journal is marked first and the flush returns afterwards; so a call that
//! needs the journal, made after the flush, is refused whenever the flush may have been a lie.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{CWD, FsWord, Mode, OFlags},
    io::{Errno, retry_on_intr},
};

/// What ext2, ext3 and ext4 call themselves. XFS and btrfs tell the truth about a flush.
const EXT4: FsWord = 0xEF53;

/// A file without a name or content, on the file system that is to be watched. Nothing if that does
/// not need it.
#[derive(Debug)]
pub(crate) struct Witness(Option<OwnedFd>);

impl Witness {
    /// Watches nothing.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// Watches the file system of the folder that this path leads to from there.
    pub(crate) fn at(folder: impl AsFd, path: &Path) -> Self {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let open = || rustix::fs::openat(&folder, path, flags, Mode::RUSR | Mode::WUSR);
        match retry_on_intr(open) {
            Ok(file) => Self(Some(file).filter(is_ext4)),
            // Nor can anything else be made there, or the file system is none of those.
            Err(Errno::ROFS | Errno::ACCESS | Errno::OPNOTSUPP | Errno::NOENT) => Self::none(),
            Err(error) => {
                tracing::warn!(%error, "Flushes cannot be confirmed, for want of a file");
                Self::none()
            }
        }
    }

    /// Watches the file system that a file lies on, by its path.
    pub(crate) fn beside(file: &Path) -> Self {
        match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => Self::at(CWD, folder),
            _ => Self::at(CWD, Path::new(".")),
        }
    }

    /// Cuts an empty file to no length: nothing of it is lost, and the journal takes part in it.
    ///
    /// Errors: the flush before it is not to be believed.
    pub(crate) fn confirm(&self) -> io::Result<()> {
        match &self.0 {
            Some(file) => Ok(retry_on_intr(|| rustix::fs::ftruncate(file, 0))?),
            None => Ok(()),
        }
    }

    /// One that never confirms.
    #[cfg(test)]
    pub(crate) fn failing() -> Self {
        let null = rustix::fs::open("/dev/null", OFlags::RDONLY, Mode::empty());
        Self(Some(null.expect("the null device")))
    }
}

fn is_ext4(file: &OwnedFd) -> bool {
    rustix::fs::fstatfs(file).is_ok_and(|fs| fs.f_type == EXT4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_healthy_file_system_confirms_and_shows_nothing_of_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let witness = Witness::beside(&folder.path().join("a.db"));
        let format = rustix::fs::statfs(folder.path()).expect("a file system").f_type;
        assert_eq!(witness.0.is_some(), format == 0xEF53, "ext4, and no other");
        witness.confirm().expect("it is healthy");
        assert_eq!(folder.path().read_dir().expect("a list").count(), 0);
        Witness::failing().confirm().expect_err("it is not");
    }
}
