//! Which uploads are in memory, and how they come and go.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::time::Instant;

use super::{Shared, live::Live};
use crate::upload::{IdentityKey, UploadId, limits};

/// How many locks the identities share. Two that share one wait for each other only while one of
/// them is looked up in the catalog.
const GATES: usize = 64;

/// The uploads in memory: those in use, and those that were a moment ago.
#[derive(Debug)]
pub(super) struct Registry {
    map: Mutex<Map>,
    gates: [tokio::sync::Mutex<()>; GATES],
}

#[derive(Debug, Default)]
struct Map {
    by_id: HashMap<UploadId, Entry>,
    /// The newest upload of each identity.
    by_key: HashMap<IdentityKey, UploadId>,
    /// Identities that the catalog has no upload of, as far as it was asked: nobody else writes to
    /// it, so that this stays so until one is put here.
    absent: HashSet<IdentityKey>,
    /// Until when nobody tries to load what could not be loaded.
    resting: HashMap<UploadId, Instant>,
}

#[derive(Debug)]
struct Entry {
    live: Arc<Live>,
    /// Set if it is the newest of this identity.
    key: Option<IdentityKey>,
    users: usize,
    idle_since: Instant,
}

/// An upload that stays in memory for as long as this lives.
pub(super) struct Use {
    live: Arc<Live>,
    shared: Arc<Shared>,
}

impl Registry {
    pub(super) fn new() -> Self {
        Self {
            map: Mutex::default(),
            gates: std::array::from_fn(|_| tokio::sync::Mutex::default()),
        }
    }

    fn map(&self) -> MutexGuard<'_, Map> {
        self.map.lock().expect("no code panics while it holds this lock")
    }

    /// The lock under which an identity is looked up, opened or expired.
    pub(super) fn gate(&self, key: &IdentityKey) -> &tokio::sync::Mutex<()> {
        &self.gates[usize::from(key.as_bytes()[0]) % GATES]
    }

    /// The newest upload of an identity, if it is in memory.
    pub(super) fn by_key(shared: &Arc<Shared>, key: &IdentityKey) -> Option<Use> {
        let mut map = shared.registry.map();
        let id = map.by_key.get(key).copied()?;
        map.take(id, shared)
    }

    /// The upload with this id, if it is in memory.
    pub(super) fn by_id(shared: &Arc<Shared>, id: UploadId) -> Option<Use> {
        shared.registry.map().take(id, shared)
    }

    /// Puts an upload there, unless it is there already: then that one is given.
    ///
    /// With a key it is from now on the one that requests of this identity find. The caller holds
    /// the gate then, and knows that no newer one exists.
    pub(super) fn insert(shared: &Arc<Shared>, live: Live, newest_of: Option<IdentityKey>) -> Use {
        let mut map = shared.registry.map();
        let id = live.id;
        let entry = map.by_id.entry(id).or_insert_with(|| Entry {
            live: Arc::new(live),
            key: None,
            users: 0,
            idle_since: Instant::now(),
        });
        if let Some(key) = newest_of {
            entry.key = Some(key);
            map.by_key.insert(key, id);
            map.absent.remove(&key);
        }
        map.take(id, shared).expect("it was put there under the same lock")
    }

    /// Whether it is known that there is no upload of this identity.
    pub(super) fn is_absent(&self, key: &IdentityKey) -> bool {
        self.map().absent.contains(key)
    }

    /// The catalog has no upload of this identity. The caller holds its gate.
    pub(super) fn note_absent(&self, key: IdentityKey) {
        let mut map = self.map();
        if limits::ABSENT_LEN_MAX <= map.absent.len() {
            map.absent.clear();
        }
        map.absent.insert(key);
    }

    /// Every upload in memory.
    pub(super) fn all(&self) -> Vec<Arc<Live>> {
        self.map().by_id.values().map(|entry| entry.live.clone()).collect()
    }

    /// Lets go of uploads that nobody has used for so long.
    pub(super) fn evict(&self, idle: Duration) {
        let mut map = self.map();
        let gone: Vec<UploadId> = map
            .by_id
            .iter()
            .filter(|(_, entry)| entry.users == 0 && idle <= entry.idle_since.elapsed())
            // The catalog may know what is not so, and only memory knows that.
            .filter(|(_, entry)| !entry.live.lock().in_question && !entry.live.is_in_doubt())
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            map.remove(id);
        }
    }

    /// Whether a request uses this upload at the moment, beside `own` users.
    pub(super) fn is_used(&self, id: UploadId, own: usize) -> bool {
        self.map().by_id.get(&id).is_some_and(|entry| own < entry.users)
    }

    /// An upload that could not be loaded is not tried again before this.
    pub(super) fn rest(&self, id: UploadId, until: Instant) {
        self.map().resting.insert(id, until);
    }

    /// Whether an upload is to be left alone for now.
    pub(super) fn rests(&self, id: UploadId, now: Instant) -> bool {
        let mut map = self.map();
        map.resting.retain(|_, until| now < *until);
        map.resting.contains_key(&id)
    }

    /// One user less. Gives the upload back if it was the last of one that came to nothing.
    fn release(&self, id: UploadId) -> Option<Arc<Live>> {
        let mut map = self.map();
        let entry = map.by_id.get_mut(&id)?;
        entry.users -= 1;
        entry.idle_since = Instant::now();
        let abandoned = entry.users == 0 && !entry.live.lock().persisted;
        if abandoned { map.remove(id) } else { None }
    }
}

impl Map {
    fn take(&mut self, id: UploadId, shared: &Arc<Shared>) -> Option<Use> {
        let entry = self.by_id.get_mut(&id)?;
        entry.users += 1;
        Some(Use { live: entry.live.clone(), shared: shared.clone() })
    }

    fn remove(&mut self, id: UploadId) -> Option<Arc<Live>> {
        let entry = self.by_id.remove(&id)?;
        if let Some(key) = entry.key.filter(|key| self.by_key.get(key) == Some(&id)) {
            self.by_key.remove(&key);
        }
        Some(entry.live)
    }
}

impl Deref for Use {
    type Target = Arc<Live>;

    fn deref(&self) -> &Arc<Live> {
        &self.live
    }
}

impl fmt::Debug for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Use").field(&self.live.id).finish()
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        if let Some(live) = self.shared.registry.release(self.live.id) {
            Shared::discard_abandoned(&self.shared, live);
        }
    }
}
