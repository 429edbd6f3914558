//! Every operation on the disk, and the reason why it survives a crash.
//!
//! Nothing else in this crate writes files. All calls block: their callers are on blocking threads.
//! A file is opened relative to an open [`Folder`] and by a [`Name`], which is made of our own ids
//! alone; the kernel is told not to leave the folder, and to follow no symbolic link.

use std::{
    ffi::CString,
    fmt,
    fs::File,
    io::{self, IoSlice},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{FileExt, MetadataExt},
    },
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use rustix::{
    fs::{
        Advice, AtFlags, Dir, DirEntry, FileType, FlockOperation, Mode, OFlags, RenameFlags,
        ResolveFlags,
    },
    io::{Errno, retry_on_intr},
};

use super::{
    made::{FILE_MODE, make_folder, open_folder, planted, set_mode},
    name::Name,
    room,
};
use crate::{owner::give_to_owner_of, witness::Witness};

/// No child process inherits a file; a planted symbolic link is refused, not followed; a planted
/// FIFO does not block the thread for ever (it is refused by [`regular`] a moment later).
const FILE_FLAGS: OFlags = OFlags::CLOEXEC.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK);

/// Where a name may lead: to what is in the folder itself.
const INSIDE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS);

/// What a folder has under one name.
pub(super) struct Entry {
    pub(super) name: CString,
    /// Whether it is a file, and not a folder, a link or the like.
    pub(super) is_regular: bool,
}

/// An open folder.
///
/// The handle stays with the folder when somebody renames it or puts another in its place.
pub(super) struct Folder {
    handle: File,
    /// Asked after each flush.
    pub(super) witness: Witness,
    /// Whether files may be here whose room is not reserved: so it is until the file system has
    /// turned out to reserve it, for a former process may have left some.
    pub(super) promises: AtomicBool,
    /// How many syncs have failed.
    failures: AtomicU64,
    /// How many syncs were begun.
    begun: AtomicU64,
    /// Held during a sync, see [`Self::sync`]: the number of the last one that succeeded.
    turn: Mutex<u64>,
}

/// How many syncs of a folder had failed at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Failures(u64);

