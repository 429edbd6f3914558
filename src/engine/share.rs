//! How much of the disk the unfinished uploads of one principal may keep reserved.
//!
//! What a running upload has declared is reserved for it, so that it cannot fail for want of room.
//! But whoever declares much and sends little would keep everybody else out: so what was declared
//! and has not arrived is bounded, for each principal, by a part of what is free.

use super::{Engine, Shared, UploadError};
use crate::upload::{Principal, UploadId};

impl Shared {
    /// Whether a principal may reserve `len` bytes more. `begun` are its uploads that the catalog
    /// may not know, with their lengths.
    ///
    /// Errors: [`UploadError::OverShare`].
    pub(super) async fn check_share(
        &self,
        begun: &[(UploadId, u64)],
        principal: &Principal,
        len: u64,
    ) -> Result<(), UploadError> {
        let reserved = self.usage_with(begun, principal).await?.reserved_bytes();
        match self.most_reserved(reserved).await? {
            Some(most) if most < reserved.saturating_add(len) => {
                Err(UploadError::OverShare { len, reserved, most })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// How many bytes may be reserved in all by whoever has reserved so many; nothing if there is
    /// no limit.
    async fn most_reserved(&self, reserved: u64) -> Result<Option<u64>, UploadError> {
        let share = self.options.reserved_share;
        // Asked first, for it needs no look at the disk.
        let is_shared = self.is_shared().await?;
        if share.of(0, is_shared).is_none() {
            return Ok(None);
        }
        let space = self.store.space().await?;
        let free = space.free.saturating_sub(self.options.reserve_free.of(space.total));
        // Its own reservations are not free any more, and are part of what it shares with others.
        Ok(share.of(free.saturating_add(reserved), is_shared))
    }

    /// Whether more than one principal may upload.
    async fn is_shared(&self) -> Result<bool, UploadError> {
        let users = self.catalog.directory().users(None, 2).await?.len();
        Ok(2 <= users + usize::from(self.options.public_uploads))
    }
}

impl Engine {
    /// How many bytes the unfinished uploads of a principal may keep reserved at the moment;
    /// nothing if there is no limit.
    pub async fn reservable(&self, principal: &Principal) -> Result<Option<u64>, UploadError> {
        let reserved = self.usage(principal).await?.reserved_bytes();
        self.shared.most_reserved(reserved).await
    }
}
