//! The part of the stitch that reads: ranges that are not in memory any more, and what becomes of
//! those that are damaged.

use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    Shared, UploadError,
    live::Live,
    load::{Source, slices},
};
use crate::upload::{ByteRange, Hashing, StoredRange, TrashReason};

/// What became of a range that was read back.
pub(super) enum Cold {
    /// It is what it was, and hashed with what came before it.
    Passed(Hashing),
    /// It was not what it was, or could not be read.
    Lost,
    /// Somebody wants to end the upload.
    Interrupted,
}

/// A turn to read and hash. It is given on between two slices of what must be read from the disk,
/// so that a large file holds up no small one.
pub(super) struct Turn<'a> {
    passes: &'a Semaphore,
    permit: Option<SemaphorePermit<'a>>,
}

impl<'a> Turn<'a> {
    pub(super) async fn new(passes: &'a Semaphore) -> Self {
        let mut turn = Self { passes, permit: None };
        turn.give_way().await;
        turn
    }

    /// Lets all others who wait go first.
    async fn give_way(&mut self) {
        self.permit = None;
        let permit = self.passes.acquire().await;
        self.permit = Some(permit.expect("a semaphore that is never closed"));
    }
}

impl Shared {
    /// Passes a range that is not in memory any more. One that is damaged is forgotten.
    pub(super) async fn pass_cold(
        &self,
        live: &Live,
        source: &Source,
        stored: StoredRange,
        hashing: Hashing,
        turn: &mut Turn<'_>,
    ) -> Result<Cold, UploadError> {
        let passed = self.read_back(live, source, stored, hashing, turn).await?;
        match &passed {
            Cold::Passed(_) => self.believe(live, stored.range).await,
            Cold::Lost => {
                tracing::error!(
                    upload.id = %live.id, range = %stored.range,
                    "A stored range is not what it was: it is forgotten and asked for again"
                );
                self.lose(live, source, stored.range).await?;
            }
            Cold::Interrupted => {}
        }
        Ok(passed)
    }

    /// Reads one range in slices, through checksum and digest, on the threads that may block.
    /// Between two slices others have their turn, and whoever wants to end the upload is heard.
    async fn read_back(
        &self,
        live: &Live,
        source: &Source,
        stored: StoredRange,
        mut hashing: Hashing,
        turn: &mut Turn<'_>,
    ) -> Result<Cold, UploadError> {
        let mut crc = crc32fast::Hasher::new();
        for slice in slices(stored.range) {
            turn.give_way().await;
            if live.is_ending() {
                return Ok(Cold::Interrupted);
            }
            let Some(bytes) = self.read_or_lose(source, slice).await? else {
                return Ok(Cold::Lost);
            };
            let hash = move || {
                hashing.update(&bytes);
                crc.update(&bytes);
                (hashing, crc)
            };
            (hashing, crc) = tokio::task::spawn_blocking(hash)
                .await
                .map_err(|error| UploadError::Unavailable(error.into()))?;
        }
        let is_sound = crc.finalize() == stored.checksum.0;
        Ok(if is_sound { Cold::Passed(hashing) } else { Cold::Lost })
    }

    /// A range turned out to be damaged. One that is damaged where it was published goes with the
    /// whole file: nobody was told of that yet.
    async fn lose(
        &self,
        live: &Live,
        source: &Source,
        range: ByteRange,
    ) -> Result<(), UploadError> {
        match source {
            Source::Upload(_) => self.forget(live, &[range]).await,
            Source::Published(_) => {
                // The file first: were it left behind, it would be in the way of the next one.
                self.set_finished_aside(live, TrashReason::Damaged).await?;
                self.forget_all(live).await
            }
        }
    }

    /// Takes back every range of an upload, and its place in the store.
    pub(super) async fn forget_all(&self, live: &Live) -> Result<(), UploadError> {
        let mut placed = live.placed.lock().await;
        // Before the ranges are listed: what is being recorded at the moment must be among them.
        let ledger = self.ledger.lock().await;
        let ranges: Vec<ByteRange> = {
            let mut state = live.lock();
            // What is being written at the moment goes to a file that will not be there.
            state.epoch += 1;
            state.coverage.iter().map(|(range, _)| range).collect()
        };
        self.forget_under(&ledger, live, &ranges).await?;
        drop(ledger);
        self.discard(live.id).await;
        *placed = false;
        Ok(())
    }
}
