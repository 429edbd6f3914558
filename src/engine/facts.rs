//! What memory knows of an upload and the catalog does not yet, as facts.

use super::live::LiveState;
use crate::{catalog::Fact, upload::UploadRecord};

/// An upload that the catalog does not know yet, as facts. It is spent of what its ticket is good
/// for first: if nothing is left of that, the rest has no effect.
pub(super) fn opening(state: &LiveState) -> Vec<Fact> {
    let upload = state.record.id;
    let spent = state.allowance.map(|allowance| Fact::Spent { upload, allowance });
    let opened = Fact::Opened(Box::new(state.record.clone()));
    let by = state.opener.clone().map(|by| Fact::OpenedBy { upload, by });
    spent.into_iter().chain([opened]).chain(by).collect()
}

/// The terms of an upload as facts.
pub(super) fn terms(record: &UploadRecord) -> Vec<Fact> {
    let upload = record.id;
    let day = record.scheduled.map(|day| Fact::Scheduled { upload, day });
    let sha256 = record.declared_sha256.map(|sha256| Fact::Declared { upload, sha256 });
    day.into_iter().chain(sha256).collect()
}
