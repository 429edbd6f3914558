//! A range that is here already: what comes is compared with it, byte for byte, and not written.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use tokio::sync::MutexGuard;

use super::{
    Piece, Shared, UploadError,
    incoming::Incoming,
    live::Live,
    load::{Source, slices},
    sink::Seen,
};
use crate::{
    store::StoreError,
    upload::{ByteRange, Checksum, StoredRange, UploadState},
};

/// The detail of a conflict with an upload that runs.
pub(super) const OTHER_BYTES: &str = "other bytes are stored for this chunk; if the file has \
    changed, choose another `flowIdentifier`, or cancel this upload, probe, and send it from its \
    first chunk";

/// The detail of a conflict with a complete upload, which cannot be cancelled.
const OTHER_FILE: &str = "this upload is complete, and has other bytes in this chunk; if the file \
    has changed, choose another `flowIdentifier`, or name the `sha256` of the file, or delete the \
    creative of this upload; after `result_ttl` it is a new upload by itself";

/// The detail of the conflict with a complete upload whose file is not what it was.
const NO_FILE: &str = "this upload is complete, but its file is missing or damaged on the server; \
    choose another `flowIdentifier`, or delete its creative, and send the file from its first \
    chunk";

/// How a part of a body relates to what is stored of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stored {
    /// The same bytes are stored.
    Same,
    /// Other bytes are stored.
    Other,
    /// What is stored cannot be read, however often it is tried.
    Lost,
}

impl Shared {
    /// Reads a body to its end and compares it with what is stored, as it comes: never more is read
    /// from the store than has come, and nothing after the first difference.
    ///
    /// Errors: it is not the same, or what is stored is not what it was: then the range is
    /// forgotten, and the client may send it again.
    pub(super) async fn compare(
        self: &Arc<Self>,
        live: &Arc<Live>,
        piece: Piece,
        body: &mut Incoming,
    ) -> Result<(), UploadError> {
        let mut seen = Seen::new(piece);
        let mut differs = false;
        while let Some(frame) = body.next().await? {
            let offset = piece.range.offset() + seen.len();
            seen.take(&frame)?;
            if differs {
                // What the whole body hashes to shows who is wrong. See `contradiction`.
                continue;
            }
            let span = ByteRange::new(offset, frame.len() as u64)
                .expect("it lies inside the range, whose length was just checked");
            match self.compare_span(live, span, &frame, body).await? {
                Stored::Same => {}
                Stored::Other => differs = true,
                Stored::Lost => return Err(self.lose_stored(live, piece.range).await),
            }
        }
        let came = seen.finish()?;
        if differs { Err(self.contradiction(live, piece.range, came).await) } else { Ok(()) }
    }

    /// Compares what came with what is stored of it. Requests for one upload take turns: many of
    /// them do not read the same chunk side by side. A client that leaves gives up its turn.
    async fn compare_span(
        &self,
        live: &Live,
        span: ByteRange,
        frame: &Bytes,
        body: &mut Incoming,
    ) -> Result<Stored, UploadError> {
        let _turn = body.until(self, live.comparing.lock()).await?;
        let mut rest = &frame[..];
        for part in slices(span) {
            let Some(stored) = self.read_wherever(live, part).await? else {
                return Ok(Stored::Lost);
            };
            let (head, tail) = rest.split_at(stored.len());
            if head != &stored[..] {
                return Ok(Stored::Other);
            }
            rest = tail;
        }
        Ok(Stored::Same)
    }

    /// Reads of an upload that may be published at any moment. Nothing if it is lost.
    async fn read_wherever(
        &self,
        live: &Live,
        part: ByteRange,
    ) -> Result<Option<Bytes>, StoreError> {
        let published = Source::Published(live.published_name());
        if live.has_evidence() {
            return self.read_or_lose(&published, part).await;
        }
        match self.read_or_lose(&Source::Upload(live.id), part).await? {
            Some(bytes) => Ok(Some(bytes)),
            None => self.read_or_lose(&published, part).await,
        }
    }

    /// The client sent other bytes than those that are stored. A body that does not hash to what
    /// was acknowledged is another one; only for one that does is the stored range read.
    async fn contradiction(
        self: &Arc<Self>,
        live: &Arc<Live>,
        range: ByteRange,
        came: Checksum,
    ) -> UploadError {
        let checksum = live.lock().coverage.get(range).copied();
        let Some(checksum) = checksum.filter(|stored| *stored == came) else {
            return other_bytes(live);
        };
        let sound = async {
            let _turn = live.comparing.lock().await;
            self.is_sound_wherever(live, StoredRange { range, checksum }).await
        };
        let sound = tokio::select! {
            biased;
            gone = live.gone() => return gone,
            sound = sound => sound,
        };
        match sound {
            Ok(true) => other_bytes(live),
            Ok(false) => self.lose_stored(live, range).await,
            Err(error) => error.into(),
        }
    }

    /// A stored range is damaged, or cannot be read: it is asked for again.
    async fn lose_stored(self: &Arc<Self>, live: &Arc<Live>, range: ByteRange) -> UploadError {
        match live.upload_state() {
            UploadState::Receiving | UploadState::Stitching => {}
            UploadState::Complete => return UploadError::Conflict(NO_FILE),
            ended @ (UploadState::Failed | UploadState::Cancelled | UploadState::Expired) => {
                return UploadError::Gone(ended);
            }
        }
        if live.has_evidence() {
            // Whoever examines the finished file decides; nothing may be forgotten behind it.
            return UploadError::unavailable("the finished file is being examined");
        }
        tracing::error!(upload.id = %live.id, %range, "A stored range is not what it was");
        match self.forget_while_receiving(live, range).await {
            Ok(()) => UploadError::unavailable("a stored range is not what it was"),
            Err(error) => error,
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
            state.remove(*range);
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

/// Why a chunk of another file is not stored.
fn other_bytes(live: &Live) -> UploadError {
    UploadError::Conflict(match live.upload_state() {
        UploadState::Complete => OTHER_FILE,
        UploadState::Receiving
        | UploadState::Stitching
        | UploadState::Failed
        | UploadState::Cancelled
        | UploadState::Expired => OTHER_BYTES,
    })
}
