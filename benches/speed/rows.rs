//! The rows of what must be reached, from what was measured.
//!
//! What is compared was measured in the same round: a ratio is that of a round, and the median is
//! that of ratios. So what the machine does besides counts on both sides.

use std::thread::available_parallelism;

use crate::{
    run::{Measured, Turn},
    statistics::Spread,
};

/// A row: what was measured, and what it must reach.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// As in the issue that asks for it.
    pub(crate) number: u8,
    pub(crate) measure: &'static str,
    pub(crate) bound: Bound,
    pub(crate) unit: &'static str,
    pub(crate) reached: Spread,
}

/// What must be reached.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Row {
    /// Whether the median is where it must be.
    pub(crate) fn is_reached(&self) -> bool {
        match self.bound {
            Bound::AtLeast(bound) => bound <= self.reached.median,
            Bound::AtMost(bound) => self.reached.median <= bound,
        }
    }
}

use Bound::{AtLeast, AtMost};

/// All rows of which something was measured.
pub(crate) fn rows(measured: &Measured) -> Vec<Row> {
    let mut rows = Rows { measured, rows: Vec::new() };
    rows.bytes();
    rows.files();
    rows.memory_and_disk();
    rows.catalog();
    rows.rows.sort_by_key(|row| row.number);
    rows.rows
}

struct Rows<'a> {
    measured: &'a Measured,
    rows: Vec<Row>,
}

