//! How much room uploads leave alone.

use super::limits::{RESERVE_FREE_MAX, RESERVE_FREE_PART};

/// Room on the disk that no upload may take: the setting `reserve_free`. A full disk stops more
/// than uploads: the database that lies on it, its journal, the logs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reserve {
    /// A small part of the disk, and no more than is needed on a large one.
    #[default]
    Auto,
    /// So many bytes.
    Bytes(u64),
}

impl Reserve {
    /// How many bytes that is on a disk of `total` bytes.
    #[must_use]
    pub fn of(self, total: u64) -> u64 {
        match self {
            Self::Auto => RESERVE_FREE_MAX.min(total / RESERVE_FREE_PART),
            Self::Bytes(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upload::limits::{GIB, MIB};

    #[test]
    fn the_default_is_a_part_of_a_small_disk_and_a_gibibyte_of_a_large_one() {
        assert_eq!(Reserve::Auto.of(0), 0);
        assert_eq!(Reserve::Auto.of(100 * MIB), 5 * MIB);
        assert_eq!(Reserve::Auto.of(20 * GIB), GIB);
        assert_eq!(Reserve::Auto.of(u64::MAX), GIB);
        assert_eq!(Reserve::Bytes(7).of(5), 7);
    }
}
