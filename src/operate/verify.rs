//! Compares what the catalog says with what is on the disk, in both directions, beside a server
//! that may be changing both.
//!
//! The server writes a file before its record and deletes the record before the file, but a look
//! takes time, and the two halves of what it sees are of two moments. So whatever does not fit is
//! looked at again, as a whole: a fault is what has been seen twice. Of a creative, whose file is
//! never changed, the second look may follow at once; for the rest a running server is given a
//! moment to finish what it is at.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use futures_util::{Stream, TryStreamExt, stream};
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::{
    Data, Failure, counted,
    finding::{Damage, Finding},
    progress::Progress,
    tally::{Tally, digest},
};
use crate::{
    catalog::CatalogError,
    store::{Found, PublishedName, StoreError, TrashKey},
    upload::{
        Creative, CreativeId, Hashing, TrashNote, UploadId,
        limits::{PROGRESS_INTERVAL, VERIFY_AT_ONCE, VERIFY_PAGE_LEN, VERIFY_SECOND_LOOK},
    },
};

type Result<T> = std::result::Result<T, Failure>;

/// How much was looked at.
#[derive(Debug, Default, Serialize)]
pub(super) struct Seen {
    /// Creatives, each against its file.
    creatives: u64,
    /// Of these, creatives without a digest: only the length of the file is known to be right.
    by_length_only: u64,
    /// Bytes that were read of their files.
    bytes: u64,
    /// Finished files, each against its creative.
    files: u64,
    /// Running uploads, each against its bytes.
    uploads: u64,
    /// Files of uploads, each against its upload.
    parts: u64,
    /// Files in the trash, each against the note about it.
    trash: u64,
}

/// What is looked at.
#[derive(Debug, Clone)]
enum Subject {
    Creative(CreativeId),
    File(Found<PublishedName>),
    Upload(UploadId),
    Part(Found<UploadId>),
    Trashed(TrashKey),
}

/// Looks at everything; tells of what does not fit.
pub(super) async fn verify(
    data: &Arc<Data>,
    mut progress: Progress,
    tell: &mut impl FnMut(Finding) -> Result<()>,
) -> Result<Seen> {
    let mut seen = Seen::default();
    progress.total = data.blocking(|data| Ok(data.facts.hashed_bytes()?)).await?;
    let tally = Arc::new(Tally::default());
    let mut looks = Box::pin(look_at_creatives(data, &tally));
    let mut ticks = interval(PROGRESS_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let next = tokio::select! {
            next = looks.try_next() => next?,
            _ = ticks.tick() => {
                progress.draw(tally.read_bytes.load(Ordering::Relaxed));
                continue;
            }
        };
        let Some(finding) = next else { break };
        seen.creatives += 1;
        if let Some(finding) = finding {
            progress.clear();
            tell(finding)?;
        }
    }
    drop(looks);
    progress.clear();
    let (suspects, seen) = data.blocking(|data| look_at_the_rest(data, seen)).await?;
    for finding in look_again(data, suspects).await? {
        tell(finding)?;
    }
    let by_length_only = tally.by_length_only.load(Ordering::Relaxed);
    Ok(Seen { bytes: tally.read_bytes.load(Ordering::Relaxed), by_length_only, ..seen })
}

/// One item for each creative: nothing, or what is wrong with its file.
fn look_at_creatives(
    data: &Arc<Data>,
    tally: &Arc<Tally>,
) -> impl Stream<Item = Result<Option<Finding>>> {
    let look_twice = |id| {
        let (data, tally) = (Arc::clone(data), Arc::clone(tally));
        async move {
            let subject = Subject::Creative(id);
            let twice = move |data: &Data| match look(data, &subject, &tally)? {
                Some(_) => {
                    let in_trash = tally.in_trash.clone();
                    look(data, &subject, &Tally { in_trash, ..Tally::default() })
                }
                None => Ok(None),
            };
            data.blocking(twice).await
        }
    };
    let pages = stream::try_unfold((Arc::clone(data), None), async |(data, after)| {
        let page = move |data: &Data| Ok(data.facts.creatives(after, VERIFY_PAGE_LEN)?);
        let ids = data.blocking(page).await?;
        let last = ids.last().copied();
        Ok::<_, Failure>(
            last.map(|last| (stream::iter(ids.into_iter().map(Ok)), (data, Some(last)))),
        )
    });
    pages.try_flatten().map_ok(look_twice).try_buffer_unordered(VERIFY_AT_ONCE)
}

