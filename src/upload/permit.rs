//! What a ticket allows, beside letting its holder in.

use sha2::{Digest, Sha256};

use super::{Accept, Day, FileName, Principal, Timestamp, limits};

/// What may be uploaded with a ticket: what is `None` is left to its holder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permit {
    /// The largest file, in bytes.
    pub max_size: Option<u64>,
    /// The one name that a file may have.
    pub filename: Option<FileName>,
    /// The one day that a file may be scheduled for.
    pub scheduled: Option<Day>,
    /// Which kinds of file there may be, of those that are taken at all.
    pub accept: Accept,
    /// How many uploads may be begun.
    pub allowance: Option<Allowance>,
}

/// How many uploads may be begun with a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Under which they are counted.
    pub ticket: TicketKey,
    /// At most so many.
    pub uploads: u32,
    /// When they need not be counted any more.
    pub expires_at: Timestamp,
}

/// What tells a ticket from others: a hash of its user and of what its issuer calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TicketKey(pub [u8; 32]);

impl TicketKey {
    /// The ticket that its issuer calls `id`, for this user.
    #[must_use]
    pub fn of(user: &Principal, id: &str) -> Self {
        // No name has a NUL in it: what is hashed can be read in one way only.
        let text = [user.as_str(), "\0", id].concat();
        Self(Sha256::digest(text).into())
    }
}

/// What a ticket does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotPermitted {
    /// Another name.
    #[error("the ticket is for a file called {0:?} only: send that, or get another ticket")]
    Name(String),
    /// Another day.
    #[error("the ticket is for {0} only: name that day, or get another ticket")]
    Day(Day),
    /// One upload too many.
    #[error("no more uploads may be begun with the ticket, for it is good for {0}: get another")]
    Uploads(u32),
}

impl Permit {
    /// The largest file in bytes, where at most `max` may come at all.
    #[must_use]
    pub fn at_most(&self, max: u64) -> u64 {
        self.max_size.map_or(max, |own| own.min(max))
    }

    /// Whether a file may have this name.
    pub fn check_name(&self, filename: &FileName) -> Result<(), NotPermitted> {
        match &self.filename {
            Some(only) if only != filename => {
                let shown = only.display_name().chars().take(limits::QUOTED_LEN_MAX).collect();
                Err(NotPermitted::Name(shown))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether a file may be scheduled for this day. Without one it is for the day of the ticket.
    pub fn check_day(&self, day: Option<Day>) -> Result<(), NotPermitted> {
        match (self.scheduled, day) {
            (Some(only), Some(day)) if only != day => Err(NotPermitted::Day(only)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permit_allows_what_it_names_and_one_that_names_nothing_everything() {
        let [a, b] = ["a.png", "b.png"].map(|name| FileName::new(name).expect("a name"));
        let [one, two] = ["2026-12-01", "2026-12-02"].map(|day| day.parse::<Day>().expect("a day"));
        let open = Permit::default();
        assert_eq!((open.check_name(&a), open.check_day(Some(one))), (Ok(()), Ok(())));
        let permit =
            Permit { filename: Some(a.clone()), scheduled: Some(one), ..Permit::default() };
        assert_eq!(permit.check_name(&a), Ok(()));
        assert_eq!(permit.check_name(&b), Err(NotPermitted::Name("a.png".into())));
        assert_eq!((permit.check_day(None), permit.check_day(Some(one))), (Ok(()), Ok(())));
        assert_eq!(permit.check_day(Some(two)), Err(NotPermitted::Day(one)));
    }

    #[test]
    fn tickets_of_two_users_are_two() {
        let key = |user: &str, id: &str| TicketKey::of(&Principal::named(user), id);
        assert_eq!(key("ann", "1"), key("ann", "1"));
        assert_ne!(key("ann", "1"), key("bob", "1"));
        assert_ne!(key("ann", "n1"), key("annn", "1"));
    }
}
