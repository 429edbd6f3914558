//! The stitch: the pass over an upload's ranges in order. Each is fed to the digest of the whole
//! file: from memory if it came a moment ago (see `warm`), or else read back and checked against
//! the checksum that was taken when it arrived.
//!
//! It follows the contiguous prefix while the upload still runs, so that after the last range only
//! the tail is left to do. The channel brings hints; a hint that was lost costs a tick.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::task::TaskTracker;

use super::{
    Shared, UploadError,
    cold::{Cold, Turn},
    live::Live,
    progress::Progress,
};
use crate::upload::{
    ByteRange, Checksum, DigestKinds, Hashing, StoredRange, Trouble, UploadId, UploadState,
    limits::{self, STITCH_AHEAD_LEN, STITCH_RETRY_MAX, STITCH_RETRY_MIN, STITCH_TICK},
};

/// How a pass ended.
pub(super) enum Pass {
    /// Everything that is here was passed.
    Done,
    /// The engine stops, or somebody wants to cancel the upload.
    Interrupted,
}

pub(super) fn spawn_workers(
    shared: &Arc<Shared>,
    hints: mpsc::Receiver<UploadId>,
    background: &TaskTracker,
) {
    let hints = Arc::new(tokio::sync::Mutex::new(hints));
    for _ in 0..limits::FINISHES_AT_ONCE_MAX.max(shared.options.stitch_workers) {
        background.spawn(shared.vital(work(shared.clone(), hints.clone())));
    }
}

/// One worker: takes hint after hint until the engine stops.
async fn work(shared: Arc<Shared>, hints: Arc<tokio::sync::Mutex<mpsc::Receiver<UploadId>>>) {
    loop {
        let hint = tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            hint = async { hints.lock().await.recv().await } => hint,
        };
        let Some(id) = hint else { return };
        // In a task of its own: a panic takes down one attempt at one upload, never the worker.
        let attempt = tokio::spawn(stitch(shared.clone(), id)).await;
        if attempt.is_err() {
            tracing::error!(upload.id = %id, "The stitch of an upload panicked; it is tried again");
            if let Ok(Some(live)) = Shared::by_id(&shared, id).await {
                shared.postpone(&live, "an internal error, see the log of the server").await;
            }
        }
    }
}

/// Hints again at whatever is left to do: hints that found the queue full, attempts that failed,
/// uploads that were full when the last process ended.
pub(super) async fn tick(shared: Arc<Shared>) {
    let mut ticks = interval(STITCH_TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let live = shared.registry.all();
        let ready = live.iter().filter(|l| l.has_stitch_work(STITCH_AHEAD_LEN, Instant::now()));
        let mut ids: Vec<UploadId> = ready.map(|live| live.id).collect();
        match shared.all_stitching().await {
            Ok(full) => {
                let known: HashSet<UploadId> = live.iter().map(|live| live.id).collect();
                let unknown = full.into_iter().filter(|id| !known.contains(id));
                ids.extend(unknown.filter(|id| !shared.registry.rests(*id, Instant::now())));
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "No stitch tick");
            }
        }
        for id in ids {
            tokio::select! {
                () = shared.stop.cancelled() => return,
                // Fails only if the workers are gone, and then so is this soon.
                _ = shared.hints.send(id) => {}
            }
        }
    }
}

/// Everything there is to do for one upload at the moment.
pub(super) async fn stitch(shared: Arc<Shared>, id: UploadId) {
    let live = match Shared::by_id(&shared, id).await {
        Ok(Some(live)) => live,
        Ok(None) => return,
        Err(error) => return shared.postpone_unloaded(id, &error).await,
    };
    // Whoever comes while another works leaves: the other looks again when it is done.
    while live.has_stitch_work(1, Instant::now()) && !live.is_ending() {
        // Before the claim: whoever wants to end the upload must not wait for other uploads.
        let mut turn = Turn::new(&shared.passes).await;
        if shared.stop.is_cancelled() {
            return;
        }
        let Ok(mut progress) = live.progress.try_lock() else { return };
        if live.has_evidence() {
            let settled = Shared::examine(&shared, &live).await;
            if settled {
                continue;
            }
            return;
        }
        // Taken out, so that a panic leaves a progress that is empty, not one that is wrong.
        let mut run = std::mem::take(&mut *progress);
        let result = shared.pass(&live, &mut run, &mut turn).await;
        // What is left to do waits for the disk, and costs no processor.
        drop(turn);
        live.hashed.store(run.hashed, Ordering::Relaxed);
        let head = run.head.take();
        *progress = run.clone();
        match result {
            Ok(Pass::Done) if run.is_whole(&live) => {
                match Shared::finish(&shared, &live, (run.hashing.finish(), head)).await {
                    Ok(Pass::Done) => {}
                    Ok(Pass::Interrupted) => return,
                    Err(error) => shared.postpone_for(&live, &error).await,
                }
            }
            Ok(Pass::Done) => live.lock().calm(),
            Ok(Pass::Interrupted) => return,
            Err(error) => shared.postpone_for(&live, &error).await,
        }
    }
}

