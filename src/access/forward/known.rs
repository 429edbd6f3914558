//! Who was found out to be whom, for a moment.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::upload::{Principal, Sha256Digest, limits::CREDENTIALS_REMEMBERED_MAX};

/// Users by what their requests look like.
#[derive(Debug)]
pub(super) struct Known {
    ttl: Duration,
    users: Mutex<HashMap<Sha256Digest, (Instant, Principal)>>,
}

impl Known {
    /// Forgets after so long.
    pub(super) fn new(ttl: Duration) -> Self {
        Self { ttl, users: Mutex::default() }
    }

    pub(super) fn user(&self, key: &Sha256Digest) -> Option<Principal> {
        let users = self.users();
        let (since, user) = users.get(key)?;
        (since.elapsed() < self.ttl).then(|| user.clone())
    }

    pub(super) fn learn(&self, key: Sha256Digest, user: Principal) {
        let mut users = self.users();
        if CREDENTIALS_REMEMBERED_MAX <= users.len() {
            users.retain(|_, (since, _)| since.elapsed() < self.ttl);
        }
        // Still no room: nothing is lost by asking again.
        if CREDENTIALS_REMEMBERED_MAX <= users.len() {
            users.clear();
        }
        users.insert(key, (Instant::now(), user));
    }

    fn users(&self) -> MutexGuard<'_, HashMap<Sha256Digest, (Instant, Principal)>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_counts_for_a_moment() {
        let known = Known::new(Duration::from_secs(10));
        let (key, ann) = (Sha256Digest([1; 32]), "ann".parse::<Principal>().expect("a name"));
        known.learn(key, ann.clone());
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(known.user(&key), Some(ann));
        assert_eq!(known.user(&Sha256Digest([2; 32])), None);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(known.user(&key), None);
    }
}
