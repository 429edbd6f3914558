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

use super::live::Live;
use crate::upload::{
    ByteRange,
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
}

impl ClaimSlot {
    pub(super) fn new() -> Self {
        let waits_since = Some(Instant::now());
        Self {
            pace: Mutex::new(Pace { waited: Duration::ZERO, waits_since, brought: 0 }),
            takeover: CancellationToken::new(),
            released: CancellationToken::new(),
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
        self.released.cancelled().await;
    }

    /// Waits until the range may be asked for again: its writer is done, or was made to let go.
    ///
    /// Bounded by the writer's stall and its work on the disk. Cancel safety: may be dropped.
    pub(super) async fn wait(&self) {
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

impl Drop for Claim {
    fn drop(&mut self) {
        self.live.lock().claims.remove(&self.range.offset());
        self.slot.released.cancel();
    }
}
