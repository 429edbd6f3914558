//! The set of ranges that are safely here.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
};

use super::ByteRange;

/// Which ranges of a file are stored, each with what is known of it (`T`: its checksum, usually).
///
/// Ranges never overlap. Each is kept as it came, because it has a checksum of its own; beside them
/// stand the *runs*, the ranges joined where they touch, so that the contiguous prefix and the gaps
/// are known without a walk over every range. Each change costs `O(log n)`.
#[derive(Debug, Clone)]
pub struct Coverage<T> {
    /// Offset → length and value.
    ranges: BTreeMap<u64, (u64, T)>,
    /// Start → end of each maximal contiguous run of non-empty ranges.
    runs: BTreeMap<u64, u64>,
    covered: u64,
}

impl<T> Default for Coverage<T> {
    fn default() -> Self {
        Self { ranges: BTreeMap::new(), runs: BTreeMap::new(), covered: 0 }
    }
}

impl<T> Coverage<T> {
    /// Nothing is here yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a range. Returns false, and changes nothing, if it overlaps one that is here.
    pub fn insert(&mut self, range: ByteRange, value: T) -> bool {
        if self.overlaps(range) {
            return false;
        }
        self.ranges.insert(range.offset(), (range.len(), value));
        self.covered += range.len();
        self.join(range);
        true
    }

    /// Forgets a range: its bytes turned out not to be what they were.
    pub fn remove(&mut self, range: ByteRange) -> Option<T> {
        self.get(range)?;
        let (len, value) = self.ranges.remove(&range.offset())?;
        self.covered -= len;
        self.split(range);
        Some(value)
    }

    /// What is known of exactly this range, if it is here.
    #[must_use]
    pub fn get(&self, range: ByteRange) -> Option<&T> {
        self.ranges
            .get(&range.offset())
            .filter(|(len, _)| *len == range.len())
            .map(|(_, value)| value)
    }

    /// Whether exactly this range is here.
    #[must_use]
    pub fn contains(&self, range: ByteRange) -> bool {
        self.get(range).is_some()
    }

    /// The range that begins at `offset`, and what is known of it.
    #[must_use]
    pub fn starting_at(&self, offset: u64) -> Option<(ByteRange, &T)> {
        let (len, value) = self.ranges.get(&offset)?;
        Some((ByteRange::new(offset, *len).ok()?, value))
    }

    /// The first range that begins at `offset` or behind it.
    #[must_use]
    pub fn first_from(&self, offset: u64) -> Option<ByteRange> {
        let (offset, (len, _)) = self.ranges.range(offset..).next()?;
        ByteRange::new(*offset, *len).ok()
    }

    /// How many bytes are here.
    #[must_use]
    pub fn covered(&self) -> u64 {
        self.covered
    }

    /// How many ranges are here.
    #[must_use]
    pub fn count(&self) -> usize {
        self.ranges.len()
    }

    /// Up to which offset the file is here without a gap.
    #[must_use]
    pub fn prefix(&self) -> u64 {
        self.runs.get(&0).copied().unwrap_or(0)
    }

