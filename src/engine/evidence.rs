//! A finished file beside an upload that the catalog calls `receiving`: the catalog is older than
//! the file, because it was restored from a backup that was made while the upload ran.
//!
//! The file was whole when it got its name, and clients were told that. So it is not in the way:
//! it is evidence. A stitch worker reads it once, compares it with every range that is known and
//! with the SHA-256 that its client declared, and records its creative. A file that does not match
//! is set aside, its ranges are forgotten, and the client sends the file again.
//!
//! Meanwhile nothing is written: chunks that come are compared with the file, a probe of a chunk
//! that the catalog knows reads that chunk, and nothing else is said to be here.

use std::{collections::VecDeque, error::Error, sync::Arc};

use bytes::Bytes;

use super::{
    Shared, UploadError,
    live::Live,
    load::{Source, slices},
    publish::Uncompleted,
    stitch::Pass,
};
use crate::{
    store::{Origin, PublishedName},
    upload::{
        ByteRange, DigestKinds, FileDigest, Hashing, StoredRange, Timestamp, TrashNote,
        TrashReason, UploadRecord, UploadState, limits, media_type,
    },
};

/// Whether the finished file of an upload was found though the catalog calls it `receiving`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Evidence {
    /// It was not, or what it is has been settled.
    None,
    /// It has yet to be examined.
    ToExamine,
}

/// One pass over a finished file.
struct Reading {
    hashing: Hashing,
    /// The ranges that are not read to their ends, by offset.
    known: VecDeque<StoredRange>,
    /// Of what was read of the first of them.
    crc: crc32fast::Hasher,
    offset: u64,
    matches: bool,
}

impl Reading {
    fn new(kinds: DigestKinds, known: VecDeque<StoredRange>) -> Self {
        let (hashing, crc) = (Hashing::new(kinds), crc32fast::Hasher::new());
        Self { hashing, known, crc, offset: 0, matches: true }
    }

    fn take(mut self, bytes: &[u8]) -> Self {
        self.hashing.update(bytes);
        let (begin, end) = (self.offset, self.offset + bytes.len() as u64);
        self.offset = end;
        while let Some(next) = self.known.front().filter(|next| next.range.offset() < end) {
            let (from, to) = (next.range.offset().max(begin), next.range.end().min(end));
            let at = |offset: u64| usize::try_from(offset - begin).expect("inside one slice");
            self.crc.update(&bytes[at(from)..at(to)]);
            if end < next.range.end() {
                break;
            }
            let crc = std::mem::take(&mut self.crc).finalize();
            self.matches &= crc == next.checksum.0;
            self.known.pop_front();
        }
        self
    }
}

/// What a look at a finished file came to.
enum Look {
    /// It is what the catalog knows of the upload, and hashes to this.
    Matches(FileDigest, Bytes),
    /// It is not, or cannot be read.
    Differs,
    /// The engine stops, or somebody wants to end the upload.
    Interrupted,
}

impl Shared {
    /// Whether the finished file of a running upload is there, before the catalog knows that it was
    /// published. One of another length can be none of it, and is set aside.
    pub(super) async fn has_finished_file(
        &self,
        record: &UploadRecord,
    ) -> Result<bool, UploadError> {
        let name = PublishedName::new(record.creative_id, &record.filename);
        let Some(len) = self.store.published_len(&name).await? else { return Ok(false) };
        let has_length = len == record.identity.plan().total();
        if record.state == UploadState::Receiving && has_length {
            return Ok(true);
        }
        // One that is full is on its way to being recorded, or there are two names of one file.
        let is_being_published = record.state == UploadState::Stitching
            && (has_length || self.store.len(record.id).await?.is_some());
        if !is_being_published {
            let note = TrashNote::of_upload(record, TrashReason::NotMatching);
            self.set_aside(Origin::Completed(name), &note).await?;
        }
        Ok(false)
    }

    /// One attempt to settle what the finished file of an upload is. Returns whether it came to an
    /// end, be it a failure; if not, the engine stops, or the upload is to be ended. The caller
    /// holds the claim to stitch.
    pub(super) async fn examine(shared: &Arc<Self>, live: &Arc<Live>) -> bool {
        match Self::read_and_record(shared, live).await {
            Ok(Pass::Done) => live.lock().calm(),
            Ok(Pass::Interrupted) => return false,
            Err(error) => shared.postpone_for(live, &error).await,
        }
        true
    }

    /// Reads the finished file of an upload that is `receiving`, and records it if it matches.
    async fn read_and_record(shared: &Arc<Self>, live: &Arc<Live>) -> Result<Pass, UploadError> {
        let name = live.published_name();
        match shared.read_finished(live, &name).await? {
            Look::Interrupted => Ok(Pass::Interrupted),
            Look::Differs => {
                shared.refute(live, TrashReason::NotMatching).await?;
                Ok(Pass::Done)
            }
            Look::Matches(digest, head) => {
                let declared = live.lock().record.declared_sha256;
                match (declared, digest.sha256) {
                    // Named meanwhile: the next pass takes it.
                    (Some(_), None) => return Ok(Pass::Done),
                    (Some(declared), Some(found)) if declared != found => {
                        shared.refute(live, TrashReason::NotMatching).await?;
                        return Ok(Pass::Done);
                    }
                    (None, _) | (Some(_), Some(_)) => {}
                }
                shared.recover(live, digest, &head).await
            }
        }
    }

