//! What the operator brings back from the trash.

use std::sync::Arc;

use bytes::Bytes;

use super::{Engine, Shared, UploadError, load::slices};
use crate::{
    store::{Origin, PublishedName, Trashed},
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
const NOTHING_COUNTS: &str = "Its upload knows of no byte in this file";

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

    /// Removes what was put into the trash before this time for good. What is missed in its place
    /// stays.
    pub async fn empty_trash(&self, before: Timestamp, by: &By) -> Result<Emptied, UploadError> {
        let mut emptied = Emptied::default();
        for trashed in self.shared.store.trash().await? {
            if before <= trashed.key.id.time() {
                break;
            }
            if self.shared.empty_one(&trashed, by).await? {
                emptied.files += 1;
                emptied.bytes += trashed.occupied;
            }
        }
        self.shared.measure_trash().await?;
        Ok(emptied)
    }

    /// The ranges that the catalog knows are read before any of them is believed. If none of them
    /// is in the file, it goes back to the trash.
    async fn restore_upload(
        shared: &Arc<Shared>,
        trashed: &Trashed,
        upload: UploadId,
    ) -> Result<Result<Restored, Refusal>, UploadError> {
        let record = shared.catalog.upload(upload).await?;
        if record.is_none_or(|record| !record.state.is_running()) {
            return Ok(refuse("No running upload has this file"));
        }
        if shared.catalog.ranges(upload).await?.is_empty() {
            return Ok(refuse(NOTHING_COUNTS));
        }
        {
            let _turn = shared.places.of(&trashed.key.origin).await;
            if trashed.len.is_some() && shared.store.len(upload).await?.is_some() {
                return Ok(refuse("Its upload has another file by now"));
            }
            shared.store.bring_back(&trashed.key).await?;
        }
        let Some(live) = Shared::by_id(shared, upload).await? else {
            return Err(UploadError::unavailable("the upload is gone"));
        };
        let _progress = live.progress.lock().await;
        shared.forget_damaged(&live).await?;
        let covered = live.lock().coverage.covered();
        if covered == 0 {
            // As in `Shared::clear_place`.
            let mut placed = live.placed.lock().await;
            let note = shared.store.read_note(&trashed.key).await.unwrap_or_default();
            shared.store.set_aside(&trashed.key, note).await?;
            *placed = false;
            return Ok(refuse(NOTHING_COUNTS));
        }
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
        let Some(note) = shared.note_of(&trashed.key).await else {
            return Ok(refuse("Nothing is known of this file but its bytes"));
        };
        if let Some(creative) = shared.catalog.creative(name.id()).await? {
            return shared.reunite(trashed, name, creative, to, by).await;
        }
        if note.reason.is_refutation() {
            return Ok(refuse("It is known not to be the file that was uploaded"));
        }
        if let Some(upload) = note.upload_id
            && !shared.catalog.running(&[upload]).await?.is_empty()
        {
            return Ok(refuse("Its upload is running: cancel that first"));
        }
        let owner = to.cloned().or(note.user_id.as_deref().map(Principal::named));
        let owner = owner.unwrap_or_else(Principal::anonymous);
        if !shared.may_own(&owner).await? {
            return Ok(refuse(
                "Its user is disabled or not there: name another one with --to USER",
            ));
        }
        let len = match trashed.len {
            Some(len) => Some(len),
            None => shared.store.published_len(name).await?,
        };
        let Some(len) = len else { return Ok(refuse("The file itself is not there any more")) };
        if note.size.is_some_and(|size| size != len) {
            return Ok(refuse("It is not as long as it was"));
        }
        let kinds = shared.kinds_of(&note);
        let (digest, head) = shared.hash_trashed(trashed, name, len, kinds).await?;
        let differs = |known: Option<&String>, found: Option<String>| {
            known.is_some_and(|known| found.is_some_and(|found| *known != found))
        };
        if differs(note.sha256.as_ref(), digest.sha256.map(|it| it.to_string()))
            || differs(note.blake3.as_ref(), digest.blake3.map(|it| it.to_string()))
        {
            return Ok(refuse("Its bytes are not what they were"));
        }
        let creative = creative(name.id(), &note, owner, (len, digest, &head), shared);
        if !shared.record_restored(trashed, name, &note, &creative, by).await? {
            return Ok(refuse(
                "Its user is not there any more, or the upload became another creative",
            ));
        }
        self.refresh(&creative, Some(creative.clone())).await;
        Ok(Ok(Restored::Creative(Box::new(creative))))
    }
}

