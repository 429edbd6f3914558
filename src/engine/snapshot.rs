//! What an upload looks like from outside at one moment.

use std::time::Duration;

use super::{
    live::{Live, LiveState},
    quarantine::Check,
};
use crate::upload::{
    Amount, Coverage, Creative, FileName, Plan, Timestamp, UploadId, UploadRecord, UploadState,
    limits::MISSING_LEN_MAX,
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
    /// How many bytes are safely here; those that are being verified are not counted.
    pub received_bytes: u64,
    /// How many pieces are safely here.
    pub received_pieces: u64,
    /// How far the verification is, if ranges must be read back before they are believed.
    pub verifying: Option<Verifying>,
    /// Which pieces are known not to be here, if that was asked for: the list may be long.
    pub missing: Option<Missing>,
    /// When its first request came.
    pub created_at: Timestamp,
    /// When it will be forgotten, if nothing more comes.
    pub expires_at: Timestamp,
    /// Why it ended without a file, or why its stitch is held up.
    pub error: Option<String>,
    /// What came of it.
    pub creative: Option<Creative>,
}

/// How far the verification of an upload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verifying {
    /// Bytes that are verified.
    pub bytes: u64,
    /// Bytes that are stored, verified or not.
    pub of: u64,
}

/// Pieces of an upload that are not here yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missing {
    /// Inclusive pairs of their indices (from 0), in order; at most [`MISSING_LEN_MAX`].
    pub pairs: Vec<(u64, u64)>,
    /// Whether more are missing behind the last pair.
    pub truncated: bool,
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

    /// With the pieces that are missing, from the one with the index `from` on.
    pub(super) fn listing(live: &Live, lifetimes: Lifetimes, from: u64) -> Self {
        let state = live.lock();
        let missing = match state.record.state {
            UploadState::Complete => Missing::default(),
            UploadState::Receiving | UploadState::Stitching => {
                Missing::of(live.plan, &state.coverage, from)
            }
            UploadState::Failed | UploadState::Cancelled | UploadState::Expired => {
                Missing::of(live.plan, &Coverage::<()>::new(), from)
            }
        };
        Self { missing: Some(missing), ..Self::at(&state, lifetimes) }
    }

    fn at(state: &LiveState, lifetimes: Lifetimes) -> Self {
        let creative = state.creative.clone();
        let open = matches!(state.check, Check::Running | Check::Undecided);
        let quarantined = open && state.record.state == UploadState::Stitching;
        let (all, unverified) = (&state.coverage, &state.unverified);
        let here = Amount { ranges: all.count() as u64, bytes: all.covered() };
        let unverified = Amount { ranges: unverified.count() as u64, bytes: unverified.covered() };
        let shown = Self::of_record(&state.record, here, unverified, creative, lifetimes);
        Self { quarantined, ..shown }
    }

    /// Built from what a catalog holds: what is here, and how much of that is unverified.
    pub(super) fn of_record(
        record: &UploadRecord,
        here: Amount,
        unverified: Amount,
        creative: Option<Creative>,
        lifetimes: Lifetimes,
    ) -> Self {
        let plan = record.identity.plan();
        let (received_bytes, received_pieces) = match record.state {
            UploadState::Complete => (plan.total(), plan.count()),
            UploadState::Receiving | UploadState::Stitching => {
                (here.bytes - unverified.bytes, here.ranges - unverified.ranges)
            }
            UploadState::Failed | UploadState::Cancelled | UploadState::Expired => (0, 0),
        };
        let is_verifying = record.state.is_running() && unverified.ranges != 0;
        let verifying = Verifying { bytes: received_bytes, of: here.bytes };
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
            received_pieces,
            verifying: is_verifying.then_some(verifying),
            missing: None,
            created_at: record.created_at,
            expires_at: since.saturating_add(ttl).unwrap_or(Timestamp::MAX),
            error: record.error(),
            creative,
        }
    }
}

impl Missing {
    /// The pieces that lie in the gaps, from the one with the index `from` on. Ranges are whole
    /// pieces, so a gap begins and ends with one.
    fn of<T>(plan: Plan, coverage: &Coverage<T>, from: u64) -> Self {
        let Some(first) = plan.piece(from) else { return Self::default() };
        if plan.total() == 0 {
            let pairs = if coverage.count() == 0 { vec![(0, 0)] } else { Vec::new() };
            return Self { pairs, truncated: false };
        }
        let last = |end| if end == plan.total() { plan.count() } else { end / plan.stride() } - 1;
        let mut gaps = coverage.gaps(first.offset(), plan.total());
        let pairs = gaps.by_ref().take(MISSING_LEN_MAX);
        let pairs = pairs.map(|(start, end)| (start / plan.stride(), last(end))).collect();
        Self { pairs, truncated: gaps.next().is_some() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_missing_pieces_are_those_that_were_not_stored(
            total in 0u64..200, stride in 1u64..20, ceil in any::<bool>(), seed: u64,
            from in 0u64..40
        ) {
            let count = if ceil { total.div_ceil(stride) } else { total / stride }.max(1);
            let plan = Plan::new(total, stride, count).unwrap();
            let stored = |index: u64| seed.rotate_left(u32::try_from(index % 64).unwrap()) & 1 == 1;
            let mut coverage = Coverage::new();
            for index in (0..count).filter(|index| stored(*index)) {
                coverage.insert(plan.piece(index).unwrap(), ());
            }
            let missing = Missing::of(plan, &coverage, from);
            prop_assert!(!missing.truncated);
            let listed: Vec<u64> = missing.pairs.into_iter().flat_map(|(a, b)| a..=b).collect();
            let expected: Vec<u64> = (from..count).filter(|index| !stored(*index)).collect();
            prop_assert_eq!(listed, expected);
        }
    }

    /// Every other piece is missing: page by page, each of them is listed once.
    #[test]
    fn a_long_list_is_cut_and_goes_on_behind_its_last_pair() {
        let count = 2 * MISSING_LEN_MAX as u64 + 3;
        let plan = Plan::new(count, 1, count).unwrap();
        let mut coverage = Coverage::new();
        for index in (0..count).filter(|index| index % 2 == 1) {
            coverage.insert(plan.piece(index).unwrap(), ());
        }
        let (mut from, mut listed, mut pages) = (0, Vec::new(), 0);
        loop {
            let missing = Missing::of(plan, &coverage, from);
            assert!(missing.pairs.len() <= MISSING_LEN_MAX);
            listed.extend(missing.pairs.iter().flat_map(|(a, b)| *a..=*b));
            pages += 1;
            if !missing.truncated {
                break;
            }
            from = missing.pairs.last().unwrap().1 + 1;
        }
        assert_eq!(pages, 2);
        assert_eq!(listed, (0..count).step_by(2).collect::<Vec<_>>());
    }
}
