//! The end of an upload without a file: refused, cancelled, expired. Once, and for good.

use std::sync::Arc;

use super::{
    Refused, Shared, UploadError, commit::learn_whether_opened, commit::spent, evidence::Evidence,
    live::Live, stitch::Pass,
};
use crate::{
    catalog::Doomed,
    upload::{By, Durability, EndReason, TrashNote, TrashReason, UploadState},
};

impl Shared {
    /// Ends an upload whose file, now that it is all here, is not wanted.
    pub(super) async fn refuse(
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
        if live.has_evidence() {
            // Before the end: nobody looks for the file of an upload that was not full.
            self.set_finished_aside(live, TrashReason::Ended).await?;
            live.lock().evidence = Evidence::None;
        }
        let at = self.clock.now();
        let by = by.map_or_else(|| By::server(at), |by| By { at, ..by.clone() });
        let ledger = self.ledger.lock().await;
        let (unknown, was_full) = {
            let state = live.lock();
            if !state.record.state.is_running() {
                return Ok(false);
            }
            let opened = (!state.persisted).then(|| super::facts::opening(&state));
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
        live.dismiss();
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
    pub(super) async fn clear_place(&self, live: &Live) {
        // Under this lock, so that a range that is late does not make the place anew.
        let mut placed = live.placed.lock().await;
        self.discard(live.id).await;
        *placed = false;
    }

    /// A full upload may have been published, and then not recorded: its end doomed that file. If
    /// it cannot be removed now, the next sweep does it.
    pub(super) async fn bury_unrecorded(&self, live: &Live) {
        let doomed = {
            let record = &live.lock().record;
            let note = TrashNote::of_upload(record, TrashReason::Ended).to_json();
            let filename = record.filename.clone();
            Doomed { id: record.creative_id, filename, note: Some(note) }
        };
        if let Err(error) = self.bury_unlisted(&doomed).await {
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
        let is_complete = record.state == UploadState::Complete;
        {
            let mut state = live.lock();
            (state.record, state.creative) = (record, creative);
            state.retry_at = None;
        }
        if !is_complete {
            live.dismiss();
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
