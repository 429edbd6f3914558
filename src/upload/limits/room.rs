//! Bounds of room on the disk.

use super::GIB;

/// Default of `reserve_free`: one part in so many of the disk, …
pub const RESERVE_FREE_PART: u64 = 20;
/// … and at most so many bytes.
pub const RESERVE_FREE_MAX: u64 = GIB;
/// Default of `max_reserved_share` where more than one may upload, in percent.
pub const RESERVED_SHARE_PERCENT: u8 = 25;
