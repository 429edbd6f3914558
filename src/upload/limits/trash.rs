//! Bounds of the trash, and of what is found beside an older catalog.

use std::time::Duration;

use crate::upload::Timestamp;

use super::{KIB, NAME_LEN_MAX, USER_NAME_LEN_MAX};

/// Default of `trash_ttl`: how long what was set aside can be brought back.
pub const TRASH_TTL: Duration = Duration::from_hours(7 * 24);
/// How long a file was at least seen in the trash by the running server before its age empties it,
/// if `trash_ttl` is not shorter: by a clock that does not jump.
pub const TRASH_SEEN_MIN: Duration = Duration::from_hours(12);
/// A file that says it went to the trash before this time (2026-01-01) went there under a wrong
/// clock: the running server must have seen it there for all of `trash_ttl`.
pub const TRASH_TIME_MIN: Timestamp = Timestamp::constant(1_767_225_600, 0);
/// What went to the trash in this time is not given up for an upload that needs the room.
pub const TRASH_KEPT: Duration = Duration::from_hours(6);
/// Bytes of the note beside a file in the trash: the longest names, each byte of which may become
/// an escape of six in JSON, and the rest.
pub const TRASH_NOTE_LEN_MAX: u64 = 6 * (NAME_LEN_MAX + USER_NAME_LEN_MAX) as u64 + 4 * KIB;
/// Unfinished uploads for whose finished files a start looks by itself, those that are idle longest
/// first; the others are looked for when they are asked for.
pub const EVIDENCE_LOOKS_MAX: usize = 100_000;
