//! The geometry of an upload: valid, or it does not exist.

use super::{ByteRange, limits};

/// A geometry that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlan {
    /// The pieces have no size.
    #[error("the piece size must be at least 1 byte")]
    NoStride,
    /// The pieces do not tile the file.
    #[error("{count} pieces of {stride} bytes cannot make {total} bytes: {floor} or {ceil} can")]
    WrongCount {
        /// How many pieces were named.
        count: u64,
        /// The nominal size of a piece, in bytes.
        stride: u64,
        /// The size of the file, in bytes.
        total: u64,
        /// The count if the last piece takes what is left over.
        floor: u64,
        /// The count if what is left over is a piece of its own.
        ceil: u64,
    },
    /// More pieces than [`limits::PIECE_COUNT_MAX`].
    #[error(
        "{count} pieces are too many: at most {max}; use larger ones",
        max = limits::PIECE_COUNT_MAX
    )]
    TooManyPieces {
        /// How many pieces were named.
        count: u64,
    },
    /// The file would be larger than a file can be.
    #[error("no file can be {total} bytes long")]
    TooLarge {
        /// The size of the file, in bytes.
        total: u64,
    },
}

/// How a file of `total` bytes is cut into `count` pieces, all but the last `stride` bytes long.
///
/// Two layouts exist, and the three numbers tell which: with the *floor* rule the last piece also
/// takes the remainder (up to `2·stride − 1` bytes), with the *ceil* rule the remainder is a piece
/// of its own. One piece is the whole file, whatever the stride. Piece `i` always begins at
/// `i·stride`. All three numbers fit an `i64`, as catalogs store them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Plan {
    total: u64,
    stride: u64,
    count: u64,
}

impl Plan {
    /// The plan with these three numbers; sizes in bytes.
    pub fn new(total: u64, stride: u64, count: u64) -> Result<Self, InvalidPlan> {
        if i64::MAX as u64 <= total {
            return Err(InvalidPlan::TooLarge { total });
        }
        if count == 1 {
            // A stride past the largest offset says no more than that offset does.
            return Ok(Self { total, stride: stride.clamp(1, i64::MAX as u64), count });
        }
        if stride == 0 {
            return Err(InvalidPlan::NoStride);
        }
        let (floor, ceil) = ((total / stride).max(1), total.div_ceil(stride).max(1));
        if count != floor && count != ceil {
            return Err(InvalidPlan::WrongCount { count, stride, total, floor, ceil });
        }
        if limits::PIECE_COUNT_MAX < count {
            return Err(InvalidPlan::TooManyPieces { count });
        }
        Ok(Self { total, stride, count })
    }

    /// A file that comes in one piece.
    pub fn whole(total: u64) -> Result<Self, InvalidPlan> {
        Self::new(total, total, 1)
    }

    /// The size of the file, in bytes.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The nominal size of a piece, in bytes; at least 1.
    #[must_use]
    pub fn stride(&self) -> u64 {
        self.stride
    }

    /// How many pieces there are; at least 1.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The range of the piece with this index (from 0), or nothing past the last.
    #[must_use]
    pub fn piece(&self, index: u64) -> Option<ByteRange> {
        if self.count <= index {
            return None;
        }
        let offset = index.checked_mul(self.stride)?;
        let last = index + 1 == self.count;
        let len = if last { self.total.checked_sub(offset)? } else { self.stride };
        ByteRange::new(offset, len).ok()
    }

    /// The index of the piece that is exactly this range.
    #[must_use]
    pub fn index_of(&self, range: ByteRange) -> Option<u64> {
        let index = range.offset() / self.stride;
        (self.piece(index) == Some(range)).then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn lens(plan: Plan) -> Vec<u64> {
        (0..plan.count()).map(|i| plan.piece(i).unwrap().len()).collect()
    }

    #[test]
    fn the_table_of_the_flow_js_contract() {
        let floor = |t: u64| Plan::new(t, MIB, (t / MIB).max(1)).unwrap();
        let ceil = |t: u64| Plan::new(t, MIB, t.div_ceil(MIB).max(1)).unwrap();
        assert_eq!(lens(floor(0)), [0]);
        assert_eq!(lens(ceil(0)), [0]);
        assert_eq!(lens(floor(1)), [1]);
        assert_eq!(lens(floor(MIB + 1)), [MIB + 1]);
        assert_eq!(lens(ceil(MIB + 1)), [MIB, 1]);
        assert_eq!(lens(floor(2 * MIB - 1)), [2 * MIB - 1]);
        assert_eq!(lens(floor(2_621_440)), [MIB, 1_572_864]);
        assert_eq!(lens(ceil(2_621_440)), [MIB, MIB, 524_288]);
        assert_eq!(floor(10 << 30).count(), 10_240);
    }

    #[test]
    fn a_wrong_count_names_the_right_ones() {
        let error = Plan::new(10, 4, 4).unwrap_err();
        assert_eq!(error.to_string(), "4 pieces of 4 bytes cannot make 10 bytes: 2 or 3 can");
        assert_eq!(Plan::new(10, 0, 3), Err(InvalidPlan::NoStride));
        assert!(matches!(Plan::new(10, 4, 0), Err(InvalidPlan::WrongCount { .. })));
        assert!(matches!(Plan::new(u64::MAX, 4, 1), Err(InvalidPlan::TooLarge { .. })));
        assert!(matches!(Plan::new(1 << 40, 1, 1 << 40), Err(InvalidPlan::TooManyPieces { .. })));
    }

    #[test]
    fn one_piece_is_the_whole_file_whatever_the_stride() {
        for stride in [0, 1, 333, u64::MAX] {
            assert_eq!(lens(Plan::new(1000, stride, 1).unwrap()), [1000]);
        }
    }

    #[test]
    fn all_numbers_fit_a_catalog_and_make_the_same_plan_again() {
        for stride in [0, 1, 333, i64::MAX as u64, u64::MAX] {
            let plan = Plan::new(1000, stride, 1).unwrap();
            assert!(i64::try_from(plan.stride()).is_ok());
            assert_eq!(Plan::new(plan.total(), plan.stride(), plan.count()), Ok(plan));
        }
    }

    proptest! {
        #[test]
        fn both_layouts_tile_the_file_exactly(
            total in 0u64..5_000, stride in 1u64..600, ceil in any::<bool>()
        ) {
            let count = if ceil { total.div_ceil(stride) } else { total / stride }.max(1);
            let plan = Plan::new(total, stride, count).unwrap();
            let mut next = 0;
            for index in 0..plan.count() {
                let range = plan.piece(index).unwrap();
                prop_assert_eq!(range.offset(), next);
                prop_assert_eq!(range.offset(), index * stride);
                prop_assert!(range.len() < 2 * stride);
                prop_assert!(total == 0 || !range.is_empty());
                prop_assert_eq!(plan.index_of(range), Some(index));
                next = range.end();
            }
            prop_assert_eq!(next, total);
            prop_assert_eq!(plan.piece(plan.count()), None);
        }

        #[test]
        fn no_numbers_panic(total: u64, stride: u64, count: u64, index: u64) {
            if let Ok(plan) = Plan::new(total, stride, count) {
                let _ = plan.piece(index);
                prop_assert_eq!(plan.piece(plan.count() - 1).unwrap().end(), total);
            }
        }
    }
}