fn refuse(why: &str) -> Result<Restored, Refusal> {
    Err(format!("{why}; {OUTPUT}."))
}

impl Shared {
    /// Whether creatives may be this principal's.
    async fn may_own(&self, owner: &Principal) -> Result<bool, UploadError> {
        if owner.is_anonymous() {
            return Ok(true);
        }
        let user = self.catalog.directory().user(owner).await?;
        Ok(user.is_some_and(|user| user.disabled_at.is_none()))
    }

    /// Brings a file back and writes its record. Returns false, and leaves the file in the trash,
    /// if the catalog refuses the record.
    async fn record_restored(
        &self,
        trashed: &Trashed,
        name: &PublishedName,
        note: &TrashNote,
        creative: &Creative,
        by: &By,
    ) -> Result<bool, UploadError> {
        let _turn = self.places.of_creative(name.id()).await;
        if self.catalog.creative(name.id()).await?.is_some() {
            return Ok(false);
        }
        self.store.bring_back(&trashed.key).await?;
        let restored = self.catalog.restore_creative(creative, by).await?;
        if !restored {
            self.set_aside(Origin::Completed(name.clone()), note).await?;
        }
        Ok(restored)
    }

    /// Brings back the file of a creative that is there and lacks it.
    async fn reunite(
        &self,
        trashed: &Trashed,
        name: &PublishedName,
        creative: Creative,
        to: Option<&Principal>,
        by: &By,
    ) -> Result<Result<Restored, Refusal>, UploadError> {
        if to.is_some_and(|to| *to != creative.principal) {
            return Ok(refuse("Its creative is there and belongs to another user"));
        }
        if !self.is_missed(trashed).await? {
            return Ok(refuse("Its creative is there, and this is not a file that it lacks"));
        }
        let kinds = creative.digest.kinds();
        let (digest, _) = self.hash_trashed(trashed, name, creative.size, kinds).await?;
        if digest != creative.digest {
            return Ok(refuse("Its creative is there, and its bytes are not what they were"));
        }
        let _turn = self.places.of_creative(name.id()).await;
        // The creative may have been deleted, or have got its file, in the meantime.
        if !self.is_missed(trashed).await? {
            return Ok(refuse("Its creative does not lack this file any more"));
        }
        let note = self.note_of(&trashed.key).await;
        self.store.bring_back(&trashed.key).await?;
        self.note_restored(&trashed.key, note.as_ref(), by).await;
        Ok(Ok(Restored::Creative(Box::new(creative))))
    }

    /// Which digests are known of a file in the trash, or else are taken of new files.
    fn kinds_of(&self, note: &TrashNote) -> DigestKinds {
        let taken = DigestKinds::of(self.options.digest, false);
        DigestKinds {
            sha256: taken.sha256 || note.sha256.is_some(),
            blake3: taken.blake3 || note.blake3.is_some(),
        }
    }
}

impl Shared {
    /// What a file in the trash hashes to, and its beginning.
    async fn hash_trashed(
        &self,
        trashed: &Trashed,
        name: &PublishedName,
        len: u64,
        kinds: DigestKinds,
    ) -> Result<(FileDigest, Bytes), UploadError> {
        let mut hashing = Hashing::new(kinds);
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
