//! What an upload is for: its file is published and its creative is written, exactly once; or it is
//! refused.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    Refused, Shared, UploadError, evidence::Evidence, live::Live, quarantine::Checked, stitch::Pass,
};
use crate::{
    store::StoreError,
    upload::{
        By, ByteRange, Creative, Durability, EndReason, FileDigest, TrashReason, UploadState,
        limits::FEW_RANGES, media_type,
    },
};

/// Why the catalog would not complete an upload.
pub(super) enum Uncompleted {
    /// An attempt that seemed to fail took effect: this is its creative.
    Before(Box<Creative>),
    /// It has ended, and has no creative.
    Ended,
    /// Its user was disabled after we looked.
    Refused(Refused, EndReason),
}

impl Shared {
    /// Publishes a file that was passed whole, and records its creative. Its beginning is read
    /// again unless it is at hand. Does nothing yet if its client has just named a SHA-256 that was
    /// not taken: the next pass takes it.
    ///
    /// The caller holds the claim to stitch. May be repeated after an error or a crash at any
    /// point: the name is fixed from the start, the store recognises a publish that was done, and
    /// the catalog lets only one transition to `complete` happen.
    pub(super) async fn finish(
        shared: &Arc<Self>,
        live: &Arc<Live>,
        (digest, head): (FileDigest, Option<Bytes>),
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
        let head = match head {
            Some(head) => head,
            None => shared.head(live).await?,
        };
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
        if !shared.publish(live).await? {
            return Ok(Pass::Done);
        }
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
        shared.drop_ranges(live).await;
        Ok(Pass::Done)
    }

    /// Brings the file to its place for good. False if it is nowhere: then its client is asked for
    /// all of it again.
    async fn publish(&self, live: &Live) -> Result<bool, UploadError> {
        self.flush_all(live).await?;
        match self.store.publish(live.id, &live.published_name()).await {
            Ok(()) => Ok(true),
            // If it is there all the same, it is its new place that is gone: that may pass.
            Err(error @ StoreError::NotFound { .. }) => match self.source_or_forget(live).await? {
                Some(_) => Err(error.into()),
                None => Ok(false),
            },
            // This upload was read and hashed. Whatever has its name is none of it.
            Err(StoreError::Exists { name }) => {
                self.set_finished_aside(live, TrashReason::InTheWay).await?;
                self.store.publish(live.id, &name).await?;
                Ok(true)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Nobody asks for the ranges of what is complete. A few went with its completion.
    pub(super) async fn drop_ranges(&self, live: &Live) {
        if live.lock().coverage.count() <= FEW_RANGES as usize {
            return;
        }
        if let Err(error) = self.catalog.drop_ranges(live.id).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "The ranges of a complete upload stay until it is purged");
        }
    }

    /// Why the catalog would not complete an upload.
    ///
    /// Errors: that cannot be told. The file stays: what is in doubt is not deleted.
    pub(super) async fn not_completed(&self, live: &Live) -> Result<Uncompleted, UploadError> {
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
    /// Those that were flushed before they were acknowledged have nothing to lose, and the publish
    /// flushes whatever there may be. What is not there was published.
    async fn flush_all(&self, live: &Live) -> Result<(), UploadError> {
        let strict = self.options.durability == Durability::Strict;
        if strict && live.flushed.load(Ordering::SeqCst) {
            return Ok(());
        }
        if self.store.len(live.id).await?.is_none() {
            return Ok(());
        }
        for result in self.store.sync(&[live.id]).await {
            if let Err(error) = result {
                self.forget_all(live).await?;
                return Err(error.into());
            }
        }
        Ok(())
    }

    pub(super) fn creative_of(
        &self,
        live: &Live,
        digest: FileDigest,
        content_type: String,
    ) -> Creative {
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
    pub(super) async fn moved(
        &self,
        live: &Live,
        creative: Creative,
    ) -> Result<Creative, UploadError> {
        let named = live.lock().record.scheduled;
        let by = By::server(self.clock.now());
        match named.filter(|day| *day != creative.scheduled) {
            Some(day) => {
                Ok(self.catalog.reschedule(creative.id, day, &by).await?.unwrap_or(creative))
            }
            None => Ok(creative),
        }
    }

    pub(super) fn completed(&self, live: &Live, creative: Creative) {
        tracing::info!(
            upload.id = %live.id, creative.id = %creative.id, size_bytes = creative.size,
            "Completed upload {}", live.id
        );
        let full_at = {
            let mut state = live.lock();
            state.record.state = UploadState::Complete;
            state.record.ended_at = Some(creative.created_at);
            state.creative = Some(creative);
            state.evidence = Evidence::None;
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
        let head = ByteRange::new(0, live.head_len() as u64).expect("it is short");
        let Some(source) = self.source(live.id, &live.published_name()).await? else {
            return Err(UploadError::unavailable("the bytes of the upload are gone"));
        };
        Ok(self.read(&source, head).await?)
    }
}