impl Rows<'_> {
    /// What a byte costs: rows 1 to 4.
    fn bytes(&mut self) {
        let speed = |turn: &Turn| turn.outcome.mb_per_s;
        let cpu = |turn: &Turn| turn.cpu_s_per_gb();
        let share = self.share("large-bare", "large-write", speed);
        self.add(
            1,
            "throughput, relaxed, no digest ÷ limit that writes",
            AtLeast(75.0),
            "%",
            share,
        );
        let times = self.ratio("large-bare", "large-write", cpu);
        self.add(1, "CPU per GB, relaxed, no digest ÷ limit that writes", AtMost(1.6), "×", times);
        let attained = self.of_the_possible();
        let what = "throughput with SHA-256 ÷ cores ÷ CPU of generator, limit that drops, SHA-256";
        self.add(2, what, AtLeast(85.0), "%", attained);
        let share = self.share("many-strict", "many-relaxed", speed);
        self.add(3, "throughput, strict ÷ relaxed, 8 clients", AtLeast(80.0), "%", share);
        let share = self.share("large-strict", "large-relaxed", speed);
        self.add(3, "throughput, strict ÷ relaxed, 1 client", AtLeast(60.0), "%", share);
        for (case, what) in [
            ("wait-64-mib", "last chunk → visible, 64 MiB"),
            ("large-strict", "last chunk → visible, 2 GiB"),
            ("wait-20-gib", "last chunk → visible, 20 GiB"),
        ] {
            let waits = self.each(case, wait_ms);
            self.add(4, what, AtMost(50.0), "ms", waits);
        }
    }

    /// What a file and a request cost: rows 5 to 7, and 10.
    fn files(&mut self) {
        let files = |turn: &Turn| turn.outcome.files_per_s;
        let share = self.share("small-relaxed", "small-write", files);
        self.add(
            5,
            "files of 64 KiB, relaxed ÷ limit of a file per body",
            AtLeast(75.0),
            "%",
            share,
        );
        let strict = self.each("small-strict", files);
        let times = zip(&strict, &self.number("alone-synced-files"), |own, one| own / one);
        self.add(
            6,
            "files of 64 KiB, strict ÷ one synced after another",
            AtLeast(10.0),
            "×",
            times,
        );
        let requests = |turn: &Turn| turn.outcome.requests_per_s;
        for (case, what) in [
            ("probes-unknown", "probes of no upload ÷ empty answers of bare hyper"),
            ("probes-known", "probes of an upload ÷ empty answers of bare hyper"),
        ] {
            let share = self.share(case, "probes-empty", requests);
            self.add(7, what, AtLeast(60.0), "%", share);
        }
        let times = self.ratio("flat-long", "flat-short", Turn::cpu_s_per_gb);
        self.add(
            10,
            "CPU per chunk, one upload of 20,480 ÷ uploads of 20 MiB",
            AtMost(1.1),
            "×",
            times,
        );
    }

    /// What it takes of the machine: rows 8 and 9.
    fn memory_and_disk(&mut self) {
        let idle = self.number("memory-idle");
        self.add(8, "RSS, idle", AtMost(20.0), "MiB", idle);
        let busy = self.each("memory-64", |turn| turn.usage.peak_rss_mib);
        self.add(8, "peak RSS, 64 uploads at full speed", AtMost(100.0), "MiB", busy);
        let slow = self.number("memory-slow");
        self.add(8, "peak RSS, 1,000 slow connections", AtMost(200.0), "MiB", slow);
        for (case, what) in [
            ("large-relaxed", "written to disk per byte received, relaxed"),
            ("large-strict", "written to disk per byte received, strict"),
        ] {
            let written = self.each(case, Turn::written_per_byte);
            self.add(9, what, AtMost(1.02), "×", written);
        }
    }

    /// What it costs to have a past: row 11.
    fn catalog(&mut self) {
        let starts = self.number("catalog-start");
        self.add(11, "start with 10⁵ uploads, 10⁶ creatives", AtMost(2.0), "s", starts);
        let (old, empty) =
            (self.number("catalog-probe-p99"), self.number("catalog-probe-p99-empty"));
        let times = zip(&old, &empty, |old, empty| old / empty);
        self.add(11, "p99 of probes with them ÷ of an empty server", AtMost(1.5), "×", times);
        let lists = self.number("catalog-scheduled-p99");
        self.add(11, "p99 of GET /scheduled with them", AtMost(10.0), "ms", lists);
    }

    /// Throughput with SHA-256 against what the cores could do if they did nothing else than what
    /// cannot be avoided, in percent.
    fn of_the_possible(&self) -> Vec<f64> {
        #[expect(clippy::cast_precision_loss, reason = "nobody has so many")]
        let cores = available_parallelism().map_or(1.0, |cores| cores.get() as f64);
        let sha256 = self.number("alone-sha256");
        let other = self.each("large-drop", |turn| turn.outcome.cpu_s_per_gb + turn.cpu_s_per_gb());
        let possible = zip(&other, &sha256, |other, sha256| cores / (other + sha256) * 1000.0);
        let reached = self.each("large-relaxed", |turn| turn.outcome.mb_per_s);
        zip(&reached, &possible, |reached, possible| reached / possible * 100.0)
    }

    fn add(
        &mut self,
        number: u8,
        measure: &'static str,
        bound: Bound,
        unit: &'static str,
        values: Vec<f64>,
    ) {
        let reached = Spread::of(values);
        self.rows.extend(reached.map(|reached| Row { number, measure, bound, unit, reached }));
    }

    fn each(&self, case: &str, value: impl Fn(&Turn) -> f64) -> Vec<f64> {
        self.measured.turns.get(case).into_iter().flatten().map(value).collect()
    }

    fn number(&self, name: &str) -> Vec<f64> {
        self.measured.numbers.get(name).cloned().unwrap_or_default()
    }

    fn ratio(&self, own: &str, other: &str, value: impl Fn(&Turn) -> f64) -> Vec<f64> {
        zip(&self.each(own, &value), &self.each(other, &value), |own, other| own / other)
    }

    fn share(&self, own: &str, other: &str, value: impl Fn(&Turn) -> f64) -> Vec<f64> {
        self.ratio(own, other, value).into_iter().map(|ratio| ratio * 100.0).collect()
    }
}

/// What a user waits for at 100 %, in milliseconds: how much longer the answer took that completed
/// the file than a chunk's usually does, and then until the creative could be seen. The answer
/// waits for the completion, so nearly all of it is in the former.
pub(crate) fn wait_ms(turn: &Turn) -> f64 {
    let outcome = &turn.outcome;
    (outcome.completing.max_ms - outcome.chunks.p50_ms).max(0.0) + outcome.visible.max_ms
}

/// Of each round.
fn zip(own: &[f64], other: &[f64], ratio: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    own.iter().zip(other).map(|(own, other)| ratio(*own, *other)).collect()
}
