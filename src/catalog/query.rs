//! What may be asked of a catalog.

use crate::upload::{CreativeId, Day, Principal, UploadId, UploadState};

/// Which uploads to list.
#[derive(Debug, Clone)]
pub struct UploadQuery {
    /// Whose.
    pub principal: Principal,
    /// In this state only.
    pub state: Option<UploadState>,
    /// Older than this one only.
    pub before: Option<UploadId>,
    /// How many at most.
    pub limit: usize,
}

/// Which creatives to list.
#[derive(Debug, Clone)]
pub struct CreativeQuery {
    /// Whose.
    pub principal: Principal,
    /// Scheduled on this day or later.
    pub from: Option<Day>,
    /// Scheduled on this day or earlier.
    pub to: Option<Day>,
    /// After this place in the order only.
    pub after: Option<(Day, CreativeId)>,
    /// How many at most.
    pub limit: usize,
}

/// What a person's probe by hand names of an upload: all that is given must agree.
#[derive(Debug, Clone)]
pub struct Resemblance {
    /// Whose.
    pub principal: Principal,
    /// The client's identifier.
    pub identifier: Option<String>,
    /// The client's name for the file.
    pub filename: Option<String>,
    /// The relative path.
    pub relative_path: Option<String>,
    /// The size of the file, in bytes.
    pub total: Option<u64>,
    /// The nominal size of a piece, in bytes.
    pub stride: Option<u64>,
    /// The number of pieces.
    pub count: Option<u64>,
}
