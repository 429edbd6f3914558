//! All that is in the model, what each operation makes of it, and what it is to fail at.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io,
};

use bytes::Bytes;

use super::{StoreOp, stored::Stored};
use crate::{
    store::{Origin, PublishedName, TrashKey, Trashed},
    upload::{Mark, UploadId},
};

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) uploads: HashMap<UploadId, Stored>,
    pub(super) files: HashMap<PublishedName, Stored>,
    /// What was set aside, unless it was brought back, and the note about it.
    pub(super) trash: BTreeMap<TrashKey, (Option<Stored>, Bytes)>,
    pub(super) undone: Undone,
    /// In bytes.
    pub(super) room: u64,
    pub(super) mark: Option<Mark>,
    pub(super) counts: HashMap<StoreOp, u64>,
    pub(super) faults: Vec<Fault>,
    pub(super) panics: HashSet<StoreOp>,
    pub(super) failing_syncs: HashMap<UploadId, io::ErrorKind>,
}

/// What loss of power would undo, because no folder was synced since.
#[derive(Debug, Default)]
pub(super) struct Undone {
    discards: HashMap<UploadId, Stored>,
    publishes: HashMap<PublishedName, UploadId>,
    unpublishes: HashMap<PublishedName, Stored>,
    asides: HashSet<TrashKey>,
}

/// Strikes once.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) op: Option<StoreOp>,
    /// The number of an operation, as [`MemoryStore::operations`] counts.
    pub(super) at: Option<u64>,
    pub(super) strike: Strike,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum When {
    Instead,
    Halfway,
    After,
}

pub(super) type Strike = (When, io::ErrorKind);

impl State {
    pub(super) fn operations(&self) -> u64 {
        let counts = self.counts.iter().filter(|(op, _)| **op != StoreOp::Mark);
        counts.map(|(_, count)| count).sum()
    }

    pub(super) fn begin(&mut self, op: StoreOp) -> Option<Strike> {
        *self.counts.entry(op).or_default() += 1;
        assert!(!self.panics.remove(&op), "on purpose");
        let number = self.operations();
        let due = self.faults.iter().position(|fault| {
            fault.op.is_none_or(|only| only == op) && fault.at.is_none_or(|at| at == number)
        })?;
        Some(self.faults.remove(due).strike)
    }

