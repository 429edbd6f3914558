//! What time it is, and which day: the only place that reads the wall clock.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use jiff::tz::TimeZone;

use crate::upload::{Day, Timestamp};

/// The wall clock in the configured time zone.
#[derive(Debug, Clone)]
pub struct Clock {
    zone: TimeZone,
    /// Milliseconds since the epoch, where a test decides the time.
    manual: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system(zone: TimeZone) -> Self {
        Self { zone, manual: None }
    }

    /// A clock that stands still until [`Self::advance`] moves it.
    #[must_use]
    pub fn manual(zone: TimeZone, start: Timestamp) -> Self {
        Self { zone, manual: Some(Arc::new(AtomicI64::new(start.as_millisecond()))) }
    }

    /// Moves a manual clock by so many milliseconds, either way. No effect on the machine's.
    pub fn advance(&self, by_ms: i64) {
        if let Some(manual) = &self.manual {
            manual.fetch_add(by_ms, Ordering::SeqCst);
        }
    }

    /// Now, to the millisecond: a catalog keeps no more, so what is read back is what was written.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let ms = match &self.manual {
            Some(manual) => manual.load(Ordering::SeqCst),
            None => Timestamp::now().as_millisecond(),
        };
        Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
    }

    /// The configured zone.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The day that it is now, in the configured zone.
    #[must_use]
    pub fn today(&self) -> Day {
        Day::at(self.now(), &self.zone)
    }
}
