//! What a test wants to happen at a later call of a sort.

use std::{
    fmt,
    sync::{Mutex, MutexGuard},
};

/// The stages that wait for their calls. Each strikes once.
pub(super) struct Stages<Op, Stage>(Mutex<Vec<Entry<Op, Stage>>>);

struct Entry<Op, Stage> {
    op: Op,
    /// How many calls of its sort pass before it.
    skip: usize,
    stage: Stage,
}

impl<Op: PartialEq, Stage> Stages<Op, Stage> {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// At the call of this sort after `skip` more.
    pub(super) fn push(&self, op: Op, skip: usize, stage: Stage) {
        self.entries().push(Entry { op, skip, stage });
    }

    /// Counts a call: what is to happen at it.
    pub(super) fn take(&self, op: &Op) -> Option<Stage> {
        let mut entries = self.entries();
        let due = entries.iter().position(|entry| entry.op == *op && entry.skip == 0);
        for entry in entries.iter_mut().filter(|entry| entry.op == *op) {
            entry.skip = entry.skip.saturating_sub(1);
        }
        due.map(|index| entries.remove(index).stage)
    }

    pub(super) fn clear(&self) {
        self.entries().clear();
    }

    pub(super) fn len(&self) -> usize {
        self.entries().len()
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry<Op, Stage>>> {
        self.0.lock().expect("nobody panics while holding it")
    }
}

impl<Op, Stage> fmt::Debug for Stages<Op, Stage> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stages").finish_non_exhaustive()
    }
}
