//! Files in the trash that the catalog knows after all: it was older when they went there, and a
//! newer one was restored. A start brings them back, and until then nobody removes them for good.

use super::{Shared, UploadError};
use crate::{
    store::{Origin, StoreError, TrashKey, Trashed},
    upload::By,
};

impl Shared {
    /// Brings back what a start finds in the trash although the catalog knows it: a newer one was
    /// restored meanwhile. Files that it lists as gone are where it expects them again.
    pub(super) async fn reclaim(&self) -> Result<(), UploadError> {
        let trash = self.store.trash().await?;
        self.sights.keep(&trash);
        for trashed in trash {
            let key = &trashed.key;
            let _turn = self.places.of(&key.origin).await;
            if self.is_missed(&trashed).await? {
                let (id, file) = (key.id, &key.origin);
                tracing::warn!(trash.id = %id, %file, "Brought back from the trash");
                self.reclaim_one(key).await?;
            }
        }
        Ok(())
    }

    async fn reclaim_one(&self, key: &TrashKey) -> Result<(), UploadError> {
        let note = self.note_of(key).await;
        match self.store.bring_back(key).await {
            // Gone in the meantime, or twice in the trash.
            Err(StoreError::NotFound { .. }) => return Ok(()),
            moved => moved?,
        }
        self.store.empty(key).await?;
        self.note_restored(key, note.as_ref(), &By::server(self.clock.now())).await;
        Ok(())
    }

    /// Whether the catalog knows of a file that is not in its place, and this may be it.
    pub(super) async fn is_missed(&self, trashed: &Trashed) -> Result<bool, UploadError> {
        let Some(len) = trashed.len else { return Ok(false) };
        match &trashed.key.origin {
            Origin::Incomplete(upload) => Ok(!self.catalog.running(&[*upload]).await?.is_empty()
                && self.store.len(*upload).await?.is_none()
                && !self.catalog.ranges(*upload).await?.is_empty()),
            Origin::Completed(name) => {
                let creative = self.catalog.creative(name.id()).await?;
                Ok(creative.is_some_and(|creative| creative.size == len)
                    && self.store.published_len(name).await?.is_none()
                    && !self.is_refuted(&trashed.key).await)
            }
        }
    }

    /// Whether a file went to the trash because it is not what it should be.
    async fn is_refuted(&self, key: &TrashKey) -> bool {
        self.note_of(key).await.is_some_and(|note| note.reason.is_refutation())
    }
}