/// Everything but the creatives: what does not fit at the first look.
fn look_at_the_rest(data: &Data, mut seen: Seen) -> Result<(Vec<Subject>, Seen)> {
    let mut suspects = Vec::new();
    let mut first_look = |subject: Subject| -> Result<()> {
        if look(data, &subject, &Tally::default())?.is_some() {
            suspects.push(subject);
        }
        Ok(())
    };
    for file in data.files.published()? {
        seen.files += 1;
        first_look(Subject::File(file?))?;
    }
    let mut last = None;
    loop {
        let page = data.facts.running(last, VERIFY_PAGE_LEN)?;
        last = page.last().copied();
        if page.is_empty() {
            break;
        }
        for id in page {
            seen.uploads += 1;
            first_look(Subject::Upload(id))?;
        }
    }
    for part in data.files.uploads()? {
        seen.parts += 1;
        first_look(Subject::Part(part?))?;
    }
    for trashed in data.files.trash()? {
        seen.trash += 1;
        first_look(Subject::Trashed(trashed.key))?;
    }
    Ok((suspects, seen))
}

async fn look_again(data: &Arc<Data>, suspects: Vec<Subject>) -> Result<Vec<Finding>> {
    if suspects.is_empty() {
        return Ok(Vec::new());
    }
    if data.blocking(|data| Ok(data.facts.has_open_session()?)).await? {
        sleep(VERIFY_SECOND_LOOK).await;
    }
    let second_look = move |data: &Data| {
        let looks = suspects.iter().map(|subject| look(data, subject, &Tally::default()));
        looks.filter_map(Result::transpose).collect()
    };
    data.blocking(second_look).await
}

/// What is wrong with it at the moment, if anything is.
fn look(data: &Data, subject: &Subject, tally: &Tally) -> Result<Option<Finding>> {
    match subject {
        Subject::Creative(id) => match data.facts.creative(*id)? {
            Some(creative) => Ok(look_at_creative(data, &creative, tally)),
            None => Ok(None),
        },
        Subject::File(Found::Ours(name)) => look_at_file(data, name),
        Subject::File(Found::Foreign(name)) => {
            Ok(Some(Finding::foreign(None, &data.completed.join(name))))
        }
        Subject::File(Found::Odd(name)) => Ok(Some(Finding::odd(&data.completed.join(name)))),
        Subject::Part(Found::Odd(name)) => Ok(Some(Finding::odd(&data.incomplete.join(name)))),
        Subject::Upload(id) => look_at_upload(data, *id),
        Subject::Part(Found::Ours(id)) => look_at_part(data, *id),
        Subject::Trashed(key) => Ok(look_at_trashed(data, key)),
        Subject::Part(Found::Foreign(name)) => {
            Ok(Some(Finding::alien(&data.incomplete.join(name))))
        }
    }
}

fn look_at_creative(data: &Data, creative: &Creative, tally: &Tally) -> Option<Finding> {
    let name = PublishedName::new(creative.id, &creative.filename);
    let damage = match examine(data, &name, creative, tally) {
        Ok(damage) => damage,
        Err(error) => Some(Damage::Unreadable(why(&error))),
    };
    let file = data.completed.join(name.to_string());
    damage.map(|damage| Finding::damaged(creative, &file, &damage))
}

/// What the system said.
fn why(error: &StoreError) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

