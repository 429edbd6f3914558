//! Whoever guesses waits: a wrong credential is answered the later the more came from its address.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::upload::limits::{PENALTY_FORGOTTEN, PENALTY_MAX, PENALTY_MIN, PENALTY_PLACES_MAX};

/// Wrong attempts, by where they came from.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<HashMap<Option<IpAddr>, Attempts>>);

#[derive(Debug, Clone, Copy)]
struct Attempts {
    count: u32,
    last: Instant,
}

impl Throttle {
    /// Counts a wrong attempt and waits as long as it deserves.
    pub(super) async fn penalty(&self, peer: Option<IpAddr>) {
        sleep(self.count(peer.map(place))).await;
    }

    fn count(&self, place: Option<IpAddr>) -> Duration {
        let now = Instant::now();
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if PENALTY_PLACES_MAX <= places.len() {
            places.retain(|_, attempts| now.duration_since(attempts.last) < PENALTY_FORGOTTEN);
        }
        if PENALTY_PLACES_MAX <= places.len() {
            // So many at once is nobody's typing error: all of them wait.
            return PENALTY_MAX;
        }
        let attempts = places.entry(place).or_insert(Attempts { count: 0, last: now });
        if PENALTY_FORGOTTEN <= now.duration_since(attempts.last) {
            attempts.count = 0;
        }
        attempts.last = now;
        let pause = PENALTY_MIN.saturating_mul(1 << attempts.count.min(20)).min(PENALTY_MAX);
        attempts.count = attempts.count.saturating_add(1);
        pause
    }
}

/// What counts as one sender: an IPv6 customer has a whole /64.
pub(crate) fn place(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_guesses_waits_longer_and_longer_and_nobody_else_does() {
        let throttle = Throttle::default();
        let [bad, good] = [[10, 0, 0, 1], [10, 0, 0, 2]].map(|it| Some(IpAddr::from(it)));
        let pauses: Vec<_> = (0..20).map(|_| throttle.count(bad)).collect();
        assert_eq!(pauses[..3], [PENALTY_MIN, PENALTY_MIN * 2, PENALTY_MIN * 4]);
        assert_eq!(pauses[19], PENALTY_MAX);
        assert_eq!(throttle.count(good), PENALTY_MIN);
        tokio::time::advance(PENALTY_FORGOTTEN).await;
        assert_eq!(throttle.count(bad), PENALTY_MIN);
    }

    #[test]
    fn the_addresses_of_one_customer_are_one_place() {
        let place = |text: &str| place(text.parse().expect("an address"));
        assert_eq!(place("2001:db8::1"), place("2001:db8::ffff:1"));
        assert_ne!(place("2001:db8::1"), place("2001:db8:0:1::1"));
        assert_eq!(place("::ffff:10.0.0.1"), place("10.0.0.1"));
    }
}
