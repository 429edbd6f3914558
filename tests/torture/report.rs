//! What went wrong, and the table that says so.

use std::{
    fmt::Write as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// The ways in which the server can break what it promised: the columns of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A chunk, or a whole file, that was acknowledged and is gone.
    Lost,
    /// A probe said yes, and the chunk was not there.
    Lied,
    /// A published file that is not what was sent.
    Inexact,
    /// A file in `completed/` that no creative knows.
    FileOnly,
    /// A creative whose file is missing.
    CreativeOnly,
    /// More than one creative of one upload.
    Doubled,
    /// Bytes of one upload in the file of another.
    Foreign,
    /// What the sweep should have removed.
    Leftover,
    /// An upload that did not come to its end.
    Stuck,
    /// Anything else that must not be, such as a refusal without a cause.
    Other,
}

impl Kind {
    const ALL: [(Self, &'static str); 10] = [
        (Self::Lost, "lost"),
        (Self::Lied, "lied"),
        (Self::Inexact, "inexact"),
        (Self::FileOnly, "no creative"),
        (Self::CreativeOnly, "no file"),
        (Self::Doubled, "doubled"),
        (Self::Foreign, "foreign"),
        (Self::Leftover, "leftover"),
        (Self::Stuck, "stuck"),
        (Self::Other, "other"),
    ];

    /// Whether a promise about bytes or records was broken.
    pub(crate) fn is_loss(self) -> bool {
        match self {
            Self::Lost | Self::Lied | Self::Inexact | Self::FileOnly | Self::CreativeOnly => true,
            Self::Doubled | Self::Foreign | Self::Leftover | Self::Stuck | Self::Other => false,
        }
    }

    fn heading(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, heading)| heading)
    }
}

/// What is counted while a round runs; many tasks write to it.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    starts: AtomicU64,
    hits: AtomicU64,
    operations: AtomicU64,
    waits: Mutex<Vec<Duration>>,
    violations: Mutex<Vec<(Kind, String)>>,
}

impl Tally {
    /// A server was started; all but the first are restarts.
    pub(crate) fn started(&self) {
        self.starts.fetch_add(1, Ordering::Relaxed);
    }

    /// The server was hurt.
    pub(crate) fn hit(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    /// A request was answered.
    pub(crate) fn answered(&self) {
        self.operations.fetch_add(1, Ordering::Relaxed);
    }

    /// A request took this long that must not wait for others.
    pub(crate) fn waited(&self, wait: Duration) {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner).push(wait);
    }

    /// What was done in a round inside this one.
    pub(crate) fn add_work(&self, inner: &Self) {
        for (sum, more) in [(&self.starts, &inner.starts), (&self.operations, &inner.operations)] {
            sum.fetch_add(more.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// A promise was broken.
    pub(crate) fn broken(&self, kind: Kind, detail: impl Into<String>) {
        self.violations.lock().unwrap_or_else(PoisonError::into_inner).push((kind, detail.into()));
    }

    pub(crate) fn violations(&self) -> Vec<(Kind, String)> {
        self.violations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What became of one fault: a row of the table.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) fault: &'static str,
    pub(crate) rounds: u64,
    hits: u64,
    restarts: u64,
    operations: u64,
    counts: [u64; Kind::ALL.len()],
    /// What was measured, if anything was.
    waits: Vec<Duration>,
    /// Why it was not run, if it was not.
    pub(crate) not_run: Option<String>,
}

impl Row {
    pub(crate) fn new(fault: &'static str) -> Self {
        let counts = [0; Kind::ALL.len()];
        let (waits, not_run) = (Vec::new(), None);
        Self { fault, rounds: 0, hits: 0, restarts: 0, operations: 0, counts, waits, not_run }
    }

    /// Adds a round. Returns whether it kept all promises.
    pub(crate) fn add(&mut self, tally: &Tally) -> bool {
        self.rounds += 1;
        self.hits += tally.hits.load(Ordering::Relaxed);
        self.restarts += tally.starts.load(Ordering::Relaxed).saturating_sub(1);
        self.operations += tally.operations.load(Ordering::Relaxed);
        self.waits.extend(&*tally.waits.lock().unwrap_or_else(PoisonError::into_inner));
        let violations = tally.violations();
        for (count, (kind, _)) in self.counts.iter_mut().zip(Kind::ALL) {
            *count += violations.iter().filter(|(found, _)| *found == kind).count() as u64;
        }
        violations.is_empty()
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }

    /// How long requests took that must not wait, in one line.
    fn measured(&self) -> Option<String> {
        let mut waits = self.waits.clone();
        waits.sort();
        let (most, median) = (waits.last()?.as_millis(), waits[waits.len() / 2].as_millis());
        let (fault, count) = (self.fault, waits.len());
        Some(format!("{fault}: {count} requests took {median} ms (median) to {most} ms\n"))
    }

    fn cells(&self) -> Vec<String> {
        let numbers = [self.rounds, self.hits, self.restarts, self.operations];
        let numbers = numbers.iter().chain(&self.counts).map(u64::to_string);
        std::iter::once(self.fault.to_owned()).chain(numbers).collect()
    }
}

/// The table, with what each column counts below it.
pub(crate) fn table(rows: &[Row]) -> String {
    let heads = ["fault", "rounds", "hits", "restarts", "operations"].into_iter();
    let heads: Vec<String> =
        heads.chain(Kind::ALL.iter().map(|(_, heading)| *heading)).map(String::from).collect();
    let lines: Vec<Vec<String>> = rows.iter().map(Row::cells).collect();
    let width = |column: usize| {
        let cells = std::iter::once(&heads).chain(&lines).map(|cells| cells[column].len());
        cells.max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let mut table = line(&heads, &widths);
    let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    table += &line(&rules, &widths);
    for (row, cells) in rows.iter().zip(&lines) {
        match &row.not_run {
            None => table += &line(cells, &widths),
            Some(why) => {
                let width = widths[0];
                writeln!(table, "| {:width$} | not run: {why}", row.fault)
                    .expect("a String takes everything");
            }
        }
    }
    table.extend(rows.iter().filter_map(Row::measured));
    table
}

/// Names to the left, numbers to the right.
fn line(cells: &[String], widths: &[usize]) -> String {
    let mut line = String::from("|");
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let written = match column {
            0 => write!(line, " {cell:width$} |"),
            _ => write!(line, " {cell:>width$} |"),
        };
        written.expect("a String takes everything");
    }
    line + "\n"
}

/// A violation in one line, with what it takes to see it again.
pub(crate) fn told(kind: Kind, detail: &str, again: &str) -> String {
    format!("VIOLATION {}: {detail}; again: {again}", kind.heading())
}