impl Folder {
    /// Opens a folder, and makes it and its parents if they are not there.
    ///
    /// The folder itself may be a symbolic link: the operator named it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        make_folder(path)?;
        let mut folder = Self::open_existing(path)?;
        folder.witness = Witness::at(&folder.handle, Path::new("."));
        Ok(folder)
    }

    /// As [`Self::open`], to look at: makes nothing, and has nothing to confirm.
    pub(super) fn open_existing(path: &Path) -> io::Result<Self> {
        Ok(Self::over(open_folder(path)?))
    }

    /// As [`Self::open_existing`], for a folder that is open.
    pub(super) fn over(handle: OwnedFd) -> Self {
        let (handle, witness) = (File::from(handle), Witness::none());
        let promises = AtomicBool::new(true);
        let (failures, begun, turn) = (AtomicU64::new(0), AtomicU64::new(0), Mutex::new(0));
        Self { handle, witness, promises, failures, begun, turn }
    }

    pub(super) fn handle(&self) -> impl AsFd + Copy {
        &self.handle
    }

    /// What tells it from every other folder, by whatever path it was opened.
    pub(super) fn identity(&self) -> io::Result<impl Eq + use<>> {
        let metadata = self.handle.metadata()?;
        Ok((metadata.dev(), metadata.ino()))
    }

    /// Takes the folder for this process. False if another has it.
    ///
    /// A lock on an open file, not a lock file: the kernel gives it back however the process ends.
    pub(super) fn try_lock(&self) -> io::Result<bool> {
        let lock = || rustix::fs::flock(&self.handle, FlockOperation::NonBlockingLockExclusive);
        match retry_on_intr(lock) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Makes a file of `len` bytes, all zero and all reserved; one that is there begins anew. If
    /// there is no room for it, it does not stay.
    pub(super) fn create(&self, name: &Name, len: u64) -> io::Result<File> {
        let file = self.open_with(name, OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC)?;
        set_mode(&file, FILE_MODE)?;
        give_to_owner_of(&self.handle, &file)?;
        match room::allocate(&file, len) {
            Ok(allocated) => {
                // Nothing can be learned from an empty file.
                if 0 < len {
                    self.promises.store(allocated == room::Allocated::Promised, Ordering::Relaxed);
                }
                Ok(file)
            }
            Err(error) => {
                // If it cannot be removed either, it is found as an upload that nobody knows.
                self.remove(name).ok();
                Err(error)
            }
        }
    }

    /// Opens a file to read and write it.
    pub(super) fn open_file(&self, name: &Name) -> io::Result<File> {
        self.open_with(name, OFlags::RDWR)
    }

    /// Opens a file to read it.
    pub(super) fn open_to_read(&self, name: &Name) -> io::Result<File> {
        self.open_with(name, OFlags::RDONLY)
    }

    fn open_with(&self, name: &Name, flags: OFlags) -> io::Result<File> {
        let flags = flags | FILE_FLAGS;
        let mode = if flags.contains(OFlags::CREATE) { FILE_MODE } else { Mode::empty() };
        let open = || match rustix::fs::openat2(&self.handle, &name.0, flags, mode, INSIDE) {
            // A kernel older than 5.6, or a sandbox that does not know the call. What is not
            // permitted otherwise is not permitted here either.
            Err(Errno::NOSYS | Errno::PERM) => {
                rustix::fs::openat(&self.handle, &name.0, flags, mode)
            }
            result => result,
        };
        regular(File::from(retry_on_intr(open).map_err(planted)?))
    }

    /// How long a file is; nothing if it is not there or is no regular file.
    pub(super) fn len(&self, name: &Name) -> io::Result<Option<u64>> {
        Ok(self.size(name)?.map(|(len, _)| len))
    }

    /// The same, and how many bytes of the disk it takes.
    pub(super) fn size(&self, name: &Name) -> io::Result<Option<(u64, u64)>> {
        match rustix::fs::statat(&self.handle, &name.0, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {
                Ok(u64::try_from(stat.st_size).ok().map(|len| (len, room::occupied(&stat))))
            }
            Ok(_) | Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Removes a file, or finds it gone. Not durable before [`Self::sync`].
    pub(super) fn remove(&self, name: &Name) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.handle, &name.0, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Moves a file into another folder of the same file system, in one step, and never over a
    /// file that is there. Not durable before both folders are synced.
    ///
    /// Errors: of the kind `AlreadyExists` if there is a file at the new name.
    pub(super) fn rename(&self, name: &Name, to: &Self, new: &Name) -> io::Result<()> {
        let (flags, since) = (RenameFlags::NOREPLACE, to.failures());
        match rustix::fs::renameat_with(&self.handle, &name.0, &to.handle, &new.0, flags) {
            Ok(()) => Ok(()),
            // The file system (EINVAL) or the kernel cannot do it; linking never replaces either.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => self.link(name, to, new),
            Err(Errno::EXIST) if self.is_same(name, to, new)? => self.finish_link(name, to, since),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Renames a file inside the folder, in one step, over the file of that name. Not durable
    /// before [`Self::sync`].
    pub(super) fn replace(&self, name: &Name, new: &Name) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.handle, &name.0, &self.handle, &new.0)?)
    }

    /// The second best [`Self::rename`]: for a moment the file has both names.
    fn link(&self, name: &Name, to: &Self, new: &Name) -> io::Result<()> {
        let since = to.failures();
        match rustix::fs::linkat(&self.handle, &name.0, &to.handle, &new.0, AtFlags::empty()) {
            Ok(()) => self.finish_link(name, to, since),
            Err(Errno::EXIST) if self.is_same(name, to, new)? => self.finish_link(name, to, since),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Takes the old name away once the new one is durable: losing power in between, in either
    /// order of the two folders on the disk, must not lose both names.
    fn finish_link(&self, name: &Name, to: &Self, since: Failures) -> io::Result<()> {
        to.sync(since)?;
        self.remove(name)
    }

    /// Whether both names are of one file: [`Self::link`] was interrupted after its first half.
    fn is_same(&self, name: &Name, to: &Self, new: &Name) -> io::Result<bool> {
        let old = rustix::fs::statat(&self.handle, &name.0, AtFlags::SYMLINK_NOFOLLOW)?;
        let new = rustix::fs::statat(&to.handle, &new.0, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok((old.st_dev, old.st_ino) == (new.st_dev, new.st_ino))
    }

    /// The names of the regular files; those that are no UTF-8 are none of ours.
    pub(super) fn list(&self) -> io::Result<Vec<String>> {
        let regular = |entry: Entry| entry.name.into_string().ok().filter(|_| entry.is_regular);
        self.entries()?.filter_map(|entry| entry.map(regular).transpose()).collect()
    }

    /// What is in it, one after the other, ours or not.
    pub(super) fn entries(&self) -> io::Result<impl Iterator<Item = io::Result<Entry>>> {
        Ok(Dir::read_from(&self.handle)?.map(|entry| self.entry(&entry?)))
    }

    fn entry(&self, entry: &DirEntry) -> io::Result<Entry> {
        let name = entry.file_name();
        let is_regular = match (entry.file_type(), name.to_str()) {
            // Some file systems do not say in a listing what an entry is.
            (FileType::Unknown, Ok(name)) => self.len(&Name::of_entry(name))?.is_some(),
            (listed, _) => listed == FileType::RegularFile,
        };
        Ok(Entry { name: name.into(), is_regular })
    }

    /// What is to be read before a name is changed, and given to [`Self::sync`] afterwards.
    pub(super) fn failures(&self) -> Failures {
        Failures(self.failures.load(Ordering::SeqCst))
    }

    /// Makes the names in the folder survive loss of power: a file that is synced but whose name is
    /// not on the disk yet is gone all the same.
    ///
    /// The kernel tells a failure once, to whoever happens to sync, whosever name it concerns. So
    /// syncs take turns, and one fails, too, if another has failed `since` its caller changed a
    /// name. Of those who wait for their turn, the first syncs for all.
    pub(super) fn sync(&self, since: Failures) -> io::Result<()> {
        let before = self.begun.load(Ordering::SeqCst);
        let mut succeeded = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // One that was begun after we came has seen what we changed.
        if *succeeded <= before {
            let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
            if let Err(error) = self.handle.sync_all().and_then(|()| self.witness.confirm()) {
                self.failures.fetch_add(1, Ordering::SeqCst);
                return Err(error);
            }
            *succeeded = number;
        }
        if self.failures() != since {
            return Err(io::Error::other("another sync of this folder failed"));
        }
        Ok(())
    }
}

/// Without the path that the standard library would print: nobody above the store sees one.
impl fmt::Debug for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Folder").finish_non_exhaustive()
    }
}

/// Our files are regular ones; anything else was planted.
fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
}

/// Writes all frames, one after the other, from `offset` on: as a rule in one call of the system,
/// which may take fewer bytes than it is given, and takes 1024 frames at most.
pub(super) fn write_all_at(file: &File, offset: u64, frames: &[Bytes]) -> io::Result<()> {
    let mut slices: Vec<_> =
        frames.iter().filter(|frame| !frame.is_empty()).map(|frame| IoSlice::new(frame)).collect();
    let mut rest = &mut slices[..];
    let mut offset = offset;
    while !rest.is_empty() {
        let written = retry_on_intr(|| rustix::io::pwritev(file, rest, offset))?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut rest, written);
        offset += written as u64;
    }
    Ok(())
}

