//! What `verify` counts while it reads, and what the trash has of files that are missing.

use std::{
    collections::HashMap,
    io::{self, Read},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use super::Data;
use crate::{
    store::{Origin, PublishedName, StoreError, Trashed},
    upload::{FileDigest, Hashing, TrashId, limits::READ_LEN_MAX},
};

/// What is counted while creatives are looked at, several at once.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) read_bytes: AtomicU64,
    pub(super) by_length_only: AtomicU64,
    /// The finished files in the trash, listed when one is missing.
    pub(super) in_trash: OnceLock<HashMap<PublishedName, TrashId>>,
}

impl Tally {
    /// The newest file in the trash that had this name.
    pub(super) fn in_trash(
        &self,
        data: &Data,
        name: &PublishedName,
    ) -> Result<Option<TrashId>, StoreError> {
        if let Some(known) = self.in_trash.get() {
            return Ok(known.get(name).copied());
        }
        let trash = data.files.trash()?.into_iter().filter(|trashed| trashed.len.is_some());
        let finished = trash.filter_map(|Trashed { key, .. }| match key.origin {
            Origin::Completed(name) => Some((name, key.id)),
            Origin::Incomplete(_) => None,
        });
        // Several looks may come here at once; what they find is the same.
        Ok(self.in_trash.get_or_init(|| finished.collect()).get(name).copied())
    }
}

/// What a file hashes to; its bytes are counted as they are read.
pub(super) fn digest(
    mut file: impl Read,
    mut hashing: Hashing,
    read_bytes: &AtomicU64,
) -> io::Result<FileDigest> {
    let mut buffer = vec![0; READ_LEN_MAX];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hashing.finish()),
            Ok(len) => {
                hashing.update(&buffer[..len]);
                read_bytes.fetch_add(len as u64, Ordering::Relaxed);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
