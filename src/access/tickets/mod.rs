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
use crate::catalog::CatalogError;
use crate::upload::{
    Accept, By, Day, Deed, FileName, Permit, Principal, Scope, Scopes, Timestamp, TokenId,
    limits::TICKET_LEN_MAX,
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

/// Why a ticket was not issued.
#[derive(Debug, thiserror::Error)]
pub enum NotIssued {
    /// There is no key to sign with.
    #[error("this server has no key to sign tickets with: its operator sets `ticket_key`")]
    NoKey,
    /// It says too much.
    #[error("the ticket would be too long to be sent: shorten `filename`, or `accept`")]
    TooLong,
    /// The audit trail cannot be written.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// A ticket that was issued.
#[derive(Debug)]
pub struct Issued {
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

    /// Issues a ticket. Errors: see [`NotIssued`]; nobody has the ticket then.
    pub async fn issue_ticket(&self, new: NewTicket, by: &By) -> Result<Issued, NotIssued> {
        let (id, user) = (TokenId::new(), new.user.clone());
        let claims = Claims::of(new, id.to_string(), self.clock.now());
        let ticket = self.tickets.as_ref().and_then(|keys| keys.sign(&claims));
        let ticket = ticket.ok_or(NotIssued::NoKey)?;
        if TICKET_LEN_MAX < ticket.len() {
            return Err(NotIssued::TooLong);
        }
        self.catalog.trail().note(&by.entry(Deed::TicketIssued, &user, &id)).await?;
        Ok(Issued { ticket, ends: claims.ends() })
    }

    /// Who shows this ticket.
    pub(super) async fn ticket(&self, text: &str, by: &By) -> Result<Caller, Denied> {
        let keys = self.tickets.as_ref().ok_or(Denied::Invalid)?;
        let (user, ticket) = keys.verify(text)?.read(by.at)?;
        let means = Means::Ticket(ticket);
        let by = By { means: (&means).into(), ..by.clone() };
        let known = self.known_user(&user, &by).await?;
        if known.is_none_or(|user| user.disabled_at.is_some()) {
            return Err(Unusable::Disabled.into());
        }
        let scopes = Scopes::of(&[Scope::Upload]);
        Ok(Caller { principal: user, scopes, means })
    }
}
