//! The exclusive right to write one range.
//!
//! A newer request for a range waits for the writer before it; if that one lets the server wait for
//! [`CLAIM_STALL`] and brings less than [`CLAIM_PROGRESS_LEN`] meanwhile, it has to let go and the
//! newer one writes. The older one then only listens, and takes nothing over: see `receive`.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{
    evidence::Evidence,
    live::{Live, LiveState},
};
use crate::upload::{
    ByteRange, UploadState,
    limits::{CLAIM_PROGRESS_LEN, CLAIM_STALL},
};

/// How fast a writer brings its bytes. Only the time counts in which the server waits for it.
#[derive(Debug)]
struct Pace {
    /// How long it was waited for since it last brought enough, before `waits_since`.
    waited: Duration,
    /// Since when it is waited for; nothing while the server is at work.
    waits_since: Option<Instant>,
    /// Bytes that it brought since then, too few to count.
    brought: u64,
}

/// One claim as others see it.
#[derive(Debug)]
pub(super) struct ClaimSlot {
    pace: Mutex<Pace>,
    takeover: CancellationToken,
    released: CancellationToken,
    /// Cancelled when somebody waits for the range.
    wanted: CancellationToken,
}

impl ClaimSlot {
    pub(super) fn new() -> Self {
        let waits_since = Some(Instant::now());
        Self {
            pace: Mutex::new(Pace { waited: Duration::ZERO, waits_since, brought: 0 }),
            takeover: CancellationToken::new(),
            released: CancellationToken::new(),
            wanted: CancellationToken::new(),
        }
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().expect("only sums are made under this lock")
    }

    /// When the writer will have stalled, if it brings nothing more; nothing while the server is at
    /// work on what it brought.
    fn stalls_at(&self) -> Option<Instant> {
        let pace = self.pace();
        pace.waits_since.map(|since| since + CLAIM_STALL.saturating_sub(pace.waited))
    }

    /// Waits until its writer is done, however long that takes.
    ///
    /// Bounded by how long a body may bring nothing. Cancel safety: may be dropped.
    pub(super) async fn wait_patiently(&self) {
        self.wanted.cancel();
        self.released.cancelled().await;
    }

    /// Waits until the range may be asked for again: its writer is done, or was made to let go.
    ///
    /// Bounded by the writer's stall and its work on the disk. Cancel safety: may be dropped.
    pub(super) async fn wait(&self) {
        self.wanted.cancel();
        loop {
            let look_again_at = self.stalls_at().unwrap_or_else(|| Instant::now() + CLAIM_STALL);
            tokio::select! {
                () = self.released.cancelled() => return,
                () = sleep_until(look_again_at) => {}
            }
            if self.stalls_at().is_some_and(|at| at <= Instant::now()) {
                self.takeover.cancel();
                return self.released.cancelled().await;
            }
        }
    }
}

/// A claim as its owner holds it. Given back when dropped.
#[derive(Debug)]
pub(super) struct Claim {
    live: Arc<Live>,
    range: ByteRange,
    slot: Arc<ClaimSlot>,
    /// See [`super::live::LiveState::epoch`].
    pub(super) epoch: u64,
}

impl Claim {
    pub(super) fn new(live: Arc<Live>, range: ByteRange, slot: Arc<ClaimSlot>, epoch: u64) -> Self {
        Self { live, range, slot, epoch }
    }

    /// The range that is claimed.
    pub(super) fn range(&self) -> ByteRange {
        self.range
    }

    /// Somebody waits for the range, beside its owner.
    pub(super) fn want(&self) {
        self.slot.wanted.cancel();
    }

    /// Ends when somebody waits for the range.
    pub(super) async fn wanted(&self) {
        self.slot.wanted.cancelled().await;
    }

    /// So many bytes came. Few of them are no progress: whoever drips holds up others as much as
    /// whoever is silent.
    pub(super) fn brought(&self, bytes: usize) {
        let mut pace = self.slot.pace();
        pace.brought += bytes as u64;
        if CLAIM_PROGRESS_LEN <= pace.brought {
            (pace.waited, pace.brought) = (Duration::ZERO, 0);
        }
    }

    /// Says whether the server is at work on the range (true) or waits for the client (false).
    pub(super) fn at_work(&self, at_work: bool) {
        let now = Instant::now();
        let mut pace = self.slot.pace();
        let since = mem::replace(&mut pace.waits_since, (!at_work).then_some(now));
        pace.waited += since.map_or(Duration::ZERO, |since| now - since);
    }

    /// Ends when a newer request wants the range and this one has stalled.
    pub(super) async fn taken_over(&self) {
        self.slot.takeover.cancelled().await;
    }
}

/// What is to be done about a range that a request brings.
pub(super) enum Admission {
    /// It is this request's to write.
    Claimed(Claim),
    /// Somebody writes it at the moment.
    Busy(Arc<ClaimSlot>),
    /// It was stored, and is this request's to read back before that is believed.
    Unverified(Claim),
    /// It is here.
    Stored,
    /// The upload has ended.
    Ended(UploadState),
}

impl Live {
    /// Asks for the exclusive right to write `range`.
    pub(super) fn admit(self: &Arc<Self>, range: ByteRange) -> Admission {
        let mut state = self.lock();
        if let Some(unverified) = self.admit_unverified(&mut state, range) {
            return unverified;
        }
        // What comes is compared with a file that is whole already, if there is one.
        if state.coverage.contains(range) || state.evidence == Evidence::ToExamine {
            return Admission::Stored;
        }
        match state.record.state {
            UploadState::Receiving => {}
            // Full, and yet the range is not in the coverage: a commit is being told of.
            UploadState::Stitching
            | UploadState::Complete
            | UploadState::Failed
            | UploadState::Cancelled
            | UploadState::Expired => return Admission::Ended(state.record.state),
        }
        if let Some(slot) = state.claims.get(&range.offset()) {
            return Admission::Busy(slot.clone());
        }
        Admission::Claimed(self.claim(&mut state, range))
    }

    /// Asks for the right to read a range back. Nothing if it need not be.
    pub(super) fn admit_reader(self: &Arc<Self>, range: ByteRange) -> Option<Admission> {
        self.admit_unverified(&mut self.lock(), range)
    }

    fn admit_unverified(
        self: &Arc<Self>,
        state: &mut LiveState,
        range: ByteRange,
    ) -> Option<Admission> {
        if !state.record.state.is_running() || !state.unverified.contains(range) {
            return None;
        }
        Some(match state.claims.get(&range.offset()) {
            Some(slot) => Admission::Busy(slot.clone()),
            None => Admission::Unverified(self.claim(state, range)),
        })
    }

    fn claim(self: &Arc<Self>, state: &mut LiveState, range: ByteRange) -> Claim {
        let slot = Arc::new(ClaimSlot::new());
        state.claims.insert(range.offset(), slot.clone());
        Claim::new(self.clone(), range, slot, state.epoch)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.live.lock().claims.remove(&self.range.offset());
        self.slot.released.cancel();
    }
}