    pub(super) fn upload(&mut self, upload: UploadId) -> io::Result<&mut Stored> {
        self.uploads.get_mut(&upload).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn free(&self) -> u64 {
        let trash = self.trash.values().filter_map(|(stored, _)| stored.as_ref());
        let stored = self.uploads.values().chain(self.files.values()).chain(trash);
        self.room.saturating_sub(stored.map(Stored::len).sum())
    }

    pub(super) fn create(&mut self, upload: UploadId, total: u64) -> io::Result<()> {
        self.uploads.remove(&upload);
        if self.free() < total {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let len = usize::try_from(total).map_err(io::Error::other)?;
        self.uploads.insert(upload, Stored::new(len));
        Ok(())
    }

    pub(super) fn grow(&mut self, upload: UploadId, total: u64) -> io::Result<()> {
        let total = usize::try_from(total).map_err(io::Error::other)?;
        let free = usize::try_from(self.free()).map_err(io::Error::other)?;
        let bytes = &mut self.upload(upload)?.bytes;
        if bytes.len() + free < total {
            return Err(io::ErrorKind::StorageFull.into());
        }
        bytes.resize(total.max(bytes.len()), 0);
        Ok(())
    }

    pub(super) fn sync(&mut self, upload: UploadId, fault: Option<Strike>) -> io::Result<()> {
        let own = self.failing_syncs.remove(&upload).map(|kind| (When::Instead, kind));
        let stored = self.upload(upload)?;
        match own.or(fault) {
            Some((When::Instead | When::Halfway, _)) => stored.unsynced.clear(),
            Some((When::After, _)) | None => {
                if stored.sync() {
                    self.undone.discards.clear();
                }
            }
        }
        own.or(fault).map_or(Ok(()), |(_, kind)| Err(kind.into()))
    }

    pub(super) fn publish(&mut self, upload: UploadId, name: &PublishedName) -> io::Result<()> {
        match (self.uploads.contains_key(&upload), self.files.contains_key(name)) {
            (true, true) => return Err(io::ErrorKind::AlreadyExists.into()),
            (false, false) => return Err(io::ErrorKind::NotFound.into()),
            (false, true) => {}
            (true, false) => {
                self.sync(upload, None)?;
                let stored = self.uploads.remove(&upload).into_iter();
                self.files.extend(stored.map(|stored| (name.clone(), stored)));
            }
        }
        self.undone.publishes.remove(name);
        self.undone.discards.clear();
        Ok(())
    }

    /// The rename without the sync of the folders.
    pub(super) fn publish_half(
        &mut self,
        upload: UploadId,
        name: &PublishedName,
    ) -> io::Result<()> {
        let is_new = !self.files.contains_key(name);
        self.publish(upload, name)?;
        if is_new {
            self.undone.publishes.insert(name.clone(), upload);
        }
        Ok(())
    }

    pub(super) fn discard(&mut self, upload: UploadId) {
        if let Some(stored) = self.uploads.remove(&upload) {
            self.undone.discards.insert(upload, stored);
        }
    }

    pub(super) fn unpublish(&mut self, name: &PublishedName) {
        self.files.remove(name);
        self.undone.publishes.remove(name);
        self.undone.unpublishes.remove(name);
    }

    pub(super) fn unpublish_half(&mut self, name: &PublishedName) {
        let stored = self.files.remove(name).into_iter();
        self.undone.unpublishes.extend(stored.map(|stored| (name.clone(), stored)));
    }

    /// Takes a file from its place.
    fn take(&mut self, origin: &Origin) -> Option<Stored> {
        match origin {
            Origin::Incomplete(upload) => self.uploads.remove(upload),
            Origin::Completed(name) => self.files.remove(name),
        }
    }

    fn put(&mut self, origin: &Origin, stored: Stored) {
        match origin {
            Origin::Incomplete(upload) => drop(self.uploads.insert(*upload, stored)),
            Origin::Completed(name) => drop(self.files.insert(name.clone(), stored)),
        }
    }

    pub(super) fn set_aside(&mut self, key: &TrashKey, note: Bytes) -> bool {
        // Whatever became of the folder that it leaves is on the disk now.
        self.undone.asides.retain(|other| other.origin != key.origin);
        if let Origin::Completed(name) = &key.origin {
            self.undone.publishes.remove(name);
            self.undone.unpublishes.remove(name);
        }
        let Some(stored) = self.take(&key.origin) else { return false };
        self.trash.insert(key.clone(), (Some(stored), note));
        true
    }

    /// The rename without the sync of the folders.
    pub(super) fn set_aside_half(&mut self, key: &TrashKey, note: Bytes) {
        if self.set_aside(key, note) {
            self.undone.asides.insert(key.clone());
        }
    }

    pub(super) fn bring_back(&mut self, key: &TrashKey) -> io::Result<()> {
        let is_there = match &key.origin {
            Origin::Incomplete(upload) => self.uploads.contains_key(upload),
            Origin::Completed(name) => self.files.contains_key(name),
        };
        let kept = self.trash.get_mut(key).map(|(stored, _)| stored);
        match kept {
            Some(stored @ Some(_)) if !is_there => {
                let stored = stored.take().expect("matched just now");
                self.put(&key.origin, stored);
                Ok(())
            }
            Some(Some(_)) => Err(io::ErrorKind::AlreadyExists.into()),
            Some(None) | None if is_there => Ok(()),
            Some(None) | None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn list_trash(&self) -> Vec<Trashed> {
        let entry = |(key, (stored, note)): (&TrashKey, &(Option<Stored>, Bytes))| {
            let len = stored.as_ref().map(Stored::len);
            Trashed { key: key.clone(), len, occupied: len.unwrap_or(note.len() as u64) }
        };
        self.trash.iter().map(entry).collect()
    }

    pub(super) fn lose_power(&mut self) {
        let undone = std::mem::take(&mut self.undone);
        for key in undone.asides {
            if let Some((Some(stored), _)) = self.trash.remove(&key) {
                self.put(&key.origin, stored);
            }
        }
        for (name, upload) in undone.publishes {
            let stored = self.files.remove(&name).into_iter();
            self.uploads.extend(stored.map(|stored| (upload, stored)));
        }
        self.files.extend(undone.unpublishes);
        for (upload, stored) in undone.discards {
            self.uploads.entry(upload).or_insert(stored);
        }
        self.uploads.retain(|_, stored| stored.lose_power());
        self.files.retain(|_, stored| stored.lose_power());
        self.trash.retain(|_, (stored, _)| stored.as_mut().is_none_or(Stored::lose_power));
    }
}
