//! Which deployment a catalog belongs to, and who may use it.

use std::fmt;

use async_trait::async_trait;

use super::CatalogError;
use crate::upload::{AccessState, DeploymentId, Mark};

/// What came of [`Deployment::advance`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advanced {
    /// What the folders are to be marked with now.
    pub mark: Mark,
    /// Whether catalog and folders are of the same time. If not, one of them was restored from a
    /// backup.
    pub in_step: bool,
}

impl Mark {
    /// What [`Deployment::advance`] makes of this mark of the catalog.
    pub(super) fn advanced(self, seen: Option<u64>) -> Advanced {
        let in_step =
            seen.is_none_or(|seen| (seen..=seen.saturating_add(1)).contains(&self.generation));
        let next = seen.unwrap_or(0).saturating_add(1);
        let generation = self.generation.max(next);
        Advanced { mark: Mark { generation, ..self }, in_step }
    }
}

/// The deployment of a catalog.
///
/// Contract (held by `catalog::contract`): as that of [`super::Catalog`]. The id is random and
/// never changes.
///
/// Cancel safety: a call whose future is dropped may still take effect.
#[async_trait]
pub trait Deployment: fmt::Debug + Send + Sync {
    /// The id of the deployment.
    async fn id(&self) -> Result<DeploymentId, CatalogError>;

    /// Counts one generation more than `seen`, which is what the folders are marked with, and never
    /// fewer than before.
    ///
    /// If the catalog is older than the folders, or more than one generation newer, one of them was
    /// restored from a backup: then the former session counts as one that did not end in order, on
    /// another epoch, so that [`super::Catalog::open_session`] makes all running uploads suspect.
    async fn advance(&self, seen: Option<u64>) -> Result<Advanced, CatalogError>;

    /// Who may use the service; nothing before it was decided.
    async fn access(&self) -> Result<Option<AccessState>, CatalogError>;

    /// Decides who may use the service. [`AccessState::Users`] is for good: it stays whatever is
    /// decided later. The first user that is added decides for it, too, in the same transaction.
    async fn set_access(&self, state: AccessState) -> Result<(), CatalogError>;
}
