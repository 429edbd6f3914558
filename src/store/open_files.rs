//! The files of running uploads that are kept open, at most so many.
//!
//! A file is opened once for all the ranges that come for it. When there are too many, the one that
//! was not used for the longest time is closed; but never one that somebody uses, and never one
//! whose writes are not on the disk yet: when the kernel fails to write them back, it says so to
//! the handles that were open at the time, once. Closing such a file could lose the only notice
//! that acknowledged bytes are gone. It is synced first, and stays if that fails.

use std::{
    collections::HashMap,
    fs::File,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;

use super::{durable, room};
use crate::upload::{UploadId, limits::UNSYNCED_LEN_MAX};

/// One open file of an upload.
#[derive(Debug)]
pub(super) struct OpenFile {
    file: File,
    /// Its length, in bytes.
    len: AtomicU64,
    /// Whether there may be writes that no sync has covered.
    unsynced: AtomicBool,
    /// Bytes that were written since the last sync began.
    ahead: AtomicU64,
    /// Whether a sync through this handle has succeeded.
    synced: AtomicBool,
    /// Whether a sync has failed: no later one through this handle is believed.
    failed: AtomicBool,
    /// Held during a sync. The kernel tells a failure once, so that of two syncs at the same time
    /// only one would hear of it; taking turns, the second finds `failed`.
    turn: Mutex<()>,
}

impl OpenFile {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let len = AtomicU64::new(file.metadata()?.len());
        let [unsynced, synced, failed] = [(); 3].map(|()| AtomicBool::new(false));
        let ahead = AtomicU64::new(0);
        Ok(Self { file, len, unsynced, ahead, synced, failed, turn: Mutex::new(()) })
    }

    /// Makes the file `total` bytes long, if it is shorter.
    pub(super) fn grow(&self, total: u64) -> io::Result<()> {
        room::allocate(&self.file, total)?;
        self.len.fetch_max(total, Ordering::SeqCst);
        self.unsynced.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Writes all frames from `offset` on, inside the file. Returns whether it is time to
    /// [write it back](Self::write_back).
    pub(super) fn write(&self, offset: u64, frames: &[Bytes]) -> io::Result<bool> {
        let len: u64 = frames.iter().map(|frame| frame.len() as u64).sum();
        if offset.checked_add(len).is_none_or(|end| self.len() < end) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "past the end of the upload"));
        }
        let had_failed = self.failed.load(Ordering::SeqCst);
        let written = durable::write_all_at(&self.file, offset, frames);
        // After the write: a sync that began meanwhile need not have seen all of it. Whatever the
        // outcome: some of it may have been written.
        self.unsynced.store(true, Ordering::SeqCst);
        written?;
        // A sync that failed meanwhile may have dropped these very bytes. One that failed before
        // has not, and its failure still waits in here for the one who asks for the next.
        if !had_failed {
            self.check()?;
        }
        let before = self.ahead.fetch_add(len, Ordering::Relaxed);
        Ok(before < UNSYNCED_LEN_MAX && UNSYNCED_LEN_MAX <= before + len)
    }

    /// A sync that nobody waits for: the one that somebody waits for in the end has little left to
    /// do then. Its failure waits in here for whoever asks for the next.
    pub(super) fn write_back(&self) {
        self.sync().ok();
    }

    /// Fills all of `bytes` with what is at `offset`.
    pub(super) fn read(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        durable::read_exact_at(&self.file, offset, bytes)
    }

    /// Makes the writes that have returned survive loss of power, and all that a former process
    /// wrote. Does nothing if there was no write since it last did so.
    pub(super) fn sync(&self) -> io::Result<()> {
        let _turn = lock(&self.turn);
        self.check()?;
        let unsynced = self.unsynced.swap(false, Ordering::SeqCst);
        self.ahead.store(0, Ordering::Relaxed);
        if self.synced.load(Ordering::SeqCst) && !unsynced {
            return Ok(());
        }
        let synced = durable::sync_bytes(&self.file);
        if synced.is_ok() {
            self.synced.store(true, Ordering::SeqCst);
        } else {
            self.failed.store(true, Ordering::SeqCst);
            self.unsynced.store(true, Ordering::SeqCst);
        }
        synced
    }

    fn len(&self) -> u64 {
        self.len.load(Ordering::SeqCst)
    }

    fn check(&self) -> io::Result<()> {
        if self.failed.load(Ordering::SeqCst) {
            return Err(io::Error::other("an earlier sync of this file failed"));
        }
        Ok(())
    }
}

