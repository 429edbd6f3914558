//! What is brought back from the trash: by a start, where the catalog knows it after all, and by
//! the operator.

use std::sync::Arc;

use bytes::Bytes;

use super::{Engine, Shared, UploadError, load::slices};
use crate::{
    store::{Origin, PublishedName, StoreError, TrashKey, Trashed},
    upload::{
        By, ByteRange, Creative, CreativeId, DigestKinds, FileDigest, FileName, Hashing, Principal,
        Timestamp, TrashId, TrashNote, UploadId, limits::HEAD_LEN, media_type,
    },
};

/// What came back from the trash.
#[derive(Debug, Clone)]
pub enum Restored {
    /// A finished file, with its creative.
    Creative(Box<Creative>),
    /// A file of an upload, of which so many bytes are what they were.
    Upload(UploadId, u64),
}

/// What an operator removed from the trash.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Emptied {
    /// How many files.
    pub files: u64,
    /// How many bytes of the disk they took.
    pub bytes: u64,
}

/// Why a file is not brought back; what to do instead is said with it.
type Refusal = String;

/// How every refusal ends.
const OUTPUT: &str = "with --output FILE its bytes are written to a file";

impl Engine {
    /// Brings a file back from the trash, for its owner or for `to`. It stays there if that is
    /// refused. Nothing if there is no such file.
    pub async fn restore_from_trash(
        &self,
        id: TrashId,
        to: Option<&Principal>,
        by: &By,
    ) -> Result<Option<Result<Restored, Refusal>>, UploadError> {
        let shared = &self.shared;
        let mut trash = shared.store.trash().await?.into_iter();
        let Some(trashed) = trash.find(|trashed| trashed.key.id == id) else { return Ok(None) };
        let restored = match &trashed.key.origin {
            Origin::Incomplete(upload) => Self::restore_upload(shared, &trashed, *upload).await?,
            Origin::Completed(name) => self.restore_file(&trashed, name, to, by).await?,
        };
        if matches!(restored, Ok(Restored::Upload(..))) {
            let note = shared.note_of(&trashed.key).await;
            shared.note_restored(&trashed.key, note.as_ref(), by).await;
        }
        if restored.is_ok() {
            shared.store.empty(&trashed.key).await?;
            shared.measure_trash().await?;
        }
        Ok(Some(restored))
    }

    /// Removes what was put into the trash before this time for good.
    pub async fn empty_trash(&self, before: Timestamp, by: &By) -> Result<Emptied, UploadError> {
        let mut emptied = Emptied::default();
        for trashed in self.shared.store.trash().await? {
            if before <= trashed.key.id.time() {
                break;
            }
            self.shared.empty_one(&trashed.key, by).await?;
            emptied.files += 1;
            emptied.bytes += trashed.occupied;
        }
        self.shared.measure_trash().await?;
        Ok(emptied)
    }

    /// The ranges that the catalog knows are read before any of them is believed.
    async fn restore_upload(
        shared: &Arc<Shared>,
        trashed: &Trashed,
        upload: UploadId,
    ) -> Result<Result<Restored, Refusal>, UploadError> {
        let record = shared.catalog.upload(upload).await?;
        if record.is_none_or(|record| !record.state.is_running()) {
            return Ok(Err(format!("No running upload has this file; {OUTPUT}.")));
        }
        if trashed.len.is_some() && shared.store.len(upload).await?.is_some() {
            return Ok(Err(format!("Its upload has another file by now; {OUTPUT}.")));
        }
        shared.store.bring_back(&trashed.key).await?;
        let Some(live) = Shared::by_id(shared, upload).await? else {
            return Err(UploadError::unavailable("the upload is gone"));
        };
        let _progress = live.progress.lock().await;
        shared.forget_damaged(&live).await?;
        let covered = live.lock().coverage.covered();
        Ok(Ok(Restored::Upload(upload, covered)))
    }

