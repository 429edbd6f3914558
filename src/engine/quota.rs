//! Whether a principal may begin one more upload, and keep the file that one has become.

use std::sync::{Arc, Weak};

use super::{Engine, Shared, UploadError, live::Live, registry::Registry, registry::Use};
use crate::upload::{IdentityKey, OverQuota, Principal, UploadId, Usage};

/// Uploads that were begun a moment ago: the catalog may not know them yet. Locked from the look
/// at what there is to the upload's own place here, so that two cannot both take the last one.
#[derive(Debug, Default)]
pub(super) struct Begun(tokio::sync::Mutex<Vec<Weak<Live>>>);

impl Shared {
    /// Begins an upload, if its principal may have it. The caller holds the gate of its identity.
    ///
    /// Errors: [`UploadError::OverQuota`].
    pub(super) async fn begin(
        shared: &Arc<Self>,
        live: Live,
        key: IdentityKey,
    ) -> Result<Use, UploadError> {
        let principal = live.lock().record.identity.principal().clone();
        let mut begun = shared.begun.0.lock().await;
        begun.retain(|it| it.upgrade().is_some_and(|live| shared.is_begun(&live)));
        let known = shared.begun_by(&begun, &principal);
        shared.check_quotas(&known, &principal, live.plan.total()).await?;
        let live = Registry::insert(shared, live, Some(key));
        begun.push(Arc::downgrade(&live));
        Ok(live)
    }

    /// Whether an upload is there that the catalog may not know: not one that came to nothing.
    fn is_begun(&self, live: &Live) -> bool {
        !live.lock().persisted && self.registry.is_used(live.id, 0)
    }

    /// Those of one principal, with the lengths of their files.
    fn begun_by(&self, begun: &[Weak<Live>], principal: &Principal) -> Vec<(UploadId, u64)> {
        let begun = begun.iter().filter_map(Weak::upgrade);
        let his = |live: &Arc<Live>| live.lock().record.identity.principal() == principal;
        let begun = begun.filter(|live| self.is_begun(live) && his(live));
        begun.map(|live| (live.id, live.plan.total())).collect()
    }

    async fn check_quotas(
        &self,
        begun: &[(UploadId, u64)],
        principal: &Principal,
        len: u64,
    ) -> Result<(), UploadError> {
        let quotas = self.options.quotas;
        // First by a number that counts some twice: whoever has room even so is done.
        let most = and_these(self.catalog.usage(principal, &[]).await?, begun);
        if quotas.check_new(most, len).is_ok() {
            return Ok(());
        }
        let usage = self.usage_with(begun, principal).await?;
        Ok(quotas.check_new(usage, len)?)
    }

    /// What a principal has. It may have changed since, unless the caller holds [`Begun`].
    async fn usage_with(
        &self,
        begun: &[(UploadId, u64)],
        principal: &Principal,
    ) -> Result<Usage, UploadError> {
        let ids: Vec<UploadId> = begun.iter().map(|(id, _)| *id).collect();
        Ok(and_these(self.catalog.usage(principal, &ids).await?, begun))
    }

    /// Whether a file may be stored that was within the quotas when it was begun: they may have
    /// been lowered since.
    pub(super) async fn check_complete(
        &self,
        live: &Live,
    ) -> Result<Result<(), OverQuota>, UploadError> {
        let quotas = self.options.quotas;
        if quotas.stored_bytes.is_none() {
            return Ok(Ok(()));
        }
        let principal = live.lock().record.identity.principal().clone();
        // Besides its own creative: an attempt that seemed to fail may have written it.
        let usage = self.catalog.usage(&principal, &[live.id]).await?;
        Ok(quotas.check_complete(usage, live.plan.total()))
    }
}

impl Engine {
    /// What a principal has of what the quotas bound.
    pub async fn usage(&self, principal: &Principal) -> Result<Usage, UploadError> {
        let begun = self.shared.begun_by(&self.shared.begun.0.lock().await, principal);
        self.shared.usage_with(&begun, principal).await
    }
}

fn and_these(usage: Usage, begun: &[(UploadId, u64)]) -> Usage {
    begun.iter().fold(usage, |usage, (_, len)| usage.and_upload(*len))
}
