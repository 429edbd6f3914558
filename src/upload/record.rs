//! What is kept of uploads and creatives: the values that a catalog stores.

use std::fmt;

pub use jiff::Timestamp;

use super::{
    Accept, ByteRange, CreativeId, Day, FileDigest, FileName, Identity, Principal, Sha256Digest,
    UploadId, UploadState,
};

/// The CRC-32 (IEEE) of a range's bytes, taken as they arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Checksum(pub u32);

/// A range that is safely here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredRange {
    /// Which bytes of the file.
    pub range: ByteRange,
    /// What they must still hash to when they are read back.
    pub checksum: Checksum,
}

/// How much of a running upload is here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many ranges; one of an empty file counts.
    pub ranges: u64,
    /// How many bytes they have together.
    pub bytes: u64,
}

/// Why an upload ended without a file, in words for its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndReason(pub String);

/// What holds up the completion of an upload whose ranges are all here. It is tried again: what was
/// acknowledged is given up by its client or by the operator, never by the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// How many attempts failed in a row; at least 1.
    pub attempts: u32,
    /// Why the last one failed, in words for the user and the operator.
    pub reason: String,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = if self.attempts == 1 { "once" } else { "several times" };
        write!(f, "completing it has failed {times} and is tried again: {}", self.reason)
    }
}

/// What is known of an upload but for its ranges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRecord {
    /// Our id.
    pub id: UploadId,
    /// What requests must share to belong to it.
    pub identity: Identity,
    /// The client's name for the file.
    pub filename: FileName,
    /// The day that the client asked for by name; without one the creative is for the day on
    /// which the upload completes.
    pub scheduled: Option<Day>,
    /// What the whole file must hash to, if the client said so.
    pub declared_sha256: Option<Sha256Digest>,
    /// Which kinds of file it may be, by the ticket with which it was begun.
    pub accept: Accept,
    /// The id that its creative will have: fixed from the start, so that a publish that a crash
    /// cut short is recognised and finished under the same name.
    pub creative_id: CreativeId,
    /// Where it stands.
    pub state: UploadState,
    /// Why it ended, if it ended without a file.
    pub reason: Option<EndReason>,
    /// What holds up its completion. Only ever set while it is `stitching`.
    pub trouble: Option<Trouble>,
    /// Whether some of its ranges must be read back before they are believed (an unclean start).
    /// The catalog says so; what is opened is never suspect.
    pub suspect: bool,
    /// Whether a probe or a lookup came after it had ended without a file, so that its identity
    /// is free again at once.
    pub released: bool,
    /// When its first request came.
    pub created_at: Timestamp,
    /// When its last range was stored.
    pub touched_at: Timestamp,
    /// When it reached a final state.
    pub ended_at: Option<Timestamp>,
}

impl UploadRecord {
    /// Why it ended without a file, or what holds up its completion.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        let reason = self.reason.as_ref().map(|reason| reason.0.clone());
        reason.or_else(|| self.trouble.as_ref().map(ToString::to_string))
    }
}

/// The record of a published file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creative {
    /// Our id; also the stem of the file's name in `completed/`.
    pub id: CreativeId,
    /// Whose it is.
    pub principal: Principal,
    /// The client's name for the file.
    pub filename: FileName,
    /// Its size, in bytes.
    pub size: u64,
    /// What it hashes to, as far as that was taken when it was stitched.
    pub digest: FileDigest,
    /// Its media type, by its first bytes or else by its name.
    pub content_type: String,
    /// The day it is scheduled for.
    pub scheduled: Day,
    /// When it was published.
    pub created_at: Timestamp,
    /// The upload it came from.
    pub upload_id: UploadId,
}
