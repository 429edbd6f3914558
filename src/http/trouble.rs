//! The troubles of the layers below as problems.

use std::error::Error;

use http::StatusCode;

use super::problem::Problem;
use crate::{
    dialect::Refusal,
    engine::{Class, UploadError},
    upload::limits::RETRY_AFTER,
};

/// What a dialect refuses is told as the dialect says it.
impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let problem = Self::new(refusal.status, refusal.code, sentence(&refusal.detail));
        Self { retry_after: refusal.retry_after, ..problem }
    }
}

/// What is refused before a dialect can say how.
impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let Problem { status, code, detail, retry_after, allow: _ } = problem;
        Self { status, code, detail: detail.into_owned(), retry_after }
    }
}

/// The engine's trouble with anything but an upload request, which its dialect answers.
impl From<UploadError> for Problem {
    fn from(error: UploadError) -> Self {
        match error.class() {
            Class::Schedule => Self::bad_request("invalid_scheduled_at", sentence(&error)),
            Class::NoSpace => {
                log(&error);
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "no_space", sentence(&error))
            }
            Class::Unavailable => {
                log(&error);
                Self::unavailable(RETRY_AFTER)
            }
            Class::Malformed
            | Class::Damaged
            | Class::Conflict
            | Class::TooLarge
            | Class::Forbidden
            | Class::OverQuota
            | Class::Gone
            | Class::Refused(_)
            | Class::Interrupted
            | Class::TimedOut => {
                log(&error);
                Self::internal()
            }
        }
    }
}

/// The operator sees the whole chain of causes; the client does not.
fn log(error: &UploadError) {
    tracing::error!(error = error as &dyn Error, "A request could not be carried out");
}

/// A detail as a sentence: upper case first, a full stop last.
pub(super) fn sentence(detail: &impl ToString) -> String {
    let text = detail.to_string();
    let mut chars = text.chars();
    let first: String = chars.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    let stop = if text.ends_with(['.', '…', '?']) { "" } else { "." };
    format!("{first}{}{stop}", chars.as_str())
}
