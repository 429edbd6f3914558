//! Who sends a request, where that may stand among its fields.

use std::sync::Arc;

use async_trait::async_trait;

use super::Refusal;
use crate::{
    engine::Visit,
    upload::{By, Day, Identity, Permit, Principal},
};

/// On whose behalf a request is carried out, and what may be done so.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Who.
    pub principal: Principal,
    /// What the ticket allows that it came with.
    pub permit: Option<Arc<Permit>>,
    /// Which of the callers without credentials, if it is one of them.
    pub visit: Option<Visit>,
    /// Whose request it is, for the audit trail.
    pub by: By,
}

/// Knows who sends a request.
#[async_trait]
pub trait Gate: Send + Sync {
    /// Lets the request in, or not. Asked once, when it is known whether a field of the request
    /// brings a `ticket`, and before anything is done for it.
    async fn admit(&self, ticket: Option<&str>) -> Result<Grant, Refusal>;

    /// Checks a ticket that a form brings after its sender was let in. Errors: it is another
    /// credential than the one that let the request in, or none that belongs there.
    fn check(&self, ticket: &str) -> Result<(), Refusal>;

    /// Whether the head of the request, with this ticket from its query, says who sends it, or
    /// nobody needs to. Then it is to be let in before any of its form is read.
    fn is_known(&self, ticket: Option<&str>) -> bool;

    /// Whether [`Self::begin`] need be asked.
    fn counts_uploads(&self) -> bool;

    /// Asked when a request is about to begin an upload; answers when it may.
    async fn begin(&self, identity: &Identity);
}

impl Grant {
    /// The day of a file that names none.
    pub(in crate::dialect) fn day(&self) -> Option<Day> {
        self.permit.as_ref().and_then(|permit| permit.scheduled)
    }

    /// The largest file in bytes, where at most `max` may come at all.
    pub(in crate::dialect) fn at_most(&self, max: u64) -> u64 {
        self.permit.as_ref().map_or(max, |permit| permit.at_most(max))
    }
}
