//! Uploads that go from one visitor to another.

use super::facts::Facts;
use crate::upload::{Identity, IdentityKey, UploadId, UploadRecord};

impl Facts {
    pub(super) fn hand_over(
        &mut self,
        upload: UploadId,
        from: &IdentityKey,
        to: &Identity,
    ) -> bool {
        let is_taken =
            |it: &UploadRecord| it.id != upload && it.state.is_running() && it.identity == *to;
        let is_taken = self.uploads.values().any(is_taken);
        let Some(record) = self.uploads.get_mut(&upload) else { return false };
        let fits = [*from, to.key()].contains(&record.identity.key());
        if !fits || (is_taken && record.state.is_running()) {
            return false;
        }
        record.identity = to.clone();
        true
    }
}
