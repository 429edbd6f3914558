//! Published files and their records.

use std::error::Error;

use bytes::Bytes;

use super::{Engine, UploadError, registry::Registry};
use crate::{
    catalog::CreativeQuery,
    store::PublishedName,
    upload::{By, ByteRange, Creative, CreativeId, Day, Principal, limits},
};

impl Engine {
    /// The creative with this id, if it is this principal's.
    pub async fn creative(
        &self,
        principal: &Principal,
        id: CreativeId,
    ) -> Result<Option<Creative>, UploadError> {
        let creative = self.shared.catalog.creative(id).await?;
        Ok(creative.filter(|creative| creative.principal == *principal))
    }

    /// Creatives of one principal, by day and then by id.
    pub async fn creatives(&self, query: &CreativeQuery) -> Result<Vec<Creative>, UploadError> {
        Ok(self.shared.catalog.creatives(query).await?)
    }

    /// Every creative of one principal on one day.
    pub async fn creatives_on(
        &self,
        principal: &Principal,
        day: Day,
    ) -> Result<Vec<Creative>, UploadError> {
        let mut all = Vec::new();
        let mut query = CreativeQuery {
            principal: principal.clone(),
            from: Some(day),
            to: Some(day),
            after: None,
            limit: limits::PAGE_LEN_MAX,
        };
        loop {
            let page = self.creatives(&query).await?;
            let more = page.len() == query.limit;
            query.after = page.last().map(|last| (last.scheduled, last.id));
            all.extend(page);
            if !more {
                return Ok(all);
            }
        }
    }

    /// Schedules a creative for another day, which must not be over.
    pub async fn reschedule(
        &self,
        principal: &Principal,
        id: CreativeId,
        day: Day,
        by: &By,
    ) -> Result<Option<Creative>, UploadError> {
        self.shared.check_day(Some(day))?;
        let Some(known) = self.creative(principal, id).await? else { return Ok(None) };
        let moved = self.shared.catalog.reschedule(id, day, by).await;
        if moved.is_err() {
            self.question(&known).await;
        }
        let creative = moved?;
        if let Some(creative) = &creative {
            self.refresh(creative, Some(creative.clone())).await;
        }
        Ok(creative)
    }

    /// Deletes a creative: first, durably, its record, then its file. Its identity is free at once.
    /// Returns whether there was one. The file goes for good, unless it is the operator who deletes
    /// it: then it goes to the trash. A file that cannot be removed now is the next sweep's: the
    /// creative is gone all the same.
    pub async fn delete_creative(
        &self,
        principal: &Principal,
        id: CreativeId,
        by: &By,
    ) -> Result<bool, UploadError> {
        let Some(creative) = self.creative(principal, id).await? else { return Ok(false) };
        let deleted = match self.shared.catalog.delete_creative(id, by).await {
            Ok(deleted) => deleted,
            // What seems to fail may have taken effect. Then nobody may be told of it any more.
            Err(error) => match self.shared.catalog.creative(id).await {
                Ok(None) => Some(creative),
                Ok(Some(_)) => return Err(error.into()),
                Err(_) => {
                    self.question(&creative).await;
                    return Err(error.into());
                }
            },
        };
        let Some(creative) = deleted else { return Ok(false) };
        self.refresh(&creative, None).await;
        if let Err(error) = self.shared.bury(id).await {
            let error = &error as &dyn Error;
            tracing::warn!(creative.id = %id, error, "A deleted creative's file stays for now");
        }
        Ok(true)
    }

    /// Whether the file of a creative is there. Errors: it is not, or not as long as it was;
    /// somebody took it away, or what it lies on.
    pub async fn check_file(&self, creative: &Creative) -> Result<(), UploadError> {
        let name = PublishedName::new(creative.id, &creative.filename);
        if self.shared.store.published_len(&name).await? == Some(creative.size) {
            return Ok(());
        }
        tracing::error!(creative.id = %creative.id, "The file of a creative is missing: verify");
        Err(UploadError::unavailable("the file of the creative is missing"))
    }

    /// Reads a slice of a published file; at most [`limits::READ_LEN_MAX`] bytes.
    pub async fn read_creative(
        &self,
        creative: &Creative,
        range: ByteRange,
    ) -> Result<Bytes, UploadError> {
        let name = PublishedName::new(creative.id, &creative.filename);
        Ok(self.shared.store.read_published(&name, range).await?)
    }

    /// Nobody knows what became of a creative: before its upload in memory answers for it again,
    /// the catalog is asked. Under the ledger, as [`super::Shared::make_sure`] is.
    pub(super) async fn question(&self, creative: &Creative) {
        let _ledger = self.shared.ledger.lock().await;
        if let Some(live) = Registry::by_id(&self.shared, creative.upload_id) {
            live.lock().in_question = true;
        }
    }

    /// Tells the upload in memory, if there is one, what became of its creative. If that was
    /// recorded only a moment ago, its stitch worker has yet to tell the upload of it.
    pub(super) async fn refresh(&self, of: &Creative, now: Option<Creative>) {
        // Whoever loads the upload at this moment may have read what was before: under the gate
        // that is over.
        if let Ok(Some(upload)) = self.shared.catalog.upload(of.upload_id).await {
            drop(self.shared.registry.gate(&upload.identity.key()).lock().await);
        }
        if let Some(live) = Registry::by_id(&self.shared, of.upload_id) {
            let _recorded = live.progress.lock().await;
            live.lock().creative = now;
        }
    }
}
