//! A calendar day, as `YYYY-MM-DD`.

use std::{fmt, str::FromStr};

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A text that is not a calendar day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a calendar day is written YYYY-MM-DD, such as 2026-12-01")]
pub struct InvalidDay;

/// A day of the calendar, in no time zone of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(transparent)]
pub struct Day(#[schemars(with = "String", extend("format" = "date"))] Date);

impl Day {
    /// The day that it is at `now` in `zone`.
    #[must_use]
    pub fn at(now: Timestamp, zone: &TimeZone) -> Self {
        Self(now.to_zoned(zone.clone()).date())
    }

    /// The day after this one; the last day there can be is its own tomorrow.
    #[must_use]
    pub fn tomorrow(self) -> Self {
        Self(self.0.tomorrow().unwrap_or(self.0))
    }
}

impl FromStr for Day {
    type Err = InvalidDay;

    /// Strict: four digits, two, two; no time, no zone, no sign; a day that exists.
    fn from_str(text: &str) -> Result<Self, InvalidDay> {
        let digits = |part: &str, len: usize| {
            let ok = part.len() == len && part.bytes().all(|b| b.is_ascii_digit());
            if ok { part.parse::<i16>().map_err(|_| InvalidDay) } else { Err(InvalidDay) }
        };
        let mut parts = text.splitn(3, '-');
        let mut next = |len| digits(parts.next().ok_or(InvalidDay)?, len);
        let (year, month, day) = (next(4)?, next(2)?, next(2)?);
        let narrow = |n: i16| i8::try_from(n).map_err(|_| InvalidDay);
        Date::new(year, narrow(month)?, narrow(day)?).map(Self).map_err(|_| InvalidDay)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_written_one_way() {
        for good in ["2026-12-01", "2028-02-29", "0001-01-01", "9999-12-31"] {
            assert_eq!(good.parse::<Day>().map(|d| d.to_string()).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "tomorrow",
            "2026-2-1",
            "2026-02-30",
            "2027-02-29",
            "2026-13-01",
            "26-01-01",
            "2026-12-01T00:00",
            " 2026-12-01",
            "2026-12-01 ",
            "+026-12-01",
            "2026-12-011",
            "2026/12/01",
            "２０２６-12-01",
        ] {
            assert_eq!(bad.parse::<Day>(), Err(InvalidDay), "{bad:?}");
        }
    }

    #[test]
    fn the_zone_decides_which_day_it_is() {
        let now: Timestamp = "2026-12-31T23:30:00Z".parse().expect("a timestamp");
        let tokyo = TimeZone::get("Asia/Tokyo").expect("the bundled database has it");
        assert_eq!(Day::at(now, &TimeZone::UTC).to_string(), "2026-12-31");
        assert_eq!(Day::at(now, &tokyo).to_string(), "2027-01-01");
        assert_eq!(Day::at(now, &TimeZone::UTC).tomorrow(), Day::at(now, &tokyo));
    }
}
