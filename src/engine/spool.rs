//! A body of undeclared length, or one whose place in an upload is named only after it.
//!
//! It is kept until it is known what it is: in memory while it is small and there is some, else on
//! the disk as an upload that the catalog never hears of (and that the next start removes, should
//! this process die).

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::{
    Body, BodyError, Engine, Intent, Shared, UploadError,
    budget::{Lease, compact},
    quota::Charge,
    wanted::Wanted,
};
use crate::upload::{
    ByteRange, Principal, UploadId,
    limits::{READ_LEN_MAX, SPOOL_MEMORY_LEN_MAX, WRITE_BATCH_LEN_MAX},
};

/// What a body is kept for.
#[derive(Debug, Clone, Copy)]
pub enum Keeping<'a> {
    /// It is a whole file of this principal, whose quotas bound it as it grows.
    Whole(&'a Principal),
    /// It is a chunk of the upload of this intent, and is wanted no longer than that.
    Chunk(&'a Intent),
    /// What it is, is named after it.
    Unknown,
}

impl Keeping<'_> {
    fn too_long(self, len: u64, max: u64) -> UploadError {
        match self {
            Self::Whole(_) | Self::Unknown => UploadError::TooLarge { len, max },
            Self::Chunk(_) => UploadError::WrongLength { expected: max, got: len },
        }
    }
}

/// A whole body that is kept. Forgotten when dropped.
#[derive(Debug)]
pub struct Spooled {
    len: u64,
    place: Place,
    charge: Option<Arc<Charge>>,
}

#[derive(Debug)]
enum Place {
    Memory { frames: Vec<Bytes>, leases: Vec<Lease> },
    Disk(SpoolFile),
}

/// Removes the file when dropped.
#[derive(Debug)]
struct SpoolFile {
    id: UploadId,
    shared: Arc<Shared>,
}

impl Drop for SpoolFile {
    fn drop(&mut self) {
        let (shared, id) = (self.shared.clone(), self.id);
        self.shared.requests.spawn(async move { shared.discard(id).await });
    }
}

impl Engine {
    /// Reads `body` to its end and keeps it, if it is at most `max` bytes long.
    ///
    /// Errors: it is longer ([`UploadError::TooLarge`], or [`UploadError::WrongLength`] of a chunk,
    /// as soon as the first byte too many has come) or over a quota, its upload has ended
    /// ([`UploadError::Gone`]), it breaks, or there is no room.
    pub async fn spool(
        &self,
        mut body: Body,
        max: u64,
        keeping: Keeping<'_>,
    ) -> Result<Spooled, UploadError> {
        let (mut charge, mut wanted) = (None, None);
        match keeping {
            Keeping::Whole(principal) => {
                charge = Some(self.shared.begin_to_keep(principal).await?);
            }
            Keeping::Chunk(intent) => wanted = Some(Wanted::by(&self.shared, intent).await?),
            Keeping::Unknown => {}
        }
        let mut spool = Spool::new(self.shared.clone(), charge);
        loop {
            let frame = tokio::select! {
                biased;
                gone = gone(wanted.as_ref()) => return Err(gone),
                frame = body.next() => frame,
                () = self.shared.budget.pressure(), if spool.holds_memory() => {
                    spool.spill().await?;
                    continue;
                }
            };
            let Some(frame) = frame else { return spool.finish().await };
            let frame = compact(frame?);
            let len = spool.len + frame.len() as u64;
            if max < len {
                return Err(keeping.too_long(len, max));
            }
            wanted.as_mut().map_or(Ok(()), Wanted::look)?;
            tokio::select! {
                biased;
                gone = gone(wanted.as_ref()) => return Err(gone),
                taken = spool.take(frame) => taken?,
            }
        }
    }
}

/// Ends when the upload that a body is kept for has ended, if it is known.
async fn gone(wanted: Option<&Wanted<'_>>) -> UploadError {
    match wanted {
        Some(wanted) => wanted.gone().await,
        None => std::future::pending().await,
    }
}

impl Spooled {
    /// How long it is, in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it holds no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What it is counted as until it is an upload.
    #[must_use]
    pub fn charge(&self) -> Option<Arc<Charge>> {
        self.charge.clone()
    }

    /// Whether it is small enough that what follows it in a form may still be read first.
    #[must_use]
    pub fn is_small(&self) -> bool {
        self.len <= SPOOL_MEMORY_LEN_MAX as u64
    }

