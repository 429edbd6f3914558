//! An answer that says no: a status, a stable code, and what to do about it.
//!
//! Statuses are retry instructions, and clients follow them differently: each dialect maps the
//! engine's errors by itself and says here what it came to.

use std::time::Duration;

use http::StatusCode;

use crate::engine::Refused;

/// A request that is answered with a problem.
#[derive(Debug)]
pub struct Refusal {
    /// The status.
    pub status: StatusCode,
    /// A stable word in snake case, for programs.
    pub code: &'static str,
    /// What to do about it, for people. Never a path, SQL or a source error.
    pub detail: String,
    /// When it makes sense to try again.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal with this status and code.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), retry_after: None }
    }

    /// The same, to be tried again after a moment.
    #[must_use]
    pub fn retry_after(self, pause: Duration) -> Self {
        Self { retry_after: Some(pause), ..self }
    }
}

/// The status and the word for what is wrong with a file: each status is the end of it for every
/// client.
pub(super) fn answer_to(refused: Refused) -> (StatusCode, &'static str) {
    match refused {
        Refused::Checksum => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "checksum_mismatch"),
        Refused::Type => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "type_not_accepted"),
        Refused::Scan => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "refused_by_scan"),
        Refused::Quota => (StatusCode::PAYLOAD_TOO_LARGE, "quota_exceeded"),
        Refused::Principal => (StatusCode::FORBIDDEN, "forbidden"),
    }
}
