//! From the catalog into memory: what was written down is checked against what is there.

use std::{error::Error, sync::Arc};

use super::{
    Shared, UploadError, evidence::Evidence, live::Live, registry::Registry, registry::Use,
};
use crate::{
    catalog::CatalogError,
    store::{PublishedName, StoreError},
    upload::{
        ByteRange, IdentityKey, StoredRange, UploadId, UploadRecord, UploadState,
        limits::{READ_ATTEMPTS_MAX, READ_LEN_MAX, SWEEP_BATCH_LEN_MAX},
    },
};

/// Where the bytes of an upload are at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// Still in `incomplete/`.
    Upload(UploadId),
    /// Published already; a crash kept the catalog from hearing of it, or it is complete.
    Published(PublishedName),
}

impl Shared {
    /// The upload with this id, from memory or from the catalog.
    pub(super) async fn by_id(
        shared: &Arc<Self>,
        id: UploadId,
    ) -> Result<Option<Use>, UploadError> {
        if let Some(live) = Registry::by_id(shared, id) {
            shared.make_sure(&live).await?;
            return Ok(Some(live));
        }
        let Some(mut record) = shared.catalog.upload(id).await? else { return Ok(None) };
        loop {
            let key = record.identity.key();
            let _gate = shared.registry.gate(&key).lock().await;
            if let Some(live) = Registry::by_id(shared, id) {
                return Ok(Some(live));
            }
            // Read again: it may have changed while we waited, its identity, too.
            match shared.catalog.upload(id).await? {
                Some(now) if now.identity.key() != key => record = now,
                Some(now) => {
                    // One that has ended need not be the newest of its identity.
                    let newest_of = now.state.is_running().then_some(key);
                    return Ok(Some(Self::load(shared, now, newest_of).await?));
                }
                None => return Ok(None),
            }
        }
    }

