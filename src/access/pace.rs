//! How often something may be done: a few times at once, and then one time in a while.
//!
//! Each has a bucket that is filled again over time; what is kept of it is the one moment at which
//! it will be full (GCRA).

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::upload::limits::PACE_SWEEP_INTERVAL;

/// Counts for each `K` by itself.
#[derive(Debug)]
pub(super) struct Pace<K> {
    /// After how long there is one more, …
    every: Duration,
    /// … until after this a bucket is full.
    fill: Duration,
    /// Buckets that are remembered.
    most: usize,
    buckets: Mutex<Buckets<K>>,
}

#[derive(Debug)]
struct Buckets<K> {
    /// When each is full again.
    full_at: HashMap<K, Instant>,
    /// When those that are full were thrown away.
    swept_at: Option<Instant>,
}

impl<K: Eq + Hash> Pace<K> {
    /// So often at once, and one more after each `every`. Of so many at a time it is known.
    pub(super) fn new(burst: u32, every: Duration, most: usize) -> Self {
        Self::over(every.saturating_mul(burst), every, most)
    }

    /// So often in a window, all at once if need be.
    pub(super) fn within(window: Duration, times: u64, most: usize) -> Self {
        let every = window.as_nanos() / u128::from(times.max(1));
        let every = Duration::from_nanos(u64::try_from(every).unwrap_or(u64::MAX));
        Self::over(window, every, most)
    }

    fn over(fill: Duration, every: Duration, most: usize) -> Self {
        let buckets = Buckets { full_at: HashMap::new(), swept_at: None };
        Self { every, fill, most, buckets: Mutex::new(buckets) }
    }

    /// Counts one more, if it may be done now. Errors: it may be done after this time. Whoever is
    /// too many to be remembered has to wait.
    pub(super) fn step(&self, key: K) -> Result<(), Duration> {
        let now = Instant::now();
        let mut buckets = self.buckets();
        if !buckets.admits(&key, now, self.most) {
            return Err(self.every);
        }
        let full_after = buckets.full_after(&key, now) + self.every;
        let over = full_after.saturating_sub(self.fill);
        if over.is_zero() {
            buckets.full_at.insert(key, now + full_after);
            return Ok(());
        }
        Err(over)
    }

    /// Counts one more in any case, and tells how long to wait for it, at most so long. Whoever is
    /// too many to be remembered does not wait: better than to slow those down who did nothing.
    pub(super) fn owe(&self, key: K, now: Instant, longest: Duration) -> Duration {
        let mut buckets = self.buckets();
        if !buckets.admits(&key, now, self.most) {
            return Duration::ZERO;
        }
        let full_after = buckets.full_after(&key, now) + self.every;
        // Served late, it is served: nobody owes more than the longest wait.
        buckets.full_at.insert(key, now + full_after.min(self.fill + longest));
        full_after.saturating_sub(self.fill).min(longest)
    }

    /// Counts one less.
    pub(super) fn give_back(&self, key: &K) {
        if let Some(full_at) = self.buckets().full_at.get_mut(key) {
            *full_at = full_at.checked_sub(self.every).unwrap_or(*full_at);
        }
    }

    /// How many are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.buckets().full_at.len()
    }

    fn buckets(&self) -> MutexGuard<'_, Buckets<K>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Buckets<K> {
    fn full_after(&self, key: &K, now: Instant) -> Duration {
        self.full_at.get(key).map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }

    /// Whether this one is remembered, or can be. Full buckets need not be.
    fn admits(&mut self, key: &K, now: Instant, most: usize) -> bool {
        let is_due = self.swept_at.is_none_or(|at| at + PACE_SWEEP_INTERVAL <= now);
        if most <= self.full_at.len() && is_due {
            self.swept_at = Some(now);
            self.full_at.retain(|_, full_at| now < *full_at);
        }
        self.full_at.len() < most || self.full_at.contains_key(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    #[tokio::test(start_paused = true)]
    async fn a_few_times_at_once_and_then_one_time_in_a_while() {
        let pace = Pace::new(3, MINUTE, 2);
        for _ in 0..3 {
            assert_eq!(pace.step("a"), Ok(()));
        }
        assert_eq!(pace.step("a"), Err(MINUTE));
        assert_eq!(pace.step("b"), Ok(()), "each for itself");
        tokio::time::advance(MINUTE / 2).await;
        assert_eq!(pace.step("a"), Err(MINUTE / 2));
        tokio::time::advance(MINUTE / 2).await;
        assert_eq!(pace.step("a"), Ok(()));
        assert_eq!(pace.step("a"), Err(MINUTE));
        pace.give_back(&"a");
        assert_eq!(pace.step("a"), Ok(()));
        assert_eq!(pace.step("a"), Err(MINUTE), "one, and no more");
        pace.give_back(&"c");
        assert_eq!(pace.step("b"), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_are_remembered_and_a_newcomer_waits_until_one_is_forgotten() {
        let pace = Pace::new(3, MINUTE, 2);
        for key in ["a", "b"] {
            assert_eq!(pace.step(key), Ok(()));
        }
        assert_eq!(pace.step("c"), Err(MINUTE));
        assert_eq!(pace.step("a"), Ok(()));
        tokio::time::advance(MINUTE).await;
        assert_eq!(pace.step("c"), Ok(()));
    }
}
