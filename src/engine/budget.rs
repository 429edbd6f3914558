//! The memory that bodies may hold, all requests together.
//!
//! Over the budget clients wait, they never fail. A request asks for more only while it holds
//! nothing (it writes out what it has first), so the waiting cannot become a deadlock. What has to
//! be held while something else is waited for (see `spool`) is taken from a part of its own, which
//! nobody waits for.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::upload::limits::{KIB, SMALL_FRAME_LEN};

/// A semaphore over KiB of memory.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    permits: Arc<Semaphore>,
    /// Told when somebody waits, so that requests that hold a part of a batch write it out.
    pressure: Arc<Notify>,
    /// How many wait.
    waiting: Arc<AtomicUsize>,
    total_kib: u32,
    used_bytes: Gauge,
}

/// The same bytes, in a buffer that is not much larger: a lease counts what is used of a buffer,
/// and the whole buffer is held.
pub(super) fn compact(frame: Bytes) -> Bytes {
    if frame.len() < SMALL_FRAME_LEN { Bytes::copy_from_slice(&frame) } else { frame }
}

/// Memory that is held. Given back when dropped.
#[derive(Debug)]
pub struct Lease {
    permit: OwnedSemaphorePermit,
    used_bytes: Gauge,
}

/// A small budget beside that of bodies: for request heads and the fields of forms, which come
/// before it is known who sends them.
///
/// A connection waits for the memory of a head only while it holds none. What a form needs besides
/// is taken at once or not at all.
#[derive(Debug, Clone)]
pub struct Allowance(Budget);

impl Allowance {
    /// So many bytes, whose use nobody counts.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        Self(Budget::new(bytes, Gauge::default()))
    }

    /// So many bytes; what of them is used is added to this gauge.
    pub(super) fn counted(bytes: u64, used_bytes: Gauge) -> Self {
        Self(Budget::new(bytes, used_bytes))
    }

    /// Memory for `len` bytes, if there is some now.
    #[must_use]
    pub fn try_lease(&self, len: usize) -> Option<Lease> {
        self.0.try_lease(len)
    }

    /// Memory for `len` bytes, as soon as there is some. The caller holds no lease while it waits.
    ///
    /// Cancel safety: may be dropped; nothing is then held.
    pub async fn lease(&self, len: usize) -> Lease {
        self.0.lease(len, || ()).await
    }
}

impl super::Engine {
    /// Memory for what is read of a request before it is known whose it is.
    #[must_use]
    pub fn allowance(&self) -> Allowance {
        self.shared.allowance.clone()
    }
}

impl Budget {
    pub(super) fn new(bytes: u64, used_bytes: Gauge) -> Self {
        let total_kib = u32::try_from(bytes / KIB).unwrap_or(u32::MAX >> 4).max(1);
        let permits = Arc::new(Semaphore::new(total_kib as usize));
        let (pressure, waiting) = (Arc::default(), Arc::default());
        Self { permits, pressure, waiting, total_kib, used_bytes }
    }

    /// Memory for `len` bytes, if there is some now.
    pub(super) fn try_lease(&self, len: usize) -> Option<Lease> {
        let permit = self.permits.clone().try_acquire_many_owned(self.kib(len)).ok()?;
        Some(self.lease_of(permit))
    }

    /// Memory for `len` bytes, as soon as there is some. The caller holds no lease while it waits,
    /// and `let_go` gives up what nobody needs who could hear of the pressure.
    ///
    /// Cancel safety: may be dropped; nothing is then held.
    pub(super) async fn lease(&self, len: usize, let_go: impl FnOnce()) -> Lease {
        let _waiting = Waiting::begin(self.waiting.clone());
        self.pressure.notify_waiters();
        // Behind the count: what is kept from now on is kept by somebody who sees it.
        let_go();
        let wanted = self.permits.clone().acquire_many_owned(self.kib(len));
        self.lease_of(wanted.await.expect("the budget is never closed"))
    }

