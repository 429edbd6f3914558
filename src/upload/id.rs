//! The ids that we make: of uploads, creatives and tokens.
//!
//! Invariant 1 of the design: no string from a client becomes a path. The only strings that name a
//! file on disk are the hyphenated lower-case forms of these ids, which hold `[0-9a-f-]` alone.

use std::{fmt, str::FromStr};

use jiff::{Timestamp, tz::TimeZone};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::{NoContext, Uuid};

use super::Day;

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
id! {
    /// One file in the trash. Holds the time at which it was put there, to the millisecond.
    TrashId
}

impl TrashId {
    /// A new id for what is put into the trash at this time.
    #[must_use]
    pub fn at(time: Timestamp) -> Self {
        let millis = u64::try_from(time.as_millisecond()).unwrap_or_default();
        let nanos = u32::try_from(millis % 1000).unwrap_or_default() * 1_000_000;
        Self(Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, millis / 1000, nanos)))
    }

    /// When it was put into the trash. An id that [`Self::at`] did not make has some other time.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        let (seconds, nanos) = self.0.get_timestamp().map_or((0, 0), |time| time.to_unix());
        let millis = seconds.saturating_mul(1000).saturating_add(u64::from(nanos / 1_000_000));
        let millis = i64::try_from(millis).unwrap_or(i64::MAX);
        Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
    }

    /// The day on which it was put into the trash, in UTC.
    #[must_use]
    pub fn day(&self) -> Day {
        Day::at(self.time(), &TimeZone::UTC)
    }
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
    fn the_id_of_a_file_in_the_trash_tells_when_it_was_put_there() {
        let time: Timestamp = "2026-12-31T23:59:59.999Z".parse().expect("a time");
        let id = TrashId::at(time);
        assert_eq!((id.time(), id.day().to_string().as_str()), (time, "2026-12-31"));
        assert_eq!(id.to_string().parse::<TrashId>().map(|it| it.time()), Ok(time));
        assert_eq!(TrashId::from_bytes([0xff; 16]).day(), TrashId::from_bytes([0; 16]).day());
    }

    #[test]
    fn ids_sort_by_the_time_of_their_making() {
        let ids: Vec<_> = (0..1000).map(|_| CreativeId::new()).collect();
        assert!(ids.is_sorted());
    }
}
