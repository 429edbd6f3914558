//! Whether a principal may begin one more upload, and keep the file that one has become.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::{Engine, Refused, Shared, UploadError, live::Live, registry::Registry, registry::Use};
use crate::upload::{EndReason, IdentityKey, OverQuota, Principal, Quotas, UploadId, Usage};

/// In how many parts principals share what one of them must not have to itself.
pub(super) const SHARDS: usize = 64;

/// The part of a principal.
pub(super) fn shard_of(principal: &Principal) -> usize {
    let mut hasher = DefaultHasher::new();
    principal.hash(&mut hasher);
    usize::try_from(hasher.finish() % SHARDS as u64).expect("it is small")
}

/// Uploads that were begun a moment ago: the catalog may not know them yet. Those of a principal
/// are locked from the look at what there is to the upload's own place here, so that two cannot
/// both take the last one; others need not wait for that look.
#[derive(Debug)]
pub(super) struct Begun([tokio::sync::Mutex<Recent>; SHARDS]);

#[derive(Debug, Default)]
struct Recent {
    uploads: Vec<Weak<Live>>,
    /// Files that are kept before they are uploads.
    kept: Vec<Weak<Charge>>,
}

/// A file of undeclared size that is kept before it is an upload: it counts as one, as large as it
/// is so far, for as long as this lives.
#[derive(Debug)]
pub struct Charge {
    /// One that the catalog never hears of.
    id: UploadId,
    principal: Principal,
    len: AtomicU64,
    /// Whether it has become an upload, which counts in its stead.
    settled: AtomicBool,
}

impl Default for Begun {
    fn default() -> Self {
        Self(std::array::from_fn(|_| tokio::sync::Mutex::default()))
    }
}

impl Begun {
    fn of(&self, principal: &Principal) -> &tokio::sync::Mutex<Recent> {
        &self.0[shard_of(principal)]
    }
}

impl Shared {
    /// Begins an upload, if its principal may have it. What was kept of it is counted no more then.
    /// The caller holds the gate of its identity.
    ///
    /// Errors: [`UploadError::OverQuota`].
    pub(super) async fn begin(
        shared: &Arc<Self>,
        live: Live,
        key: IdentityKey,
        kept: Option<&Charge>,
    ) -> Result<Use, UploadError> {
        let principal = live.lock().record.identity.principal().clone();
        let mut begun = shared.begun.of(&principal).lock().await;
        begun.uploads.retain(|it| it.upgrade().is_some_and(|live| shared.is_begun(&live)));
        let known = shared.begun_by(&begun, &principal, kept);
        shared.check_quotas(&known, &principal, live.plan.total()).await?;
        // What is here already, or comes as one chunk, takes room as it comes and reserves none.
        if kept.is_none() && 1 < live.plan.count() {
            let begun = shared.uploads_of(&begun, &principal);
            shared.check_share(&begun, &principal, live.plan.total()).await?;
        }
        let live = Registry::insert(shared, live, Some(key));
        begun.uploads.push(Arc::downgrade(&live));
        if let Some(kept) = kept {
            kept.settled.store(true, Ordering::SeqCst);
        }
        Ok(live)
    }

    /// Whether a principal may begin an upload of `len` bytes at this moment. Errors:
    /// [`UploadError::OverQuota`].
    pub(super) async fn check_may_begin(
        &self,
        principal: &Principal,
        len: u64,
    ) -> Result<(), UploadError> {
        let begun = self.begun.of(principal).lock().await;
        self.check_quotas(&self.begun_by(&begun, principal, None), principal, len).await
    }

    /// Lets a file be kept whose size is not known yet. Errors: [`UploadError::OverQuota`], if its
    /// principal may not even have an empty one more.
    pub(super) async fn begin_to_keep(
        &self,
        principal: &Principal,
    ) -> Result<Arc<Charge>, UploadError> {
        let mut begun = self.begun.of(principal).lock().await;
        begun.kept.retain(|it| it.strong_count() != 0);
        self.check_quotas(&self.begun_by(&begun, principal, None), principal, 0).await?;
        let (len, settled) = (AtomicU64::new(0), AtomicBool::new(false));
        let charge = Charge { id: UploadId::new(), principal: principal.clone(), len, settled };
        let charge = Arc::new(charge);
        begun.kept.push(Arc::downgrade(&charge));
        Ok(charge)
    }

