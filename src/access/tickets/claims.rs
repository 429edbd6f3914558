//! What a ticket says, once it is known who says it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Number;

use super::{NewTicket, Ticket};
use crate::upload::{
    Accept, Allowance, Day, FileName, InvalidPrincipal, Permit, Principal, TicketKey, Timestamp,
    limits::{CLOCK_LEEWAY, TICKET_ID_LEN_MAX, TICKET_LIFETIME_MAX},
};

/// Whom tickets are for, if they say so.
const AUDIENCE: &str = "flowstitch";

/// The claims of a ticket. Those that are not listed say nothing to us (RFC 7519, 4).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) sub: String,
    /// May be absent as far as reading goes: its absence is refused with a better word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) exp: Option<Number>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) iat: Option<Number>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) nbf: Option<Number>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) jti: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) aud: Option<Audience>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) max_size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) filename: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) uploads: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) scheduled_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) origin: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) accept: Option<Vec<String>>,
}

/// One audience, or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Audience {
    One(String),
    Several(Vec<String>),
}

/// Why a ticket that was signed as it should be cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// A claim of another type than it must have, or no `sub`.
    #[error("the ticket has a claim that cannot be read, or no `sub`: see the list of claims")]
    Unreadable,
    /// The user.
    #[error("the `sub` of the ticket cannot be used: {0}")]
    Subject(#[from] InvalidPrincipal),
    /// No end.
    #[error("the ticket has no `exp`: it must say when it ends")]
    Endless,
    /// It is over.
    #[error("the ticket has expired: get a new one")]
    Expired,
    /// It has not begun.
    #[error("the ticket is not good yet: wait, or check the clock of whoever issued it")]
    Early,
    /// It lasts too long.
    #[error("the ticket is good for too long: for more than a day after it was issued")]
    Long,
    /// Somebody else's.
    #[error("the `aud` of the ticket names others: let it name {AUDIENCE:?}, or leave it out")]
    Audience,
    /// Its user.
    #[error("the user of the ticket may not use the service any more: ask whoever issued it")]
    Disabled,
    /// It cannot be counted.
    #[error(
        "a ticket with `uploads` needs a `jti`, and every `jti` has 1 to {TICKET_ID_LEN_MAX} bytes"
    )]
    Id,
    /// One that restricts, in a way that is not understood.
    #[error("the claim `{0}` of the ticket cannot be used")]
    Claim(&'static str),
}

impl Claims {
    /// The claims of a ticket of our own, from now on.
    pub(super) fn of(new: NewTicket, id: String, now: Timestamp) -> Self {
        let begin = now.as_second();
        let lifetime = i64::try_from(new.lifetime.as_secs()).unwrap_or(i64::MAX);
        Self {
            sub: new.user.as_str().to_owned(),
            exp: Some(begin.saturating_add(lifetime).into()),
            iat: Some(begin.into()),
            nbf: None,
            jti: Some(id),
            aud: Some(Audience::One(AUDIENCE.into())),
            max_size: new.max_size,
            filename: new.filename.map(|name| name.as_str().to_owned()),
            uploads: new.uploads,
            scheduled_at: new.scheduled.map(|day| day.to_string()),
            origin: new.origin,
            accept: (!new.accept.is_everything()).then(|| new.accept.kinds()),
        }
    }

    /// When it ends.
    pub(super) fn ends(&self) -> Timestamp {
        let second = self.exp.as_ref().and_then(Number::as_f64).unwrap_or(f64::MAX);
        #[expect(clippy::cast_possible_truncation, reason = "a cast that saturates is wanted")]
        Timestamp::from_second(second as i64).unwrap_or(Timestamp::MAX)
    }

    /// Whose ticket it is, and what it allows, if it is good at this time.
    pub(super) fn read(self, now: Timestamp) -> Result<(Principal, Ticket), Unusable> {
        self.check_times(now)?;
        self.check_audience()?;
        if self.jti.as_ref().is_some_and(|id| !is_id(id)) {
            return Err(Unusable::Id);
        }
        let user: Principal = self.sub.parse()?;
        let day = |text: &String| text.parse::<Day>().map_err(|_| Unusable::Claim("scheduled_at"));
        let permit = Permit {
            max_size: self.max_size,
            filename: self.filename.clone().map(filename).transpose()?,
            scheduled: self.scheduled_at.as_ref().map(day).transpose()?,
            accept: self.accept.as_deref().map(accept).transpose()?.unwrap_or_default(),
            allowance: self.allowance(&user)?,
        };
        let ticket = Ticket { id: self.jti, origin: self.origin, permit: Arc::new(permit) };
        Ok((user, ticket))
    }

