//! Lists and counts of the model.

use std::collections::BTreeMap;

use super::facts::{Facts, to_millis};
use crate::upload::{Amount, Principal, Timestamp, UploadId, UploadState, Usage};

impl Facts {
    /// By id.
    pub(super) fn stitching(&self, after: Option<UploadId>, limit: usize) -> Vec<UploadId> {
        let full = self.uploads.values().filter(|u| u.state == UploadState::Stitching);
        let ids = full.map(|u| u.id).filter(|id| after.is_none_or(|after| after < *id));
        ids.take(limit).collect()
    }

    /// How much of an upload is here, if it runs.
    pub(super) fn amount(&self, id: UploadId) -> Amount {
        if !self.uploads.get(&id).is_some_and(|upload| upload.state.is_running()) {
            return Amount::default();
        }
        let ranges = self.ranges.get(&id).into_iter().flat_map(BTreeMap::values);
        ranges.fold(Amount::default(), |sum, stored| Amount {
            ranges: sum.ranges + 1,
            bytes: sum.bytes + stored.range.len(),
        })
    }

    /// The longest idle first.
    pub(super) fn idle(&self, before: Timestamp, limit: usize) -> Vec<UploadId> {
        let receiving = self.uploads.values().filter(|u| u.state == UploadState::Receiving);
        let mut idle: Vec<_> = receiving.map(|u| (u.touched_at, u.id)).collect();
        idle.retain(|(touched_at, _)| *touched_at < to_millis(before));
        idle.sort_unstable();
        idle.into_iter().map(|(_, id)| id).take(limit).collect()
    }

    /// What a principal has, besides what these uploads are or have become.
    pub(super) fn usage(&self, of: &Principal, besides: &[UploadId]) -> Usage {
        let uploads = self.uploads.values().filter(|it| {
            it.state.is_running() && it.identity.principal() == of && !besides.contains(&it.id)
        });
        let usage = uploads.fold(Usage::default(), |sum, upload| Usage {
            received_bytes: sum.received_bytes + self.amount(upload.id).bytes,
            ..sum.and_upload(upload.identity.plan().total())
        });
        let creatives = self.creatives.values();
        let creatives =
            creatives.filter(|it| it.principal == *of && !besides.contains(&it.upload_id));
        creatives.fold(usage, |sum, creative| Usage {
            stored_bytes: sum.stored_bytes + creative.size,
            stored_files: sum.stored_files + 1,
            ..sum
        })
    }
}