    async fn read_finished(&self, live: &Live, name: &PublishedName) -> Result<Look, UploadError> {
        let (kinds, known) = {
            let state = live.lock();
            let declared = state.record.declared_sha256.is_some();
            let ranges = state.coverage.iter();
            let known = ranges.map(|(range, sum)| StoredRange { range, checksum: *sum }).collect();
            (DigestKinds::of(self.options.digest, declared), known)
        };
        let total = live.plan.total();
        if self.store.published_len(name).await? != Some(total) {
            return Ok(Look::Differs);
        }
        let source = Source::Published(name.clone());
        let (mut reading, mut head) = (Reading::new(kinds, known), Bytes::new());
        let whole = ByteRange::new(0, total).expect("the plan was checked");
        for slice in slices(whole) {
            let Some(bytes) = self.read_or_lose(&source, slice).await? else {
                return Ok(Look::Differs);
            };
            if slice.offset() == 0 {
                // A copy: what is kept of a slice keeps all of it.
                head = Bytes::copy_from_slice(&bytes[..live.head_len()]);
            }
            let read = tokio::task::spawn_blocking(move || reading.take(&bytes)).await;
            reading = read.map_err(|error| UploadError::Unavailable(error.into()))?;
            if !reading.matches {
                return Ok(Look::Differs);
            }
            if live.is_ending() || self.stop.is_cancelled() {
                return Ok(Look::Interrupted);
            }
        }
        Ok(Look::Matches(reading.hashing.finish(), head))
    }

    /// Writes the creative of a file that matches. May be repeated, as [`Self::finish`] may.
    async fn recover(
        self: &Arc<Self>,
        live: &Arc<Live>,
        digest: FileDigest,
        head: &[u8],
    ) -> Result<Pass, UploadError> {
        let (filename, _) = live.kind();
        let creative = self.creative_of(live, digest, media_type(&filename, head));
        let creative = if self.catalog.recover(&creative).await? {
            creative
        } else {
            match self.not_completed(live).await? {
                Uncompleted::Before(creative) => *creative,
                Uncompleted::Ended => {
                    self.bury_unrecorded(live).await;
                    live.lock().evidence = Evidence::None;
                    return Ok(Pass::Done);
                }
                Uncompleted::Refused(why, reason) => return self.refuse(live, why, reason).await,
            }
        };
        tracing::warn!(
            upload.id = %live.id, creative.id = %creative.id,
            "Recovered an upload from its finished file: the database is older than that"
        );
        let creative = self.moved(live, creative).await?;
        self.completed(live, creative);
        // An older file of the upload, if there is one, has nothing that the finished one has not.
        self.clear_place(live).await;
        self.drop_ranges(live).await;
        Ok(Pass::Done)
    }

    /// The finished file is none of this upload: it is set aside, and so is every belief in it. The
    /// caller holds the claim to stitch.
    pub(super) async fn refute(&self, live: &Live, why: TrashReason) -> Result<(), UploadError> {
        self.set_finished_aside(live, why).await?;
        if self.store.len(live.id).await?.is_none() {
            self.forget_all(live).await?;
        } else {
            self.forget_damaged(live).await?;
        }
        live.lock().evidence = Evidence::None;
        live.announce();
        Ok(())
    }

    /// Takes back the ranges that are not what they were in the file of the upload.
    pub(super) async fn forget_damaged(&self, live: &Live) -> Result<(), UploadError> {
        let ranges: Vec<StoredRange> = {
            let state = live.lock();
            let ranges = state.coverage.iter();
            ranges.map(|(range, sum)| StoredRange { range, checksum: *sum }).collect()
        };
        let (source, mut damaged) = (Source::Upload(live.id), Vec::new());
        for stored in ranges {
            if !self.is_sound(&source, stored).await? {
                damaged.push(stored.range);
            }
        }
        self.forget(live, &damaged).await
    }

    /// Whether a range that the catalog knows is in the finished file, which is being read.
    pub(super) async fn is_in_finished_file(
        &self,
        live: &Live,
        range: ByteRange,
    ) -> Result<bool, UploadError> {
        let checksum = live.lock().coverage.get(range).copied();
        let Some(checksum) = checksum else { return Ok(false) };
        let source = Source::Published(live.published_name());
        Ok(self.is_sound(&source, StoredRange { range, checksum }).await?)
    }

    /// Looks for finished files of uploads that the catalog calls `receiving`, and examines them,
    /// one after the other.
    pub(super) async fn examine_all(shared: &Arc<Self>) -> Result<(), UploadError> {
        let later = shared.clock.now().saturating_add(limits::SPAN_MAX).unwrap_or(Timestamp::MAX);
        let receiving = shared.catalog.idle(later, limits::EVIDENCE_LOOKS_MAX).await?;
        for id in receiving {
            if shared.stop.is_cancelled() {
                return Ok(());
            }
            let Some(record) = shared.catalog.upload(id).await? else { continue };
            let name = PublishedName::new(record.creative_id, &record.filename);
            match shared.store.published_len(&name).await {
                Ok(None) => {}
                Ok(Some(_)) => super::stitch::stitch(shared.clone(), id).await,
                Err(error) => {
                    let error = &error as &dyn Error;
                    tracing::warn!(upload.id = %id, error, "Cannot look for a finished file");
                }
            }
        }
        Ok(())
    }
}

impl Live {
    /// The name that its file will have.
    pub(super) fn published_name(&self) -> PublishedName {
        let state = self.lock();
        PublishedName::new(state.record.creative_id, &state.record.filename)
    }

    /// Whether a finished file of the upload is there that has yet to be examined.
    pub(super) fn has_evidence(&self) -> bool {
        self.lock().evidence == Evidence::ToExamine
    }

    /// Whether a range is here, or was found in a finished file that has yet to be examined.
    pub(super) fn has(&self, range: ByteRange) -> bool {
        let state = self.lock();
        state.coverage.contains(range) || state.evidence == Evidence::ToExamine
    }
}