/// The open files.
#[derive(Debug)]
pub(super) struct OpenFiles {
    max: usize,
    // Never held during an operation on the disk.
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    by_upload: HashMap<UploadId, Entry>,
    /// Counts the uses: the clock of [`Entry::used_at`].
    uses: u64,
}

#[derive(Debug)]
struct Entry {
    file: Arc<OpenFile>,
    used_at: u64,
}

impl OpenFiles {
    /// Keeps at most `max` files open, but for those that are in use.
    pub(super) fn new(max: usize) -> Self {
        Self { max, entries: Mutex::default() }
    }

    /// The open file of an upload.
    pub(super) fn get(&self, upload: UploadId) -> Option<Arc<OpenFile>> {
        lock(&self.entries).touch(upload)
    }

    /// Keeps a file. If another was kept meanwhile, that one is returned: all writes to an upload
    /// go through the one handle that will be synced.
    ///
    /// If all are in use, or have failed to sync, the bound gives way: there are as many as threads
    /// at most, and failures of the disk.
    pub(super) fn keep(&self, upload: UploadId, file: OpenFile) -> Arc<OpenFile> {
        loop {
            let mut entries = lock(&self.entries);
            let Some(unsynced) = entries.make_room(self.max) else {
                return entries.keep(upload, file);
            };
            drop(entries);
            // A failure stays with the file, for the one who wrote to it.
            unsynced.sync().ok();
        }
    }

    /// Closes the file of an upload, once nobody uses it any more.
    pub(super) fn forget(&self, upload: UploadId) {
        lock(&self.entries).by_upload.remove(&upload);
    }

    /// Closes this very file of an upload, and not one that was opened in its place.
    pub(super) fn forget_file(&self, upload: UploadId, file: &Arc<OpenFile>) {
        let mut entries = lock(&self.entries);
        if entries.by_upload.get(&upload).is_some_and(|entry| Arc::ptr_eq(&entry.file, file)) {
            entries.by_upload.remove(&upload);
        }
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        lock(&self.entries).by_upload.len()
    }
}

impl Entries {
    fn keep(&mut self, upload: UploadId, file: OpenFile) -> Arc<OpenFile> {
        let new = || Entry { file: Arc::new(file), used_at: 0 };
        self.by_upload.entry(upload).or_insert_with(new);
        self.touch(upload).expect("it was put there just now")
    }

    fn touch(&mut self, upload: UploadId) -> Option<Arc<OpenFile>> {
        let entry = self.by_upload.get_mut(&upload)?;
        self.uses += 1;
        entry.used_at = self.uses;
        Some(Arc::clone(&entry.file))
    }

    /// Closes what may be closed at once while there are `max` files or more. Returns a file that
    /// has to be synced for there to be more room.
    fn make_room(&mut self, max: usize) -> Option<Arc<OpenFile>> {
        while max <= self.by_upload.len() {
            let Some(synced) = self.oldest_idle(|file| !*file.unsynced.get_mut()) else {
                let unsynced = self.oldest_idle(|file| !*file.failed.get_mut())?;
                return self.by_upload.get(&unsynced).map(|entry| Arc::clone(&entry.file));
            };
            self.by_upload.remove(&synced);
        }
        None
    }

    /// The upload whose file was not used for the longest time, of those that nobody uses now.
    /// A walk through all: it is short beside the opening of the file that it makes room for.
    fn oldest_idle(&mut self, is_wanted: fn(&mut OpenFile) -> bool) -> Option<UploadId> {
        self.by_upload
            .iter_mut()
            // Whom the map can borrow it from exclusively, nobody else holds.
            .filter_map(|(id, entry)| Some((*id, entry.used_at, Arc::get_mut(&mut entry.file)?)))
            .filter_map(|(id, used_at, file)| is_wanted(file).then_some((used_at, id)))
            .min()
            .map(|(_, id)| id)
    }
}

