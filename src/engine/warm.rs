//! Bytes that were written a moment ago and are still in memory, so that the stitch need not read
//! them back.
//!
//! They are a convenience that anybody may take away: whoever waits for memory does, and what is
//! not here is read back from the store, as is everything of a former session.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Mutex, MutexGuard, PoisonError, atomic::Ordering},
};

use bytes::Bytes;

use super::{Shared, UploadError, budget::Lease, live::Live};
use crate::upload::{
    ByteRange, DigestKinds, Hashing,
    limits::{HASH_HERE_LEN_MAX, WARM_AHEAD_LEN, WARM_LEN_MIN},
};

/// The bytes of one range, frame by frame, and the memory that they hold.
#[derive(Debug, Default)]
pub(super) struct Frames {
    frames: Vec<Bytes>,
    leases: Vec<Lease>,
}

impl Frames {
    /// Appends what was written.
    pub(super) fn append(&mut self, frames: Vec<Bytes>, leases: &mut Vec<Lease>) {
        self.frames.extend(frames);
        self.leases.append(leases);
    }

    /// The first `len` bytes, if there are as many.
    pub(super) fn head(&self, len: usize) -> Option<Bytes> {
        let first = self.frames.first()?;
        if len <= first.len() {
            return Some(first.slice(..len));
        }
        let head: Vec<u8> = self.frames.iter().flatten().copied().take(len).collect();
        (head.len() == len).then(|| head.into())
    }

    /// Hashes them in order: on the threads that may block, unless it takes no longer than to go
    /// there.
    pub(super) async fn hash(self, mut hashing: Hashing) -> Result<Hashing, UploadError> {
        if hashing.kinds() == DigestKinds::default() {
            return Ok(hashing);
        }
        let len = self.len();
        let hash = move || {
            self.frames.iter().for_each(|frame| hashing.update(frame));
            hashing
        };
        if len <= HASH_HERE_LEN_MAX {
            return Ok(hash());
        }
        let hashed = tokio::task::spawn_blocking(hash).await;
        hashed.map_err(|error| UploadError::Unavailable(error.into()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    fn len(&self) -> u64 {
        self.frames.iter().map(|frame| frame.len() as u64).sum()
    }
}

/// The warm ranges of one upload, by their offsets.
#[derive(Debug, Default)]
pub(super) struct Warm(Mutex<BTreeMap<u64, Frames>>);

impl Warm {
    fn keep(&self, range: ByteRange, frames: Frames) {
        debug_assert_eq!(frames.len(), range.len(), "all of it");
        self.ranges().insert(range.offset(), frames);
    }

    /// Takes the bytes of a range, if they are here. Each can be taken once.
    pub(super) fn take(&self, range: ByteRange) -> Option<Frames> {
        let frames = self.ranges().remove(&range.offset())?;
        (frames.len() == range.len()).then_some(frames)
    }

    /// Lets go of everything.
    pub(super) fn clear(&self) {
        drop(mem::take(&mut *self.ranges()));
    }

    fn ranges(&self) -> MutexGuard<'_, BTreeMap<u64, Frames>> {
        // A panic under this lock leaves nothing half-done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Whether the bytes of a range are worth their memory: the stitch will come to them soon, to
    /// read them back would cost more than to keep them, and nobody else is in need. A file that
    /// comes in one piece is published without being read at all. Never, if the operator wants
    /// every range to be read back.
    pub(super) fn is_worth_keeping(&self, live: &Live, range: ByteRange) -> bool {
        let hashed = live.hashed.load(Ordering::Relaxed);
        !self.options.stitch_reads_back
            && (WARM_LEN_MIN <= range.len() || range.len() == live.plan.total())
            && range.end() <= hashed.saturating_add(WARM_AHEAD_LEN)
            && self.budget.is_roomy()
    }

    /// Keeps the bytes of a range until the stitch takes them, or somebody needs the memory.
    pub(super) fn keep_warm(&self, live: &Live, range: ByteRange, frames: Frames) {
        // Before they are there: whoever needs the memory must not miss them.
        self.anything_warm.store(true, Ordering::SeqCst);
        live.warm.keep(range, frames);
        // Looked at afterwards: whoever waits since before that may have missed these.
        if !self.budget.is_roomy() {
            live.warm.clear();
        }
    }

    /// Gives the memory of all that is warm to those who wait for some.
    pub(super) fn cool(&self) {
        if !self.anything_warm.swap(false, Ordering::SeqCst) {
            return;
        }
        for live in self.registry.all() {
            live.warm.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_taken_once_and_whole() {
        let range = ByteRange::new(3, 5).expect("a range");
        let frames = || {
            let mut frames = Frames::default();
            frames.append(vec![Bytes::from_static(b"ab"), Bytes::from_static(b"cde")], &mut vec![]);
            frames
        };
        let warm = Warm::default();
        assert!(warm.take(range).is_none());
        warm.keep(range, frames());
        let other = ByteRange::new(3, 4).expect("a range");
        assert!(warm.take(other).is_none(), "another range");
        warm.keep(range, frames());
        let taken = warm.take(range).expect("it is here");
        assert_eq!(taken.frames.iter().map(Bytes::len).collect::<Vec<_>>(), [2, 3]);
        assert!(warm.take(range).is_none());
        let head = |len| taken.head(len);
        assert_eq!([2, 3, 5].map(head), ["ab", "abc", "abcde"].map(|it| Some(Bytes::from(it))));
        assert_eq!(head(6), None);
        warm.keep(range, frames());
        warm.clear();
        assert!(warm.take(range).is_none());
    }
}
