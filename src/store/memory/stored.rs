//! One file of the model, and what of it would survive loss of power.

use std::{io, ops::Range};

use bytes::Bytes;

use crate::upload::ByteRange;

/// The bytes of one file: as they are read now, and as they are on the disk.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) bytes: Vec<u8>,
    /// Nothing while the file itself is not on the disk.
    durable: Option<Vec<u8>>,
    /// Where `bytes` was written since the last sync.
    pub(super) unsynced: Vec<Range<usize>>,
}

impl Stored {
    pub(super) fn new(len: usize) -> Self {
        Self { bytes: vec![0; len], durable: None, unsynced: Vec::new() }
    }

    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(super) fn write(&mut self, offset: u64, frames: &[Bytes]) -> io::Result<()> {
        let frames = frames.concat();
        let range = ByteRange::new(offset, frames.len() as u64).ok();
        let place = range.and_then(|range| self.place(range)).ok_or(io::ErrorKind::InvalidInput)?;
        self.bytes[place.clone()].copy_from_slice(&frames);
        self.unsynced.push(place);
        Ok(())
    }

    pub(super) fn read(&self, range: ByteRange) -> io::Result<Bytes> {
        let place = if range.is_empty() { Some(0..0) } else { self.place(range) };
        let place = place.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(Bytes::copy_from_slice(&self.bytes[place]))
    }

    /// Where the range is, if it is inside the file.
    fn place(&self, range: ByteRange) -> Option<Range<usize>> {
        let place = usize::try_from(range.offset()).ok()?..usize::try_from(range.end()).ok()?;
        (place.end <= self.bytes.len()).then_some(place)
    }

    /// Returns whether the file itself was not on the disk before.
    pub(super) fn sync(&mut self) -> bool {
        let is_new = self.durable.is_none();
        let durable = self.durable.get_or_insert_default();
        durable.resize(self.bytes.len(), 0);
        for range in self.unsynced.drain(..) {
            durable[range.clone()].copy_from_slice(&self.bytes[range]);
        }
        is_new
    }

    /// Whether it is still there.
    pub(super) fn lose_power(&mut self) -> bool {
        self.unsynced.clear();
        let Some(durable) = &self.durable else { return false };
        self.bytes.clone_from(durable);
        true
    }
}