    /// Whether there is much left, and nobody waits for any.
    pub(super) fn is_roomy(&self) -> bool {
        self.total_kib as usize / 2 < self.permits.available_permits() && !self.is_pressed()
    }

    /// Whether somebody waits for memory.
    pub(super) fn is_pressed(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) != 0
    }

    /// Ends when somebody else waits for memory.
    pub(super) async fn pressure(&self) {
        let told = self.pressure.notified();
        if !self.is_pressed() {
            told.await;
        }
    }

    /// A body's frame never needs more than the whole budget, however small that is.
    fn kib(&self, len: usize) -> u32 {
        u32::try_from((len as u64).div_ceil(KIB)).unwrap_or(u32::MAX).clamp(1, self.total_kib)
    }

    fn lease_of(&self, permit: OwnedSemaphorePermit) -> Lease {
        let lease = Lease { permit, used_bytes: self.used_bytes.clone() };
        lease.used_bytes.inc_by(lease.bytes());
        lease
    }
}

/// One more waits, for as long as this lives.
struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    fn begin(count: Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Lease {
    fn bytes(&self) -> i64 {
        i64::try_from(self.permit.num_permits() as u64 * KIB).unwrap_or(i64::MAX)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.used_bytes.dec_by(self.bytes());
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, poll};

    use super::*;

    #[tokio::test]
    async fn over_the_budget_one_waits_and_holders_are_told() {
        let budget = Budget::new(8 * KIB, Gauge::default());
        let held = budget.try_lease(5000).expect("there is room");
        assert_eq!(budget.used_bytes.get(), 5120);
        assert!(budget.try_lease(5000).is_none());

        let mut pressure = Box::pin(budget.pressure());
        assert!(poll!(&mut pressure).is_pending());
        let mut waiting = Box::pin(budget.lease(5000, || ()));
        assert!(poll!(&mut waiting).is_pending());
        assert!(pressure.now_or_never().is_some(), "holders hear of it");

        drop(held);
        let lease = waiting.await;
        assert_eq!(budget.used_bytes.get(), 5120);
        drop(lease);
        assert_eq!(budget.used_bytes.get(), 0);
    }

    #[tokio::test]
    async fn whoever_gives_up_waiting_presses_nobody_any_more() {
        let budget = Budget::new(8 * KIB, Gauge::default());
        let _held = budget.try_lease(8000).expect("there is room");
        let mut waiting = Box::pin(budget.lease(5000, || ()));
        assert!(poll!(&mut waiting).is_pending());
        assert!(budget.pressure().now_or_never().is_some());
        drop(waiting);
        assert!(budget.pressure().now_or_never().is_none());
    }

    #[test]
    fn a_small_frame_does_not_hold_the_buffer_that_it_came_in() {
        struct Buffer(Arc<AtomicUsize>);
        impl AsRef<[u8]> for Buffer {
            fn as_ref(&self) -> &[u8] {
                &[7; 2 * SMALL_FRAME_LEN]
            }
        }
        impl Drop for Buffer {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        for (len, let_go) in [(1, 1), (SMALL_FRAME_LEN - 1, 1), (SMALL_FRAME_LEN, 0)] {
            let dropped = Arc::new(AtomicUsize::new(0));
            let frame = Bytes::from_owner(Buffer(dropped.clone())).split_to(len);
            let kept = compact(frame);
            assert_eq!(kept, vec![7; len]);
            assert_eq!(dropped.load(Ordering::SeqCst), let_go, "{len}");
        }
    }

    #[tokio::test]
    async fn a_frame_larger_than_the_budget_takes_all_of_it() {
        let budget = Budget::new(4 * KIB, Gauge::default());
        let lease = budget.lease(1 << 20, || ()).await;
        assert_eq!(budget.used_bytes.get(), 4096);
        drop(lease);
    }
}
