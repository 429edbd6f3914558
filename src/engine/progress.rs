//! How far the stitch of one upload has come.

use bytes::Bytes;

use super::live::Live;
use crate::upload::Hashing;

/// The place of the stitch in a file, and the hash up to there. Lost with the process: the next one
/// begins anew.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    pub(super) hashing: Hashing,
    /// The offset of the next range.
    pub(super) hashed: u64,
    /// Whether the empty range of an empty file was passed, too.
    pub(super) passed_empty: bool,
    /// See [`super::live::LiveState::rewinds`].
    pub(super) rewinds: u64,
    /// The beginning of the file, if this pass took it from memory. Not kept between passes.
    pub(super) head: Option<Bytes>,
}

impl Progress {
    /// Whether it has come to the end of an upload that is full: then, and only then, the digest is
    /// the file's. That the upload is full is not enough: its last range may have come just now.
    pub(super) fn is_whole(&self, live: &Live) -> bool {
        self.hashed == live.plan.total() && live.was_passed_whole(self.rewinds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog::contract::{sample_range, sample_upload},
        upload::UploadState,
    };

    /// The last range may be committed between the end of a pass and the look at what it was of.
    #[test]
    fn a_pass_that_ended_before_the_last_range_came_is_not_whole() {
        let mut record = sample_upload("a");
        record.state = UploadState::Stitching;
        let ranges = [0, 10, 20].map(|offset| sample_range(offset, 10));
        let live = Live::loaded(record, (&ranges, &[]), None);
        let progress = |hashed| Progress { hashed, ..Progress::default() };
        assert!(live.was_passed_whole(0), "it is full, and nothing was forgotten");
        assert!(!progress(20).is_whole(&live));
        assert!(progress(30).is_whole(&live));
        live.lock().rewinds = 1;
        assert!(!progress(30).is_whole(&live));
    }
}
