//! Reading back what was stored before the machine stopped uncleanly.
//!
//! After an unclean stop on another boot, every range that was stored before is *unverified*: it is
//! not believed until its bytes were read back and have their checksum. Nothing is read at a start,
//! nor when an upload is loaded, cancelled or expired. Two things begin a verification:
//!
//! * A request that depends on one range (a probe, or a chunk that is sent again) has that range
//!   read back at once, and waits for it.
//! * Any request of its client for the upload has the rest read back by and by: one upload of each
//!   principal at a time, slice by slice in turn with the stitches.
//!
//! Both run in tasks of their own, hold no lock while they read, and go on when the client leaves.
//! What is full is verified by the stitch instead, which reads all of it anyway.

use std::{
    collections::{BTreeSet, HashMap},
    error::Error,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use super::{
    Shared, UploadError,
    claim::{Admission, Claim},
    evidence::Evidence,
    live::Live,
    load::{Source, slices},
    registry::{Registry, Use},
};
use crate::upload::{
    ByteRange, Principal, StoredRange, UploadId, UploadState,
    limits::{
        VERIFICATIONS_WAITING_MAX, VERIFIED_BATCH_BYTES, VERIFIED_BATCH_LEN, VERIFIES_AT_ONCE,
    },
};

/// What waits to be verified, and the turns of those who read.
#[derive(Debug)]
pub(super) struct Verifications {
    /// Uploads that are to be verified by and by. Each principal here has a task at work.
    waiting: Mutex<HashMap<Principal, BTreeSet<UploadId>>>,
    /// Turns to read a slice of a range that somebody waits for.
    wanted: Semaphore,
    /// Cancelled when the engine is to stop.
    stop: CancellationToken,
}

/// What a range was found to be.
enum Found {
    /// Its bytes are what they were.
    Sound,
    /// They are not, or cannot be read from where the upload is.
    Damaged(Option<Source>),
    /// The upload has ended: nobody needs to know.
    Ended,
}

/// What the catalog is to be told of ranges that are verified.
enum News {
    /// Nothing yet.
    None,
    /// These are.
    Some(Vec<ByteRange>),
    /// All of the upload are.
    All,
}

impl Verifications {
    pub(super) fn new() -> Self {
        Self {
            waiting: Mutex::default(),
            wanted: Semaphore::new(VERIFIES_AT_ONCE),
            stop: CancellationToken::new(),
        }
    }

    /// Verifications that run end soon, and those who wait for one are told so.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// Remembers an upload. Returns whether its principal has no task yet.
    fn add(&self, principal: &Principal, id: UploadId) -> bool {
        let mut waiting = self.waiting();
        if let Some(own) = waiting.get_mut(principal) {
            // One that finds no place is remembered at the next request for it.
            if own.len() < VERIFICATIONS_WAITING_MAX {
                own.insert(id);
            }
            return false;
        }
        waiting.insert(principal.clone(), BTreeSet::from([id]));
        true
    }

    /// The next upload of a principal; if there is none, the principal is forgotten.
    fn next(&self, principal: &Principal) -> Option<UploadId> {
        let mut waiting = self.waiting();
        let next = waiting.get_mut(principal).and_then(BTreeSet::pop_first);
        if next.is_none() {
            waiting.remove(principal);
        }
        next
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Principal, BTreeSet<UploadId>>> {
        // A panic under this lock leaves nothing half-done.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// What a question about a running upload sets going: a tail that is lost is missed, and what
    /// is unverified is read back by and by.
    pub(super) async fn attend(shared: &Arc<Self>, live: &Live) -> Result<(), UploadError> {
        shared.check_length(live).await?;
        Self::verify_later(shared, live);
        Ok(())
    }

    /// Has all of an upload read back by and by, if any of it is unverified.
    pub(super) fn verify_later(shared: &Arc<Self>, live: &Live) {
        let principal = {
            let state = live.lock();
            let is_needed =
                state.unverified.count() != 0 && state.record.state == UploadState::Receiving;
            if !is_needed {
                return;
            }
            state.record.identity.principal().clone()
        };
        if shared.verifications.add(&principal, live.id) {
            shared.background.spawn(Self::verify_all_of(shared.clone(), principal));
        }
    }

    /// Verifies the uploads of one principal, one after the other. All such tasks take turns slice
    /// by slice, because turns are given in the order in which they are asked for.
    async fn verify_all_of(shared: Arc<Self>, principal: Principal) {
        while let Some(id) = shared.verifications.next(&principal) {
            // In a task of its own: a panic takes down the verification of one upload only.
            match tokio::spawn(Self::verify_all(shared.clone(), id)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    let error = &error as &dyn Error;
                    tracing::warn!(upload.id = %id, error, "Cannot verify an upload for now");
                }
                Err(_) => {
                    tracing::error!(upload.id = %id, "The verification of an upload panicked");
                }
            }
        }
    }

    /// Verifies one range after the other, until none is left that nobody else is at.
    async fn verify_all(shared: Arc<Self>, id: UploadId) -> Result<(), UploadError> {
        let Some(live) = Shared::by_id(&shared, id).await? else { return Ok(()) };
        let mut from = 0;
        while !shared.verifications.stop.is_cancelled()
            && live.upload_state() == UploadState::Receiving
            && let Some(range) = live.unverified_from(from)
        {
            from = range.offset() + 1;
            if let Some(Admission::Unverified(claim)) = live.admit_reader(range) {
                Self::verify(&shared, &live, &claim).await?;
            }
        }
        let verified = std::mem::take(&mut live.lock().verified);
        shared.record_verified(&live, News::Some(verified)).await;
        Ok(())
    }

    /// Makes sure that it is known of a range whether it is here.
    ///
    /// Errors: it cannot be known for now. Cancel safety: may be dropped; the reading goes on.
    pub(super) async fn verify_range(
        shared: &Arc<Self>,
        live: &Use,
        range: ByteRange,
    ) -> Result<(), UploadError> {
        loop {
            match live.admit_reader(range) {
                Some(Admission::Busy(slot)) => slot.wait().await,
                Some(Admission::Unverified(claim)) => {
                    return Self::verify_now(shared, live, claim).await;
                }
                _ => return Ok(()),
            }
        }
    }

    /// Reads back a range that somebody waits for. As [`Self::verify_range`].
    pub(super) async fn verify_now(
        shared: &Arc<Self>,
        live: &Use,
        claim: Claim,
    ) -> Result<(), UploadError> {
        let gone = || UploadError::unavailable("the upload is not in memory");
        let live = Registry::by_id(shared, live.id).ok_or_else(gone)?;
        claim.want();
        let engine = shared.clone();
        let verify = async move { Self::verify(&engine, &live, &claim).await };
        let verified = shared.background.spawn(verify).await;
        verified.map_err(|error| UploadError::Unavailable(error.into()))?
    }

    /// Reads a claimed range back, and settles whether it is here.
    ///
    /// Errors: that cannot be told for now.
    async fn verify(shared: &Arc<Self>, live: &Use, claim: &Claim) -> Result<(), UploadError> {
        claim.at_work(true);
        let range = claim.range();
        let checksum = live.lock().coverage.get(range).copied();
        let Some(checksum) = checksum else { return Ok(()) };
        match shared.read_in_turns(live, claim, StoredRange { range, checksum }).await? {
            Found::Sound => shared.believe(live, range).await,
            Found::Damaged(source) => shared.lose_unverified(live, source, range).await?,
            Found::Ended => {}
        }
        Self::hint(shared, live);
        Ok(())
    }

    /// Reads a range slice by slice, each in its turn.
    async fn read_in_turns(
        &self,
        live: &Live,
        claim: &Claim,
        stored: StoredRange,
    ) -> Result<Found, UploadError> {
        let Some(source) = self.source(live.id, &live.published_name()).await? else {
            return Ok(Found::Damaged(None));
        };
        let mut crc = crc32fast::Hasher::new();
        for slice in slices(stored.range) {
            let _turn = self.turn(claim).await;
            if self.verifications.stop.is_cancelled() {
                return Err(UploadError::unavailable("the server is stopping"));
            }
            if !live.upload_state().is_running() {
                return Ok(Found::Ended);
            }
            match self.read_or_lose(&source, slice).await? {
                Some(bytes) => crc.update(&bytes),
                None => return Ok(Found::Damaged(Some(source))),
            }
        }
        let is_sound = crc.finalize() == stored.checksum.0;
        Ok(if is_sound { Found::Sound } else { Found::Damaged(Some(source)) })
    }

    /// A turn to read one slice: in turn with the stitches or, as soon as somebody waits for the
    /// range, with the others that somebody waits for.
    async fn turn(&self, claim: &Claim) -> SemaphorePermit<'_> {
        let turn = tokio::select! {
            biased;
            () = claim.wanted() => self.verifications.wanted.acquire().await,
            turn = self.passes.acquire() => turn,
        };
        turn.expect("a semaphore that is never closed")
    }

    /// The bytes of a range are what they were: from now on it is here.
    pub(super) async fn believe(&self, live: &Live, range: ByteRange) {
        if let Some(news) = live.believe(range) {
            live.announce();
            self.record_verified(live, news).await;
        }
    }

    /// What is not recorded is read back again by the next process.
    async fn record_verified(&self, live: &Live, news: News) {
        let recorded = match news {
            News::None => return,
            News::Some(ranges) if ranges.is_empty() => return,
            News::Some(ranges) => self.catalog.verified(live.id, &ranges).await,
            News::All => {
                tracing::info!(upload.id = %live.id, "Verified what was stored of an upload");
                self.catalog.trust(live.id).await
            }
        };
        if let Err(error) = recorded {
            let error = &error as &dyn Error;
            tracing::warn!(upload.id = %live.id, error, "What is verified is not recorded");
        }
    }

    /// A range that was not believed yet is damaged: it is asked for again. It stays unverified if
    /// the file is published already, until the stitch comes to it.
    async fn lose_unverified(
        &self,
        live: &Live,
        source: Option<Source>,
        range: ByteRange,
    ) -> Result<(), UploadError> {
        let ledger = self.ledger.lock().await;
        {
            let state = live.lock();
            let is_open = state.record.state.is_running() && state.evidence == Evidence::None;
            // The stitch may have read it meanwhile, or forgotten it.
            if !is_open || !state.unverified.contains(range) {
                return Ok(());
            }
        }
        // A published file goes as a whole, and not while the stitch is at it.
        if matches!(source, Some(Source::Published(_))) {
            return Ok(());
        }
        tracing::error!(
            upload.id = %live.id, %range,
            "A stored range is not what it was: it is forgotten and asked for again"
        );
        // Also of a full upload: what has an unverified range was not passed by the stitch, and so
        // is not being published.
        self.forget_under(&ledger, live, &[range]).await?;
        drop(ledger);
        let is_last = live.lock().unverified.count() == 0;
        self.record_verified(live, if is_last { News::All } else { News::None }).await;
        Ok(())
    }
}

impl Live {
    /// The first unverified range that begins at this offset or behind it.
    fn unverified_from(&self, offset: u64) -> Option<ByteRange> {
        self.lock().unverified.first_from(offset)
    }

    /// A range is verified. Returns what the catalog is to be told, unless it was so before.
    fn believe(&self, range: ByteRange) -> Option<News> {
        let mut state = self.lock();
        state.unverified.remove(range)?;
        state.verified.push(range);
        if state.unverified.count() == 0 {
            state.verified.clear();
            state.record.suspect = false;
            return Some(News::All);
        }
        let bytes: u64 = state.verified.iter().map(|range| range.len()).sum();
        if state.verified.len() < VERIFIED_BATCH_LEN && bytes < VERIFIED_BATCH_BYTES {
            return Some(News::None);
        }
        Some(News::Some(std::mem::take(&mut state.verified)))
    }
}
