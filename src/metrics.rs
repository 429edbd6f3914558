//! What the operator can measure: the one struct of counters behind `/metrics`.
//!
//! Built once, handed to whoever counts. Nothing here decides anything.

use std::{fmt, sync::atomic::AtomicU64};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

/// What became of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChunkResult {
    /// Its bytes were stored.
    Stored,
    /// They were here already.
    Duplicate,
    /// It was refused for good or for now.
    Refused,
    /// It did not arrive whole.
    Aborted,
    /// The server could not store it.
    Failed,
}

impl ChunkResult {
    const ALL: [Self; 5] =
        [Self::Stored, Self::Duplicate, Self::Refused, Self::Aborted, Self::Failed];

    fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Duplicate => "duplicate",
            Self::Refused => "refused",
            Self::Aborted => "aborted",
            Self::Failed => "failed",
        }
    }
}

impl EncodeLabelValue for ChunkResult {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        self.as_str().encode(encoder)
    }
}

/// The label of [`Metrics::chunks`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ChunkLabels {
    /// What became of it.
    pub result: ChunkResult,
}

/// The label of [`Metrics::uploads`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StateLabels {
    /// The state.
    pub state: &'static str,
}

/// The labels of [`Metrics::requests`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// The route's name, never the raw path.
    pub route: &'static str,
    /// The class of the status: `2xx`, `4xx`, …
    pub status: &'static str,
}

/// Every metric of the service.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Uploads in the catalog, by state.
    pub uploads: Family<StateLabels, Gauge>,
    /// Chunks, by what became of them.
    pub chunks: Family<ChunkLabels, Counter>,
    /// Bytes of chunks that were stored.
    pub received_bytes: Counter,
    /// Uploads completed.
    pub completed: Counter,
    /// How long a group commit took.
    pub commit_seconds: Histogram,
    /// How many ranges a group commit held.
    pub commit_ranges: Histogram,
    /// How long an upload took from its last chunk to its creative.
    pub stitch_seconds: Histogram,
    /// Attempts to stitch that failed and are tried again.
    pub stitch_retries: Counter,
    /// Hints that wait for a stitch worker.
    pub stitch_queue: Gauge,
    /// How long requests took, by route and status.
    pub requests: Family<RequestLabels, Histogram, fn() -> Histogram>,
    /// Bytes of bodies in memory.
    pub memory_used_bytes: Gauge,
    /// The bound on that.
    pub memory_budget_bytes: Gauge,
    /// Room on the disk.
    pub free_bytes: Gauge<u64, AtomicU64>,
    /// Files in the trash.
    pub trash_files: Gauge<u64, AtomicU64>,
    /// What they take on the disk.
    pub trash_bytes: Gauge<u64, AtomicU64>,
    /// Uploads that the sweep ended.
    pub expired: Counter,
    /// Log lines that were lost.
    pub lost_lines: Counter,
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_25, 2.0, 18))
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All zero.
    #[must_use]
    pub fn new() -> Self {
        Self::with_lost_lines(Counter::default())
    }

    /// All zero, but for the log lines that were lost, which whoever writes the log counts.
    #[must_use]
    pub fn with_lost_lines(lost_lines: Counter) -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("flowstitch"),
            uploads: Family::default(),
            chunks: Family::default(),
            received_bytes: Counter::default(),
            completed: Counter::default(),
            commit_seconds: seconds(),
            commit_ranges: Histogram::new(exponential_buckets(1.0, 2.0, 10)),
            stitch_seconds: seconds(),
            stitch_retries: Counter::default(),
            stitch_queue: Gauge::default(),
            requests: Family::new_with_constructor(seconds),
            memory_used_bytes: Gauge::default(),
            memory_budget_bytes: Gauge::default(),
            free_bytes: Gauge::default(),
            trash_files: Gauge::default(),
            trash_bytes: Gauge::default(),
            expired: Counter::default(),
            lost_lines,
        };
        metrics.register();
        // There from the start: what appears with its first event has no rate before it.
        for result in ChunkResult::ALL {
            drop(metrics.chunks.get_or_create(&ChunkLabels { result }));
        }
        metrics
    }

    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("uploads", "Uploads in the catalog", self.uploads.clone());
        r.register("chunks", "Chunks by what became of them", self.chunks.clone());
        r.register_with_unit(
            "received",
            "Bytes of stored chunks",
            Unit::Bytes,
            self.received_bytes.clone(),
        );
        r.register("uploads_completed", "Uploads completed", self.completed.clone());
        r.register("uploads_expired", "Uploads ended by the sweep", self.expired.clone());
        r.register_with_unit(
            "commit",
            "Time of a group commit",
            Unit::Seconds,
            self.commit_seconds.clone(),
        );
        r.register("commit_ranges", "Ranges in a group commit", self.commit_ranges.clone());
        r.register_with_unit(
            "stitch",
            "Time from the last chunk to the creative",
            Unit::Seconds,
            self.stitch_seconds.clone(),
        );
        r.register("stitch_retries", "Failed attempts to stitch", self.stitch_retries.clone());
        r.register("stitch_queue", "Hints that wait for a worker", self.stitch_queue.clone());
        r.register_with_unit("request", "Time of a request", Unit::Seconds, self.requests.clone());
        r.register_with_unit(
            "memory_used",
            "Memory that bodies hold",
            Unit::Bytes,
            self.memory_used_bytes.clone(),
        );
        r.register_with_unit(
            "memory_budget",
            "Memory that bodies may hold",
            Unit::Bytes,
            self.memory_budget_bytes.clone(),
        );
        r.register("trash_files", "Files in the trash", self.trash_files.clone());
        r.register_with_unit(
            "trash",
            "What files in the trash take on the disk",
            Unit::Bytes,
            self.trash_bytes.clone(),
        );
        let lost = "Log lines that were dropped, because standard error was not read fast enough";
        r.register("log_lines_lost", lost, self.lost_lines.clone());
        r.register_with_unit("free", "Room on the disk", Unit::Bytes, self.free_bytes.clone());
    }

    /// Counts one chunk.
    pub fn count_chunk(&self, result: ChunkResult) {
        self.chunks.get_or_create(&ChunkLabels { result }).inc();
    }

    /// The text that Prometheus reads.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut page = String::new();
        text::encode(&mut page, &self.registry).expect("writing to a string cannot fail");
        page
    }
}
