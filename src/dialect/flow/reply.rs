//! What flow.js is answered, and why with that status.
//!
//! flow.js believes 200, 201 and 202 blindly, gives a file up for good at 404, 413, 415, 500 and
//! 501, and takes every other status as «not this time»: to a probe it then sends the chunk, to a
//! chunk it tries again as often as it was told to (by default: never).

use std::error::Error;

use http::StatusCode;

use crate::{
    dialect::{Refusal, Rejection, RejectionKind, Status, refusal::answer_to},
    engine::{Class, Received, Snapshot, UploadError},
    upload::limits::RETRY_AFTER,
};

/// An answer that says yes, or «not here».
#[derive(Debug)]
pub enum Answer {
    /// 200: the chunk is safely here, or the upload is complete.
    Here(Box<Status>),
    /// 201: this very request completed the upload.
    Completed(Box<Status>),
    /// 204, without a body: the chunk is not here. Not 404: flow.js would give the file up.
    Missing,
}

impl Answer {
    /// The answer to a probe.
    pub(super) fn to_probe(found: Option<Snapshot>) -> Self {
        found.map_or(Self::Missing, |snapshot| Self::Here(Box::new(snapshot.into())))
    }

    /// The answer to a chunk that was acknowledged.
    pub(super) fn to_chunk(received: Received) -> Self {
        let status = Box::new(received.snapshot.into());
        if received.completed { Self::Completed(status) } else { Self::Here(status) }
    }
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        let status = match rejection.kind {
            RejectionKind::Malformed => StatusCode::BAD_REQUEST,
            RejectionKind::Gone => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            RejectionKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        };
        Self::new(status, rejection.code, rejection.detail)
    }
}

/// The engine's trouble as flow.js must hear it.
pub(super) fn refusal(error: &UploadError) -> Refusal {
    let detail = error.to_string();
    let new = |status, code| Refusal::new(status, code, detail.clone());
    match error.class() {
        Class::Malformed => new(StatusCode::BAD_REQUEST, "invalid_length"),
        // May be sent again: the bytes were damaged on the way.
        Class::Damaged => new(StatusCode::BAD_REQUEST, "checksum_mismatch"),
        Class::Schedule => new(StatusCode::BAD_REQUEST, "invalid_scheduled_at"),
        Class::Conflict => new(StatusCode::CONFLICT, "conflict"),
        Class::Forbidden => new(StatusCode::FORBIDDEN, "forbidden"),
        Class::TooLarge => new(StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
        Class::OverQuota => new(StatusCode::PAYLOAD_TOO_LARGE, "quota_exceeded"),
        // 415 is the one status that every version of flow.js takes as the end of the file.
        Class::Gone => new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "upload_gone"),
        Class::Refused(why) => {
            let (status, code) = answer_to(why);
            new(status, code)
        }
        Class::Interrupted => new(StatusCode::BAD_REQUEST, "incomplete_body"),
        Class::TimedOut => new(StatusCode::REQUEST_TIMEOUT, "request_timeout"),
        Class::NoSpace => {
            log(error);
            new(StatusCode::INSUFFICIENT_STORAGE, "no_space").retry_after(RETRY_AFTER)
        }
        // Not 500, which is permanent: this passes.
        Class::Unavailable => {
            log(error);
            new(StatusCode::SERVICE_UNAVAILABLE, "unavailable").retry_after(RETRY_AFTER)
        }
    }
}

/// The operator sees the whole chain of causes; the client does not.
fn log(error: &UploadError) {
    if matches!(error, UploadError::Stopping) {
        return;
    }
    tracing::error!(error = error as &dyn Error, "A request could not be carried out");
}
