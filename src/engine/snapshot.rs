//! What an upload looks like from outside at one moment.

use std::time::Duration;

use super::{
    live::{Live, LiveState},
    quarantine::Check,
};
use crate::upload::{
    Coverage, Creative, FileName, Plan, Timestamp, UploadId, UploadRecord, UploadState,
};

/// An upload at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Its id.
    pub id: UploadId,
    /// Where it stands.
    pub state: UploadState,
    /// Whether it is `stitching` and waits for the check before publishing.
    pub quarantined: bool,
    /// The client's name for the file.
    pub filename: FileName,
    /// How the file is cut.
    pub plan: Plan,
    /// How many bytes are safely here.
    pub received_bytes: u64,
    /// Inclusive pairs of the indices (from 0) of pieces that are not here yet.
    pub missing: Vec<(u64, u64)>,
    /// When its first request came.
    pub created_at: Timestamp,
    /// When it will be forgotten, if nothing more comes.
    pub expires_at: Timestamp,
    /// Why it ended without a file, or why its stitch is held up.
    pub error: Option<String>,
    /// What came of it.
    pub creative: Option<Creative>,
}

/// How long uploads are kept, for [`Snapshot::expires_at`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Lifetimes {
    pub(super) upload_ttl: Duration,
    pub(super) tombstone_ttl: Duration,
}

impl Snapshot {
    pub(super) fn of(live: &Live, lifetimes: Lifetimes) -> Self {
        Self::at(&live.lock(), lifetimes)
    }

    fn at(state: &LiveState, lifetimes: Lifetimes) -> Self {
        let creative = state.creative.clone();
        let open = matches!(state.check, Check::Running | Check::Undecided);
        let quarantined = open && state.record.state == UploadState::Stitching;
        let shown = Self::of_record(&state.record, &state.coverage, creative, lifetimes);
        Self { quarantined, ..shown }
    }

    /// Built from what a catalog holds.
    pub(super) fn of_record<T>(
        record: &UploadRecord,
        coverage: &Coverage<T>,
        creative: Option<Creative>,
        lifetimes: Lifetimes,
    ) -> Self {
        let plan = record.identity.plan();
        let (received_bytes, missing) = match record.state {
            UploadState::Complete => (plan.total(), Vec::new()),
            UploadState::Receiving | UploadState::Stitching => {
                (coverage.covered(), missing(plan, coverage))
            }
            UploadState::Failed | UploadState::Cancelled | UploadState::Expired => {
                (0, vec![(0, plan.count() - 1)])
            }
        };
        let (since, ttl) = match record.ended_at {
            Some(ended) => (ended, lifetimes.tombstone_ttl),
            None => (record.touched_at, lifetimes.upload_ttl),
        };
        Self {
            id: record.id,
            state: record.state,
            quarantined: false,
            filename: record.filename.clone(),
            plan,
            received_bytes,
            missing,
            created_at: record.created_at,
            expires_at: since.saturating_add(ttl).unwrap_or(Timestamp::MAX),
            error: record.error(),
            creative,
        }
    }
}

/// The pieces that lie in the gaps. Ranges are whole pieces, so a gap begins and ends with one.
fn missing<T>(plan: Plan, coverage: &Coverage<T>) -> Vec<(u64, u64)> {
    if plan.total() == 0 {
        return if coverage.count() == 0 { vec![(0, 0)] } else { Vec::new() };
    }
    let last = |end| if end == plan.total() { plan.count() } else { end / plan.stride() } - 1;
    coverage.gaps(plan.total()).map(|(start, end)| (start / plan.stride(), last(end))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_missing_pieces_are_those_that_were_not_stored(
            total in 0u64..200, stride in 1u64..20, ceil in any::<bool>(), seed: u64
        ) {
            let count = if ceil { total.div_ceil(stride) } else { total / stride }.max(1);
            let plan = Plan::new(total, stride, count).unwrap();
            let stored = |index: u64| seed.rotate_left(u32::try_from(index % 64).unwrap()) & 1 == 1;
            let mut coverage = Coverage::new();
            for index in (0..count).filter(|index| stored(*index)) {
                coverage.insert(plan.piece(index).unwrap(), ());
            }
            let pairs = missing(plan, &coverage);
            let listed: Vec<u64> = pairs.into_iter().flat_map(|(a, b)| a..=b).collect();
            let expected: Vec<u64> = (0..count).filter(|index| !stored(*index)).collect();
            prop_assert_eq!(listed, expected);
        }
    }
}
