//! Copies one file: by sharing its blocks where the file system can, or else byte by byte.

use std::{
    fs::{File, FileTimes},
    io,
    os::unix::fs::FileExt,
    time::{Duration, SystemTime},
};

use rustix::{
    fs::{AtFlags, SeekFrom, ioctl_ficlone},
    io::{Errno, retry_on_intr},
};

use crate::{
    store::{
        durable::{Folder, sync_bytes},
        name::Name,
        room,
    },
    upload::{
        DigestKinds, FileDigest, Hashing,
        limits::{COPY_SETTLED, READ_LEN_MAX},
    },
};

/// How a copy came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// It shares its blocks with the original until one of the two is written to.
    Cloned,
    /// It is the original, under a second name.
    Linked,
    /// Its bytes were copied.
    Copied,
}

/// Told of bytes that were dealt with.
pub(super) type Tell<'a> = &'a mut dyn FnMut(u64);

/// The suffix of a copy that is not whole yet.
pub(super) const PARTIAL: &str = ".partial";

/// Gives a file that never changes a second name. Nothing if the file system cannot.
pub(super) fn link(
    (from, name): (&Folder, &Name),
    (to, new): (&Folder, &Name),
) -> io::Result<Option<How>> {
    let linked = rustix::fs::linkat(from.handle(), &name.0, to.handle(), &new.0, AtFlags::empty());
    match linked {
        Ok(()) => Ok(Some(How::Linked)),
        // Another file system, one without links, a file with too many, or not ours to link.
        Err(Errno::XDEV | Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Shares the blocks of a file with a new one. Nothing if the file system cannot.
pub(super) fn clone(from: &File, (to, new): (&Folder, &Name)) -> io::Result<Option<How>> {
    let partial = Name(format!("{}{PARTIAL}", new.0));
    let file = to.create(&partial, 0)?;
    if ioctl_ficlone(&file, from).is_err() {
        to.remove(&partial)?;
        return Ok(None);
    }
    sync_bytes(&file)?;
    to.rename(&partial, to, new)?;
    Ok(Some(How::Cloned))
}

/// What is wanted of a copy.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wish {
    /// It is at least so long.
    pub(super) len: u64,
    /// Its room is reserved.
    pub(super) reserved: bool,
}

/// Copies an open file to a new name; whole and durable, or not there. The copy keeps the time of
/// the last change if that is long enough ago to tell any later change from it.
pub(super) fn copy(
    from: &File,
    (to, new): (&Folder, &Name),
    wish: Wish,
    tell: Tell<'_>,
) -> io::Result<How> {
    let partial = Name(format!("{}{PARTIAL}", new.0));
    let changed = from.metadata()?.modified()?;
    let is_settled = changed + COPY_SETTLED < now();
    let file = to.create(&partial, 0)?;
    let made = fill(from, &file, wish, tell).and_then(|how| {
        if is_settled {
            file.set_times(FileTimes::new().set_modified(changed))?;
        }
        sync_bytes(&file)?;
        to.rename(&partial, to, new)?;
        Ok(how)
    });
    if made.is_err() {
        // What stays is begun anew by the next try.
        to.remove(&partial).ok();
    }
    made
}

/// By the clock that file systems date with.
#[expect(clippy::disallowed_methods, reason = "it is compared with the times of files")]
fn now() -> SystemTime {
    SystemTime::now()
}

fn fill(from: &File, to: &File, wish: Wish, tell: Tell<'_>) -> io::Result<How> {
    let len = from.metadata()?.len();
    let how = if ioctl_ficlone(to, from).is_ok() {
        tell(len);
        How::Cloned
    } else {
        copy_data(from, to, len, tell)?;
        How::Copied
    };
    // A file that was just being begun anew when it was copied, or that ends with a hole.
    let len = len.max(wish.len);
    if wish.reserved {
        room::allocate(to, len)?;
    }
    rustix::fs::ftruncate(to, len)?;
    Ok(how)
}

/// Copies what was written, and leaves holes where nothing was.
fn copy_data(from: &File, to: &File, len: u64, tell: Tell<'_>) -> io::Result<()> {
    let mut buffer = vec![0; READ_LEN_MAX];
    let mut at = 0;
    while let Some((start, end)) = next_data(from, at, len) {
        tell(start - at);
        at = start;
        while at < end {
            let most = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
            let read = from.read_at(&mut buffer[..most], at);
            let read = match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if read == 0 {
                return Ok(());
            }
            to.write_all_at(&buffer[..read], at)?;
            at += read as u64;
            tell(read as u64);
        }
    }
    tell(len.saturating_sub(at));
    Ok(())
}

/// The next piece of a file that was written, from a place on.
fn next_data(file: &File, at: u64, len: u64) -> Option<(u64, u64)> {
    if len <= at {
        return None;
    }
    let seek = |to| retry_on_intr(|| rustix::fs::seek(file, to));
    let start = match seek(SeekFrom::Data(at)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return None,
        // The file system cannot tell: all of it, then.
        Err(_) => return Some((at, len)),
    };
    let end = seek(SeekFrom::Hole(start)).unwrap_or(len);
    (start < len).then_some((start, end.min(len)))
}

/// What all of a file hashes to.
pub(super) fn hash(file: &File, kinds: DigestKinds, tell: Tell<'_>) -> io::Result<FileDigest> {
    let (mut hashing, mut buffer) = (Hashing::new(kinds), vec![0; READ_LEN_MAX]);
    let mut at = 0;
    loop {
        match file.read_at(&mut buffer, at) {
            Ok(0) => return Ok(hashing.finish()),
            Ok(len) => {
                hashing.update(&buffer[..len]);
                at += len as u64;
                tell(len as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether a copy was made of a file as it is now.
pub(super) fn is_current(copy: &File, original: &File) -> io::Result<bool> {
    let (copy, original) = (copy.metadata()?, original.metadata()?);
    // A copy that could not keep the time has that of its making.
    let changed = original.modified()?;
    let same = copy.modified()?.duration_since(changed).unwrap_or(Duration::MAX);
    Ok(copy.len() == original.len() && same.is_zero())
}
