//! The audit trail, as it is read, and what goes into it that is no other fact of the catalog.

use std::fmt;

use async_trait::async_trait;

use super::CatalogError;
use crate::upload::{AuditEntry, Timestamp, UploadId};

/// The lines of the audit trail.
///
/// Contract (held by `catalog::contract`): as that of [`super::Catalog`]. Whatever the catalog is
/// told that stands in the trail is written there in the same transaction; what has no effect
/// leaves no line. A line is never changed, and goes only by [`Self::prune`].
#[async_trait]
pub trait Trail: fmt::Debug + Send + Sync {
    /// Writes a line about something that is no other fact.
    async fn note(&self, entry: &AuditEntry) -> Result<(), CatalogError>;

    /// The lines that were written last, the newest first.
    async fn entries(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, CatalogError>;

    /// Forgets up to `limit` lines from before `before`, the oldest first. Returns how many went.
    async fn prune(&self, before: Timestamp, limit: usize) -> Result<usize, CatalogError>;
}

/// Which lines to read.
#[derive(Debug, Clone)]
pub struct AuditQuery {
    /// From this time on only.
    pub since: Option<Timestamp>,
    /// About what is this principal's only.
    pub principal: Option<String>,
    /// About this upload, and the creative that it became, only.
    pub upload: Option<UploadId>,
    /// How many at most.
    pub limit: usize,
}
