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

type GateGuard<'a> = tokio::sync::MutexGuard<'a, ()>;

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
    /// Identities whose upload was handed over to another visitor a moment ago, see
    /// [`super::visit`].
    handed_over: HashMap<IdentityKey, HandedOver>,
    /// Until when nobody tries to load what could not be loaded.
    resting: HashMap<UploadId, Instant>,
}

#[derive(Debug)]
struct HandedOver {
    upload: UploadId,
    /// Requests that came before this belong to the upload.
    before: Instant,
    /// How many requests came for it with a cookie.
    shown: u32,
    /// When it need not be known any more.
    forgotten: Instant,
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

    /// The locks of two identities.
    pub(super) async fn gates(
        &self,
        one: &IdentityKey,
        other: &IdentityKey,
    ) -> (GateGuard<'_>, Option<GateGuard<'_>>) {
        let [one, other] = [one, other].map(|key| usize::from(key.as_bytes()[0]) % GATES);
        // Always in the same order: two that want both never wait for each other.
        let first = self.gates[one.min(other)].lock().await;
        if one == other {
            return (first, None);
        }
        (first, Some(self.gates[one.max(other)].lock().await))
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

    /// The catalog may have uploads of these identities, whatever was known of it.
    pub(super) fn forget_absent(&self, keys: &[IdentityKey]) {
        let mut map = self.map();
        map.absent.retain(|key| !keys.contains(key));
    }

    /// Whether a visitor whose identity has this key has an upload in memory, or had none under its
    /// `former` one.
    pub(super) fn nothing_to_inherit(&self, key: &IdentityKey, former: &IdentityKey) -> bool {
        let mut map = self.map();
        if let Some(handed_over) = map.handed_over.get_mut(former) {
            handed_over.shown += 1;
            if limits::VISITOR_SHOWN <= handed_over.shown {
                handed_over.before = handed_over.before.min(Instant::now());
            }
        }
        let had_none = map.absent.contains(former) && !map.handed_over.contains_key(former);
        map.by_key.contains_key(key) || had_none
    }

    /// An upload is found by another identity from now on. The caller holds the gate of that.
    pub(super) fn rekey(&self, id: UploadId, from: IdentityKey, to: IdentityKey) {
        let mut map = self.map();
        if map.by_key.get(&from) == Some(&id) {
            map.by_key.remove(&from);
        }
        if let Some(entry) = map.by_id.get_mut(&id) {
            entry.key = Some(to);
            map.by_key.insert(to, id);
            map.absent.remove(&to);
        }
    }

    /// The upload of this identity was handed over; requests that came before this moment belong
    /// to it.
    pub(super) fn note_handed_over(&self, key: IdentityKey, upload: UploadId, before: Instant) {
        let now = Instant::now();
        let mut map = self.map();
        map.handed_over.retain(|_, it| now < it.forgotten);
        if limits::ABSENT_LEN_MAX <= map.handed_over.len() {
            map.handed_over.clear();
        }
        let forgotten = now + limits::VISITOR_HANDED_OVER;
        map.handed_over.insert(key, HandedOver { upload, before, shown: 0, forgotten });
    }

    /// The upload of this identity that was handed over, if it is in memory and the request came
    /// early enough to belong to it.
    pub(super) fn handed_over(
        shared: &Arc<Shared>,
        key: &IdentityKey,
        arrived: Option<Instant>,
    ) -> Option<Use> {
        let mut map = shared.registry.map();
        let handed_over = map.handed_over.get(key)?;
        let belongs = arrived.is_none_or(|arrived| arrived <= handed_over.before);
        let id = handed_over.upload;
        if belongs { map.take(id, shared) } else { None }
    }

    /// Somebody asks for this identity anew: requests that come later belong to nothing that was
    /// handed over.
    pub(super) fn close_handed_over(&self, key: &IdentityKey, arrived: Instant) {
        if let Some(handed_over) = self.map().handed_over.get_mut(key) {
            handed_over.before = handed_over.before.min(arrived);
        }
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
