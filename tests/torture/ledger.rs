//! What the server has said: every answer that is a promise, kept beside what was sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;
use tokio::sync::watch;

use crate::{
    plan::Plan,
    report::{Kind, Tally},
};

/// Which file of a round.
pub(crate) type FileId = usize;

/// The ledger of one round.
#[derive(Debug)]
pub(crate) struct Ledger {
    entries: Mutex<Vec<Entry>>,
    /// How many promises were noted, for those who wait for some.
    answers: watch::Sender<u64>,
    tally: Arc<Tally>,
}

/// What is known of one file.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) plan: Arc<Plan>,
    /// Chunks that the server has been sent, perhaps in part.
    pub(crate) sent: BTreeSet<u64>,
    /// Chunks of which it said that they are stored.
    pub(crate) acknowledged: BTreeSet<u64>,
    /// Chunks of which it said, when probed, that it has them.
    pub(crate) affirmed: BTreeSet<u64>,
    /// Whether it said last that chunks are missing.
    lacks: bool,
    /// The uploads as which it knew the file.
    pub(crate) uploads: BTreeSet<String>,
    /// The creatives that it said the file has become.
    pub(crate) creatives: BTreeMap<String, Value>,
    /// How often it was answered with each status that means «not now».
    pub(crate) refusals: BTreeMap<u16, u64>,
    /// What must become of it.
    pub(crate) fate: Fate,
}

/// What must become of a file in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is published.
    Published,
    /// Its upload ended without a file: cancelled or expired. Nothing of it is left.
    Gone,
    /// Either of them, but no mixture.
    Either,
}

/// What has been promised of one chunk.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Promised {
    affirmed: bool,
    acknowledged: bool,
}

/// What had been promised at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot(pub(crate) Vec<Entry>);

impl Ledger {
    pub(crate) fn new(tally: Arc<Tally>) -> Self {
        Self { entries: Mutex::default(), answers: watch::Sender::new(0), tally }
    }

    /// A file more.
    pub(crate) fn add(&self, plan: Plan) -> FileId {
        let mut entries = self.entries();
        entries.push(Entry::new(plan));
        entries.len() - 1
    }

    /// All files.
    pub(crate) fn files(&self) -> Vec<FileId> {
        (0..self.entries().len()).collect()
    }

    pub(crate) fn plan(&self, file: FileId) -> Arc<Plan> {
        self.entries()[file].plan.clone()
    }

    pub(crate) fn set_fate(&self, file: FileId, fate: Fate) {
        self.entries()[file].fate = fate;
    }

