//! Tickets: short-lived permits that an application signs, so that a browser can upload directly.
//!
//! A ticket is a JWT (RFC 7519). The order of things is the promise: the key is chosen by us and
//! not by the ticket, the signature is checked before anything else is believed, and a claim that
//! restricts and is not understood refuses the ticket.

mod claims;
mod keys;

use std::sync::Arc;

use self::claims::Claims;
pub use self::{
    claims::Unusable,
    keys::{KeyError, TicketKeys},
};
use super::{Access, Caller, Denied, Means};
use crate::upload::{
    Accept, By, Day, FileName, Permit, Principal, Scope, Scopes, Timestamp, TokenId,
};

/// A ticket that was found good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// What its issuer calls it (`jti`).
    pub id: Option<String>,
    /// Whose pages may use it, as browsers write it.
    pub origin: Option<String>,
    /// What may be uploaded with it.
    pub permit: Arc<Permit>,
}

/// A ticket that is to be issued.
#[derive(Debug, Clone)]
pub struct NewTicket {
    /// For whom; a user of this name is made when it is first used.
    pub user: Principal,
    /// How long it counts.
    pub lifetime: std::time::Duration,
    /// The largest file, in bytes.
    pub max_size: Option<u64>,
    /// The one name that a file may have.
    pub filename: Option<FileName>,
    /// Which kinds of file there may be.
    pub accept: Accept,
    /// How many uploads may be begun.
    pub uploads: Option<u32>,
    /// The one day that a file may be scheduled for.
    pub scheduled: Option<Day>,
    /// Whose pages may use it.
    pub origin: Option<String>,
}

/// A ticket that was issued.
#[derive(Debug)]
pub struct Issued {
    /// What it is called (`jti`).
    pub id: TokenId,
    /// The ticket.
    pub ticket: String,
    /// When it ends.
    pub ends: Timestamp,
}

impl Access {
    /// Accepts tickets that were signed with these keys. From now on there are credentials: the
    /// public may not come any more where it might only for want of any.
    #[must_use]
    pub fn with_tickets(self, keys: TicketKeys) -> Self {
        Self { tickets: Some(keys), ..self }
    }

    /// Issues a ticket. Nothing if there is no key to sign with.
    #[must_use]
    pub fn issue_ticket(&self, new: NewTicket) -> Option<Issued> {
        let id = TokenId::new();
        let claims = Claims::of(new, id.to_string(), self.clock.now());
        let ticket = self.tickets.as_ref()?.sign(&claims)?;
        Some(Issued { id, ticket, ends: claims.ends() })
    }

    /// Who shows this ticket.
    pub(super) async fn ticket(&self, text: &str) -> Result<Caller, Denied> {
        let keys = self.tickets.as_ref().ok_or(Denied::Invalid)?;
        let (user, ticket) = keys.verify(text)?.read(self.clock.now())?;
        let means = Means::Ticket(ticket);
        let by = By { means: (&means).into(), ..By::server(self.clock.now()) };
        let known = self.known_user(&user, &by).await?;
        if known.is_none_or(|user| user.disabled_at.is_some()) {
            return Err(Denied::Invalid);
        }
        let scopes = Scopes::of(&[Scope::Upload]);
        Ok(Caller { principal: user, scopes, means })
    }
}