    /// Lets a file that is kept grow to `len` bytes. Errors: [`UploadError::OverQuota`].
    pub(super) async fn keep_more(&self, charge: &Charge, len: u64) -> Result<(), UploadError> {
        let principal = &charge.principal;
        let begun = self.begun.of(principal).lock().await;
        let others = self.begun_by(&begun, principal, Some(charge));
        self.check_quotas(&others, principal, len).await?;
        charge.len.store(len, Ordering::SeqCst);
        Ok(())
    }

    /// Whether an upload is there that the catalog may not know: not one that came to nothing.
    fn is_begun(&self, live: &Live) -> bool {
        !live.lock().persisted && self.registry.is_used(live.id, 0)
    }

    /// Those of one principal, with the lengths of their files.
    fn uploads_of(&self, begun: &Recent, principal: &Principal) -> Vec<(UploadId, u64)> {
        let uploads = begun.uploads.iter().filter_map(Weak::upgrade);
        let his = |live: &Arc<Live>| live.lock().record.identity.principal() == principal;
        let uploads = uploads.filter(|live| self.is_begun(live) && his(live));
        uploads.map(|live| (live.id, live.plan.total())).collect()
    }

    /// The same, with what is kept before it is an upload, besides what is asked about.
    fn begun_by(
        &self,
        begun: &Recent,
        principal: &Principal,
        besides: Option<&Charge>,
    ) -> Vec<(UploadId, u64)> {
        let kept = begun.kept.iter().filter_map(Weak::upgrade).filter(|kept| {
            let asked_about = besides.is_some_and(|besides| besides.id == kept.id);
            kept.principal == *principal && !asked_about && !kept.settled.load(Ordering::SeqCst)
        });
        let kept = kept.map(|kept| (kept.id, kept.len.load(Ordering::SeqCst)));
        self.uploads_of(begun, principal).into_iter().chain(kept).collect()
    }

    async fn check_quotas(
        &self,
        begun: &[(UploadId, u64)],
        principal: &Principal,
        len: u64,
    ) -> Result<(), UploadError> {
        let quotas = self.options.quotas;
        if quotas == Quotas::NONE {
            return Ok(());
        }
        // First by a number that counts some twice: whoever has room even so is done.
        let most = and_these(self.catalog.usage(principal, &[]).await?, begun);
        if quotas.check_new(most, len).is_ok() {
            return Ok(());
        }
        let usage = self.usage_with(begun, principal).await?;
        Ok(quotas.check_new(usage, len)?)
    }

    /// What a principal has. It may have changed since, unless the caller holds [`Begun`].
    pub(super) async fn usage_with(
        &self,
        begun: &[(UploadId, u64)],
        principal: &Principal,
    ) -> Result<Usage, UploadError> {
        let ids: Vec<UploadId> = begun.iter().map(|(id, _)| *id).collect();
        Ok(and_these(self.catalog.usage(principal, &ids).await?, begun))
    }

    /// Why the upload's principal may not have the file: what was allowed at the first byte may not
    /// be at the last.
    pub(super) async fn obstacle(
        &self,
        live: &Live,
    ) -> Result<Option<(Refused, EndReason)>, UploadError> {
        if let Some(excluded) = self.excluded(live).await? {
            return Ok(Some(excluded));
        }
        let over = self.check_complete(live).await?.err();
        Ok(over.map(|over| (Refused::Quota, EndReason(over.to_string()))))
    }

    /// Why nothing completes for the upload's principal, if so.
    pub(super) async fn excluded(
        &self,
        live: &Live,
    ) -> Result<Option<(Refused, EndReason)>, UploadError> {
        let principal = live.lock().record.identity.principal().clone();
        if principal.is_anonymous() {
            return Ok(None);
        }
        let user = self.catalog.directory().user(&principal).await?;
        let excluded = user.is_none_or(|user| user.disabled_at.is_some());
        let reason = EndReason("its user may not upload any more".to_owned());
        Ok(excluded.then_some((Refused::Principal, reason)))
    }

    /// Whether a file may be stored that was within the quotas when it was begun: they may have
    /// been lowered since.
    async fn check_complete(&self, live: &Live) -> Result<Result<(), OverQuota>, UploadError> {
        let quotas = self.options.quotas;
        if quotas.stored_bytes.is_none() && quotas.stored_files.is_none() {
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
        let begun = self.shared.begun.of(principal).lock().await;
        let begun = self.shared.begun_by(&begun, principal, None);
        self.shared.usage_with(&begun, principal).await
    }
}

fn and_these(usage: Usage, begun: &[(UploadId, u64)]) -> Usage {
    begun.iter().fold(usage, |usage, (_, len)| usage.and_upload(*len))
}