    /// Up to `len` bytes from its beginning.
    pub async fn head(&self, len: usize) -> Result<Bytes, UploadError> {
        let len = len.min(usize::try_from(self.len).unwrap_or(usize::MAX)).min(READ_LEN_MAX);
        match &self.place {
            Place::Memory { frames, .. } => {
                Ok(frames.iter().flatten().take(len).copied().collect::<Vec<u8>>().into())
            }
            Place::Disk(file) => Ok(file.read(0, len as u64).await?),
        }
    }

    /// The body once more.
    #[must_use]
    pub fn into_body(self) -> Body {
        let charge = self.charge;
        let body = match self.place {
            Place::Memory { frames, leases } => {
                let held = move |frame| {
                    let _until_the_last = &leases;
                    Ok(frame)
                };
                stream::iter(frames).map(held).boxed()
            }
            Place::Disk(file) => stream::unfold((file, 0, self.len), read_on).boxed(),
        };
        // It counts until the body is let go of.
        body.zip(stream::repeat(charge)).map(|(frame, _)| frame).boxed()
    }
}

type ReadState = (SpoolFile, u64, u64);

async fn read_on((file, at, len): ReadState) -> Option<(Result<Bytes, BodyError>, ReadState)> {
    let step = (READ_LEN_MAX as u64).min(len - at);
    if step == 0 {
        return None;
    }
    let bytes = file.read(at, step).await.map_err(|error| BodyError::Broken(error.into()));
    Some((bytes, (file, at + step, len)))
}

impl SpoolFile {
    async fn read(&self, offset: u64, len: u64) -> Result<Bytes, crate::store::StoreError> {
        let range = ByteRange::new(offset, len).expect("it lies inside a file that was written");
        self.shared.store.read(self.id, range).await
    }
}

/// A body that is being kept.
struct Spool {
    shared: Arc<Shared>,
    len: u64,
    frames: Vec<Bytes>,
    leases: Vec<Lease>,
    held_len: usize,
    file: Option<SpoolFile>,
    charge: Option<Arc<Charge>>,
}

impl Spool {
    fn new(shared: Arc<Shared>, charge: Option<Arc<Charge>>) -> Self {
        let (frames, leases) = (Vec::new(), Vec::new());
        Self { shared, len: 0, frames, leases, held_len: 0, file: None, charge }
    }

    /// Whether it holds memory that others may wait for.
    fn holds_memory(&self) -> bool {
        self.file.is_some() && !self.frames.is_empty()
    }

    async fn take(&mut self, frame: Bytes) -> Result<(), UploadError> {
        let bound = if self.file.is_some() { WRITE_BATCH_LEN_MAX } else { SPOOL_MEMORY_LEN_MAX };
        let fits = self.held_len + frame.len() <= bound;
        let budget =
            if self.file.is_some() { &self.shared.budget } else { &self.shared.keep_budget };
        let now = if fits { budget.try_lease(frame.len()) } else { None };
        let lease = if let Some(lease) = now {
            lease
        } else {
            // Nothing may be held while more is waited for: see `budget`.
            self.spill().await?;
            self.shared.budget.lease(frame.len(), || self.shared.cool()).await
        };
        self.len += frame.len() as u64;
        self.held_len += frame.len();
        self.frames.push(frame);
        self.leases.push(lease);
        Ok(())
    }

    /// Writes to the disk what is held in memory, if the quotas let it grow so far.
    async fn spill(&mut self) -> Result<(), UploadError> {
        if let Some(charge) = &self.charge {
            self.shared.keep_more(charge, self.len).await?;
        }
        if self.file.is_none() {
            let file = SpoolFile { id: UploadId::new(), shared: self.shared.clone() };
            self.shared.create(file.id, 0).await?;
            self.file = Some(file);
        }
        let Some(file) = &self.file else { return Ok(()) };
        let offset = self.len - self.held_len as u64;
        self.shared.grow(file.id, offset, self.len).await?;
        let frames = std::mem::take(&mut self.frames);
        self.shared.store.write(file.id, offset, frames).await?;
        self.held_len = 0;
        self.leases.clear();
        Ok(())
    }

    async fn finish(mut self) -> Result<Spooled, UploadError> {
        if self.file.is_some() {
            self.spill().await?;
        }
        let place = match self.file {
            Some(file) => Place::Disk(file),
            None => Place::Memory { frames: self.frames, leases: self.leases },
        };
        Ok(Spooled { len: self.len, place, charge: self.charge })
    }
}
