//! The end of an upload: its file is published and its creative is written, exactly once; or it is
//! refused, or given up.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    Refused, Shared, UploadError, commit::learn_whether_opened, commit::spent, live::Live,
    quarantine::Checked, stitch::Pass,
};
use crate::upload::{
    By, ByteRange, Creative, Durability, EndReason, FileDigest, UploadState, limits::HEAD_LEN,
    media_type,
};

/// Why the catalog would not complete an upload.
enum Uncompleted {
    /// An attempt that seemed to fail took effect: this is its creative.
    Before(Box<Creative>),
    /// It has ended, and has no creative.
    Ended,
    /// Its user was disabled after we looked.
    Refused(Refused, EndReason),
}

impl Shared {
    /// Publishes a file that was read back whole, and records its creative. Does nothing yet if its
    /// client has just named a SHA-256 that was not taken: the next pass takes it.
    ///
    /// The caller holds the claim to stitch. May be repeated after an error or a crash at any
    /// point: the name is fixed from the start, the store recognises a publish that was done, and
    /// the catalog lets only one transition to `complete` happen.
    pub(super) async fn finish(
        shared: &Arc<Self>,
        live: &Arc<Live>,
        digest: FileDigest,
    ) -> Result<Pass, UploadError> {
        let declared = live.lock().record.declared_sha256;
        match (declared, digest.sha256) {
            (Some(_), None) => return Ok(Pass::Done),
            (Some(declared), Some(sha256)) if declared != sha256 => {
                let reason = EndReason(format!("its SHA-256 is {sha256}, not what `sha256` said"));
                return shared.refuse(live, Refused::Checksum, reason).await;
            }
            (None, _) | (Some(_), Some(_)) => {}
        }
        let head = shared.head(live).await?;
        let (filename, accept) = live.kind();
        match shared.check_head(&filename, &accept, &head) {
            Err(UploadError::Refused(why, reason)) => {
                return shared.refuse(live, why, reason).await;
            }
            checked => checked?,
        }
        match Self::quarantine(shared, live, digest) {
            Checked::Passed => {}
            Checked::Refused(why, reason) => return shared.refuse(live, why, reason).await,
            Checked::Asked => return Ok(Pass::Done),
            Checked::Interrupted => return Ok(Pass::Interrupted),
        }
        if let Some((why, reason)) = shared.obstacle(live).await? {
            return shared.refuse(live, why, reason).await;
        }
        let content_type = media_type(&filename, &head);
        let name = live.published_name();
        if shared.store.len(live.id).await?.is_some() {
            shared.flush_all(live).await?;
        }
        shared.store.publish(live.id, &name).await?;
        // Publishing took a while: what was named meanwhile counts as well.
        if live.lock().record.declared_sha256 != declared {
            return Ok(Pass::Done);
        }
        let creative = shared.creative_of(live, digest, content_type);
        let creative = if shared.catalog.complete(&creative).await? {
            creative
        } else {
            match shared.not_completed(live).await? {
                Uncompleted::Before(creative) => *creative,
                Uncompleted::Ended => {
                    // Nobody knows of a creative with its id: there is none any more.
                    shared.bury_unrecorded(live).await;
                    return Ok(Pass::Done);
                }
                // What was published goes with it.
                Uncompleted::Refused(why, reason) => return shared.refuse(live, why, reason).await,
            }
        };
        let creative = shared.moved(live, creative).await?;
        shared.completed(live, creative);
        if let Err(error) = shared.catalog.drop_ranges(live.id).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "The ranges of a complete upload stay until it is purged");
        }
        Ok(Pass::Done)
    }

    /// Why the catalog would not complete an upload.
    ///
    /// Errors: that cannot be told. The file stays: what is in doubt is not deleted.
    async fn not_completed(&self, live: &Live) -> Result<Uncompleted, UploadError> {
        let id = live.lock().record.creative_id;
        if let Some(creative) = self.catalog.creative(id).await? {
            return Ok(Uncompleted::Before(Box::new(creative)));
        }
        if self.learn_end(live).await? {
            return Ok(Uncompleted::Ended);
        }
        let Some((why, reason)) = self.excluded(live).await? else {
            return Err(UploadError::unavailable("the catalog does not complete the upload"));
        };
        Ok(Uncompleted::Refused(why, reason))
    }

    /// The bytes survive loss of power, or none of them counts: see `failed fsync` in the design.
    /// But those that were flushed before they were acknowledged have nothing to lose here.
    async fn flush_all(&self, live: &Live) -> Result<(), UploadError> {
        let strict = self.options.durability == Durability::Strict;
        for result in self.store.sync(&[live.id]).await {
            if let Err(error) = result {
                if !(strict && live.flushed.load(Ordering::SeqCst)) {
                    self.forget_all(live).await?;
                }
                return Err(error.into());
            }
        }
        Ok(())
    }

    fn creative_of(&self, live: &Live, digest: FileDigest, content_type: String) -> Creative {
        let state = live.lock();
        let record = &state.record;
        Creative {
            id: record.creative_id,
            principal: record.identity.principal().clone(),
            filename: record.filename.clone(),
            size: live.plan.total(),
            digest,
            content_type,
            scheduled: record.scheduled.unwrap_or_else(|| self.clock.today()),
            created_at: self.clock.now(),
            upload_id: live.id,
        }
    }

    /// The creative, scheduled for the day that was named last: it may have been named while the
    /// record was being written, and whoever named it is about to hear that it counts.
    async fn moved(&self, live: &Live, creative: Creative) -> Result<Creative, UploadError> {
        let named = live.lock().record.scheduled;
        let by = By::server(self.clock.now());
        match named.filter(|day| *day != creative.scheduled) {
            Some(day) => {
                Ok(self.catalog.reschedule(creative.id, day, &by).await?.unwrap_or(creative))
            }
            None => Ok(creative),
        }
    }

    fn completed(&self, live: &Live, creative: Creative) {
        tracing::info!(
            upload.id = %live.id, creative.id = %creative.id, size_bytes = creative.size,
            "Completed upload {}", live.id
        );
        let full_at = {
            let mut state = live.lock();
            state.record.state = UploadState::Complete;
            state.record.ended_at = Some(creative.created_at);
            state.creative = Some(creative);
            state.calm();
            state.full_at.take()
        };
        live.warm.clear();
        self.metrics.completed.inc();
        if let Some(full_at) = full_at {
            let waited = Instant::now().saturating_duration_since(full_at);
            self.metrics.stitch_seconds.observe(waited.as_secs_f64());
        }
        live.announce();
    }

    /// The first bytes of a file that is all here.
    async fn head(&self, live: &Live) -> Result<Bytes, UploadError> {
        let len = live.plan.total().min(HEAD_LEN as u64);
        let head = ByteRange::new(0, len).expect("it is short");
        let Some(source) = self.source(live.id, &live.published_name()).await? else {
            return Err(UploadError::unavailable("the bytes of the upload are gone"));
        };
        Ok(self.read(&source, head).await?)
    }

    /// Ends an upload whose file, now that it is all here, is not wanted.
    async fn refuse(
        &self,
        live: &Arc<Live>,
        why: Refused,
        reason: EndReason,
    ) -> Result<Pass, UploadError> {
        live.lock().refused = Some(why);
        self.end(live, UploadState::Failed, Some(reason), None).await.map(|_| Pass::Done)
    }

    /// Ends a running upload without a file, by the server's own choice unless it is somebody
    /// else's. Returns false if it had ended before or cannot end so.
    ///
    /// The caller holds the claim to stitch, so that nothing is being published meanwhile.
    pub(super) async fn end(
        &self,
        live: &Arc<Live>,
        how: UploadState,
        reason: Option<EndReason>,
        by: Option<&By>,
    ) -> Result<bool, UploadError> {
        let at = self.clock.now();
        let by = by.map_or_else(|| By::server(at), |by| By { at, ..by.clone() });
        let ledger = self.ledger.lock().await;
        let (unknown, was_full) = {
            let state = live.lock();
            if !state.record.state.is_running() {
                return Ok(false);
            }
            let opened = (!state.persisted).then(|| super::opening(&state));
            (opened, state.record.state == UploadState::Stitching)
        };
        if let Some(opened) = unknown {
            // Late ranges of it are to find a tombstone.
            match self.catalog.commit(opened, Durability::Strict).await {
                Ok(committed) if committed.refused.contains(&live.id) => return Err(spent(live)),
                Ok(_) => live.lock().persisted = true,
                Err(error) => {
                    learn_whether_opened(self, live).await;
                    return Err(error.into());
                }
            }
        }
        live.warm.clear();
        let ended = match self.catalog.end(live.id, how, reason.clone(), &by).await {
            Ok(ended) => ended,
            Err(error) => self.has_ended(live, how).await.then_some(true).ok_or(error)?,
        };
        if !ended {
            // It may be complete by an attempt that seemed to fail: then nothing of it may go.
            live.lock().in_question = true;
            drop(ledger);
            self.make_sure(live).await?;
            return Ok(false);
        }
        {
            let mut state = live.lock();
            state.record.state = how;
            state.record.reason = reason;
            state.record.ended_at = Some(at);
            state.record.released = false;
        }
        drop(ledger);
        live.announce();
        tracing::info!(upload.id = %live.id, state = how.as_str(), "Ended upload {}", live.id);
        // Only now that the tombstone is durable may the bytes go (invariant 7).
        self.clear_place(live).await;
        if was_full {
            self.bury_unrecorded(live).await;
        }
        if let Err(error) = self.catalog.drop_ranges(live.id).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "The ranges of an ended upload stay until it is purged");
        }
        Ok(true)
    }

    /// Removes the bytes of an upload that has ended.
    async fn clear_place(&self, live: &Live) {
        // Under this lock, so that a range that is late does not make the place anew.
        let mut placed = live.placed.lock().await;
        self.discard(live.id).await;
        *placed = false;
    }

    /// A full upload may have been published, and then not recorded: its end doomed that file. If
    /// it cannot be removed now, the next sweep does it.
    async fn bury_unrecorded(&self, live: &Live) {
        let (id, filename) = {
            let state = live.lock();
            (state.record.creative_id, state.record.filename.clone())
        };
        if let Err(error) = self.bury(id, &filename).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(upload.id = %live.id, error, "A file without a creative stays for now");
        }
    }

    /// Whether an end that seemed to fail took effect: then what comes later has none, and must not
    /// be acknowledged. If that cannot be told, it is in doubt.
    async fn has_ended(&self, live: &Live, how: UploadState) -> bool {
        let record = self.catalog.upload(live.id).await;
        live.lock().in_question = record.is_err();
        matches!(record, Ok(Some(record)) if record.state == how)
    }

    /// Before anything is said of an upload that is in question, the catalog is asked.
    ///
    /// Errors: it does not answer. Then nothing can be said.
    pub(super) async fn make_sure(&self, live: &Live) -> Result<(), UploadError> {
        if !live.lock().in_question {
            return Ok(());
        }
        // Under this lock, so that the answer is not from before a later doubt.
        let ledger = self.ledger.lock().await;
        let has_ended = self.learn_end(live).await?;
        live.lock().in_question = false;
        drop(ledger);
        if has_ended {
            self.clear_place(live).await;
        }
        Ok(())
    }

    /// If the catalog says that an upload has ended, so does memory from now on. Returns whether it
    /// has.
    pub(super) async fn learn_end(&self, live: &Live) -> Result<bool, UploadError> {
        let record = self.catalog.upload(live.id).await?;
        let Some(record) = record.filter(|record| !record.state.is_running()) else {
            return Ok(false);
        };
        let creative = self.catalog.creative(record.creative_id).await?;
        {
            let mut state = live.lock();
            (state.record, state.creative) = (record, creative);
            state.retry_at = None;
        }
        live.announce();
        Ok(true)
    }

    /// Gives up an upload because its client wants to: a stitch that runs is asked to let go.
    pub(super) async fn cancel(&self, live: &Arc<Live>, by: &By) -> Result<bool, UploadError> {
        let _wish = live.wants_to_end();
        let _progress = live.progress.lock().await;
        self.end(live, UploadState::Cancelled, None, Some(by)).await
    }
}
