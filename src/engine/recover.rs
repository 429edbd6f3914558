//! What a start does with what the last process left.
//!
//! Invariant 6: restarting at any point converges to the same end. What must be decided before the
//! first request is decided here; all the rest follows in the background.

use std::{collections::HashSet, error::Error, sync::Arc};

use tokio_util::task::TaskTracker;

use super::{Shared, UploadError};
use crate::{
    catalog::{Advanced, Doomed, Seen},
    store::{Origin, PublishedName},
    upload::{
        CreativeId, DeploymentId, Mark, TrashNote, TrashReason, UploadId, UploadRecord,
        UploadState, limits::SWEEP_BATCH_LEN_MAX,
    },
};

/// Begins the session, and lists what has to be looked through.
pub(super) async fn at_start(
    shared: &Arc<Shared>,
    epoch: &str,
    background: &TaskTracker,
) -> Result<(), UploadError> {
    let mark = own_mark(shared).await?;
    // Between the catalog and the session: see `Deployment::advance`.
    mark_folders(shared, mark).await;
    let clean = shared.catalog.open_session(epoch).await?;
    if !clean {
        tracing::warn!("The last session did not end in order: recovering");
    }
    // Before anybody looks for a file: one that is missed is forgotten.
    shared.reclaim().await?;
    // Listed before anything new can be among them. Uploads that were full are found by the tick.
    let parts = shared.store.uploads().await?;
    let recovering = shared.clone();
    background.spawn(async move {
        if let Err(error) = clear_orphans(&recovering, parts).await {
            tracing::warn!(
                error = &error as &dyn Error,
                "Cannot clear away files without an upload; the next start will"
            );
        }
        if let Err(error) = bury(&recovering).await {
            tracing::warn!(
                error = &error as &dyn Error,
                "Cannot remove files of deleted creatives"
            );
        }
        if let Err(error) = Shared::examine_all(&recovering).await {
            tracing::warn!(error = &error as &dyn Error, "Cannot look for finished files");
        }
    });
    Ok(())
}

/// Counts this start. Errors: the folders belong to another catalog.
async fn own_mark(shared: &Shared) -> Result<Mark, UploadError> {
    let (catalog, marks) = (shared.catalog.deployment(), shared.store.marks().await?);
    let (own, adopt) = (catalog.id().await?, shared.options.adopt);
    if !adopt && marks.iter().flatten().any(|mark| mark.deployment != own) {
        return Err(UploadError::Unavailable(
            "the data folders belong to another database: use the two that belong together".into(),
        ));
    }
    let seen = match seen(&marks, own) {
        // The operator vouches for whose the folders are, and not for what is in them.
        Seen::Nothing if adopt => Seen::Mixed(0),
        Seen::All(newest) if adopt => Seen::Mixed(newest),
        seen => seen,
    };
    let Advanced { mark, in_step } = catalog.advance(seen).await?;
    if !in_step {
        tracing::warn!(
            generation = mark.generation,
            "The database and the data folders may not be of the same time: one of them was \
             restored from a backup or taken over, or a start or a stop was cut short. Every \
             unfinished upload is read back before it is believed"
        );
    }
    Ok(mark)
}

/// Which generation these folders have, by their marks of this deployment.
fn seen(marks: &[Option<Mark>], own: DeploymentId) -> Seen {
    let of_own = |mark: &Option<Mark>| mark.filter(|mark| mark.deployment == own);
    let generations: Vec<_> = marks.iter().map(|mark| Some(of_own(mark)?.generation)).collect();
    match generations.iter().max().copied().flatten() {
        None => Seen::Nothing,
        Some(newest) if generations.iter().all(|it| *it == Some(newest)) => Seen::All(newest),
        Some(newest) => Seen::Mixed(newest),
    }
}

/// Marks the folders. A full disk keeps no service from starting or stopping: the next start or
/// stop tries again.
pub(super) async fn mark_folders(shared: &Shared, mark: Mark) {
    if let Err(error) = shared.store.set_mark(mark).await {
        let error = &error as &dyn Error;
        tracing::warn!(error, "Cannot write down which database the data folders belong to");
    }
}

