//! Sizes and spans of time as people write them.
//!
//! What [`fmt::Display`] writes parses back to the same value, so that printed settings can be fed
//! in again.

use std::{fmt, str::FromStr, time::Duration};

use jiff::{SignedDuration, Span, SpanRelativeTo};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::upload::limits;

/// A number of bytes, such as `256 MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// A text that is not a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a size is written like 256 MiB, 1.5 GB or 4096 (bytes)")]
pub struct InvalidSize;

impl FromStr for ByteSize {
    type Err = InvalidSize;

    fn from_str(text: &str) -> Result<Self, InvalidSize> {
        let size = text.trim().parse::<bytesize::ByteSize>().map_err(|_| InvalidSize)?;
        Ok(Self(size.as_u64()))
    }
}

impl fmt::Display for ByteSize {
    /// In the largest unit that leaves nothing over: rounding would not parse back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [
            (1024 * limits::GIB, "TiB"),
            (limits::GIB, "GiB"),
            (limits::MIB, "MiB"),
            (limits::KIB, "KiB"),
        ];
        let even = |(len, _): &(u64, &str)| self.0 != 0 && self.0.is_multiple_of(*len);
        let (len, unit) = units.into_iter().find(even).unwrap_or((1, "B"));
        write!(f, "{} {unit}", self.0 / len)
    }
}

/// A length of time, such as `1h 30m`. Never negative; a day has 24 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeSpan(pub Duration);

/// A text that is not a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a time is written like 24h, 1h 30m, 7 days or 90 (seconds), and is at most ten years")]
pub struct InvalidSpan;

impl FromStr for TimeSpan {
    type Err = InvalidSpan;

    fn from_str(text: &str) -> Result<Self, InvalidSpan> {
        let text = text.trim();
        let span = match text.parse::<u64>() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => friendly(text).ok_or(InvalidSpan)?,
        };
        if span <= limits::SPAN_MAX { Ok(Self(span)) } else { Err(InvalidSpan) }
    }
}

/// Nothing for months and years, whose length depends on where they begin, and for what is past.
fn friendly(text: &str) -> Option<Duration> {
    let span: Span = text.parse().ok()?;
    let span = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(span).ok()
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", SignedDuration::try_from(self.0).unwrap_or(SignedDuration::MAX))
    }
}

/// A value of `flowstitch.toml` that stands for a text: 4096 is as good as "4096".
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a text or a whole number that is not negative")]
enum Written {
    Number(u64),
    Text(String),
}

/// Reads a value that has a [`FromStr`].
pub(super) fn from_text<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    let text = match Written::deserialize(deserializer)? {
        Written::Number(number) => number.to_string(),
        Written::Text(text) => text,
    };
    text.parse().map_err(de::Error::custom)
}

/// Lets types go in and out of `flowstitch.toml` as they go in and out of a flag.
macro_rules! serde_as_text {
    ($($type:ty),+) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::config::units::from_text(deserializer)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )+};
}
pub(super) use serde_as_text;

serde_as_text!(ByteSize, TimeSpan);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("256 MiB", 256 << 20),
            ("256MiB", 256 << 20),
            (" 1 tib ", 1 << 40),
            ("1.5 GB", 1_500_000_000),
            ("9007199254740993 B", 9_007_199_254_740_993),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text:?}");
        }
        for bad in ["", "-1", "MiB", "1 apple", "1,5 GB"] {
            assert_eq!(bad.parse::<ByteSize>(), Err(InvalidSize), "{bad:?}");
        }
    }

    #[test]
    fn spans_are_read_as_people_write_them() {
        for (text, millis) in [
            ("0", 0),
            ("0s", 0),
            ("90", 90_000),
            ("24h", 86_400_000),
            ("1h 30m", 5_400_000),
            ("7 days", 7 * 86_400_000),
            ("1 week", 7 * 86_400_000),
            ("250ms", 250),
        ] {
            assert_eq!(text.parse(), Ok(TimeSpan(Duration::from_millis(millis))), "{text:?}");
        }
        for bad in ["", "-1", "-5s", "5s ago", "1 month", "soon", "1.5.2s", "99999999999"] {
            assert_eq!(bad.parse::<TimeSpan>(), Err(InvalidSpan), "{bad:?}");
        }
    }

    #[test]
    fn what_is_printed_parses_back() {
        for bytes in [0, 1, 1023, 1024, 1025, 3 << 20, 5 << 30, 7 << 40, u64::MAX] {
            let size = ByteSize(bytes);
            assert_eq!(size.to_string().parse(), Ok(size), "{size}");
        }
        for millis in [0, 1, 999, 1000, 1001, 90_000, 86_400_000, 86_400_000 * 3650] {
            let span = TimeSpan(Duration::from_millis(millis));
            assert_eq!(span.to_string().parse(), Ok(span), "{span}");
        }
        assert_eq!(ByteSize(256 << 20).to_string(), "256 MiB");
        assert_eq!(TimeSpan(Duration::from_mins(90)).to_string(), "1h 30m");
    }
}