    /// The uploads that the catalog knows to be full, read page by page.
    pub(super) async fn all_stitching(&self) -> Result<Vec<UploadId>, CatalogError> {
        let mut all = Vec::new();
        loop {
            let page = self.catalog.stitching(all.last().copied(), SWEEP_BATCH_LEN_MAX).await?;
            let is_last = page.len() < SWEEP_BATCH_LEN_MAX;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Brings an upload into memory. The caller holds the gate of its identity.
    pub(super) async fn load(
        shared: &Arc<Self>,
        record: UploadRecord,
        newest_of: Option<IdentityKey>,
    ) -> Result<Use, UploadError> {
        let live = if record.state.is_running() {
            if shared.has_finished_file(&record).await? {
                let ranges = shared.catalog.ranges(record.id).await?;
                let live = Live::loaded(record, (&ranges, &[]), None);
                live.lock().evidence = Evidence::ToExamine;
                live
            } else {
                shared.load_running(record).await?
            }
        } else {
            let creative = match record.state {
                UploadState::Complete => shared.catalog.creative(record.creative_id).await?,
                UploadState::Receiving
                | UploadState::Stitching
                | UploadState::Failed
                | UploadState::Cancelled
                | UploadState::Expired => None,
            };
            Live::loaded(record, (&[], &[]), creative)
        };
        let live = Registry::insert(shared, live, newest_of);
        Self::hint(shared, &live);
        Ok(live)
    }

    /// A file that became shorter than it must be gets its reserved room back. Only before it is
    /// written to: on a full disk it can still be looked at, given up or swept.
    pub(super) async fn restore_length(&self, id: UploadId, total: u64) -> Result<(), UploadError> {
        match self.store.len(id).await? {
            Some(len) if len < total => self.grow(id, len, total).await,
            Some(_) | None => Ok(()),
        }
    }

    /// A running upload. What lies behind the end of its file is forgotten; which of the rest must
    /// be read back before it is believed is only noted. Not a byte is read.
    async fn load_running(&self, mut record: UploadRecord) -> Result<Live, UploadError> {
        let name = PublishedName::new(record.creative_id, &record.filename);
        let len = match self.source(record.id, &name).await? {
            Some(source) => Some(self.len(&source).await?),
            None => None,
        };
        let is_there = |stored: &StoredRange| len.is_some_and(|len| stored.range.end() <= len);
        let ranges = self.catalog.ranges(record.id).await?;
        let (ranges, lost): (Vec<_>, Vec<_>) = ranges.into_iter().partition(is_there);
        if !lost.is_empty() {
            tracing::error!(
                upload.id = %record.id, len, kept = ranges.len(), forgotten = lost.len(),
                "The file of an upload is too short: what is missing is asked for again"
            );
            let lost: Vec<ByteRange> = lost.iter().map(|stored| stored.range).collect();
            self.catalog.forget(record.id, &lost).await?;
            record.state = UploadState::Receiving;
        }
        let mut unverified = Vec::new();
        if record.suspect {
            unverified = self.catalog.unverified(record.id).await?;
            unverified.retain(is_there);
            if unverified.is_empty() {
                self.catalog.trust(record.id).await?;
                record.suspect = false;
            }
        }
        Ok(Live::loaded(record, (&ranges, &unverified), None))
    }

    /// Where the bytes of a running upload are, if they are anywhere.
    pub(super) async fn source(
        &self,
        id: UploadId,
        name: &PublishedName,
    ) -> Result<Option<Source>, UploadError> {
        if self.store.len(id).await?.is_some() {
            return Ok(Some(Source::Upload(id)));
        }
        let published = self.store.published_len(name).await?;
        Ok(published.map(|_| Source::Published(name.clone())))
    }

    /// Forgets what lay behind the end of the file of an upload, if that became shorter than it
    /// must be: no byte is read for it. The stitch looks after what is full.
    pub(super) async fn check_length(&self, live: &Live) -> Result<(), UploadError> {
        if !self.is_cut_off(live).await? {
            return Ok(());
        }
        // Again under this lock: nobody gives the file its length back meanwhile.
        let mut placed = live.placed.lock().await;
        let ledger = self.ledger.lock().await;
        if live.has_evidence() || live.upload_state() != UploadState::Receiving {
            return Ok(());
        }
        let len = self.store.len(live.id).await?.unwrap_or(0);
        let lost: Vec<ByteRange> = {
            let state = live.lock();
            state.coverage.iter().map(|(range, _)| range).filter(|it| len < it.end()).collect()
        };
        if !lost.is_empty() {
            tracing::error!(
                upload.id = %live.id, len, forgotten = lost.len(),
                "The file of an upload is too short: what is missing is asked for again"
            );
            self.forget_under(&ledger, live, &lost).await?;
            *placed = false;
        }
        Ok(())
    }

    /// Whether the file of a `receiving` upload ends before what was stored in it.
    async fn is_cut_off(&self, live: &Live) -> Result<bool, UploadError> {
        let end = {
            let state = live.lock();
            let is_open = state.record.state == UploadState::Receiving
                && state.evidence != Evidence::ToExamine;
            if is_open { state.coverage.end() } else { 0 }
        };
        Ok(end != 0 && self.store.len(live.id).await?.unwrap_or(0) < end)
    }

    /// Bytes of a file that is there.
    async fn len(&self, source: &Source) -> Result<u64, StoreError> {
        let len = match source {
            Source::Upload(id) => self.store.len(*id).await?,
            Source::Published(name) => self.store.published_len(name).await?,
        };
        Ok(len.unwrap_or(0))
    }

    /// Where the bytes of an upload are. If they are nowhere, all of it is forgotten.
    pub(super) async fn source_or_forget(
        &self,
        live: &Live,
    ) -> Result<Option<Source>, UploadError> {
        let source = self.source(live.id, &live.published_name()).await?;
        if source.is_none() {
            self.forget_all(live).await?;
        }
        Ok(source)
    }

    /// Whether the bytes of a range are there, and what they were.
    pub(super) async fn is_sound(
        &self,
        source: &Source,
        stored: StoredRange,
    ) -> Result<bool, StoreError> {
        let mut crc = crc32fast::Hasher::new();
        for part in slices(stored.range) {
            match self.read_or_lose(source, part).await? {
                Some(bytes) => crc.update(&bytes),
                None => return Ok(false),
            }
        }
        Ok(crc.finalize() == stored.checksum.0)
    }

    /// Reads exactly this range; nothing if it is lost: not there, or unreadable however often it
    /// is tried, in a store that is well otherwise.
    ///
    /// Errors: the store is not well, or the process lacks what it needs to read. That may pass,
    /// and nothing is lost by it.
    pub(super) async fn read_or_lose(
        &self,
        source: &Source,
        range: ByteRange,
    ) -> Result<Option<bytes::Bytes>, StoreError> {
        let mut attempt = 1;
        loop {
            match self.read(source, range).await {
                Ok(bytes) => return Ok(Some(bytes)),
                Err(StoreError::NotFound { .. }) => return Ok(None),
                Err(error) if error.is_shortage() => return Err(error),
                Err(_) if attempt < READ_ATTEMPTS_MAX => attempt += 1,
                Err(error) => {
                    self.store.check_writable().await?;
                    tracing::error!(error = &error as &dyn Error, %range, "A range is unreadable");
                    return Ok(None);
                }
            }
        }
    }

    /// Reads exactly this range from wherever the upload is.
    pub(super) async fn read(
        &self,
        source: &Source,
        range: ByteRange,
    ) -> Result<bytes::Bytes, StoreError> {
        match source {
            Source::Upload(id) => self.store.read(*id, range).await,
            Source::Published(name) => self.store.read_published(name, range).await,
        }
    }
}

/// A range in slices that may be read at once. An empty range has none.
pub(super) fn slices(range: ByteRange) -> impl Iterator<Item = ByteRange> {
    let step = READ_LEN_MAX as u64;
    (range.offset()..range.end()).step_by(READ_LEN_MAX).map(move |offset| {
        let len = step.min(range.end() - offset);
        ByteRange::new(offset, len).expect("it lies inside a range")
    })
}
