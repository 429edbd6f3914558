//! Room on the disk: an upload gets all of it with its first range, or is refused.
//!
//! What running uploads have reserved is not free any more, so uploads that cannot all fit do not
//! starve each other: those that were let in have all they need, and the others are told so before
//! they send much.

use super::{Shared, UploadError};
use crate::upload::UploadId;

impl Shared {
    /// Makes the place of an upload, all of it reserved.
    pub(super) async fn create(&self, upload: UploadId, total: u64) -> Result<(), UploadError> {
        let _turn = self.leave_enough(total).await?;
        Ok(self.store.create(upload, total).await?)
    }

    /// Lengthens an upload from `now` to `total` bytes.
    pub(super) async fn grow(
        &self,
        upload: UploadId,
        now: u64,
        total: u64,
    ) -> Result<(), UploadError> {
        let _turn = self.leave_enough(total - now).await?;
        Ok(self.store.grow(upload, total).await?)
    }

    /// Asks whether so many bytes may be taken; they may be until what this returns is dropped.
    async fn leave_enough(
        &self,
        bytes: u64,
    ) -> Result<tokio::sync::MutexGuard<'_, ()>, UploadError> {
        let turn = self.room.lock().await;
        let mut space = self.store.space().await?;
        let reserve = self.options.reserve_free.of(space.total);
        if space.free < bytes.saturating_add(reserve) {
            self.give_up_trash(bytes.saturating_add(reserve)).await?;
            space = self.store.space().await?;
        }
        if space.free < bytes.saturating_add(reserve) {
            let why = format!(
                "{bytes} bytes are needed, {} are free, and reserve_free keeps {reserve}",
                space.free
            );
            return Err(UploadError::NoSpace(why.into()));
        }
        Ok(turn)
    }
}