    /// Everything that has been promised so far. To be taken before a fault that leaves the clients
    /// alive, such as power loss: an answer that races it proves nothing. After `kill -9` it may be
    /// taken when the clients have stopped: what they were told, a living server has said.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot(self.entries().clone())
    }

    /// The ledger of a disk as it was just after `before`: what had been promised by then counts,
    /// and of what was sent until `now` some may be there.
    pub(crate) fn at(before: &Snapshot, now: &Snapshot, tally: &Arc<Tally>) -> Self {
        let ledger = Self::new(tally.clone());
        ledger.entries().clone_from(&now.0);
        ledger.rewind(before);
        ledger
    }

    /// What was promised after `before` counts no more: power was lost, and the answers raced it.
    pub(crate) fn rewind(&self, before: &Snapshot) {
        for (entry, before) in self.entries().iter_mut().zip(&before.0) {
            let sent = std::mem::take(&mut entry.sent);
            *entry = Entry { sent, ..before.clone() };
        }
    }

    /// From now on the server may have forgotten what is not complete: it was relaxed, and the
    /// power was lost.
    pub(crate) fn release_chunks(&self) {
        for entry in self.entries().iter_mut() {
            entry.acknowledged.clear();
            entry.affirmed.clear();
        }
    }

    /// A chunk is about to be sent.
    pub(crate) fn sends(&self, file: FileId, number: u64) {
        self.entries()[file].sent.insert(number);
    }

    /// The server has stored a chunk.
    pub(crate) fn stored(&self, file: FileId, number: u64, status: &Value) {
        let mut entries = self.entries();
        entries[file].acknowledged.insert(number);
        entries[file].told(status);
        drop(entries);
        self.answered();
    }

    /// The server has said yes to a probe.
    pub(crate) fn affirmed(&self, file: FileId, number: u64, status: &Value) {
        let mut entries = self.entries();
        entries[file].affirmed.insert(number);
        entries[file].told(status);
        let unsent = !entries[file].sent.contains(&number);
        let name = entries[file].plan.name.clone();
        drop(entries);
        if unsent {
            let detail = format!("chunk {number} of {name} was never sent, and a probe has it");
            self.tally.broken(Kind::Lied, detail);
        }
        self.answered();
    }

    /// What has been promised of a chunk. To be asked before it is probed: what is promised while
    /// the probe is on its way says nothing about the answer.
    pub(crate) fn promised(&self, file: FileId, number: u64) -> Promised {
        let entries = self.entries();
        let entry = &entries[file];
        if entry.fate != Fate::Published {
            return Promised::default();
        }
        let affirmed = entry.affirmed.contains(&number);
        Promised { affirmed, acknowledged: entry.acknowledged.contains(&number) }
    }

    /// The server has said no to a probe, of a chunk of which this had been promised.
    pub(crate) fn denied(&self, file: FileId, number: u64, before: Promised) {
        let mut entries = self.entries();
        let entry = &mut entries[file];
        let name = entry.plan.name.clone();
        // Each promise is broken once.
        let lied = before.affirmed && entry.affirmed.remove(&number);
        let lost = before.acknowledged && entry.acknowledged.remove(&number);
        let is_excused = entry.fate != Fate::Published;
        drop(entries);
        if lied && !is_excused {
            let detail = format!("a probe had chunk {number} of {name}, and a later one has not");
            self.tally.broken(Kind::Lied, detail);
        }
        if lost && !is_excused {
            let detail = format!("chunk {number} of {name} was acknowledged and is gone");
            self.tally.broken(Kind::Lost, detail);
        }
        self.answered();
    }

    /// Whether the server lacks chunks, by what it said last.
    pub(crate) fn lacks(&self, file: FileId) -> bool {
        self.entries()[file].lacks
    }

    /// The server has refused something for now.
    pub(crate) fn refused(&self, file: FileId, status: u16) {
        *self.entries()[file].refusals.entry(status).or_default() += 1;
        self.answered();
    }

    /// The round itself has damaged a chunk: what was promised of it the server cannot keep.
    pub(crate) fn damaged(&self, file: FileId, number: u64) {
        let mut entries = self.entries();
        entries[file].acknowledged.remove(&number);
        entries[file].affirmed.remove(&number);
    }

    /// Any other answer.
    pub(crate) fn answered(&self) {
        self.tally.answered();
        self.answers.send_modify(|answers| *answers += 1);
    }

    /// Whether the server has said that a file is complete.
    pub(crate) fn is_complete(&self, file: FileId) -> bool {
        !self.entries()[file].creatives.is_empty()
    }

    /// How many files it has said are complete.
    pub(crate) fn complete(&self) -> usize {
        self.entries().iter().filter(|entry| !entry.creatives.is_empty()).count()
    }

    /// Waits until so many answers more have come.
    pub(crate) async fn answers(&self, more: u64) {
        let mut answers = self.answers.subscribe();
        let until = *answers.borrow_and_update() + more;
        // The sender is ours: it cannot be gone.
        answers.wait_for(|answers| until <= *answers).await.ok();
    }

    /// Waits until the answers say that it is so.
    pub(crate) async fn until(&self, is_so: impl Fn(&[Entry]) -> bool) {
        let mut answers = self.answers.subscribe();
        // The sender is ours: it cannot be gone.
        answers.wait_for(|_| is_so(&self.entries())).await.ok();
    }

    /// How many requests were refused for now.
    pub(crate) fn count_refusals(&self) -> u64 {
        self.entries().iter().map(Entry::held_off).sum()
    }

    /// Waits until so many requests in all were refused for now.
    pub(crate) async fn refusals(&self, count: u64) {
        self.until(|entries| count <= entries.iter().map(Entry::held_off).sum()).await;
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// Whether the server has said that it is complete.
    pub(crate) fn is_complete(&self) -> bool {
        !self.creatives.is_empty()
    }

    /// How often the server had no room for it, or could not store anything for a moment.
    pub(crate) fn held_off(&self) -> u64 {
        [503, 507].iter().filter_map(|status| self.refusals.get(status)).sum()
    }

    /// The chunks of which it said that they are here; of a complete file one at least.
    pub(crate) fn promised(&self) -> BTreeSet<u64> {
        let promised = self.acknowledged.union(&self.affirmed).copied();
        promised.chain((!self.creatives.is_empty()).then_some(1)).collect()
    }

    fn new(plan: Plan) -> Self {
        Self {
            plan: Arc::new(plan),
            sent: BTreeSet::new(),
            acknowledged: BTreeSet::new(),
            affirmed: BTreeSet::new(),
            lacks: false,
            uploads: BTreeSet::new(),
            creatives: BTreeMap::new(),
            refusals: BTreeMap::new(),
            fate: Fate::Published,
        }
    }

    fn told(&mut self, status: &Value) {
        if let Some(id) = status["upload"]["id"].as_str() {
            self.uploads.insert(id.to_owned());
        }
        let count = |name: &str| status["upload"][name].as_u64();
        self.lacks = count("received_chunks") < count("total_chunks");
        let creative = &status["creative"];
        if status["complete"] == true
            && let Some(id) = creative["id"].as_str()
        {
            self.creatives.insert(id.to_owned(), creative.clone());
        }
    }
}
