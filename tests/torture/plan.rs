//! What clients send: files that are made of a seed, and cut into chunks as flow.js cuts them.
//!
//! Every eight bytes of a file tell whose they are and where they belong: a file that holds bytes
//! of another one betrays it, and nothing large is kept to compare with.

use fastrand::Rng;
use sha2::{Digest, Sha256};

/// Bytes of a word, the unit of which content is made.
pub(crate) const WORD_LEN: u64 = 8;
/// Bytes that are made at a time.
const PIECE_LEN: u64 = 1 << 20;
/// The step between the words of a file, before they are mixed.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A file that is uploaded, and how it is cut.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The file's name and the upload's identity; no two plans of a round share one.
    pub(crate) name: String,
    /// What its content is made of.
    pub(crate) seed: u64,
    pub(crate) total: u64,
    pub(crate) chunk_size: u64,
    /// flow.js's `forceChunkSize`: the last chunk is the short one.
    pub(crate) force: bool,
    /// flow.js's `method: 'octet'`: fields in the query, bytes as the body.
    pub(crate) octet: bool,
}

impl Plan {
    /// A file of some chunks, of any shape.
    pub(crate) fn any(name: impl Into<String>, chunks: u64, rng: &mut Rng) -> Self {
        let sizes = [1, 7, 1000, 4096, 10_000, 65_536];
        let chunk_size = sizes[rng.usize(..sizes.len())];
        let rest = rng.choice([0, 1, chunk_size / 2, chunk_size - 1]).unwrap_or_default();
        Self {
            name: name.into(),
            seed: rng.u64(..),
            total: chunks * chunk_size + rest,
            chunk_size,
            force: rng.bool(),
            octet: rng.bool(),
        }
    }

    /// How many chunks flow.js makes of it.
    pub(crate) fn count(&self) -> u64 {
        let count = if self.force {
            self.total.div_ceil(self.chunk_size)
        } else {
            self.total / self.chunk_size
        };
        count.max(1)
    }

    /// Where a chunk begins and how long it is, by its number.
    pub(crate) fn range(&self, number: u64) -> (u64, u64) {
        let start = (number - 1) * self.chunk_size;
        let rest = self.total - start;
        (start, if number == self.count() { rest } else { rest.min(self.chunk_size) })
    }

    /// The bytes of a chunk.
    pub(crate) fn chunk(&self, number: u64) -> Vec<u8> {
        let (start, len) = self.range(number);
        self.bytes(start, len)
    }

    /// Some of its bytes.
    pub(crate) fn bytes(&self, offset: u64, len: u64) -> Vec<u8> {
        let first = offset / WORD_LEN;
        let end = (offset + len).div_ceil(WORD_LEN);
        let words = (first..end).flat_map(|index| word(self.seed, index).to_le_bytes());
        let skipped = to_usize(offset % WORD_LEN);
        words.skip(skipped).take(to_usize(len)).collect()
    }

    /// The digest of the whole, as the server writes it.
    pub(crate) fn sha256(&self) -> String {
        let mut hash = Sha256::new();
        for start in (0..self.total).step_by(to_usize(PIECE_LEN)) {
            hash.update(self.bytes(start, PIECE_LEN.min(self.total - start)));
        }
        hex::encode(hash.finalize())
    }

    /// The fields that flow.js sends with a chunk.
    pub(crate) fn fields(&self, number: u64) -> Vec<(&'static str, String)> {
        vec![
            ("flowChunkNumber", number.to_string()),
            ("flowChunkSize", self.chunk_size.to_string()),
            ("flowCurrentChunkSize", self.range(number).1.to_string()),
            ("flowTotalSize", self.total.to_string()),
            ("flowIdentifier", format!("{}-{}", self.total, self.name.replace('.', ""))),
            ("flowFilename", self.name.clone()),
            ("flowRelativePath", self.name.clone()),
            ("flowTotalChunks", self.count().to_string()),
        ]
    }
}

/// A word of a file.
fn word(seed: u64, index: u64) -> u64 {
    mix(seed.wrapping_add(index.wrapping_mul(STEP)))
}

/// The seed of the file in which this word stands at this place.
pub(crate) fn seed_of(word: u64, index: u64) -> u64 {
    unmix(word).wrapping_sub(index.wrapping_mul(STEP))
}

/// Spreads the bits of a number over all of it, and can be undone.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 32)).wrapping_mul(FACTOR);
    x ^ (x >> 32)
}

/// Undoes [`mix`]: a shift by half the width undoes itself.
fn unmix(mut x: u64) -> u64 {
    x = (x ^ (x >> 32)).wrapping_mul(INVERSE);
    x ^ (x >> 32)
}

const FACTOR: u64 = 0xd6e8_feb8_6659_fd93;
const INVERSE: u64 = inverse(FACTOR);
const _: () = assert!(FACTOR.wrapping_mul(INVERSE) == 1);

/// The inverse of an odd number: each step doubles the bits that are right.
const fn inverse(x: u64) -> u64 {
    let mut inverse = x;
    let mut bits = 3;
    while bits < u64::BITS {
        inverse = inverse.wrapping_mul(2_u64.wrapping_sub(x.wrapping_mul(inverse)));
        bits *= 2;
    }
    inverse
}

/// A length that is held in memory.
pub(crate) fn to_usize(len: u64) -> usize {
    usize::try_from(len).expect("it fits the memory")
}
