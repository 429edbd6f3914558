//! The trash: whatever is taken from its place on the word of the catalog goes there first, because
//! the catalog may be older than the disk (a database that was restored from a backup, say).
//!
//! Each deed leaves a line in the audit trail. The line is written after the deed: a file that was
//! moved is in the trash whether or not that can be written down.

use std::error::Error;

use super::{Shared, UploadError, live::Live};
use crate::{
    store::{Origin, TrashKey, Trashed},
    upload::{By, Deed, Principal, TrashId, TrashNote, TrashReason, limits::TRASH_KEPT},
};

impl Shared {
    /// Moves a file to the trash. No error if it is not there.
    pub(super) async fn set_aside(
        &self,
        origin: Origin,
        note: &TrashNote,
    ) -> Result<(), UploadError> {
        let key = TrashKey { id: TrashId::at(self.clock.now()), origin };
        if self.move_to_trash(&key, note).await? {
            self.measure_trash().await?;
        }
        Ok(())
    }

    /// The same for one of many: the caller measures the trash when all have been moved.
    pub(super) async fn set_aside_unmeasured(
        &self,
        origin: Origin,
        note: &TrashNote,
    ) -> Result<(), UploadError> {
        let key = TrashKey { id: TrashId::at(self.clock.now()), origin };
        self.move_to_trash(&key, note).await.map(drop)
    }

    async fn move_to_trash(&self, key: &TrashKey, note: &TrashNote) -> Result<bool, UploadError> {
        let was_there = self.store.set_aside(key, note.to_json().into()).await?;
        if was_there {
            self.sights.first_seen(key.id);
            tracing::warn!(
                trash.id = %key.id, file = %key.origin, reason = %note.reason,
                "Moved a file to the trash: `flowstitch trash list` shows it"
            );
            let by = By::server(self.clock.now());
            self.note_deed(Deed::FileTrashed, key, Some(note), &by).await;
        }
        Ok(was_there)
    }

    /// Counts what is in the trash, for the metrics and for `GET /limits`.
    pub(super) async fn measure_trash(&self) -> Result<(), UploadError> {
        let size = self.store.trash_size().await?;
        self.metrics.trash_files.set(size.files);
        self.metrics.trash_bytes.set(size.bytes);
        Ok(())
    }

    /// Moves the finished file of an upload that is not complete to the trash.
    pub(super) async fn set_finished_aside(
        &self,
        live: &Live,
        reason: TrashReason,
    ) -> Result<(), UploadError> {
        let note = TrashNote::of_upload(&live.lock().record, reason);
        self.set_aside(Origin::Completed(live.published_name()), &note).await
    }

    /// Removes from the trash what has been there for `trash_ttl`, see [`Sights::are_over`].
    pub(super) async fn empty_trash(&self) -> Result<(), UploadError> {
        let trash = self.store.trash().await?;
        self.sights.keep(&trash);
        let (ttl, mut emptied) = (self.options.trash_ttl, false);
        for trashed in trash {
            if self.stop.is_cancelled() {
                break;
            }
            if self.sights.are_over(trashed.key.id, ttl, self.clock.now()) {
                emptied |= self.empty_one(&trashed, &By::server(self.clock.now())).await?;
            }
        }
        if emptied { self.measure_trash().await } else { Ok(()) }
    }

    /// Gives up what is in the trash, the oldest first, until so many bytes are free. Nothing of it
    /// goes if all of it would not be enough, and nothing that went there a short time ago: a
    /// request for much room must not remove what the operator has just deleted by mistake.
    pub(super) async fn give_up_trash(&self, needed: u64) -> Result<(), UploadError> {
        let free = self.store.space().await?.free;
        let size = self.store.trash_size().await?;
        if size.files == 0 || free.saturating_add(size.bytes) < needed {
            return Ok(());
        }
        let before = super::sweep::ago(self, TRASH_KEPT);
        let mut trash = self.store.trash().await?;
        trash.retain(|trashed| trashed.key.id.time() <= before);
        let occupied: u64 = trash.iter().map(|trashed| trashed.occupied).sum();
        if free.saturating_add(occupied) < needed {
            return Ok(());
        }
        for trashed in trash {
            if needed <= self.store.space().await?.free {
                break;
            }
            if self.empty_one(&trashed, &By::server(self.clock.now())).await? {
                let id = trashed.key.id;
                tracing::warn!(trash.id = %id, "Emptied from the trash: the disk is full");
            }
        }
        self.measure_trash().await
    }

    /// Removes one file from the trash for good, unless it is missed in its place. Returns whether
    /// it was removed.
    pub(super) async fn empty_one(&self, trashed: &Trashed, by: &By) -> Result<bool, UploadError> {
        let key = &trashed.key;
        let _turn = self.places.of(&key.origin).await;
        if self.is_missed(trashed).await? {
            tracing::warn!(
                trash.id = %key.id, file = %key.origin,
                "Kept a file in the trash that is missed in its place: `flowstitch trash restore` \
                 brings it back, and so does the next start"
            );
            return Ok(false);
        }
        let note = self.note_of(key).await;
        self.store.empty(key).await?;
        self.note_deed(Deed::TrashEmptied, key, note.as_ref(), by).await;
        Ok(true)
    }

    /// What was written down about a file in the trash, if that can be read.
    pub(super) async fn note_of(&self, key: &TrashKey) -> Option<TrashNote> {
        self.store.read_note(key).await.ok().and_then(|note| TrashNote::parse(&note))
    }

    /// Writes down that a file was brought back.
    pub(super) async fn note_restored(&self, key: &TrashKey, note: Option<&TrashNote>, by: &By) {
        self.note_deed(Deed::FileRestored, key, note, by).await;
    }

    /// Writes a line into the audit trail.
    async fn note_deed(&self, deed: Deed, key: &TrashKey, note: Option<&TrashNote>, by: &By) {
        let user = note.and_then(|note| note.user_id.as_deref());
        let owner = user.map_or_else(Principal::anonymous, Principal::named);
        let reason = note.map_or_else(String::new, |note| format!(": {}", note.reason));
        let entry = by.entry(deed, &owner, &key.id).saying(&format!("{}{reason}", key.origin));
        let upload = match &key.origin {
            Origin::Incomplete(upload) => Some(*upload),
            Origin::Completed(_) => note.and_then(|note| note.upload_id),
        };
        let entry = match upload {
            Some(upload) => entry.of_upload(upload),
            None => entry,
        };
        if let Err(error) = self.catalog.trail().note(&entry).await {
            let error = &error as &dyn Error;
            tracing::error!(
                trash.id = %key.id, error,
                "A line about the trash is missing in the audit trail"
            );
        }
    }
}
