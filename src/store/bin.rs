//! The trash folder on the disk: a folder for each day (in UTC), in which each file lies beside a
//! note about it.
//!
//! The note is durable before the file is moved, so that a crash leaves a note too many and never
//! a file that nothing is known of. All calls block.

use std::{
    collections::HashSet,
    error::Error,
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use super::{
    TrashKey, TrashSize, Trashed,
    durable::{self, Folder},
    name::Name,
};
use crate::upload::{Day, limits::TRASH_NOTE_LEN_MAX};

/// The trash folder.
#[derive(Debug)]
pub(super) struct Bin {
    root: Folder,
    /// How much is here, if that is known. Held while a file comes or goes.
    size: Mutex<Option<TrashSize>>,
}

impl Bin {
    pub(super) fn new(root: Folder) -> Self {
        Self { root, size: Mutex::default() }
    }

    pub(super) fn root(&self) -> &Folder {
        &self.root
    }

    /// See [`super::ChunkStore::set_aside`]. The folder that the file leaves is synced even if the
    /// file is not there: a former call may not have come so far.
    pub(super) fn set_aside(
        &self,
        from: &Folder,
        key: &TrashKey,
        note: &Bytes,
    ) -> io::Result<bool> {
        let (name, gone) = (Name::of_origin(&key.origin), from.failures());
        if from.len(&name)?.is_none() {
            from.sync(gone)?;
            return Ok(false);
        }
        let day = key.id.day();
        let made = self.root.make_within(&Name::of_day(day));
        let day = made.map_err(|error| told_whose(day, error))?;
        let there = day.failures();
        match write_note(&day, key, note) {
            // Without a note rather than not at all: what cannot be moved is in the way for ever.
            Err(error) if is_full(&error) => day.remove(&Name::of_note(key))?,
            written => written?,
        }
        let mut size = self.known_size();
        match from.rename(&name, &day, &Name::of_trashed(key)) {
            // Another call moved it in the meantime, and wrote a note of its own.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                day.remove(&Name::of_note(key))?;
                from.sync(gone)?;
                return Ok(false);
            }
            moved => moved?,
        }
        if let Some(size) = size.as_mut() {
            size.add(day.size(&Name::of_trashed(key))?.map_or(0, |(_, occupied)| occupied));
        }
        drop(size);
        day.sync(there)?;
        from.sync(gone)?;
        Ok(true)
    }

    /// See [`super::ChunkStore::bring_back`].
    pub(super) fn bring_back(&self, key: &TrashKey, to: &Folder) -> io::Result<()> {
        let (name, there) = (Name::of_origin(&key.origin), to.failures());
        let day = self.day(key)?;
        let gone = day.failures();
        let mut size = self.known_size();
        *size = None;
        match day.rename(&Name::of_trashed(key), to, &name) {
            // A former call came as far as the rename.
            Err(error) if error.kind() == io::ErrorKind::NotFound && to.len(&name)?.is_some() => {}
            moved => moved?,
        }
        drop(size);
        to.sync(there)?;
        day.sync(gone)
    }

    pub(super) fn read_note(&self, key: &TrashKey) -> io::Result<Bytes> {
        let (day, name) = (self.day(key)?, Name::of_note(key));
        let len = day.len(&name)?.ok_or(io::ErrorKind::NotFound)?;
        if TRASH_NOTE_LEN_MAX < len {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too long for a note"));
        }
        let mut note = vec![0; usize::try_from(len).expect("bounded just now")];
        durable::read_exact_at(&day.open_to_read(&name)?, 0, &mut note)?;
        Ok(note.into())
    }

    pub(super) fn read(&self, key: &TrashKey, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let file = self.day(key)?.open_to_read(&Name::of_trashed(key))?;
        durable::read_exact_at(&file, offset, bytes)
    }

    pub(super) fn empty(&self, key: &TrashKey) -> io::Result<()> {
        let name = Name::of_day(key.id.day());
        let Some(day) = self.root.within(&name)? else { return Ok(()) };
        let since = day.failures();
        {
            let mut size = self.known_size();
            *size = None;
            day.remove(&Name::of_trashed(key))?;
            day.remove(&Name::of_note(key))?;
        }
        day.sync(since)?;
        self.root.remove_within(&name)
    }

    /// How much is here. Counted only if something was removed since the last time.
    pub(super) fn size(&self) -> io::Result<TrashSize> {
        let mut known = self.known_size();
        let size = match *known {
            Some(size) => size,
            None => self.list_readable()?.iter().collect(),
        };
        *known = Some(size);
        Ok(size)
    }

    /// What is here, the oldest first. What has none of our names is passed over.
    pub(super) fn list(&self) -> io::Result<Vec<Trashed>> {
        self.list_days(Err)
    }

    /// The same without the days that this user may not look into: those are named in the log, and
    /// keep no server from its work.
    pub(super) fn list_readable(&self) -> io::Result<Vec<Trashed>> {
        self.list_days(|error| {
            if error.kind() != io::ErrorKind::PermissionDenied {
                return Err(error);
            }
            tracing::error!(error = &error as &dyn Error, "Cannot look into a part of the trash");
            Ok(())
        })
    }

    fn list_days(&self, failed: impl Fn(io::Error) -> io::Result<()>) -> io::Result<Vec<Trashed>> {
        let mut found = Vec::new();
        for entry in self.root.entries()? {
            let entry = entry?;
            let day: Option<Day> = entry.name.to_str().ok().and_then(|name| name.parse().ok());
            let Some(day) = day.filter(|_| !entry.is_regular) else { continue };
            match self.root.within(&Name::of_day(day)) {
                Ok(Some(folder)) => list_day(&folder, day, &mut found)?,
                // It was removed meanwhile, because nothing was left in it.
                Ok(None) => {}
                Err(error) => failed(told_whose(day, error))?,
            }
        }
        found.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    fn known_size(&self) -> MutexGuard<'_, Option<TrashSize>> {
        self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn day(&self, key: &TrashKey) -> io::Result<Folder> {
        let day = key.id.day();
        let folder = self.root.within(&Name::of_day(day));
        folder
            .map_err(|error| told_whose(day, error))?
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn list_day(folder: &Folder, day: Day, found: &mut Vec<Trashed>) -> io::Result<()> {
    let mut notes = Vec::new();
    let first = found.len();
    for name in folder.list()? {
        let Some((key, is_note)) = Name::to_trashed(&name) else { continue };
        if key.id.day() != day {
            continue; // not ours: we would look for it elsewhere
        }
        if is_note {
            notes.push(key);
        } else if let Some((len, occupied)) = folder.size(&Name::of_trashed(&key))? {
            found.push(Trashed { key, len: Some(len), occupied });
        }
    }
    let files: HashSet<TrashKey> = found[first..].iter().map(|it| it.key.clone()).collect();
    for key in notes.into_iter().filter(|key| !files.contains(key)) {
        let occupied = folder.size(&Name::of_note(&key))?.map_or(0, |(_, occupied)| occupied);
        found.push(Trashed { key, len: None, occupied });
    }
    Ok(())
}

fn write_note(day: &Folder, key: &TrashKey, note: &Bytes) -> io::Result<()> {
    let since = day.failures();
    let file = day.create(&Name::of_note(key), note.len() as u64)?;
    durable::write_all_at(&file, 0, std::slice::from_ref(note))?;
    durable::sync_bytes(&file)?;
    day.sync(since)
}

/// What to do about a folder that this user may not look into.
fn told_whose(day: Day, error: io::Error) -> io::Error {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return error;
    }
    let why = format!(
        "the folder {day} in trash_dir belongs to another user: give it to the user of the service \
         with `chown -R --reference=. {day}` in trash_dir"
    );
    io::Error::new(error.kind(), why)
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
