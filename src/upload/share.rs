//! How much of the free disk one principal may keep for itself.

use super::limits::RESERVED_SHARE_PERCENT;

/// What the unfinished uploads of one principal may reserve of the disk: the setting
/// `max_reserved_share`. Whoever declares a large file and sends little of it takes room from
/// everybody else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Share {
    /// A part, as soon as there is more than one who may upload.
    #[default]
    Auto,
    /// So many percent of what is free, also for the only one.
    Percent(u8),
    /// As much as there is.
    Whole,
}

impl Share {
    /// How many bytes that are of `room`; nothing if there is no limit. `is_shared` says whether
    /// more than one principal may upload.
    #[must_use]
    pub fn of(self, room: u64, is_shared: bool) -> Option<u64> {
        let percent = match self {
            Self::Auto if is_shared => RESERVED_SHARE_PERCENT,
            Self::Percent(percent) => percent,
            Self::Auto | Self::Whole => return None,
        };
        let bytes = u128::from(room) * u128::from(percent) / 100;
        Some(u64::try_from(bytes).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_by_default_if_there_is_somebody_to_share_with() {
        assert_eq!(Share::Auto.of(1000, true), Some(250));
        assert_eq!(Share::Auto.of(1000, false), None);
        assert_eq!(Share::Percent(10).of(1000, false), Some(100));
        assert_eq!(Share::Percent(100).of(u64::MAX, true), Some(u64::MAX));
        assert_eq!(Share::Whole.of(1000, true), None);
    }
}
