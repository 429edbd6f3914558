//! A range that is here already: what comes is compared with it, byte for byte, and not written.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::MutexGuard;

use super::{
    Body, Piece, Shared, UploadError,
    live::Live,
    load::{Source, slices},
    sink::Seen,
};
use crate::{
    store::StoreError,
    upload::{ByteRange, StoredRange, UploadState},
};

/// The detail of the conflict.
pub(super) const OTHER_BYTES: &str = "other bytes are stored for this chunk; \
    if the file has changed, cancel the upload or choose another `flowIdentifier`";

/// The detail of the conflict with a complete upload whose file somebody took away.
const NO_FILE: &str = "the file of this upload is missing on the server; \
    delete its creative and send it again";

impl Shared {
    /// Reads a body to its end and compares it with what is stored.
    ///
    /// Errors: it is not the same, or what is stored is not what it was: then the range is
    /// forgotten, and the client may send it again.
    pub(super) async fn compare(
        self: &Arc<Self>,
        live: &Arc<Live>,
        piece: Piece,
        mut body: Body,
    ) -> Result<(), UploadError> {
        let mut seen = Seen::new(piece);
        while let Some(frame) = body.next().await {
            let frame = frame?;
            let offset = piece.range.offset() + seen.len();
            seen.take(&frame)?;
            let span = ByteRange::new(offset, frame.len() as u64)
                .expect("it lies inside the range, whose length was just checked");
            let stored = match self.is_stored(live, span, &frame).await {
                Ok(stored) => stored,
                Err(error) => return Err(self.unreadable(live, piece.range, error).await),
            };
            if !stored {
                if !piece.digest.is_empty() {
                    // Bytes that were damaged on the way are no other file: they are sent again.
                    while let Some(frame) = body.next().await {
                        seen.take(&frame?)?;
                    }
                    seen.finish()?;
                }
                return Err(self.contradiction(live, piece.range).await);
            }
        }
        seen.finish().map(drop)
    }

    async fn is_stored(
        &self,
        live: &Live,
        span: ByteRange,
        frame: &Bytes,
    ) -> Result<bool, StoreError> {
        let mut rest = &frame[..];
        for part in slices(span) {
            let stored = self.read_wherever(live, part).await?;
            let (head, tail) = rest.split_at(stored.len());
            if head != &stored[..] {
                return Ok(false);
            }
            rest = tail;
        }
        Ok(true)
    }

    /// Reads of an upload that may be published at any moment.
    async fn read_wherever(&self, live: &Live, part: ByteRange) -> Result<Bytes, StoreError> {
        if live.has_evidence() {
            return self.store.read_published(&live.published_name(), part).await;
        }
        match self.store.read(live.id, part).await {
            Err(StoreError::NotFound { .. }) => {
                self.store.read_published(&live.published_name(), part).await
            }
            result => result,
        }
    }

    /// What is stored cannot be read. If it is lost it is asked for again.
    async fn unreadable(
        self: &Arc<Self>,
        live: &Arc<Live>,
        range: ByteRange,
        error: StoreError,
    ) -> UploadError {
        let is_gone = matches!(error, StoreError::NotFound { .. });
        if is_gone && live.upload_state() == UploadState::Complete {
            return UploadError::Conflict(NO_FILE);
        }
        match self.contradiction(live, range).await {
            // It could be read in the end, or there is nothing that could be forgotten.
            UploadError::Conflict(_) => error.into(),
            other => other,
        }
    }

    /// Who is wrong: the client, or our disk?
    async fn contradiction(self: &Arc<Self>, live: &Arc<Live>, range: ByteRange) -> UploadError {
        let checksum = live.lock().coverage.get(range).copied();
        let Some(checksum) = checksum else { return UploadError::Conflict(OTHER_BYTES) };
        if live.has_evidence() {
            // Whoever examines the finished file decides; nothing may be forgotten behind it.
            return UploadError::unavailable("the finished file is being examined");
        }
        match self.is_sound_wherever(live, StoredRange { range, checksum }).await {
            Ok(true) => UploadError::Conflict(OTHER_BYTES),
            Ok(false) => {
                tracing::error!(upload.id = %live.id, %range, "A stored range is not what it was");
                match self.forget_while_receiving(live, range).await {
                    Ok(()) => UploadError::unavailable("a stored range is not what it was"),
                    Err(error) => error,
                }
            }
            Err(error) => error.into(),
        }
    }

    /// Takes a damaged range back, but not of a full upload: the stitch reads that, too, and
    /// decides. It may be publishing at this moment.
    async fn forget_while_receiving(
        &self,
        live: &Live,
        range: ByteRange,
    ) -> Result<(), UploadError> {
        let ledger = self.ledger.lock().await;
        match live.upload_state() {
            UploadState::Receiving => self.forget_under(&ledger, live, &[range]).await,
            UploadState::Stitching
            | UploadState::Complete
            | UploadState::Failed
            | UploadState::Cancelled
            | UploadState::Expired => Ok(()),
        }
    }

    /// Whether a range is what it was, of an upload that may be published at any moment.
    async fn is_sound_wherever(
        &self,
        live: &Live,
        stored: StoredRange,
    ) -> Result<bool, StoreError> {
        Ok(self.is_sound(&Source::Upload(live.id), stored).await?
            || self.is_sound(&Source::Published(live.published_name()), stored).await?)
    }

    /// Takes ranges back, in the catalog and in memory; a full upload is not full any more.
    /// The caller holds the claim to stitch.
    pub(super) async fn forget(
        &self,
        live: &Live,
        ranges: &[ByteRange],
    ) -> Result<(), UploadError> {
        let ledger = self.ledger.lock().await;
        self.forget_under(&ledger, live, ranges).await
    }

    pub(super) async fn forget_under(
        &self,
        _ledger: &MutexGuard<'_, ()>,
        live: &Live,
        ranges: &[ByteRange],
    ) -> Result<(), UploadError> {
        // In doubt they are forgotten here: what the catalog may not know must not be acknowledged.
        let forgotten = self.catalog.forget(live.id, ranges).await;
        let mut state = live.lock();
        state.rewinds += 1;
        live.warm.clear();
        live.hashed.store(0, Ordering::Relaxed);
        for range in ranges {
            state.coverage.remove(*range);
        }
        if forgotten.is_err() {
            state.in_doubt.extend(ranges);
        }
        if state.record.state == UploadState::Stitching {
            state.record.state = UploadState::Receiving;
        }
        drop(state);
        live.announce();
        Ok(forgotten?)
    }

    /// Takes back what the catalog may know of ranges that were refused. To be repeated until it
    /// succeeds.
    pub(super) async fn settle_doubt(
        &self,
        _ledger: &MutexGuard<'_, ()>,
        live: &Live,
    ) -> Result<(), UploadError> {
        let in_doubt = live.lock().in_doubt.clone();
        if !in_doubt.is_empty() {
            self.catalog.forget(live.id, &in_doubt).await?;
            live.lock().in_doubt.clear();
        }
        Ok(())
    }

    /// Writes down terms that came with a range that was here already.
    pub(super) async fn commit_terms(&self, live: &Live) -> Result<(), UploadError> {
        let _ledger = self.ledger.lock().await;
        let facts = {
            let mut state = live.lock();
            let changed = state.persisted && std::mem::take(&mut state.terms_changed);
            if changed { super::facts::terms(&state.record) } else { Vec::new() }
        };
        if facts.is_empty() {
            return Ok(());
        }
        let written = self.catalog.commit(facts, self.options.durability).await;
        live.lock().terms_changed |= written.is_err();
        Ok(written.map(drop)?)
    }
}
