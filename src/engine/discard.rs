//! Removes the bytes of uploads that came to nothing.

use std::{error::Error, sync::Arc};

use super::{Shared, live::Live};
use crate::upload::UploadId;

impl Shared {
    /// Removes the bytes of an upload that came to nothing before the catalog heard of it.
    ///
    /// The catalog is asked: it may know one whose commit only seemed to fail. And that under the
    /// gate, so that nobody believes the bytes meanwhile. In doubt they stay until the next start.
    pub(super) fn discard_abandoned(shared: &Arc<Self>, live: Arc<Live>) {
        let engine = shared.clone();
        shared.requests.spawn(async move {
            let key = live.lock().record.identity.key();
            let _gate = engine.registry.gate(&key).lock().await;
            let placed = *live.placed.lock().await;
            if placed && matches!(engine.catalog.upload(live.id).await, Ok(None)) {
                engine.discard(live.id).await;
            }
        });
    }

    /// Removes the bytes of an upload. A failure costs room until the next start, no more.
    pub(super) async fn discard(&self, id: UploadId) {
        if let Err(error) = self.store.discard(id).await {
            let error = &error as &dyn Error;
            tracing::warn!(upload.id = %id, error, "Cannot remove the bytes of an upload");
        }
    }
}