    /// Where the last range ends.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.runs.last_key_value().map_or(0, |(_, end)| *end)
    }

    /// Whether the ranges tile `0..total`; an empty file needs its one empty range.
    #[must_use]
    pub fn is_full(&self, total: u64) -> bool {
        !self.ranges.is_empty() && self.covered == total && self.prefix() == total
    }

    /// What is missing of `from..total`, as `start..end` pairs in order. Costs `O(log n)`, and
    /// `O(1)` for each pair that is taken.
    pub fn gaps(&self, from: u64, total: u64) -> impl Iterator<Item = (u64, u64)> {
        let before = self.runs.range(..=from).next_back().map_or(0, |(_, end)| *end);
        let later = self.runs.range((Excluded(from), Unbounded));
        let starts = std::iter::once(before.max(from)).chain(later.clone().map(|(_, end)| *end));
        let ends = later.map(|(start, _)| *start).chain(std::iter::once(total));
        starts.zip(ends).filter(|(start, end)| start < end)
    }

    /// The ranges in the order of their offsets.
    pub fn iter(&self) -> impl Iterator<Item = (ByteRange, &T)> {
        self.ranges
            .iter()
            .filter_map(|(offset, (len, value))| Some((ByteRange::new(*offset, *len).ok()?, value)))
    }

    fn overlaps(&self, range: ByteRange) -> bool {
        if self.ranges.contains_key(&range.offset()) {
            return true;
        }
        let before = self.ranges.range(..range.offset()).next_back();
        if before.is_some_and(|(offset, (len, _))| range.offset() < offset + len) {
            return true;
        }
        let after = self.ranges.range(range.offset()..).next();
        after.is_some_and(|(offset, _)| *offset < range.end())
    }

    /// Joins a new range with the runs that it touches.
    fn join(&mut self, range: ByteRange) {
        if range.is_empty() {
            return;
        }
        let before = self.runs.range(..range.offset()).next_back();
        let start = before
            .filter(|(_, end)| **end == range.offset())
            .map_or(range.offset(), |(start, _)| *start);
        let end = self.runs.remove(&range.end()).unwrap_or(range.end());
        self.runs.insert(start, end);
    }

    /// Cuts a range that went out of the run that held it.
    fn split(&mut self, range: ByteRange) {
        let run = self.runs.range(..=range.offset()).next_back().map(|(s, e)| (*s, *e));
        let Some((start, end)) = run.filter(|_| !range.is_empty()) else { return };
        self.runs.remove(&start);
        if start < range.offset() {
            self.runs.insert(start, range.offset());
        }
        if range.end() < end {
            self.runs.insert(range.end(), end);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The naive model: a file of 64 bytes as 64 flags, and the exact ranges that were accepted.
    struct Naive {
        bytes: [bool; 64],
        ranges: Vec<(u64, u64)>,
    }

    impl Naive {
        fn insert(&mut self, offset: u64, len: u64) -> bool {
            let span = usize::try_from(offset).unwrap()..usize::try_from(offset + len).unwrap();
            let taken = self.bytes[span.clone()].iter().any(|b| *b)
                || self.ranges.iter().any(|r| r.0 == offset)
                || (len == 0 && self.ranges.iter().any(|r| r.0 < offset && offset < r.0 + r.1))
                || (len > 0
                    && self.ranges.iter().any(|r| r.1 == 0 && offset < r.0 && r.0 < offset + len));
            if !taken {
                self.bytes[span].fill(true);
                self.ranges.push((offset, len));
            }
            !taken
        }

        fn remove(&mut self, offset: u64, len: u64) -> bool {
            let found = self.ranges.iter().position(|r| *r == (offset, len));
            if let Some(at) = found {
                self.ranges.remove(at);
                let span = usize::try_from(offset).unwrap()..usize::try_from(offset + len).unwrap();
                self.bytes[span].fill(false);
            }
            found.is_some()
        }

        fn prefix(&self) -> u64 {
            self.bytes.iter().take_while(|b| **b).count() as u64
        }
    }

    proptest! {
        #[test]
        fn coverage_agrees_with_a_naive_model(
            steps in prop::collection::vec((any::<bool>(), 0u64..64, 0u64..16), 0..80)
        ) {
            let mut coverage = Coverage::new();
            let mut naive = Naive { bytes: [false; 64], ranges: Vec::new() };
            for (insert, offset, len) in steps {
                let len = len.min(64 - offset);
                let range = ByteRange::new(offset, len).unwrap();
                if insert {
                    prop_assert_eq!(coverage.insert(range, ()), naive.insert(offset, len));
                } else {
                    prop_assert_eq!(coverage.remove(range).is_some(), naive.remove(offset, len));
                }
                prop_assert_eq!(coverage.prefix(), naive.prefix());
                let covered = naive.bytes.iter().filter(|b| **b).count();
                prop_assert_eq!(coverage.covered(), covered as u64);
                let end = naive.bytes.iter().rposition(|b| *b).map_or(0, |last| last as u64 + 1);
                prop_assert_eq!(coverage.end(), end);
                let later = naive.ranges.iter().map(|it| it.0).filter(|it| offset <= *it);
                let first = coverage.first_from(offset).map(ByteRange::offset);
                prop_assert_eq!(first, later.min());
                prop_assert_eq!(coverage.is_full(64), naive.prefix() == 64);
                prop_assert_eq!(coverage.count(), naive.ranges.len());
                let gaps: u64 = coverage.gaps(0, 64).map(|(start, end)| end - start).sum();
                prop_assert_eq!(gaps, 64 - coverage.covered());
                let missing = |at: &u64| !naive.bytes[usize::try_from(*at).unwrap()];
                let listed: Vec<u64> = coverage.gaps(offset, 64).flat_map(|(a, b)| a..b).collect();
                prop_assert_eq!(listed, (offset..64).filter(missing).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn an_empty_file_is_full_only_with_its_empty_range() {
        let mut coverage = Coverage::new();
        assert!(!coverage.is_full(0));
        assert!(coverage.insert(ByteRange::new(0, 0).unwrap(), ()));
        assert!(coverage.is_full(0));
        assert!(
            !coverage.insert(ByteRange::new(0, 0).unwrap(), ()),
            "a second time is a duplicate"
        );
    }
}