/// Counts the end of a session, so that a copy of the catalog from before it is known to be old.
pub(super) async fn at_stop(shared: &Shared) -> Result<(), UploadError> {
    let (catalog, marks) = (shared.catalog.deployment(), shared.store.marks().await?);
    // Whatever the folders say, the session that is closed next has written to them.
    let Advanced { mark, .. } = catalog.advance(seen(&marks, catalog.id().await?)).await?;
    mark_folders(shared, mark).await;
    Ok(())
}

/// Removes the bytes of uploads that have ended, and sets those aside of which the catalog knows no
/// upload: of first chunks that were never committed, of spools, and of uploads that were begun
/// after a catalog was saved that somebody has restored.
async fn clear_orphans(shared: &Shared, parts: Vec<UploadId>) -> Result<(), UploadError> {
    // Many at a time: on a server with a past there may be a hundred thousand.
    for batch in parts.chunks(SWEEP_BATCH_LEN_MAX) {
        if shared.stop.is_cancelled() {
            return Ok(());
        }
        let running: HashSet<UploadId> = shared.catalog.running(batch).await?.into_iter().collect();
        for id in batch.iter().filter(|id| !running.contains(id)) {
            if let Some(record) = shared.catalog.upload(*id).await? {
                if is_only_copy(shared, &record).await? {
                    tracing::error!(
                        upload.id = %id, creative.id = %record.creative_id,
                        "Kept the bytes of a complete upload: its file is missing, see verify"
                    );
                    continue;
                }
                tracing::info!(upload.id = %id, "Removed bytes of an upload that has ended");
                shared.discard(*id).await;
                continue;
            }
            let note = TrashNote::unknown(TrashReason::UnknownUpload);
            if let Err(error) = shared.set_aside_unmeasured(Origin::Incomplete(*id), &note).await {
                let error = &error as &dyn Error;
                tracing::warn!(upload.id = %id, error, "Cannot move a file to the trash");
            }
        }
    }
    shared.measure_trash().await
}

/// Whether this part is the only copy of a finished file: its upload is complete, and the file of
/// its creative is missing. Power was lost, and the disk took the publish back.
async fn is_only_copy(shared: &Shared, record: &UploadRecord) -> Result<bool, UploadError> {
    if record.state != UploadState::Complete {
        return Ok(false);
    }
    let Some(creative) = shared.catalog.creative(record.creative_id).await? else {
        return Ok(false);
    };
    let name = PublishedName::new(creative.id, &creative.filename);
    Ok(shared.store.published_len(&name).await?.is_none())
}

/// Takes the files of creatives that were deleted from their places. One that cannot be moved or
/// removed keeps no other from it. Errors: that of the last one that was not.
pub(super) async fn bury(shared: &Shared) -> Result<(), UploadError> {
    let mut outcome = Ok(());
    for doomed in shared.catalog.doomed().await? {
        outcome = shared.bury(doomed.id).await.and(outcome);
    }
    outcome
}

impl Shared {
    /// Takes the file of a deleted creative from its place: to the trash, or for good if its owner
    /// deleted it. No effect if the creative was restored in the meantime: a list of doomed files
    /// may be older than that, so the row is read again while nobody can restore it.
    pub(super) async fn bury(&self, id: CreativeId) -> Result<(), UploadError> {
        let _turn = self.places.of_creative(id).await;
        let Some(doomed) = self.catalog.doomed_by_id(id).await? else { return Ok(()) };
        self.bury_file(&doomed).await
    }

    /// As [`Self::bury`], for a file that nobody may have doomed: one that was published for an
    /// upload that had ended by then. Its row may be gone, because its file was not there yet.
    pub(super) async fn bury_unlisted(&self, doomed: &Doomed) -> Result<(), UploadError> {
        let _turn = self.places.of_creative(doomed.id).await;
        self.bury_file(doomed).await
    }

    /// The caller holds the lock of the file.
    async fn bury_file(&self, doomed: &Doomed) -> Result<(), UploadError> {
        let id = doomed.id;
        if self.catalog.creative(id).await?.is_none() {
            let name = PublishedName::new(id, &doomed.filename);
            match &doomed.note {
                None => self.store.unpublish(&name).await?,
                Some(note) => {
                    let unknown = || TrashNote::unknown(TrashReason::Ended);
                    let note = TrashNote::parse(note.as_bytes()).unwrap_or_else(unknown);
                    self.set_aside(Origin::Completed(name), &note).await?;
                }
            }
        }
        Ok(self.catalog.buried(id).await?)
    }
}
