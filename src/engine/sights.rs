//! Since when the running server has seen each file in the trash, by a clock that does not jump.
//!
//! The name of such a file says when it went to the trash by the wall clock. A server that starts
//! with a wrong clock (in 2001, say, because a battery is empty) would otherwise put files there
//! that seem to be years old a moment later.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    store::Trashed,
    upload::{
        Timestamp, TrashId,
        limits::{TRASH_SEEN_MIN, TRASH_TIME_MIN},
    },
};

/// When each file in the trash was seen first.
#[derive(Debug, Default)]
pub(super) struct Sights(Mutex<HashMap<TrashId, Instant>>);

impl Sights {
    /// A file is in the trash from now on, or was found there.
    pub(super) fn first_seen(&self, id: TrashId) {
        self.map().entry(id).or_insert_with(Instant::now);
    }

    /// This is all that is in the trash.
    pub(super) fn keep(&self, trash: &[Trashed]) {
        let there: HashSet<TrashId> = trash.iter().map(|trashed| trashed.key.id).collect();
        let mut map = self.map();
        map.retain(|id, _| there.contains(id));
        for id in there {
            map.entry(id).or_insert_with(Instant::now);
        }
    }

    /// Whether a file has been in the trash for `ttl`: by its name, and by what this process has
    /// seen of it. That is all of `ttl` if its name cannot be right, and part of it otherwise,
    /// because a process does not always run for so long.
    pub(super) fn are_over(&self, id: TrashId, ttl: Duration, now: Timestamp) -> bool {
        let since = id.time();
        let seen = if since < TRASH_TIME_MIN { ttl } else { ttl.min(TRASH_SEEN_MIN) };
        let by_its_name = now.saturating_sub(ttl).is_ok_and(|before| since < before);
        by_its_name && self.map().get(&id).is_some_and(|first| seen <= first.elapsed())
    }

    fn map(&self) -> MutexGuard<'_, HashMap<TrashId, Instant>> {
        self.0.lock().expect("no code panics while it holds this lock")
    }
}
