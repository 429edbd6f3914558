//! What came of a load, as the generator tells it.

use serde::{Deserialize, Serialize};

use crate::statistics::Latency;

/// How long a point of [`Outcome::series`] is.
pub(crate) const BIN_MS: u32 = 100;

/// What came of a load. MB and GB are powers of ten.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// From the first byte to the last answer.
    pub(crate) elapsed_s: f64,
    /// Bytes of files that were acknowledged.
    pub(crate) bytes: u64,
    pub(crate) mb_per_s: f64,
    /// MB/s until nine tenths were acknowledged: the answer to the last chunk waits for completion.
    pub(crate) received_mb_per_s: f64,
    pub(crate) files_per_s: f64,
    pub(crate) requests_per_s: f64,
    /// Of all chunks, those that completed a file among them.
    pub(crate) chunks: Latency,
    pub(crate) probes: Latency,
    /// Of those requests in whose answer a file was complete for the first time.
    pub(crate) completing: Latency,
    /// From that answer until `GET /creatives/{id}` shows it. Asked only when files are few.
    pub(crate) visible: Latency,
    /// Processor time of the generator, while it sent.
    pub(crate) cpu_s: f64,
    pub(crate) cpu_s_per_gb: f64,
    /// Files whose bytes and SHA-256 were looked at afterwards, and were right.
    pub(crate) verified: usize,
    /// MB/s acknowledged in each [`BIN_MS`].
    pub(crate) series: Vec<f64>,
}
