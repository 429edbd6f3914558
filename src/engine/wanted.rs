//! Whether the bytes of a chunk are still wanted while they are kept, before its upload takes them.

use std::sync::Arc;

use super::{Intent, Shared, UploadError, registry::Registry, registry::Use};

/// The upload that a chunk is for, as soon as it is known.
pub(super) struct Wanted<'a> {
    shared: &'a Arc<Shared>,
    intent: &'a Intent,
    upload: Option<Use>,
}

impl<'a> Wanted<'a> {
    /// Errors: the upload has ended, or cannot be looked up.
    pub(super) async fn by(
        shared: &'a Arc<Shared>,
        intent: &'a Intent,
    ) -> Result<Self, UploadError> {
        let upload = Shared::find(shared, intent).await?;
        let mut wanted = Self { shared, intent, upload: None };
        wanted.note(upload)?;
        Ok(wanted)
    }

    /// To be called when bytes come: another request may have begun the upload meanwhile, and it
    /// may even have ended.
    pub(super) fn look(&mut self) -> Result<(), UploadError> {
        if self.upload.is_some() {
            return Ok(());
        }
        let key = self.intent.identity.key();
        let handed_over = Shared::handed_over(self.shared, self.intent);
        self.note(handed_over.or_else(|| Registry::by_key(self.shared, &key)))
    }

    fn note(&mut self, found: Option<Use>) -> Result<(), UploadError> {
        if let Some(upload) = &found {
            self.shared.check_wanted(upload, self.intent)?;
        }
        // One that has ended and is in nobody's way: the chunk will begin another one.
        self.upload = found.filter(|upload| upload.upload_state().is_running());
        Ok(())
    }

    /// Ends when the upload has ended without a file; never while there is none.
    ///
    /// Cancel safety: may be dropped.
    pub(super) async fn gone(&self) -> UploadError {
        match &self.upload {
            Some(upload) => upload.gone().await,
            None => std::future::pending().await,
        }
    }
}
