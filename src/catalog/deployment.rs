//! Which deployment a catalog belongs to, and who may use it.

use std::fmt;

use async_trait::async_trait;

use super::CatalogError;
use crate::upload::{AccessState, DeploymentId, Mark};

/// Which generation the folders are marked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// No folder is marked.
    Nothing,
    /// Every folder has this generation.
    All(u64),
    /// The folders are not of one time, or the operator says that they are to be used whatever
    /// their marks say. This is the newest generation, 0 if there is none.
    Mixed(u64),
}

/// What came of [`Deployment::advance`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advanced {
    /// What the folders are to be marked with now.
    pub mark: Mark,
    /// Whether catalog and folders are of the same time. If not, one of them may have been restored
    /// from a backup.
    pub in_step: bool,
}

impl Mark {
    /// What [`Deployment::advance`] makes of this mark of the catalog.
    pub(super) fn advanced(self, seen: Seen) -> Advanced {
        let (newest, in_step) = match seen {
            // The folders have not been marked yet.
            Seen::Nothing => (0, self.generation == 0),
            Seen::All(generation) => (generation, generation == self.generation),
            Seen::Mixed(newest) => (newest, false),
        };
        let generation = self.generation.max(newest.saturating_add(1));
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
    /// Unless every folder has the generation of the catalog, one of them may be older than the
    /// others: then the former session counts as one that did not end in order, on another epoch,
    /// so that [`super::Catalog::open_session`] makes all running uploads suspect. To be called
    /// before that, and the folders are to be marked in between: then a session that was opened
    /// has folders of its own generation. A crash in between costs a reading, and no more.
    async fn advance(&self, seen: Seen) -> Result<Advanced, CatalogError>;

    /// Who may use the service; nothing before it was decided.
    async fn access(&self) -> Result<Option<AccessState>, CatalogError>;

    /// Decides who may use the service. [`AccessState::Users`] is for good: it stays whatever is
    /// decided later. The first user that is added decides for it, too, in the same transaction.
    async fn set_access(&self, state: AccessState) -> Result<(), CatalogError>;
}
