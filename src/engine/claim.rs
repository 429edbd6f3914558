//! The exclusive right to write one range.
//!
//! A newer request for a range waits for the writer before it; if that one brings nothing for
//! [`CLAIM_STALL`], it has to let go and the newer one writes. The older one then only listens:
//! see `receive`.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::live::Live;
use crate::upload::{ByteRange, limits::CLAIM_STALL};

/// One claim as others see it.
#[derive(Debug)]
pub(super) struct ClaimSlot {
    last_progress: Mutex<Instant>,
    /// The server is at work, not the client: such a claim does not stall.
    at_work: AtomicBool,
    takeover: CancellationToken,
    released: CancellationToken,
}

impl ClaimSlot {
    pub(super) fn new() -> Self {
        Self {
            last_progress: Mutex::new(Instant::now()),
            at_work: AtomicBool::new(false),
            takeover: CancellationToken::new(),
            released: CancellationToken::new(),
        }
    }

    fn stalls_at(&self) -> Instant {
        *self.last_progress.lock().expect("only reads and writes of an instant") + CLAIM_STALL
    }

    /// Waits until the range may be asked for again: its writer is done, or was made to let go.
    ///
    /// Bounded by the writer's stall and its work on the disk. Cancel safety: may be dropped.
    pub(super) async fn wait(&self) {
        let mut look_again_at = self.stalls_at();
        loop {
            tokio::select! {
                () = self.released.cancelled() => return,
                () = sleep_until(look_again_at) => {}
            }
            let now = Instant::now();
            if self.at_work.load(Ordering::SeqCst) {
                look_again_at = now + CLAIM_STALL;
            } else if self.stalls_at() <= now {
                self.takeover.cancel();
                return self.released.cancelled().await;
            } else {
                look_again_at = self.stalls_at();
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

    /// Bytes came.
    pub(super) fn progress(&self) {
        let mut last = self.slot.last_progress.lock().expect("only reads and writes of an instant");
        *last = Instant::now();
    }

    /// Says whether the server is at work on the range (true) or waits for the client (false).
    pub(super) fn at_work(&self, at_work: bool) {
        self.slot.at_work.store(at_work, Ordering::SeqCst);
        self.progress();
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