    fn check_times(&self, now: Timestamp) -> Result<(), Unusable> {
        let seconds = |number: &Option<Number>| number.as_ref().and_then(Number::as_f64);
        let (now, leeway) = (now.as_duration().as_secs_f64(), CLOCK_LEEWAY.as_secs_f64());
        let exp = seconds(&self.exp).ok_or(Unusable::Endless)?;
        if exp + leeway <= now {
            return Err(Unusable::Expired);
        }
        let begins = [seconds(&self.iat), seconds(&self.nbf)];
        if begins.into_iter().flatten().any(|begin| now + leeway < begin) {
            return Err(Unusable::Early);
        }
        let issued = seconds(&self.iat).unwrap_or(now + leeway);
        if issued + TICKET_LIFETIME_MAX.as_secs_f64() < exp {
            return Err(Unusable::Long);
        }
        Ok(())
    }

    fn check_audience(&self) -> Result<(), Unusable> {
        let ours = match &self.aud {
            None => true,
            Some(Audience::One(name)) => name == AUDIENCE,
            Some(Audience::Several(names)) => names.iter().any(|name| name == AUDIENCE),
        };
        if ours { Ok(()) } else { Err(Unusable::Audience) }
    }

    fn allowance(&self, user: &Principal) -> Result<Option<Allowance>, Unusable> {
        let Some(uploads) = self.uploads else { return Ok(None) };
        let id = self.jti.as_ref().ok_or(Unusable::Id)?;
        let expires_at = self.ends().saturating_add(CLOCK_LEEWAY).unwrap_or(Timestamp::MAX);
        Ok(Some(Allowance { ticket: TicketKey::of(user, id), uploads, expires_at }))
    }
}

fn is_id(id: &str) -> bool {
    (1..=TICKET_ID_LEN_MAX).contains(&id.len())
}

/// An empty name would be another one once it is a file's.
fn filename(name: String) -> Result<FileName, Unusable> {
    let wrong = Unusable::Claim("filename");
    if name.is_empty() { Err(wrong) } else { FileName::new(name).map_err(|_| wrong) }
}

