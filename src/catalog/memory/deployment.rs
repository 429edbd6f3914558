//! The deployment of the model.

use async_trait::async_trait;

use super::MemoryCatalog;
use crate::{
    catalog::{Advanced, CatalogError, Deployment, Seen},
    upload::{AccessState, DeploymentId},
};

#[async_trait]
impl Deployment for MemoryCatalog {
    async fn id(&self) -> Result<DeploymentId, CatalogError> {
        self.visit(|facts| facts.mark.0.deployment)
    }

    async fn advance(&self, seen: Seen) -> Result<Advanced, CatalogError> {
        self.change(|facts| {
            let advanced = facts.mark.0.advanced(seen);
            if let Some(session) = facts.session.as_mut().filter(|_| !advanced.in_step) {
                session.doubt();
            }
            facts.mark.0 = advanced.mark;
            advanced
        })
    }

    async fn access(&self) -> Result<Option<AccessState>, CatalogError> {
        self.visit(|facts| facts.access)
    }

    async fn set_access(&self, state: AccessState) -> Result<(), CatalogError> {
        self.change(|facts| facts.decide_access(state))
    }
}