/// A panic under one of these locks leaves nothing half-done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy() -> OpenFile {
        OpenFile::new(tempfile::tempfile().expect("a temporary file")).expect("a file")
    }

    /// A file whose sync always fails: the null device has nothing to sync.
    fn failing() -> OpenFile {
        OpenFile::new(File::open("/dev/null").expect("the null device")).expect("a file")
    }

    fn touch(file: &OpenFile) {
        file.write(0, &[]).expect("write nothing");
    }

    #[test]
    fn the_file_that_was_used_last_stays() {
        let files = OpenFiles::new(2);
        let ids = [UploadId::new(), UploadId::new(), UploadId::new()];
        files.keep(ids[0], healthy());
        files.keep(ids[1], healthy());
        assert!(files.get(ids[0]).is_some());
        files.keep(ids[2], healthy());
        assert_eq!(ids.map(|id| files.get(id).is_some()), [true, false, true]);
    }

    #[test]
    fn a_file_in_use_stays() {
        let files = OpenFiles::new(1);
        let id = UploadId::new();
        let used = files.keep(id, healthy());
        let other = files.keep(UploadId::new(), healthy());
        assert!(files.get(id).is_some_and(|file| Arc::ptr_eq(&file, &used)));
        drop((used, other));
        files.keep(UploadId::new(), healthy());
        assert_eq!(files.count(), 1);
    }

    #[test]
    fn an_unsynced_file_is_synced_before_it_is_closed() {
        let files = OpenFiles::new(2);
        let [unsynced, synced] = [UploadId::new(), UploadId::new()];
        touch(&files.keep(unsynced, healthy()));
        files.keep(synced, healthy());
        files.keep(UploadId::new(), healthy());
        assert!(files.get(unsynced).is_some(), "a younger one went, which had nothing to sync");
        assert!(files.get(synced).is_none());

        let files = OpenFiles::new(1);
        touch(&files.keep(unsynced, healthy()));
        files.keep(UploadId::new(), healthy());
        assert!(files.get(unsynced).is_none(), "synced and closed");
    }

    #[test]
    fn a_failure_while_making_room_waits_for_its_writer() {
        let files = OpenFiles::new(1);
        let id = UploadId::new();
        touch(&files.keep(id, failing()));
        files.keep(UploadId::new(), healthy());
        let file = files.get(id).expect("it stays until its writer has heard of it");
        touch(&file);
        let error = file.sync().expect_err("it failed before");
        assert_eq!(error.to_string(), "an earlier sync of this file failed");
        files.forget_file(id, &file);
        assert!(files.get(id).is_none());
    }

    #[test]
    fn a_failed_sync_is_told_to_all_who_ask() {
        let file = failing();
        for _ in 0..3 {
            assert!(file.sync().is_err());
        }
    }

    #[test]
    fn a_failure_of_what_nobody_waits_for_waits_for_the_next_sync() {
        let file = failing();
        touch(&file);
        file.write_back();
        assert!(!file.write(0, &[]).expect("it is for the next sync to tell"));
        file.sync().expect_err("told");
    }

    #[test]
    fn each_so_many_bytes_one_who_writes_is_told_to_write_them_back() {
        let file = healthy();
        file.grow(10).expect("room");
        let near = UNSYNCED_LEN_MAX - 2;
        file.ahead.store(near, Ordering::SeqCst);
        let mut write = |len| file.write(0, &[Bytes::from(vec![0; len])]).expect("written");
        assert_eq!([1, 1, 1].map(&mut write), [false, true, false]);
        file.write_back();
        assert_eq!(file.ahead.load(Ordering::SeqCst), 0, "it begins anew");
    }

    #[test]
    fn only_what_was_written_since_is_synced_again() {
        let file = failing();
        file.synced.store(true, Ordering::SeqCst);
        file.sync().expect("there is nothing to do");
        touch(&file);
        file.sync().expect_err("there is");
    }

    #[test]
    fn what_a_former_process_wrote_is_synced() {
        failing().sync().expect_err("nobody knows whether it was");
    }

    #[test]
    fn one_upload_has_one_file() {
        let files = OpenFiles::new(2);
        let id = UploadId::new();
        let first = files.keep(id, healthy());
        let second = files.keep(id, healthy());
        assert!(Arc::ptr_eq(&first, &second));
        files.forget_file(id, &Arc::new(healthy()));
        assert!(files.get(id).is_some(), "another file was meant");
    }
}
