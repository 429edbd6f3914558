//! The marker file of a folder: which deployment it belongs to.

use std::io;

use bytes::Bytes;

use super::{
    durable::{self, Folder},
    name::Name,
};
use crate::upload::{Mark, limits::MARK_LEN_MAX};

impl Folder {
    /// The mark of this folder, if it has one. Errors: of the kind `InvalidData` if the marker file
    /// is not one of ours.
    pub(super) fn mark(&self) -> io::Result<Option<Mark>> {
        let invalid = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
        let name = Name::of_mark();
        let Some(len) = self.len(&name)? else { return Ok(None) };
        let len = usize::try_from(len).ok().filter(|len| *len <= MARK_LEN_MAX);
        let mut bytes = vec![0; len.ok_or_else(|| invalid("the marker file is too long"))?];
        durable::read_exact_at(&self.open_to_read(&name)?, 0, &mut bytes)?;
        let text = String::from_utf8(bytes).map_err(|error| invalid(&error.to_string()))?;
        text.parse()
            .map(Some)
            .map_err(|error: crate::upload::InvalidMark| invalid(&error.to_string()))
    }

    /// Puts a mark in the place of the one that there is, in one step and durably.
    pub(super) fn set_mark(&self, mark: Mark) -> io::Result<()> {
        let (next, since) = (Name::of_next_mark(), self.failures());
        let text = Bytes::from(mark.to_string());
        let file = self.create(&next, text.len() as u64)?;
        durable::write_all_at(&file, 0, &[text])?;
        durable::sync_bytes(&file)?;
        self.replace(&next, &Name::of_mark())?;
        self.sync(since)
    }
}
