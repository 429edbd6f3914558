//! One range on its way in: from the body to the store, and then to the group commit.

use std::sync::Arc;

use bytes::Bytes;
use tokio::{sync::oneshot, time::timeout};

use super::{
    Body, Engine, Intent, Piece, Shared, Snapshot, UploadError,
    accept::Head,
    claim::{Admission, Claim},
    commit::Pending,
    incoming::Incoming,
    live::Live,
    sink::{Seen, Sink},
    warm::Frames,
};
use crate::{
    metrics::ChunkResult,
    upload::{StoredRange, UploadState},
};

/// A range that was acknowledged.
#[derive(Debug, Clone)]
pub struct Received {
    /// How its upload stands now.
    pub snapshot: Snapshot,
    /// Whether it was this range that completed it.
    pub completed: bool,
}

impl Engine {
    /// Takes one range of an upload: stores it, commits it and, if it was the last one, waits for
    /// the stitch (at most `completion_wait`).
    ///
    /// A range that is here already is compared, acknowledged and not written again. Errors leave
    /// nothing behind. Cancel safety: none; run it under [`Engine::detach`].
    pub async fn receive(
        &self,
        intent: &Intent,
        piece: Piece,
        body: Body,
    ) -> Result<Received, UploadError> {
        let result = self.receive_inner(intent, piece, body).await;
        if let Err(error) = &result {
            use super::Class;
            self.shared.metrics.count_chunk(match error.class() {
                Class::Interrupted | Class::TimedOut => ChunkResult::Aborted,
                Class::NoSpace | Class::Unavailable => ChunkResult::Failed,
                Class::Malformed
                | Class::Damaged
                | Class::Schedule
                | Class::Conflict
                | Class::TooLarge
                | Class::Forbidden
                | Class::OverQuota
                | Class::Gone
                | Class::Refused(_) => ChunkResult::Refused,
            });
        }
        result
    }

    async fn receive_inner(
        &self,
        intent: &Intent,
        piece: Piece,
        body: Body,
    ) -> Result<Received, UploadError> {
        let shared = &self.shared;
        let live = Shared::admit(shared, intent).await?;
        Shared::verify_later(shared, &live);
        let mut body = Incoming::new(live.clone(), body);
        let filled = loop {
            match live.admit(piece.range) {
                Admission::Claimed(claim) => match shared.write(&live, claim, piece, body).await {
                    Ok(filled) => break filled,
                    Err(error) => {
                        return Err(shared.give_up(&live, live.explain(error)).await);
                    }
                },
                Admission::Busy(slot) => body.until(shared, slot.wait()).await?,
                Admission::Unverified(claim) => {
                    body.until(shared, Shared::verify_now(shared, &live, claim)).await??;
                    if live.lock().unverified.contains(piece.range) {
                        let why = "the finished file of the upload is being checked";
                        return Err(UploadError::unavailable(why));
                    }
                }
                Admission::Stored | Admission::Ended(UploadState::Complete) => {
                    let compared = shared.compare(&live, piece, &mut body).await;
                    compared.map_err(|error| live.explain(error))?;
                    shared.commit_terms(&live).await?;
                    shared.metrics.count_chunk(ChunkResult::Duplicate);
                    break false;
                }
                Admission::Ended(state) => return Err(UploadError::Gone(state)),
            }
        };
        let snapshot = self.settled(&live).await;
        match snapshot.state {
            UploadState::Failed => {
                let (why, reason) = {
                    let state = live.lock();
                    (state.refused, state.record.reason.clone())
                };
                let refused = why.zip(reason).map(|(why, it)| UploadError::Refused(why, it));
                Err(refused.unwrap_or(UploadError::Gone(UploadState::Failed)))
            }
            UploadState::Cancelled | UploadState::Expired => Err(UploadError::Gone(snapshot.state)),
            UploadState::Receiving if !live.has(piece.range) => {
                Err(UploadError::unavailable("the chunk was stored, and then lost"))
            }
            UploadState::Receiving | UploadState::Stitching | UploadState::Complete => {
                let completed = filled && snapshot.state == UploadState::Complete;
                Ok(Received { snapshot, completed })
            }
        }
    }

    /// How an upload stands; one that is being stitched is waited for, but not for long.
    pub(super) async fn settled(&self, live: &Live) -> Snapshot {
        let mut changes = live.watch();
        let is_open = || live.upload_state() == UploadState::Stitching || live.has_evidence();
        let ended = changes.wait_for(|_| !is_open());
        let waited = timeout(self.shared.options.completion_wait, ended);
        // Past the wait the answer says `stitching`, which is the truth.
        drop(self.shared.hurry.run_until_cancelled(waited).await);
        self.shared.snapshot(live)
    }
}

