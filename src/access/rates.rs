//! Whoever asks too often waits, and is served all the same.
//!
//! Nobody is refused for being too fast, because flow.js gives a file up then; so a wait is
//! bounded, too.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{pace::Pace, place};
use crate::upload::{
    IdentityKey, Principal,
    limits::{RATE_DELAY_MAX, RATE_SENDERS_MAX, RATE_TURN},
};

/// How often what may be done. Nothing is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimits {
    /// Requests of a user, and of an address, in a window.
    pub requests: Option<u64>,
    /// Uploads that a user, and an address, may begin in a window.
    pub new_uploads: Option<u64>,
    /// How long a window is.
    pub window: Duration,
}

/// What is counted for itself. The public has no bucket: what one of it does would slow all.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Sender {
    Place(IpAddr),
    User(Principal),
}

/// What was done by whom, as far as it is counted.
#[derive(Debug)]
pub struct Rates {
    requests: Option<Pace<Sender>>,
    new_uploads: Option<Pace<Sender>>,
    /// When uploads may begin that were counted a moment ago: several requests of each do not know
    /// of one another.
    turns: Mutex<HashMap<IdentityKey, Instant>>,
}

impl Rates {
    /// Of nobody anything yet.
    #[must_use]
    pub fn new(limits: RateLimits) -> Self {
        let rate = |most: Option<u64>| {
            most.map(|most| Pace::within(limits.window, most, RATE_SENDERS_MAX))
        };
        let (requests, new_uploads) = (rate(limits.requests), rate(limits.new_uploads));
        Self { requests, new_uploads, turns: Mutex::default() }
    }

    /// Counts a request that came at `begun` from this address, and tells when it may go on.
    #[must_use]
    pub fn request_from(&self, peer: Option<IpAddr>, begun: Instant) -> Instant {
        let place = peer.map(|peer| Sender::Place(place(peer)));
        later(self.requests.as_ref(), place, begun)
    }

    /// Counts a request that came at `begun` for its user, and tells when it may go on.
    #[must_use]
    pub fn request_by(&self, principal: &Principal, begun: Instant) -> Instant {
        later(self.requests.as_ref(), user(principal), begun)
    }

    /// Whether new uploads are counted at all.
    #[must_use]
    pub fn counts_uploads(&self) -> bool {
        self.new_uploads.is_some()
    }

    /// Counts an upload that is about to begin, and tells when it may: once, however many of its
    /// requests come at the same time. One of which nobody else could send a part has no identity.
    #[must_use]
    pub fn upload(
        &self,
        peer: Option<IpAddr>,
        principal: &Principal,
        identity: Option<&IdentityKey>,
    ) -> Instant {
        let now = Instant::now();
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = |turn: &Instant| now < *turn + RATE_TURN;
        if let Some(turn) = identity.and_then(|it| turns.get(it)).copied().filter(is_fresh) {
            return turn;
        }
        let (rate, place) = (self.new_uploads.as_ref(), peer.map(|it| Sender::Place(place(it))));
        let turn = later(rate, place, now).max(later(rate, user(principal), now));
        if RATE_SENDERS_MAX <= turns.len() {
            turns.retain(|_, turn| is_fresh(turn));
        }
        // Without room it is counted again, which slows it and does no harm.
        if let Some(identity) = identity.filter(|_| turns.len() < RATE_SENDERS_MAX) {
            turns.insert(*identity, turn);
        }
        turn
    }
}

fn user(principal: &Principal) -> Option<Sender> {
    (!principal.is_anonymous()).then(|| Sender::User(principal.clone()))
}

