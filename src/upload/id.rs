//! The ids that we make: of uploads, creatives and tokens.
//!
//! Invariant 1 of the design: no string from a client becomes a path. The only strings that name a
//! file on disk are the hyphenated lower-case forms of these ids, which hold `[0-9a-f-]` alone.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text that is not one of our ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id: a UUID in its hyphenated lower-case form is expected")]
pub struct InvalidId;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
        )]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id (UUIDv7): ids sort by the time of their making.
            #[must_use]
            #[expect(clippy::new_without_default, reason = "each call makes a different value")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The sixteen bytes of the id, as a catalog stores them.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// The id that [`Self::as_bytes`] gave.
            #[must_use]
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            /// Accepts exactly what [`fmt::Display`] writes, so that an id has one spelling.
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let uuid = Uuid::try_parse(text).map_err(|_| InvalidId)?;
                let id = Self(uuid);
                if id.to_string() == text { Ok(id) } else { Err(InvalidId) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

id! {
    /// One file on its way in.
    UploadId
}
id! {
    /// One published file; also the stem of its name in `completed/`.
    CreativeId
}
id! {
    /// One token.
    TokenId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let id = UploadId::new();
        let text = id.to_string();
        assert_eq!(text.parse::<UploadId>(), Ok(id));
        for other in [text.to_uppercase(), text.replace('-', ""), format!("{{{text}}}")] {
            assert_eq!(other.parse::<UploadId>(), Err(InvalidId), "{other}");
        }
        assert_eq!("../../etc/passwd".parse::<UploadId>(), Err(InvalidId));
    }

    #[test]
    fn ids_sort_by_the_time_of_their_making() {
        let ids: Vec<_> = (0..1000).map(|_| CreativeId::new()).collect();
        assert!(ids.is_sorted());
    }
}
