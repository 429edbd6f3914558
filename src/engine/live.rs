//! One upload in memory: its record, its coverage, and who writes what of it at the moment.
//!
//! Invariant 4: one writer per range at a time. Invariant 3: a range enters the coverage only in
//! [`Live::settle_commit`], after its bytes and its fact are safe.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    Refused, claim::ClaimSlot, ender::Ender, evidence::Evidence, progress::Progress,
    quarantine::Check, warm::Warm, watch::Told,
};
use crate::upload::{
    Allowance, By, ByteRange, Checksum, Coverage, Creative, Day, Plan, Sha256Digest, StoredRange,
    UploadId, UploadRecord, UploadState, Visitor,
};

/// The detail of a conflict about the digest of the whole file.
const OTHER_SHA256: &str = "this upload was begun with another `sha256` of the whole file; to send \
    another file, choose another `flowIdentifier`, or cancel this upload, probe, and send it from \
    its first chunk";

/// An upload that somebody uses, or used a moment ago.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) id: UploadId,
    pub(super) plan: Plan,
    state: Mutex<LiveState>,
    /// Counts changes; whoever waits for one watches it.
    changed: watch::Sender<u64>,
    /// Whether the store is known to have a place for all its bytes. Held locked while one is made.
    pub(super) placed: tokio::sync::Mutex<bool>,
    /// What its watchers were told last.
    pub(super) told: Mutex<Option<Told>>,
    /// The claim to stitch: whoever holds it reads, hashes, publishes or cancels.
    pub(super) progress: tokio::sync::Mutex<Progress>,
    /// How far the stitch has come, for those who do not hold the claim.
    pub(super) hashed: AtomicU64,
    /// Whether anything came for it since it is in memory. Until then the stitch lets it lie: it
    /// may only be looked at, and there may be a hundred thousand of its kind.
    stirred: AtomicBool,
    /// Bytes that the stitch need not read back.
    pub(super) warm: Warm,
    /// Whether every range that is here was flushed, if this session flushes what it acknowledges:
    /// not those that a former, relaxed one left.
    pub(super) flushed: AtomicBool,
    /// How many want to end it: a stitch that runs lets go of its claim soon.
    enders: watch::Sender<usize>,
    /// Cancelled when it has ended without a file: see [`super::incoming`].
    pub(super) gone: CancellationToken,
    /// Held by whoever compares bytes that came with bytes that are stored: one at a time.
    pub(super) comparing: tokio::sync::Mutex<()>,
}

/// What changes of it, under one lock that is never held across an await.
#[derive(Debug)]
pub(super) struct LiveState {
    pub(super) record: UploadRecord,
    /// Whether the catalog knows the upload.
    pub(super) persisted: bool,
    /// What the ticket allows with which it was begun.
    pub(super) allowance: Option<Allowance>,
    /// Whose request began it, until the catalog knows the upload.
    pub(super) opener: Option<Box<By>>,
    /// The cookies that were handed out with answers to requests of this upload, see
    /// [`super::visit`].
    pub(super) offered: Vec<Visitor>,
    /// Whether the client named a day or a digest that the catalog does not know yet.
    pub(super) terms_changed: bool,
    pub(super) coverage: Coverage<Checksum>,
    /// Those ranges of the coverage that must be read back before they are believed: see
    /// [`super::verify`].
    pub(super) unverified: Coverage<()>,
    /// Ranges that were read back, and of which the catalog does not know that yet.
    pub(super) verified: Vec<ByteRange>,
    /// Ranges that the catalog may know though they are not here, because a call seemed to fail:
    /// until it has taken them back nothing is written, for a range that it knows must not be
    /// written over.
    pub(super) in_doubt: Vec<ByteRange>,
    /// Whether nobody knows how the upload stands, because its end, or what became of its creative,
    /// seemed to fail and may have taken effect: see [`super::Shared::make_sure`].
    pub(super) in_question: bool,
    /// Whether its finished file is there though it is `receiving`: see [`super::evidence`].
    pub(super) evidence: Evidence,
    /// How far the file is with the check before publishing.
    pub(super) check: Check,
    /// Why its file was refused, for those who still wait for an answer.
    pub(super) refused: Option<Refused>,
    pub(super) creative: Option<Creative>,
    /// Ranges that are being written, by offset.
    pub(super) claims: HashMap<u64, Arc<ClaimSlot>>,
    /// Rises when bytes that were written may be lost (a failed sync): a range that was begun in
    /// an older epoch must not be committed.
    pub(super) epoch: u64,
    /// Rises when ranges are forgotten: a stitch that may have passed them begins anew.
    pub(super) rewinds: u64,
    /// When its last range came, for measuring the stitch.
    pub(super) full_at: Option<Instant>,
    /// When the next attempt to stitch may begin; see [`UploadRecord::trouble`].
    pub(super) retry_at: Option<Instant>,
}

