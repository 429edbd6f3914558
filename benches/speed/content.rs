//! The files that are sent: made of nothing but their number, and no two chunks alike.
//!
//! Every chunk begins with a stamp that says which it is, and goes on with bytes that all chunks
//! share. So a chunk in the wrong place is found, and to send one costs no copy: the shared bytes
//! stay in the processor's cache.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use sha2::{Digest, Sha256};

const STAMP_LEN: usize = 16;

/// A file by its number.
#[derive(Debug, Clone)]
pub(crate) struct FlowFile {
    pub(crate) name: String,
    pub(crate) identifier: String,
    pub(crate) size: u64,
    pub(crate) chunk_size: u64,
    /// From 0; no other file of this run has it.
    pub(crate) number: u64,
}

/// The bytes that all chunks share: as many as the longest chunk has, and in no pattern, so that
/// pieces of a chunk that change places are found as well.
pub(crate) fn shared(size: u64, chunk_size: u64) -> Vec<u8> {
    let longest = size.min(2 * chunk_size - 1).max(STAMP_LEN as u64);
    let mut bytes = vec![0; usize::try_from(longest).expect("a chunk fits into memory")];
    fastrand::Rng::with_seed(1).fill(&mut bytes);
    bytes
}

impl FlowFile {
    pub(crate) fn new(prefix: &str, number: u64, size: u64, chunk_size: u64) -> Self {
        let name = format!("{prefix}-{number}.bin");
        // As flow.js makes it: no dots.
        let identifier = format!("{size}-{prefix}-{number}bin");
        Self { name, identifier, size, chunk_size, number }
    }

    /// How many chunks flow.js makes of it.
    pub(crate) fn count(&self) -> u64 {
        (self.size / self.chunk_size).max(1)
    }

    /// Bytes of a chunk. Chunks are numbered from 1, and the last takes what is left.
    pub(crate) fn len(&self, chunk: u64) -> u64 {
        if chunk < self.count() {
            self.chunk_size
        } else {
            self.size - (self.count() - 1) * self.chunk_size
        }
    }

    /// A chunk: its stamp, and what follows of the shared bytes.
    pub(crate) fn chunk<'a>(&self, chunk: u64, shared: &'a [u8]) -> ([u8; STAMP_LEN], &'a [u8]) {
        let mut stamp = [0; STAMP_LEN];
        stamp[..8].copy_from_slice(&(self.number + 1).to_be_bytes());
        stamp[8..].copy_from_slice(&chunk.to_be_bytes());
        let len = usize::try_from(self.len(chunk)).expect("a chunk fits into memory");
        assert!(STAMP_LEN <= len, "chunks have room for their stamp");
        (stamp, &shared[STAMP_LEN..len])
    }

    /// SHA-256 of the whole, in hexadecimal.
    pub(crate) fn sha256(&self, shared: &[u8]) -> String {
        let mut sha256 = Sha256::new();
        for number in 1..=self.count() {
            let (stamp, rest) = self.chunk(number, shared);
            sha256.update(stamp);
            sha256.update(rest);
        }
        hex::encode(sha256.finalize())
    }

    /// Whether the file at `path` has these bytes, and no more.
    pub(crate) fn is_at(&self, path: &Path, shared: &[u8]) -> io::Result<bool> {
        let mut file = File::open(path)?;
        if file.metadata()?.len() != self.size {
            return Ok(false);
        }
        let mut read = vec![0; shared.len()];
        for number in 1..=self.count() {
            let (stamp, rest) = self.chunk(number, shared);
            let read = &mut read[..STAMP_LEN + rest.len()];
            file.read_exact(read)?;
            if read[..STAMP_LEN] != stamp || read[STAMP_LEN..] != *rest {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
