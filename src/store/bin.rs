//! The trash folder on the disk: a folder for each day (in UTC), in which each file lies beside a
//! note about it.
//!
//! The note is durable before the file is moved, so that a crash leaves a note too many and never
//! a file that nothing is known of. All calls block.

use std::{collections::HashSet, io};

use bytes::Bytes;

use super::{
    TrashKey, Trashed,
    durable::{self, Folder},
    name::Name,
};
use crate::upload::{Day, limits::TRASH_NOTE_LEN_MAX};

/// The trash folder.
#[derive(Debug)]
pub(super) struct Bin {
    root: Folder,
}

impl Bin {
    pub(super) fn new(root: Folder) -> Self {
        Self { root }
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
        let day = self.root.make_within(&Name::of_day(key.id.day()))?;
        let there = day.failures();
        match write_note(&day, key, note) {
            // Without a note rather than not at all: what cannot be moved is in the way for ever.
            Err(error) if is_full(&error) => day.remove(&Name::of_note(key))?,
            written => written?,
        }
        from.rename(&name, &day, &Name::of_trashed(key))?;
        day.sync(there)?;
        from.sync(gone)?;
        Ok(true)
    }

    /// See [`super::ChunkStore::bring_back`].
    pub(super) fn bring_back(&self, key: &TrashKey, to: &Folder) -> io::Result<()> {
        let (name, there) = (Name::of_origin(&key.origin), to.failures());
        let day = self.day(key)?;
        let gone = day.failures();
        match day.rename(&Name::of_trashed(key), to, &name) {
            // A former call came as far as the rename.
            Err(error) if error.kind() == io::ErrorKind::NotFound && to.len(&name)?.is_some() => {}
            moved => moved?,
        }
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
        day.remove(&Name::of_trashed(key))?;
        day.remove(&Name::of_note(key))?;
        day.sync(since)?;
        self.root.remove_within(&name)
    }

    /// What is here, the oldest first. What has none of our names is passed over.
    pub(super) fn list(&self) -> io::Result<Vec<Trashed>> {
        let mut found = Vec::new();
        for entry in self.root.entries()? {
            let entry = entry?;
            let day: Option<Day> = entry.name.to_str().ok().and_then(|name| name.parse().ok());
            let Some(day) = day.filter(|_| !entry.is_regular) else { continue };
            // It may have been removed meanwhile, because nothing was left in it.
            let Some(folder) = self.root.within(&Name::of_day(day))? else { continue };
            list_day(&folder, day, &mut found)?;
        }
        found.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    fn day(&self, key: &TrashKey) -> io::Result<Folder> {
        let day = self.root.within(&Name::of_day(key.id.day()))?;
        day.ok_or_else(|| io::ErrorKind::NotFound.into())
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

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