/// Fills all of `bytes` with what is at `offset`.
///
/// Errors: of the kind `UnexpectedEof` if the file is shorter.
pub(super) fn read_exact_at(file: &File, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
    file.read_exact_at(bytes, offset)
}

/// Makes the bytes of a file survive loss of power, and as much about it as is needed to read them:
/// its length is, its times are not.
///
/// After an error the kernel may have dropped the bytes and will say nothing the next time: an
/// error must never be followed by another try that is believed. Nor may what is written again to
/// the same place be believed, while the kernel remembers it as it was: ext4 then says that it is
/// flushed and leaves the place marked as never written (seen on Linux 6.18). So the memory of it
/// goes, and the file is again what the disk has of it.
pub(super) fn sync_bytes(file: &File) -> io::Result<()> {
    file.sync_data().inspect_err(|_| {
        // Advice, and yet: whatever is clean is dropped, and what failed is clean.
        rustix::fs::fadvise(file, 0, None, Advice::DontNeed).ok();
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, io::ErrorKind};

    use rustix::fs::mknodat;
    use tempfile::TempDir;

    use super::*;
    use crate::{
        store::PublishedName,
        upload::{CreativeId, FileName, UploadId},
    };

    /// Two folders, a file in the first, and the name that it is to have in the second.
    struct Move {
        root: TempDir,
        from: Folder,
        to: Folder,
        old: Name,
        new: Name,
    }

    impl Move {
        fn new() -> Self {
            let root = TempDir::new().expect("a temporary folder");
            let [from, to] = ["from", "to"]
                .map(|folder| Folder::open(&root.path().join(folder)).expect("a folder"));
            let filename = FileName::new("a.png").expect("short");
            let old = Name::of_upload(UploadId::new());
            let new = Name::of_published(&PublishedName::new(CreativeId::new(), &filename));
            let file = from.create(&old, 3).expect("create");
            write_all_at(&file, 0, &[Bytes::from_static(b"new")]).expect("write");
            Self { root, from, to, old, new }
        }

        fn contents(&self) -> [Option<Vec<u8>>; 2] {
            [("from", &self.old), ("to", &self.new)]
                .map(|(folder, name)| fs::read(self.root.path().join(folder).join(&name.0)).ok())
        }
    }

    type Way = fn(&Folder, &Name, &Folder, &Name) -> io::Result<()>;
    const WAYS: [Way; 2] = [Folder::rename, Folder::link];

    #[test]
    fn both_ways_move_a_file() {
        for way in WAYS {
            let it = Move::new();
            way(&it.from, &it.old, &it.to, &it.new).expect("move");
            assert_eq!(it.contents(), [None, Some(b"new".to_vec())]);
            let error = way(&it.from, &it.old, &it.to, &it.new).expect_err("it is gone");
            assert_eq!(error.kind(), ErrorKind::NotFound);
        }
    }

    #[test]
    fn neither_way_replaces_a_file() {
        for way in WAYS {
            let it = Move::new();
            let there = it.to.create(&it.new, 3).expect("create");
            write_all_at(&there, 0, &[Bytes::from_static(b"old")]).expect("write");
            let error = way(&it.from, &it.old, &it.to, &it.new).expect_err("the name is taken");
            assert_eq!(error.kind(), ErrorKind::AlreadyExists);
            assert_eq!(it.contents(), [Some(b"new".to_vec()), Some(b"old".to_vec())]);
        }
    }

    #[test]
    fn both_ways_finish_what_a_crash_cut_short() {
        for way in WAYS {
            let it = Move::new();
            rustix::fs::linkat(
                &it.from.handle,
                &it.old.0,
                &it.to.handle,
                &it.new.0,
                AtFlags::empty(),
            )
            .expect("the first half");
            way(&it.from, &it.old, &it.to, &it.new).expect("move");
            assert_eq!(it.contents(), [None, Some(b"new".to_vec())]);
        }
    }

    #[test]
    fn the_old_name_stays_until_the_new_one_is_safe() {
        let it = Move::new();
        let (old, new) = (&it.old.0, &it.new.0);
        rustix::fs::linkat(&it.from.handle, old, &it.to.handle, new, AtFlags::empty())
            .expect("the first half");
        let since = it.to.failures();
        it.to.failures.fetch_add(1, Ordering::SeqCst);
        it.from.finish_link(&it.old, &it.to, since).expect_err("a sync failed meanwhile");
        assert!(it.contents().iter().all(Option::is_some), "one of the names may be lost");
    }

    #[test]
    fn a_planted_pipe_is_refused_at_once() {
        let it = Move::new();
        let mode = Mode::from_raw_mode(0o600);
        mknodat(&it.to.handle, &it.new.0, FileType::Fifo, mode, 0).expect("plant a pipe");
        for opened in [it.to.open_to_read(&it.new), it.to.open_file(&it.new)] {
            assert_eq!(opened.expect_err("a pipe").kind(), ErrorKind::InvalidInput);
        }
        assert_eq!(it.to.len(&it.new).expect("look"), None);
        assert!(it.to.list().expect("list").is_empty());
    }

    #[test]
    fn a_failed_sync_of_a_folder_is_told_to_all_who_changed_a_name() {
        let mut it = Move::new();
        let before = it.to.failures();
        it.to.sync(before).expect("sync");
        // The null device has nothing to sync, and says so.
        let handle = File::open("/dev/null").expect("the null device");
        let folder = std::mem::replace(&mut it.to.handle, handle);
        it.to.sync(before).expect_err("no folder");
        it.to.handle = folder;
        it.to.sync(before).expect_err("the name may be the one that was lost");
        it.to.sync(it.to.failures()).expect("sync");
    }
}