    async fn restore_file(
        &self,
        trashed: &Trashed,
        name: &PublishedName,
        to: Option<&Principal>,
        by: &By,
    ) -> Result<Result<Restored, Refusal>, UploadError> {
        let shared = &self.shared;
        let refuse = |why: &str| Ok(Err(format!("{why}; {OUTPUT}.")));
        let Some(note) = shared.note_of(&trashed.key).await else {
            return refuse("Nothing is known of this file but its bytes");
        };
        if shared.catalog.creative(name.id()).await?.is_some() {
            return refuse("Its creative is there");
        }
        if let Some(upload) = note.upload_id
            && !shared.catalog.running(&[upload]).await?.is_empty()
        {
            return refuse("Its upload is running: cancel that first");
        }
        let owner = to.cloned().or(note.user_id.as_deref().map(Principal::named));
        let owner = owner.unwrap_or_else(Principal::anonymous);
        let is_known = owner.is_anonymous()
            || shared
                .catalog
                .directory()
                .user(&owner)
                .await?
                .is_some_and(|user| user.disabled_at.is_none());
        if !is_known {
            return refuse("Its user is disabled or not there: name another one with --to USER");
        }
        let len = match trashed.len {
            Some(len) => Some(len),
            None => shared.store.published_len(name).await?,
        };
        let Some(len) = len else { return refuse("The file itself is not there any more") };
        let (digest, head) = shared.hash_trashed(trashed, name, len, &note).await?;
        let differs = |known: Option<&String>, found: Option<String>| {
            known.is_some_and(|known| found.is_some_and(|found| *known != found))
        };
        if differs(note.sha256.as_ref(), digest.sha256.map(|it| it.to_string()))
            || differs(note.blake3.as_ref(), digest.blake3.map(|it| it.to_string()))
        {
            return refuse("Its bytes are not what they were");
        }
        let creative = creative(name.id(), &note, owner, (len, digest, &head), shared);
        shared.store.bring_back(&trashed.key).await?;
        if !shared.catalog.restore_creative(&creative, by).await? {
            shared.set_aside(Origin::Completed(name.clone()), &note).await?;
            return refuse("Its user is not there any more, or the upload became another creative");
        }
        self.refresh(&creative, Some(creative.clone())).await;
        Ok(Ok(Restored::Creative(Box::new(creative))))
    }
}

impl Shared {
    /// What a file in the trash hashes to, by the digests that are known of it or else are taken of
    /// new files; and its beginning.
    async fn hash_trashed(
        &self,
        trashed: &Trashed,
        name: &PublishedName,
        len: u64,
        note: &TrashNote,
    ) -> Result<(FileDigest, Bytes), UploadError> {
        let taken = DigestKinds::of(self.options.digest, false);
        let mut hashing = Hashing::new(DigestKinds {
            sha256: taken.sha256 || note.sha256.is_some(),
            blake3: taken.blake3 || note.blake3.is_some(),
        });
        let mut head = Bytes::new();
        let whole = ByteRange::new(0, len).map_err(|_| UploadError::unavailable("too long"))?;
        for slice in slices(whole) {
            let bytes = match trashed.len {
                Some(_) => self.store.read_trashed(&trashed.key, slice).await?,
                // A former attempt brought it back, and did not come so far as to record it.
                None => self.store.read_published(name, slice).await?,
            };
            if slice.offset() == 0 {
                head = Bytes::copy_from_slice(&bytes[..bytes.len().min(HEAD_LEN)]);
            }
            let update = move || {
                hashing.update(&bytes);
                hashing
            };
            let updated = tokio::task::spawn_blocking(update).await;
            hashing = updated.map_err(|error| UploadError::Unavailable(error.into()))?;
        }
        Ok((hashing.finish(), head))
    }

    /// Brings back what a start finds in the trash although the catalog knows it: a newer one was
    /// restored meanwhile. Files that it lists as gone are where it expects them again.
    pub(super) async fn reclaim(&self) -> Result<(), UploadError> {
        for Trashed { key, len, .. } in self.store.trash().await? {
            if len.is_none() || !self.is_missed(&key.origin).await? {
                continue;
            }
            tracing::warn!(trash.id = %key.id, file = %key.origin, "Brought back from the trash");
            self.reclaim_one(&key).await?;
        }
        Ok(())
    }

    async fn reclaim_one(&self, key: &TrashKey) -> Result<(), UploadError> {
        let note = self.note_of(key).await;
        match self.store.bring_back(key).await {
            // Gone in the meantime, or twice in the trash.
            Err(StoreError::NotFound { .. }) => return Ok(()),
            moved => moved?,
        }
        self.store.empty(key).await?;
        self.note_restored(key, note.as_ref(), &By::server(self.clock.now())).await;
        Ok(())
    }

    /// Whether the catalog knows of a file that is not there.
    async fn is_missed(&self, origin: &Origin) -> Result<bool, UploadError> {
        Ok(match origin {
            Origin::Incomplete(upload) => {
                !self.catalog.running(&[*upload]).await?.is_empty()
                    && self.store.len(*upload).await?.is_none()
                    && !self.catalog.ranges(*upload).await?.is_empty()
            }
            Origin::Completed(name) => {
                self.catalog.creative(name.id()).await?.is_some()
                    && self.store.published_len(name).await?.is_none()
            }
        })
    }
}

/// The creative of a file that is brought back.
fn creative(
    id: CreativeId,
    note: &TrashNote,
    owner: Principal,
    (size, digest, head): (u64, FileDigest, &[u8]),
    shared: &Shared,
) -> Creative {
    let filename = note.filename.clone().unwrap_or_default();
    let filename = FileName::new(filename).unwrap_or_else(|_| FileName::new("").expect("short"));
    let content_type = note.content_type.clone();
    Creative {
        id,
        principal: owner,
        size,
        digest,
        content_type: content_type.unwrap_or_else(|| media_type(&filename, head)),
        filename,
        scheduled: note.scheduled.unwrap_or_else(|| shared.clock.today()),
        created_at: note.created_at.unwrap_or_else(|| shared.clock.now()),
        upload_id: note.upload_id.unwrap_or_else(UploadId::new),
    }
}