/// No kind at all is what nobody means.
fn accept(kinds: &[String]) -> Result<Accept, Unusable> {
    Accept::of(kinds.iter().map(String::as_str))
        .ok()
        .filter(|it| !it.is_everything())
        .ok_or(Unusable::Claim("accept"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: i64 = 1_800_000_000;
    const DAY: i64 = 24 * 3600;

    /// What is made of a ticket with `more` beside `sub` and an `exp` in a minute.
    #[expect(clippy::needless_pass_by_value, reason = "values are made where they are passed")]
    fn read(more: Value) -> Result<(Principal, Ticket), Unusable> {
        let mut claims = json!({ "sub": "ann", "exp": NOW + 60 });
        let fields = claims.as_object_mut().expect("an object");
        fields.extend(more.as_object().expect("an object").clone());
        let claims: Claims = serde_json::from_value(claims).map_err(|_| Unusable::Unreadable)?;
        claims.read(Timestamp::from_second(NOW).expect("a time"))
    }

    #[test]
    fn a_ticket_counts_from_its_beginning_to_its_end_give_or_take_a_minute() {
        for good in [
            json!({}),
            json!({ "exp": NOW - 59 }),
            json!({ "exp": 1_799_999_940.5 }),
            json!({ "iat": NOW + 60, "nbf": NOW + 60, "exp": NOW + 120 }),
            json!({ "iat": NOW, "exp": NOW + DAY }),
            json!({ "exp": NOW + DAY + 60 }),
            json!({ "iat": null, "nbf": null }),
        ] {
            assert!(read(good.clone()).is_ok(), "{good}");
        }
        for (bad, why) in [
            (json!({ "exp": null }), Unusable::Endless),
            (json!({ "exp": NOW - 60 }), Unusable::Expired),
            (json!({ "exp": NOW - 3600 }), Unusable::Expired),
            (json!({ "exp": -1e300 }), Unusable::Expired),
            (json!({ "iat": NOW + 61, "exp": NOW + 120 }), Unusable::Early),
            (json!({ "nbf": NOW + 3600, "exp": NOW + 7200 }), Unusable::Early),
            (json!({ "iat": NOW, "exp": NOW + DAY + 1 }), Unusable::Long),
            (json!({ "iat": NOW - 60, "exp": NOW + DAY }), Unusable::Long),
            (json!({ "exp": NOW + DAY + 61 }), Unusable::Long),
            (json!({ "exp": 1e300 }), Unusable::Long),
            (json!({ "exp": "soon" }), Unusable::Unreadable),
        ] {
            assert_eq!(read(bad.clone()), Err(why), "{bad}");
        }
    }

    #[test]
    fn a_claim_that_restricts_and_is_not_understood_refuses_the_ticket() {
        for (bad, why) in [
            (json!({ "aud": "others" }), Unusable::Audience),
            (json!({ "aud": [] }), Unusable::Audience),
            (json!({ "sub": "anonymous" }), Unusable::Subject(InvalidPrincipal::Reserved)),
            (json!({ "sub": "" }), Unusable::Subject(InvalidPrincipal::Length)),
            (json!({ "sub": "a\nb" }), Unusable::Subject(InvalidPrincipal::Character)),
            (json!({ "sub": 1 }), Unusable::Unreadable),
            (json!({ "max_size": -1 }), Unusable::Unreadable),
            (json!({ "max_size": "1 MB" }), Unusable::Unreadable),
            (json!({ "uploads": 1 }), Unusable::Id),
            (json!({ "uploads": 1, "jti": "" }), Unusable::Id),
            (json!({ "jti": "x".repeat(256) }), Unusable::Id),
            (json!({ "uploads": 1, "jti": "x".repeat(256) }), Unusable::Id),
            (json!({ "uploads": 1.5, "jti": "x" }), Unusable::Unreadable),
            (json!({ "filename": "" }), Unusable::Claim("filename")),
            (json!({ "filename": "x".repeat(20_000) }), Unusable::Claim("filename")),
            (json!({ "scheduled_at": "2026-12-1" }), Unusable::Claim("scheduled_at")),
            (json!({ "scheduled_at": "2026-12-01T00:00" }), Unusable::Claim("scheduled_at")),
            (json!({ "accept": [] }), Unusable::Claim("accept")),
            (json!({ "accept": ["*/*"] }), Unusable::Claim("accept")),
            (json!({ "accept": ["image/*,.pdf"] }), Unusable::Claim("accept")),
            (json!({ "accept": vec![".pdf"; 101] }), Unusable::Claim("accept")),
            (json!({ "accept": "image/*" }), Unusable::Unreadable),
        ] {
            assert_eq!(read(bad.clone()), Err(why), "{bad}");
        }
        for good in [json!({ "aud": "flowstitch" }), json!({ "aud": ["a", "flowstitch"] })] {
            assert!(read(good.clone()).is_ok(), "{good}");
        }
        let twice = r#"{"sub": "ann", "exp": 1, "max_size": 1, "max_size": 2}"#;
        assert!(serde_json::from_str::<Claims>(twice).is_err());
    }

    #[test]
    fn what_a_ticket_fixes_is_in_its_permit() {
        let (user, ticket) = read(json!({
            "jti": "7", "max_size": 10, "filename": "a.png", "uploads": 2, "origin": "https://a.b",
            "accept": ["image/*", ".pdf"],
            "scheduled_at": "2026-12-01", "name": "Ann",
        }))
        .expect("a good ticket");
        let allowance = ticket.permit.allowance.expect("an allowance");
        assert_eq!((user.as_str(), ticket.id.as_deref()), ("ann", Some("7")));
        assert_eq!(ticket.origin.as_deref(), Some("https://a.b"));
        assert_eq!(ticket.permit.max_size, Some(10));
        assert_eq!(ticket.permit.filename.as_ref().map(FileName::as_str), Some("a.png"));
        assert_eq!(ticket.permit.accept.to_string(), "image/*, .pdf");
        assert_eq!(ticket.permit.scheduled, "2026-12-01".parse().ok());
        assert_eq!((allowance.ticket, allowance.uploads), (TicketKey::of(&user, "7"), 2));
        assert_eq!(allowance.expires_at.as_second(), NOW + 120);
        assert_eq!(*read(json!({})).expect("a good ticket").1.permit, Permit::default());
    }
}