/// Reads the file of a creative; not at all one of the wrong size, or one that has no digest.
fn examine(
    data: &Data,
    name: &PublishedName,
    creative: &Creative,
    tally: &Tally,
) -> std::result::Result<Option<Damage>, StoreError> {
    match data.files.published_len(name)? {
        None => return Ok(Some(Damage::Missing(tally.in_trash(data, name)?))),
        Some(len) if len != creative.size => return Ok(Some(Damage::Size(len))),
        Some(_) if creative.digest.is_empty() => {
            tally.by_length_only.fetch_add(1, Ordering::Relaxed);
            return Ok(None);
        }
        Some(_) => {}
    }
    let Some(file) = data.files.read_published(name)? else {
        return Ok(Some(Damage::Missing(tally.in_trash(data, name)?)));
    };
    let failed = |error| StoreError::from_io("read a finished file", error);
    let hashing = Hashing::new(creative.digest.kinds());
    let found = digest(file, hashing, &tally.read_bytes).map_err(failed)?;
    Ok((found != creative.digest).then_some(Damage::Digest(found)))
}

/// Is there a reason to have this file?
fn look_at_file(data: &Data, name: &PublishedName) -> Result<Option<Finding>> {
    let known = data.facts.names_of(name.id())?;
    let is_known = known.iter().any(|of| PublishedName::new(name.id(), of) == *name);
    if is_known || data.files.published_len(name)?.is_none() {
        return Ok(None);
    }
    let file = data.completed.join(name.to_string());
    let unfinished = data.facts.names_of_receiving(name.id())?;
    if unfinished.iter().any(|of| PublishedName::new(name.id(), of) == *name) {
        return Ok(Some(Finding::unrecorded(name.id(), &file)));
    }
    Ok(Some(Finding::foreign(Some(name.id()), &file)))
}

/// Are the bytes there that a running upload is said to have?
fn look_at_upload(data: &Data, id: UploadId) -> Result<Option<Finding>> {
    let Some(record) = running(data, id)? else { return Ok(None) };
    let received = data.facts.received(id)?;
    let len = data.files.upload_len(id)?;
    if received.ranges == 0 || len.is_some_and(|len| received.end <= len) {
        return Ok(None);
    }
    let published = PublishedName::new(record.creative_id, &record.filename);
    if len.is_none() && data.files.published_len(&published)?.is_some() {
        // Published, and on its way to being recorded.
        return Ok(None);
    }
    let file = data.incomplete.join(format!("{id}.part"));
    Ok(Some(Finding::lost(&record, &file, len, received.end)))
}

/// Does a running upload own these bytes?
fn look_at_part(data: &Data, id: UploadId) -> Result<Option<Finding>> {
    if running(data, id)?.is_some() || data.files.upload_len(id)?.is_none() {
        return Ok(None);
    }
    let file = data.incomplete.join(format!("{id}.part"));
    let has_ended = data.facts.upload(id)?.is_some();
    Ok(Some(Finding::stray(id, &file, has_ended, data.facts.has_open_session()?)))
}

/// Is it known what this file in the trash is?
fn look_at_trashed(data: &Data, key: &TrashKey) -> Option<Finding> {
    let why: String = match data.files.read_note(key) {
        Ok(note) if TrashNote::parse(&note).is_some() => return None,
        Ok(_) => "it is no note of ours".into(),
        // Emptied or brought back in the meantime, or without a note from the start.
        Err(StoreError::NotFound { .. }) => "it is not there".into(),
        Err(error) => why(&error),
    };
    Some(Finding::unknown_trash(&data.trash.join(key.to_string()), &why))
}

fn running(
    data: &Data,
    id: UploadId,
) -> std::result::Result<Option<crate::upload::UploadRecord>, CatalogError> {
    Ok(data.facts.upload(id)?.filter(|record| record.state.is_running()))
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let creatives = counted(self.creatives, "creative");
        let bytes = bytesize::ByteSize(self.bytes);
        let files = counted(self.files, "finished file");
        let uploads = counted(self.uploads, "running upload");
        let parts = counted(self.parts, "unfinished file");
        write!(f, "verified {creatives} ({bytes}")?;
        if self.by_length_only != 0 {
            write!(f, ", {} by length only", self.by_length_only)?;
        }
        write!(f, "), {files}, {uploads}, {parts}")?;
        if self.trash != 0 {
            write!(f, ", {} in the trash", counted(self.trash, "file"))?;
        }
        Ok(())
    }
}
