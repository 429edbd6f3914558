//! Bounds of the trash, and of what is found beside an older catalog.

use std::time::Duration;

/// Default of `trash_ttl`: how long what was set aside can be brought back.
pub const TRASH_TTL: Duration = Duration::from_hours(7 * 24);
/// Bytes of the note beside a file in the trash: the longest names and addresses, escaped.
pub const TRASH_NOTE_LEN_MAX: u64 = 64 * 1024;
/// Unfinished uploads for whose finished files a start looks by itself, those that are idle longest
/// first; the others are looked for when they are asked for.
pub const EVIDENCE_LOOKS_MAX: usize = 100_000;
