//! How many event streams there are, in all and of each caller.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::StatusCode;

use super::problem::Problem;
use crate::{access::place, upload::Principal};

/// Whoever asks again later may find room.
const RETRY_AFTER: Duration = Duration::from_secs(15);

/// Who shares a bound: a principal; of the public, those of one address.
type Key = (Principal, Option<IpAddr>);

/// All event streams of a server.
#[derive(Debug)]
pub struct Streams {
    max: usize,
    max_per_caller: usize,
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    of: HashMap<Key, usize>,
}

/// One stream. It counts until this is dropped.
#[derive(Debug)]
pub(super) struct Stream {
    key: Key,
    open: Arc<Mutex<Open>>,
}

impl Streams {
    /// At most `max` in all, and `max_per_caller` of each caller.
    #[must_use]
    pub fn new(max: usize, max_per_caller: usize) -> Self {
        Self { max, max_per_caller, open: Arc::default() }
    }

    /// One more for this principal, who asks from this address. Errors: 429 if it has as many as
    /// it may have, 503 if there are too many in all.
    pub(super) fn open(
        &self,
        principal: &Principal,
        from: Option<IpAddr>,
    ) -> Result<Stream, Problem> {
        let from = from.filter(|_| principal.is_anonymous()).map(place);
        let key = (principal.clone(), from);
        let mut open = locked(&self.open);
        if self.max_per_caller <= open.of.get(&key).copied().unwrap_or_default() {
            return Err(too_many(StatusCode::TOO_MANY_REQUESTS, "You", self.max_per_caller));
        }
        if self.max <= open.all {
            return Err(too_many(StatusCode::SERVICE_UNAVAILABLE, "All callers", self.max));
        }
        open.all += 1;
        *open.of.entry(key.clone()).or_default() += 1;
        Ok(Stream { key, open: self.open.clone() })
    }
}

fn locked(open: &Mutex<Open>) -> MutexGuard<'_, Open> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

fn too_many(status: StatusCode, who: &str, max: usize) -> Problem {
    let detail = format!(
        "{who} may have {max} event streams at a time: close one, or ask for the status instead."
    );
    Problem { retry_after: Some(RETRY_AFTER), ..Problem::new(status, "too_many_streams", detail) }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut open = locked(&self.open);
        open.all -= 1;
        if let Some(count) = open.of.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                open.of.remove(&self.key);
            }
        }
    }
}
