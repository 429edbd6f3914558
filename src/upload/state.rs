//! The states of an upload and the only ways from one to the next.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where an upload stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UploadState {
    /// Ranges are still missing.
    Receiving,
    /// Every range is here; the file is being checked and published.
    Stitching,
    /// The file is published and its creative is recorded. Final.
    Complete,
    /// The file was refused for good. Final.
    Failed,
    /// The client gave it up. Final.
    Cancelled,
    /// Nothing came for too long. Final.
    Expired,
}

impl UploadState {
    /// Every state, in the order of an upload's life.
    pub const ALL: [Self; 6] = [
        Self::Receiving,
        Self::Stitching,
        Self::Complete,
        Self::Failed,
        Self::Cancelled,
        Self::Expired,
    ];

    /// The word for it, in answers and in a catalog.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Receiving => "receiving",
            Self::Stitching => "stitching",
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    /// The state that [`Self::as_str`] names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Whether bytes may still come or are still being worked on.
    #[must_use]
    pub fn is_running(self) -> bool {
        match self {
            Self::Receiving | Self::Stitching => true,
            Self::Complete | Self::Failed | Self::Cancelled | Self::Expired => false,
        }
    }

    /// Whether an upload may go from this state to that one.
    ///
    /// `Stitching` goes back to `Receiving` when a range that was read back did not match its
    /// checksum. From the four final states there is no way on.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Receiving => {
                matches!(next, Self::Stitching | Self::Failed | Self::Cancelled | Self::Expired)
            }
            Self::Stitching => {
                matches!(next, Self::Receiving | Self::Complete | Self::Failed | Self::Cancelled)
            }
            Self::Complete | Self::Failed | Self::Cancelled | Self::Expired => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_legal_transitions_are_these_and_no_others() {
        use UploadState::{Cancelled, Complete, Expired, Failed, Receiving, Stitching};
        let legal = [
            (Receiving, Stitching),
            (Receiving, Failed),
            (Receiving, Cancelled),
            (Receiving, Expired),
            (Stitching, Receiving),
            (Stitching, Complete),
            (Stitching, Failed),
            (Stitching, Cancelled),
        ];
        for from in UploadState::ALL {
            for to in UploadState::ALL {
                assert_eq!(from.may_become(to), legal.contains(&(from, to)), "{from:?} → {to:?}");
            }
            assert_eq!(
                from.is_running(),
                UploadState::ALL.into_iter().any(|to| from.may_become(to))
            );
            assert_eq!(UploadState::from_word(from.as_str()), Some(from));
        }
    }
}