impl LiveState {
    /// What held up the stitch is over.
    pub(super) fn calm(&mut self) {
        self.record.trouble = None;
        self.retry_at = None;
    }

    /// A range is not here, whatever was said of it.
    pub(super) fn remove(&mut self, range: ByteRange) {
        self.coverage.remove(range);
        self.unverified.remove(range);
    }

    /// Whether a range is here, and believed.
    pub(super) fn is_verified(&self, range: ByteRange) -> bool {
        self.coverage.contains(range) && !self.unverified.contains(range)
    }
}

impl Live {
    /// An upload that nobody but this process knows yet.
    pub(super) fn opened(record: UploadRecord, allowance: Option<Allowance>, by: &By) -> Self {
        let live = Self::build(record, (Coverage::new(), Coverage::new()), None, false);
        {
            let mut state = live.lock();
            (state.allowance, state.opener) = (allowance, Some(Box::new(by.clone())));
        }
        live
    }

    /// An upload as the catalog knows it: all its ranges, and those of them that are unverified.
    pub(super) fn loaded(
        record: UploadRecord,
        (ranges, unverified): (&[StoredRange], &[StoredRange]),
        creative: Option<Creative>,
    ) -> Self {
        let mut coverage = Coverage::new();
        for stored in ranges {
            coverage.insert(stored.range, stored.checksum);
        }
        let mut doubted = Coverage::new();
        for stored in unverified {
            doubted.insert(stored.range, ());
        }
        Self::build(record, (coverage, doubted), creative, true)
    }

    fn build(
        record: UploadRecord,
        (coverage, unverified): (Coverage<Checksum>, Coverage<()>),
        creative: Option<Creative>,
        persisted: bool,
    ) -> Self {
        Self {
            id: record.id,
            plan: record.identity.plan(),
            placed: tokio::sync::Mutex::new(false),
            state: Mutex::new(LiveState {
                record,
                persisted,
                allowance: None,
                opener: None,
                offered: Vec::new(),
                terms_changed: false,
                coverage,
                unverified,
                verified: Vec::new(),
                in_doubt: Vec::new(),
                in_question: false,
                evidence: Evidence::None,
                check: Check::NotBegun,
                refused: None,
                creative,
                claims: HashMap::new(),
                epoch: 0,
                rewinds: 0,
                full_at: None,
                retry_at: None,
            }),
            changed: watch::Sender::new(0),
            told: Mutex::default(),
            progress: tokio::sync::Mutex::default(),
            hashed: AtomicU64::new(0),
            stirred: AtomicBool::new(false),
            warm: Warm::default(),
            flushed: AtomicBool::new(!persisted),
            enders: watch::Sender::new(0),
            gone: CancellationToken::new(),
            comparing: tokio::sync::Mutex::default(),
        }
    }

