//! Finished files that are to leave their places.

use crate::upload::{CreativeId, FileName};

/// A finished file that is to leave its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doomed {
    /// The creative that it had, or would have had.
    pub id: CreativeId,
    /// The client's name for it.
    pub filename: FileName,
    /// What the trash is to know of it, as [`crate::upload::TrashNote::to_json`] gives it. Nothing
    /// if it goes for good, because its owner deleted it.
    pub note: Option<String>,
}
