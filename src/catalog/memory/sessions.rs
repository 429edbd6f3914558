//! Sessions of the model, and what must be read back after one that did not end in order.

use std::collections::BTreeMap;

use super::facts::Facts;
use crate::upload::{ByteRange, StoredRange, UploadId};

#[derive(Debug, Clone)]
pub(super) struct Session {
    epoch: String,
    pub(super) closed: bool,
}

impl Session {
    /// It counts as one that did not end in order, on another epoch than any.
    pub(super) fn doubt(&mut self) {
        *self = Self { epoch: String::new(), closed: false };
    }
}

impl Facts {
    pub(super) fn open_session(&mut self, epoch: &str) -> bool {
        let session = Session { epoch: epoch.into(), closed: false };
        let Some(former) = self.session.replace(session) else { return true };
        if !former.closed && former.epoch != epoch {
            let running = self.uploads.values_mut().filter(|upload| upload.state.is_running());
            for upload in running {
                upload.suspect = true;
                let ranges = self.ranges.get(&upload.id);
                let offsets = ranges.into_iter().flat_map(BTreeMap::keys).copied().collect();
                self.unverified.insert(upload.id, offsets);
            }
        }
        former.closed
    }

    pub(super) fn unverified(&self, upload: UploadId) -> Vec<StoredRange> {
        let is_suspect = self.uploads.get(&upload).is_some_and(|record| record.suspect);
        let Some(offsets) = self.unverified.get(&upload).filter(|_| is_suspect) else {
            return Vec::new();
        };
        let ranges = self.ranges.get(&upload).into_iter().flat_map(BTreeMap::values);
        ranges.filter(|stored| offsets.contains(&stored.range.offset())).copied().collect()
    }

    pub(super) fn verified(&mut self, upload: UploadId, ranges: &[ByteRange]) {
        let (stored, unverified) = (self.ranges.get(&upload), self.unverified.get_mut(&upload));
        let (Some(stored), Some(unverified)) = (stored, unverified) else { return };
        for range in ranges {
            if stored.get(&range.offset()).is_some_and(|stored| stored.range == *range) {
                unverified.remove(&range.offset());
            }
        }
    }

    pub(super) fn trust(&mut self, upload: UploadId) {
        if let Some(record) = self.running(upload) {
            record.suspect = false;
            self.unverified.remove(&upload);
        }
    }
}
