//! How often something may be done: a few times at once, and then one time in a while.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Counts for each `K` by itself. What is kept of one is when it will have nothing against it.
#[derive(Debug)]
pub(super) struct Pace<K> {
    /// So often at once, …
    burst: u32,
    /// … and one more after each of these.
    every: Duration,
    /// Those that are remembered; more at once have to wait.
    most: usize,
    clear_at: Mutex<HashMap<K, Instant>>,
}

impl<K: Eq + Hash> Pace<K> {
    pub(super) fn new(burst: u32, every: Duration, most: usize) -> Self {
        Self { burst, every, most, clear_at: Mutex::default() }
    }

    /// Counts one more. Errors: it may not be done yet, but after this time.
    pub(super) fn step(&self, key: K) -> Result<(), Duration> {
        let now = Instant::now();
        let mut clear_at = self.clear_at.lock().unwrap_or_else(PoisonError::into_inner);
        if self.most <= clear_at.len() {
            clear_at.retain(|_, at| now < *at);
        }
        if self.most <= clear_at.len() && !clear_at.contains_key(&key) {
            return Err(self.every);
        }
        let next = clear_at.get(&key).map_or(now, |at| now.max(*at)) + self.every;
        let over = next.duration_since(now).saturating_sub(self.every * self.burst);
        if over.is_zero() {
            clear_at.insert(key, next);
            return Ok(());
        }
        Err(over)
    }

    /// Has nothing against this one any more.
    pub(super) fn forgive(&self, key: &K) {
        self.clear_at.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
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
        pace.forgive(&"a");
        assert_eq!(pace.step("a"), Ok(()));
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
