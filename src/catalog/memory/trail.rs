//! The audit trail of the model.

use async_trait::async_trait;

use super::{MemoryCatalog, facts::Facts, facts::to_millis};
use crate::{
    catalog::{AuditQuery, CatalogError, Trail},
    upload::{AuditEntry, By, Creative, Deed, Timestamp, UploadId},
};

#[async_trait]
impl Trail for MemoryCatalog {
    async fn note(&self, entry: &AuditEntry) -> Result<(), CatalogError> {
        self.change(|facts| facts.note(entry.clone()))
    }

    async fn entries(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, CatalogError> {
        let agrees = |entry: &&AuditEntry| {
            query.since.is_none_or(|since| to_millis(since) <= entry.at)
                && query.principal.as_ref().is_none_or(|it| *it == entry.principal)
                && query.upload.is_none_or(|it| Some(it) == entry.upload)
        };
        self.visit(|facts| {
            facts.trail.iter().rev().filter(agrees).take(query.limit).cloned().collect()
        })
    }

    async fn prune(&self, before: Timestamp, limit: usize) -> Result<usize, CatalogError> {
        self.change(|facts| {
            let mut old: Vec<usize> = (0..facts.trail.len()).collect();
            old.retain(|at| facts.trail[*at].at < to_millis(before));
            old.sort_by_key(|at| facts.trail[*at].at);
            old.truncate(limit);
            let mut index = 0..;
            facts.trail.retain(|_| !old.contains(&index.next().expect("it has no end")));
            old.len()
        })
    }
}

impl Facts {
    pub(super) fn note(&mut self, entry: AuditEntry) {
        self.trail.push(AuditEntry { at: to_millis(entry.at), ..entry });
    }

    /// Something was done to an upload that is there.
    pub(super) fn note_upload(
        &mut self,
        upload: UploadId,
        deed: Deed,
        by: &By,
        detail: Option<String>,
    ) {
        let Some(record) = self.uploads.get(&upload) else { return };
        let entry = by.entry(deed, record.identity.principal(), &upload).of_upload(upload);
        self.note(AuditEntry { detail, ..entry });
    }

    /// Something was done to a creative.
    pub(super) fn note_creative(
        &mut self,
        creative: &Creative,
        deed: Deed,
        by: &By,
        detail: &(impl ToString + ?Sized),
    ) {
        let entry = by.entry(deed, &creative.principal, &creative.id);
        self.note(entry.of_upload(creative.upload_id).saying(detail));
    }
}