impl Shared {
    /// Passes every range that lies next in order.
    async fn pass(
        &self,
        live: &Live,
        progress: &mut Progress,
        turn: &mut Turn<'_>,
    ) -> Result<Pass, UploadError> {
        let (rewinds, kinds) = self.terms(live);
        // A client may name a SHA-256 late: what was passed before is missing from it.
        if (progress.rewinds, progress.hashing.kinds()) != (rewinds, kinds) {
            *progress = Progress { rewinds, hashing: Hashing::new(kinds), ..Progress::default() };
        }
        let full = live.upload_state() == UploadState::Stitching;
        let mut source = None;
        while let Some((range, checksum)) = next(live, progress) {
            let running = live.upload_state() == UploadState::Receiving;
            if live.is_ending() || (running && self.stop.is_cancelled()) {
                return Ok(Pass::Interrupted);
            }
            // A copy: after an error or damage the range is to be passed again.
            let hashing = progress.hashing.clone();
            let passed = if let Some(frames) = live.warm.take(range) {
                if range.offset() == 0 {
                    progress.head = frames.head(live.head_len());
                }
                frames.hash(hashing).await?
            } else {
                if source.is_none() {
                    source = Some(self.source_or_forget(live).await?);
                }
                let Some(Some(source)) = &source else { return Ok(Pass::Done) };
                let stored = StoredRange { range, checksum };
                match self.pass_cold(live, source, stored, hashing, turn).await? {
                    Cold::Passed(hashing) => hashing,
                    Cold::Lost => return Ok(Pass::Done),
                    Cold::Interrupted => return Ok(Pass::Interrupted),
                }
            };
            progress.hashing = passed;
            progress.hashed = range.end();
            progress.passed_empty = range.is_empty();
            live.hashed.store(progress.hashed, Ordering::Relaxed);
        }
        // Of what is full, all must be there still, even if none of it was to be read back. What
        // was in memory a moment ago is asked for when it is published.
        if full && source.is_none() && progress.head.is_none() {
            source = Some(self.source_or_forget(live).await?);
        }
        if let Some(None) = source {
            return Ok(Pass::Done);
        }
        let has_gap = progress.hashed != live.plan.total();
        // What came since we looked is for the next pass.
        if has_gap && live.was_passed_whole(progress.rewinds) && next(live, progress).is_none() {
            return Err(UploadError::unavailable("a full upload has a gap"));
        }
        Ok(Pass::Done)
    }

    /// What a pass must have begun with: how often ranges were forgotten, and which digests are to
    /// be taken.
    fn terms(&self, live: &Live) -> (u64, DigestKinds) {
        let state = live.lock();
        let declared = state.record.declared_sha256.is_some();
        (state.rewinds, DigestKinds::of(self.options.digest, declared))
    }

    /// What cannot even be loaded waits as well. How often it failed is only in the catalog, and a
    /// catalog that does not say it is itself what is in the way.
    async fn postpone_unloaded(&self, id: UploadId, error: &UploadError) {
        let reason = error.chain();
        tracing::error!(upload.id = %id, reason, "Cannot load an upload that is to be stitched");
        let Ok(Some(record)) = self.catalog.upload(id).await else { return };
        let failed = record.trouble.map_or(0, |trouble| trouble.attempts);
        self.registry.rest(id, Instant::now() + pause(failed));
        let trouble = Trouble { attempts: failed.saturating_add(1), reason: error.public() };
        self.record_trouble(id, &trouble).await;
    }

    pub(super) async fn postpone_for(&self, live: &Live, error: &UploadError) {
        let reason = error.chain();
        tracing::error!(upload.id = %live.id, reason, "Cannot stitch an upload for now");
        self.postpone(live, &error.public()).await;
    }

    /// The next attempt waits, longer each time; the reason is shown meanwhile.
    async fn postpone(&self, live: &Live, reason: &str) {
        self.metrics.stitch_retries.inc();
        let (trouble, full) = {
            let mut state = live.lock();
            let failed = state.record.trouble.as_ref().map_or(0, |trouble| trouble.attempts);
            state.retry_at = Some(Instant::now() + pause(failed));
            let attempts = failed.saturating_add(1);
            let trouble = Trouble { attempts, reason: reason.to_owned() };
            state.record.trouble = Some(trouble.clone());
            (trouble, state.record.state == UploadState::Stitching)
        };
        live.announce();
        if full {
            self.record_trouble(live.id, &trouble).await;
        }
    }

    async fn record_trouble(&self, id: UploadId, trouble: &Trouble) {
        if let Err(error) = self.catalog.hold_up(id, trouble).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(upload.id = %id, error, "What holds up an upload is not recorded");
        }
    }
}

/// How long to wait after so many failures and one more.
fn pause(failed: u32) -> Duration {
    STITCH_RETRY_MIN.saturating_mul(1 << failed.min(16)).min(STITCH_RETRY_MAX)
}

/// The range that is next in order, if it is here.
fn next(live: &Live, progress: &Progress) -> Option<(ByteRange, Checksum)> {
    let state = live.lock();
    let (range, checksum) = state.coverage.starting_at(progress.hashed)?;
    let passed = range.is_empty() && progress.passed_empty;
    (!passed).then_some((range, *checksum))
}
