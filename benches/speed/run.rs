//! Turns and rounds: every case of a group, on a fresh folder, one after another.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    ground::Ground,
    load::Load,
    outcome::Outcome,
    server::Usage,
    suite::{Case, Group},
};

/// Memory that is made ready for a turn, at most: there may be no more.
const WARM_MAX: u64 = 4 << 30;

/// What one case did in one round.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Turn {
    pub(crate) outcome: Outcome,
    /// Of the server, meanwhile; memory and bytes since it started.
    pub(crate) usage: Usage,
}

/// Everything that was measured: by the name of the case or of the number, one for each round.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) machine: String,
    pub(crate) turns: BTreeMap<String, Vec<Turn>>,
    pub(crate) numbers: BTreeMap<String, Vec<f64>>,
}

impl Measured {
    pub(crate) fn number(&mut self, name: &str, value: f64) {
        self.numbers.entry(name.to_owned()).or_default().push(value);
    }

    /// One round of a group. The first case is another one in each round.
    pub(crate) fn round(&mut self, ground: &Ground, group: &Group, round: usize) {
        let count = group.cases.len();
        for turn in 0..count {
            let case = &group.cases[(round + turn) % count];
            let turn = case.turn(ground);
            crate::say(&format!(
                "round {:2}  {:22} {:8.0} MB/s {:6.0} CPU µs/request {:8.0} files/s \
                 {:8.0} requests/s",
                round + 1,
                case.name,
                turn.outcome.mb_per_s,
                turn.cpu_us_per_request(),
                turn.outcome.files_per_s,
                turn.outcome.requests_per_s,
            ));
            self.turns.entry(case.name.to_owned()).or_default().push(turn);
        }
    }
}

impl Turn {
    /// Processor seconds of the server for each GB of files; no number where none were sent.
    pub(crate) fn cpu_s_per_gb(&self) -> f64 {
        self.usage.cpu_s / (self.bytes() / 1e9)
    }

    /// Bytes written to the disk for each byte of a file; no number where none were sent.
    pub(crate) fn written_per_byte(&self) -> f64 {
        self.usage.written / self.bytes()
    }

    /// Processor time of the server for each request, in microseconds.
    pub(crate) fn cpu_us_per_request(&self) -> f64 {
        let requests = self.outcome.requests_per_s * self.outcome.elapsed_s;
        self.usage.cpu_s / requests * 1e6
    }

    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn bytes(&self) -> f64 {
        if self.outcome.bytes == 0 { f64::NAN } else { self.outcome.bytes as f64 }
    }
}

impl Case {
    /// A fresh server, and its load.
    pub(crate) fn turn(&self, ground: &Ground) -> Turn {
        let room = ground.room().expect("the disk tells");
        // Files are stitched in place; the rest is for what stands beside them.
        let need = self.load.bytes() + (1 << 30);
        assert!(need < room, "{} needs {need} bytes on the disk, and {room} are free", self.name);
        let folder = ground.fresh().expect("a folder");
        ground.warm((self.load.bytes() + self.load.bytes() / 4).min(WARM_MAX)).expect("room");
        let server = self.subject.start(folder.path());
        let completed = self.load.completes().then(|| server.completed());
        if let Some(before) = &self.before {
            server.load(before);
        }
        let before = server.usage();
        let outcome = server.load(&Load { completed, ..self.load.clone() });
        let after = server.usage();
        Turn { outcome, usage: Usage { cpu_s: after.cpu_s - before.cpu_s, ..after } }
    }
}
