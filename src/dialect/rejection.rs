//! A request that is refused for what it says, before anything is done for it.
//!
//! Promise: what a rejection repeats of the client's words is short and escaped.

use crate::{
    engine::{BodyError, UploadError},
    upload::limits,
};

/// Why a request is refused, in words that tell its sender what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Rejection {
    /// Which status it deserves.
    pub kind: RejectionKind,
    /// A stable word for programs.
    pub code: &'static str,
    /// What to do, for people.
    pub detail: String,
}

/// What a rejection tells the client to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectionKind {
    /// Say it differently (400).
    Malformed,
    /// Stop: the upload is over (415, which is permanent for every version of flow.js).
    Gone,
    /// Stop: no file can be that large (413).
    TooLarge,
}

impl Rejection {
    /// The request cannot be understood.
    pub(in crate::dialect) fn malformed(code: &'static str, detail: impl Into<String>) -> Self {
        Self { kind: RejectionKind::Malformed, code, detail: detail.into() }
    }

    /// The request belongs to an upload that its own client has given up.
    pub(in crate::dialect) fn gone(detail: impl Into<String>) -> Self {
        Self { kind: RejectionKind::Gone, code: "upload_gone", detail: detail.into() }
    }

    /// The request names more bytes than a file can have.
    pub(in crate::dialect) fn too_large(detail: impl Into<String>) -> Self {
        Self { kind: RejectionKind::TooLarge, code: "too_large", detail: detail.into() }
    }

    /// The body is not a form that can be read.
    pub(in crate::dialect) fn form(detail: impl Into<String>) -> Self {
        Self::malformed("invalid_form", detail)
    }
}

/// What is wrong with a form that was being read as the body of a chunk, if that is what broke it.
#[must_use]
pub(super) fn rejection_in(error: &UploadError) -> Option<&Rejection> {
    match error {
        UploadError::Body(BodyError::Broken(source)) => source.downcast_ref(),
        _ => None,
    }
}

/// A client's value, fit to stand in an answer.
pub(crate) fn quote(value: &str) -> String {
    let mut chars = value.chars();
    let start: String = chars.by_ref().take(limits::QUOTED_LEN_MAX).collect();
    let rest = if chars.next().is_some() { "…" } else { "" };
    format!("{start:?}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_value_is_short_and_harmless() {
        assert_eq!(quote("a\r\n\"\u{202e}b"), r#""a\r\n\"\u{202e}b""#);
        let long = quote(&"x".repeat(10_000));
        assert_eq!(long, format!("\"{}\"…", "x".repeat(limits::QUOTED_LEN_MAX)));
    }
}
