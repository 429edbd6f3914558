//! Bounds of what is read back after the machine stopped uncleanly.

use super::MIB;

/// Slices of stored ranges that are read back at the same time because requests wait for them.
pub const VERIFIES_AT_ONCE: usize = 4;
/// Uploads of one principal that wait to be verified. One more is verified after the next request
/// for it.
pub const VERIFICATIONS_WAITING_MAX: usize = 10_000;
/// Ranges that are verified before the catalog is told, …
pub const VERIFIED_BATCH_LEN: usize = 256;
/// … unless they have so many bytes together.
pub const VERIFIED_BATCH_BYTES: u64 = 16 * MIB;