impl Shared {
    /// Writes a claimed range and commits it. Returns whether that made the upload full.
    async fn write(
        self: &Arc<Self>,
        live: &Arc<Live>,
        claim: Claim,
        piece: Piece,
        mut body: Incoming,
    ) -> Result<bool, UploadError> {
        claim.at_work(true);
        // Looked at first: the lock is held while others are being recorded.
        if live.is_in_doubt() {
            self.settle_doubt(&self.ledger.lock().await, live).await?;
        }
        self.place(live).await?;
        let mut sink = Sink::new(self, live, piece);
        let mut head = Head::of(self, live, piece);
        loop {
            claim.at_work(false);
            let frame = tokio::select! {
                biased;
                () = claim.taken_over() => {
                    drop(claim);
                    return self.follow(live, sink.into_seen(), body).await;
                }
                frame = body.next() => frame?,
                () = self.budget.pressure(), if sink.holds_memory() => Some(Bytes::new()),
            };
            claim.at_work(true);
            if let Some(frame) = &frame {
                claim.brought(frame.len());
                if let Some(begun) = head.as_mut().and_then(|head| head.take(frame)) {
                    let (name, accept) = live.kind();
                    self.check_head(&name, &accept, begun)?;
                    head = None;
                }
            }
            match frame {
                // What stands for memory pressure, and so means: write out what is here.
                Some(frame) if frame.is_empty() => sink.let_go().await?,
                Some(frame) => sink.take(frame, &mut body).await?,
                None => break,
            }
        }
        sink.flush().await?;
        let Sink { seen, warm, .. } = sink;
        let stored = StoredRange { range: piece.range, checksum: seen.finish()? };
        self.commit(live, (stored, warm), claim).await
    }

    /// Makes sure that the store has a place for the upload, of its full length.
    async fn place(&self, live: &Live) -> Result<(), UploadError> {
        let mut placed = live.placed.lock().await;
        if !*placed {
            let state = live.upload_state();
            if !state.is_running() {
                return Err(UploadError::Gone(state));
            }
            if live.lock().coverage.count() == 0 {
                self.create(live.id, live.plan.total()).await?;
            } else {
                self.restore_length(live.id, live.plan.total()).await?;
            }
            *placed = true;
        }
        Ok(())
    }

    /// Hands a written range to the group commit and waits for it.
    async fn commit(
        &self,
        live: &Arc<Live>,
        (stored, warm): (StoredRange, Option<Frames>),
        claim: Claim,
    ) -> Result<bool, UploadError> {
        let (reply, committed) = oneshot::channel();
        let pending = Pending { live: live.clone(), stored, warm, epoch: claim.epoch, reply };
        let stopping = || UploadError::unavailable("the server is stopping");
        self.commits.send(pending).await.map_err(|_| stopping())?;
        let filled = committed.await.map_err(|_| stopping())??;
        self.metrics.count_chunk(ChunkResult::Stored);
        // The claim goes only now: whoever waits for it finds the range in the coverage.
        drop(claim);
        Ok(filled)
    }

    /// The rest of a request whose claim a newer one took: its body is read to the end, and if the
    /// newer one stored the same bytes, then this one's are stored, too.
    async fn follow(
        &self,
        live: &Arc<Live>,
        mut seen: Seen,
        mut body: Incoming,
    ) -> Result<bool, UploadError> {
        while let Some(frame) = body.next().await? {
            seen.take(&frame)?;
        }
        let range = seen.piece.range;
        let checksum = seen.finish()?;
        loop {
            match live.admit(range) {
                // Not taken over: these bytes are gone, and nobody would be left to store any.
                Admission::Busy(slot) => body.until(self, slot.wait_patiently()).await?,
                Admission::Stored => break,
                Admission::Claimed(_) | Admission::Unverified(_) => {
                    return Err(UploadError::unavailable("the chunk was sent twice at once"));
                }
                Admission::Ended(state) => return Err(UploadError::Gone(state)),
            }
        }
        if live.lock().coverage.get(range) == Some(&checksum) {
            self.metrics.count_chunk(ChunkResult::Duplicate);
            return Ok(false);
        }
        Err(UploadError::Conflict(super::compare::OTHER_BYTES))
    }
}