fn later(rate: Option<&Pace<Sender>>, sender: Option<Sender>, now: Instant) -> Instant {
    rate.zip(sender).map_or(now, |(rate, sender)| now + rate.owe(sender, now, RATE_DELAY_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upload::{Identity, Plan};

    const MINUTE: Duration = Duration::from_mins(1);
    const ONE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)));
    const OTHER: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)));

    fn rates(most: u64) -> Rates {
        let (requests, new_uploads) = (Some(most), Some(most));
        Rates::new(RateLimits { requests, new_uploads, window: MINUTE })
    }

    /// How long each of so many requests at once waits, in seconds.
    fn waits(rates: &Rates, peer: Option<IpAddr>, count: usize) -> Vec<u64> {
        let now = Instant::now();
        let wait = |_| rates.request_from(peer, now).duration_since(now).as_secs();
        (0..count).map(wait).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_too_often_waits_for_his_turn_and_nobody_else_does() {
        let rates = rates(6);
        assert_eq!(waits(&rates, ONE, 8), [0, 0, 0, 0, 0, 0, 10, 20]);
        assert_eq!(waits(&rates, OTHER, 2), [0, 0]);
        // What was waited for has been used; then there is one each ten seconds.
        tokio::time::advance(Duration::from_secs(40)).await;
        assert_eq!(waits(&rates, ONE, 3), [0, 0, 10]);
        tokio::time::advance(Duration::from_mins(3)).await;
        assert_eq!(waits(&rates, ONE, 7), [0, 0, 0, 0, 0, 0, 10]);
        assert_eq!(waits(&rates, None, 20), [0; 20], "nobody in particular");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_the_longest_wait() {
        let rates = rates(1);
        assert_eq!(waits(&rates, ONE, 100)[1..], [30; 99]);
        tokio::time::advance(MINUTE + RATE_DELAY_MAX).await;
        assert_eq!(waits(&rates, ONE, 1), [0], "nor does he owe more");
    }

    #[tokio::test(start_paused = true)]
    async fn users_are_counted_wherever_they_are_and_the_public_by_address() {
        let (rates, now) = (rates(1), Instant::now());
        let ann = Principal::named("ann");
        assert_eq!(rates.request_by(&ann, now), now);
        assert_eq!(rates.request_by(&ann, now), now + RATE_DELAY_MAX);
        let upload = |peer, user| rates.upload(peer, user, None);
        assert_eq!(upload(ONE, &ann), now, "requests and uploads are two things");
        assert_eq!(upload(OTHER, &ann), now + RATE_DELAY_MAX);
        let public = Principal::anonymous();
        assert_eq!(upload(OTHER, &public), now + RATE_DELAY_MAX, "it is ann's, too");
        for _ in 0..9 {
            assert_eq!(rates.request_by(&public, now), now);
            assert_eq!(upload(None, &public), now);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_chunks_of_one_upload_are_one_upload() {
        let (rates, now) = (rates(1), Instant::now());
        let key = |name: &str| {
            let plan = Plan::new(30, 10, 3).expect("three tens are thirty");
            Identity::new(Principal::named("ann"), name, name, plan).expect("short").key()
        };
        let upload = |name: &str| rates.upload(ONE, &Principal::named("ann"), Some(&key(name)));
        for _ in 0..3 {
            assert_eq!(upload("a"), now);
        }
        for _ in 0..3 {
            assert_eq!(upload("b"), now + RATE_DELAY_MAX);
        }
        tokio::time::advance(MINUTE + RATE_DELAY_MAX).await;
        assert_eq!(upload("a"), Instant::now(), "it is another one");
        assert_eq!(upload("b"), Instant::now() + RATE_DELAY_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_senders_are_remembered_than_there_is_room_for() {
        let rates = rates(1);
        let address = |n: usize| Some(IpAddr::from(u32::try_from(n).expect("small").to_be_bytes()));
        for n in 0..2 * RATE_SENDERS_MAX {
            let _ = rates.request_from(address(n), Instant::now());
        }
        let senders = || rates.requests.as_ref().expect("a limit").len();
        assert_eq!(senders(), RATE_SENDERS_MAX);
        tokio::time::advance(MINUTE).await;
        assert_eq!(waits(&rates, ONE, 2), [0, 30], "the others are forgotten");
        assert_eq!(senders(), 1);
    }
}
