//! A range of bytes inside a file: the engine's unit.

use std::fmt;

/// A range that would end past the largest offset a file can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the range ends past the largest file there can be")]
pub struct InvalidRange;

/// `len` bytes from `offset`; the end is at most `i64::MAX`, the largest offset of a file.
///
/// A range may be empty: the whole of an empty file is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteRange {
    offset: u64,
    len: u64,
}

impl ByteRange {
    /// The range of `len` bytes from `offset`.
    ///
    /// Errors: [`InvalidRange`] if its end is past `i64::MAX`.
    pub fn new(offset: u64, len: u64) -> Result<Self, InvalidRange> {
        let end = offset.checked_add(len).ok_or(InvalidRange)?;
        if i64::try_from(end).is_ok() { Ok(Self { offset, len }) } else { Err(InvalidRange) }
    }

    /// Where the range begins, in bytes from the start of the file.
    #[must_use]
    pub fn offset(self) -> u64 {
        self.offset
    }

    /// How many bytes it holds.
    #[must_use]
    pub fn len(self) -> u64 {
        self.len
    }

    /// Whether it holds no byte.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// One past its last byte.
    #[must_use]
    pub fn end(self) -> u64 {
        self.offset + self.len
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.offset, self.len)
    }
}

impl fmt::Debug for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_cannot_end_past_the_largest_offset() {
        let max = i64::MAX as u64;
        assert!(ByteRange::new(0, max).is_ok());
        assert_eq!(ByteRange::new(1, max), Err(InvalidRange));
        assert_eq!(ByteRange::new(u64::MAX, 1), Err(InvalidRange));
    }
}