    /// The lock. Held for a few instructions, never across an await.
    pub(super) fn lock(&self) -> MutexGuard<'_, LiveState> {
        self.state.lock().expect("no code panics while it holds this lock")
    }

    /// Tells everyone who watches that something changed.
    pub(super) fn announce(&self) {
        self.changed.send_modify(|version| *version += 1);
    }

    /// Hears of each change from now on.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// How many watch.
    pub(super) fn watchers(&self) -> usize {
        self.changed.receiver_count()
    }

    /// Whether the catalog may know of ranges that are not here.
    pub(super) fn is_in_doubt(&self) -> bool {
        !self.lock().in_doubt.is_empty()
    }

    /// Somebody wants to end it, until what is given here is dropped.
    pub(super) fn wants_to_end(&self) -> impl Drop + use<'_> {
        Ender::new(&self.enders)
    }

    /// Whether somebody wants to end it.
    pub(super) fn is_ending(&self) -> bool {
        *self.enders.borrow() != 0
    }

    pub(super) fn upload_state(&self) -> UploadState {
        self.lock().record.state
    }

    /// Whether these ranges, once stored, are the last that were missing.
    pub(super) fn would_be_full(state: &LiveState, plan: Plan, new: &[StoredRange]) -> bool {
        let bytes: u64 = new.iter().map(|stored| stored.range.len()).sum();
        let count = (state.coverage.count() + new.len()) as u64;
        state.coverage.covered() + bytes == plan.total() && count == plan.count()
    }

    /// Bytes and facts of these ranges are safe: now, and only now, they are in the coverage.
    /// Returns whether they are the first of the upload.
    pub(super) fn settle_commit(&self, new: &[StoredRange], full: bool) -> bool {
        let mut state = self.lock();
        let opened = !std::mem::replace(&mut state.persisted, true);
        self.stirred.store(true, Ordering::Relaxed);
        for stored in new {
            let fresh = state.coverage.insert(stored.range, stored.checksum);
            assert!(fresh, "a claim was given for a range that was here: {}", stored.range);
        }
        if full && state.record.state == UploadState::Receiving {
            assert!(state.coverage.is_full(self.plan.total()), "stitching only what is full");
            state.record.state = UploadState::Stitching;
            state.calm();
            state.full_at = Some(Instant::now());
        }
        drop(state);
        self.announce();
        opened
    }

    /// Takes the terms that a request names; later ones win.
    /// Errors: a digest that contradicts the one that is known.
    pub(super) fn take_terms(
        &self,
        day: Option<Day>,
        sha256: Option<Sha256Digest>,
    ) -> Result<(), &'static str> {
        self.check_sha256(sha256)?;
        let mut state = self.lock();
        if sha256.is_some() && state.record.declared_sha256.is_none() {
            state.record.declared_sha256 = sha256;
            state.terms_changed = true;
        }
        if day.is_some() && state.record.scheduled != day {
            state.record.scheduled = day;
            state.terms_changed = true;
        }
        Ok(())
    }

    /// Errors: it is another one than what the client said before, so this is another file.
    pub(super) fn check_sha256(&self, sha256: Option<Sha256Digest>) -> Result<(), &'static str> {
        let known = self.lock().record.declared_sha256;
        match (known, sha256) {
            (Some(known), Some(new)) if known != new => Err(OTHER_SHA256),
            _ => Ok(()),
        }
    }

    /// Whether the upload is full, and nothing of it was forgotten since a pass that had last begun
    /// anew at `rewinds`.
    pub(super) fn was_passed_whole(&self, rewinds: u64) -> bool {
        let state = self.lock();
        state.record.state == UploadState::Stitching && state.rewinds == rewinds
    }

    /// Whether a stitch worker would find something to do now.
    pub(super) fn has_stitch_work(&self, ahead: u64, now: Instant) -> bool {
        let state = self.lock();
        if state.retry_at.is_some_and(|at| now < at) {
            return false;
        }
        let hashed = self.hashed.load(Ordering::Relaxed);
        let is_stirred = self.stirred.load(Ordering::Relaxed);
        match state.record.state {
            UploadState::Stitching => state.check != Check::Running,
            UploadState::Receiving if state.evidence == Evidence::ToExamine => true,
            // What is unverified is read back first, and not by the stitch.
            UploadState::Receiving => {
                let is_verified = state.unverified.count() == 0;
                is_stirred && is_verified && hashed + ahead <= state.coverage.prefix()
            }
            UploadState::Complete
            | UploadState::Failed
            | UploadState::Cancelled
            | UploadState::Expired => false,
        }
    }
}
