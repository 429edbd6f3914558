//! Room on the disk: how much there is, and how it is reserved.

use std::{io, os::fd::AsFd, sync::atomic::Ordering};

use rustix::{
    fs::{AtFlags, FallocateFlags, Stat},
    io::{Errno, retry_on_intr},
};

use super::{Space, durable::Folder};

/// The unit of `st_blocks`, in bytes, whatever the file system's own is.
const STAT_BLOCK_LEN: u64 = 512;

/// What a file was given for its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allocated {
    /// Room on the disk.
    Reserved,
    /// Only the length: the file system cannot reserve.
    Promised,
}

/// Reserves `len` bytes, and makes a shorter file that long: an upload that does not fit is refused
/// with its first chunk, not its last.
///
/// Where the file system cannot reserve, the file only gets its length, and a write may find the
/// disk full.
pub(super) fn allocate(file: &impl AsFd, len: u64) -> io::Result<Allocated> {
    if len == 0 {
        return Ok(Allocated::Reserved); // fallocate refuses to reserve nothing
    }
    match retry_on_intr(|| rustix::fs::fallocate(file, FallocateFlags::empty(), 0, len)) {
        Ok(()) => Ok(Allocated::Reserved),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
            let now = u64::try_from(rustix::fs::fstat(file)?.st_size).unwrap_or_default();
            if now < len {
                rustix::fs::ftruncate(file, len)?;
            }
            Ok(Allocated::Promised)
        }
        Err(errno) => Err(errno.into()),
    }
}

impl Folder {
    /// The room that is left to us.
    pub(super) fn space(&self) -> io::Result<Space> {
        // Before the room is asked for: what is written in between counts twice, never not at all.
        let is_promised = self.promises.load(Ordering::Relaxed);
        let taken = if is_promised { promised(&self.handle(), &self.list()?)? } else { 0 };
        let mut space = space(&self.handle())?;
        space.free = space.free.saturating_sub(taken);
        Ok(space)
    }
}

/// The room around this folder, without what is kept for root.
fn space(folder: &impl AsFd) -> io::Result<Space> {
    let stat = rustix::fs::fstatvfs(folder)?;
    Ok(Space {
        free: stat.f_bavail.saturating_mul(stat.f_frsize),
        total: stat.f_blocks.saturating_mul(stat.f_frsize),
    })
}

/// By how many bytes these files of the folder are longer than what they occupy: room that was
/// promised to them where the file system cannot reserve it.
fn promised(folder: &impl AsFd, names: &[String]) -> io::Result<u64> {
    let mut promised: u64 = 0;
    for name in names {
        match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => {
                let len = u64::try_from(stat.st_size).unwrap_or_default();
                promised = promised.saturating_add(len.saturating_sub(occupied(&stat)));
            }
            Err(Errno::NOENT) => {} // gone meanwhile
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(promised)
}

/// How many bytes of the disk a file takes.
pub(super) fn occupied(stat: &Stat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or_default().saturating_mul(STAT_BLOCK_LEN)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_file_that_has_only_its_length_was_promised_the_rest() {
        let folder = tempfile::tempdir().expect("a folder");
        let sparse = File::create(folder.path().join("sparse")).expect("a file");
        sparse.set_len(1 << 20).expect("a length");
        let reserved = File::create(folder.path().join("reserved")).expect("a file");
        let names = ["sparse", "reserved", "gone"].map(String::from);
        let handle = File::open(folder.path()).expect("the folder");
        // Where the file system cannot reserve, both files are only promised their room.
        let expected = match allocate(&reserved, 1 << 20).expect("there is room") {
            Allocated::Reserved => 1 << 20,
            Allocated::Promised => 2 << 20,
        };
        assert_eq!(promised(&handle, &names).expect("counted"), expected);
    }
}
