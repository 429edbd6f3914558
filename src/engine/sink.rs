//! The bytes of one range on their way to the store: counted, checked and written in batches.

use bytes::Bytes;

use super::{
    Piece, Shared, UploadError,
    budget::{Lease, compact},
    incoming::Incoming,
    live::Live,
    warm::Frames,
};
use crate::upload::{Checking, Checksum, UploadId, limits::WRITE_BATCH_LEN_MAX};

/// What is known of the bytes of a body so far.
pub(super) struct Seen {
    pub(super) piece: Piece,
    len: u64,
    crc: crc32fast::Hasher,
    checking: Checking,
}

impl Seen {
    pub(super) fn new(piece: Piece) -> Self {
        let checking = Checking::new(piece.digest);
        Self { piece, len: 0, crc: crc32fast::Hasher::new(), checking }
    }

    /// How many bytes came.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn take(&mut self, frame: &Bytes) -> Result<(), UploadError> {
        self.len += frame.len() as u64;
        if self.piece.range.len() < self.len {
            return Err(self.wrong_length());
        }
        self.crc.update(frame);
        self.checking.update(frame);
        Ok(())
    }

    /// The checksum of a body that came to its end. Errors: it is short, or not what its sender
    /// said it is.
    pub(super) fn finish(self) -> Result<Checksum, UploadError> {
        if self.len != self.piece.range.len() {
            return Err(self.wrong_length());
        }
        if !self.checking.is_right() {
            return Err(UploadError::ChecksumMismatch);
        }
        Ok(Checksum(self.crc.finalize()))
    }

    fn wrong_length(&self) -> UploadError {
        UploadError::WrongLength { expected: self.piece.range.len(), got: self.len }
    }
}

/// Gathers the frames of a body and writes them in batches.
pub(super) struct Sink<'a> {
    shared: &'a Shared,
    upload: UploadId,
    pub(super) seen: Seen,
    batch: Vec<Bytes>,
    leases: Vec<Lease>,
    batch_len: usize,
    /// What was written and is kept for the stitch, if all of it is.
    pub(super) warm: Option<Frames>,
}

impl<'a> Sink<'a> {
    pub(super) fn new(shared: &'a Shared, live: &Live, piece: Piece) -> Self {
        let (batch, leases, seen) = (Vec::new(), Vec::new(), Seen::new(piece));
        let warm = shared.is_worth_keeping(live, piece.range).then(Frames::default);
        Self { shared, upload: live.id, seen, batch, leases, batch_len: 0, warm }
    }

    /// Lets go of what is not written, and of its memory.
    pub(super) fn into_seen(self) -> Seen {
        self.seen
    }

    pub(super) fn holds_memory(&self) -> bool {
        !self.batch.is_empty() || self.warm.as_ref().is_some_and(|warm| !warm.is_empty())
    }

    /// Others need the memory.
    pub(super) async fn let_go(&mut self) -> Result<(), UploadError> {
        self.warm = None;
        self.flush().await
    }

    /// Takes what `body` brought; the rest of it is what a wait for memory may end with.
    pub(super) async fn take(
        &mut self,
        frame: Bytes,
        body: &mut Incoming,
    ) -> Result<(), UploadError> {
        let frame = compact(frame);
        self.seen.take(&frame)?;
        let lease = if let Some(lease) = self.shared.budget.try_lease(frame.len()) {
            lease
        } else {
            // Nothing may be held while more is waited for: see `budget`.
            self.warm = None;
            self.flush_before(frame.len()).await?;
            let lease = self.shared.budget.lease(frame.len(), || self.shared.cool());
            body.until(self.shared, lease).await?
        };
        self.batch_len += frame.len();
        self.batch.push(frame);
        self.leases.push(lease);
        if WRITE_BATCH_LEN_MAX <= self.batch_len { self.flush().await } else { Ok(()) }
    }

    pub(super) async fn flush(&mut self) -> Result<(), UploadError> {
        self.flush_before(0).await
    }

    /// Writes out the batch; `ahead` bytes were seen that are not in it.
    async fn flush_before(&mut self, ahead: usize) -> Result<(), UploadError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let begin = self.seen.len() - (self.batch_len + ahead) as u64;
        let offset = self.seen.piece.range.offset() + begin;
        let batch = std::mem::take(&mut self.batch);
        // Asked again: a long range could take all there is, and have everybody else wait.
        if !self.shared.budget.is_roomy() {
            self.warm = None;
        }
        let kept = self.warm.is_some().then(|| batch.clone());
        self.shared.store.write(self.upload, offset, batch).await?;
        self.batch_len = 0;
        if let Some((warm, kept)) = self.warm.as_mut().zip(kept) {
            warm.append(kept, &mut self.leases);
        }
        self.leases.clear();
        Ok(())
    }
}
