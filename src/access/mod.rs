//! Who is asking, and what they may do.
//!
//! One question is answered here, for every request: which principal does it come from, and with
//! which scopes? What each address needs is the HTTP layer's table (`http::gate`); what belongs to
//! whom is held by engine and catalog.

mod caller;
mod remembered;
mod secret;
mod throttle;
mod tickets;
mod tokens;
mod users;

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

pub(crate) use self::throttle::place;
pub use self::{
    caller::{Caller, Means},
    secret::Token,
    tickets::{KeyError, NewTicket, Ticket, TicketKeys, Unusable},
    tokens::NewToken,
    users::UserError,
};
use self::{remembered::Remembered, throttle::Throttle};
use crate::{
    catalog::{Catalog, CatalogError, Directory},
    engine::Clock,
    upload::{Scope, Scopes},
};

/// Who may come without credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anonymous {
    /// Nobody.
    Never,
    /// Everybody, as long as there are no credentials: the first run on a loopback address.
    UntilUsers,
    /// Everybody: the operator said so.
    Always,
}

/// Why a request has no caller.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// It shows nothing, and must.
    #[error("credentials are required: send a token or a ticket, as `Authorization: Bearer …`")]
    Missing,
    /// What it shows is not valid, or not any more.
    #[error("the credentials are not valid, or not any more: get new ones")]
    Invalid,
    /// A ticket that was signed as it should be cannot be used.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// It could not be found out.
    #[error(transparent)]
    Unavailable(#[from] CatalogError),
}

/// Knows callers by what they show.
///
/// The only way in which this process changes users and tokens: what is remembered here is then
/// never older than the catalog.
#[derive(Debug)]
pub struct Access {
    catalog: Arc<dyn Catalog>,
    clock: Clock,
    anonymous: Anonymous,
    /// Whether there are users.
    has_users: AtomicBool,
    remembered: Remembered,
    /// With which tickets may be signed, if any count.
    tickets: Option<TicketKeys>,
    throttle: Throttle,
}

impl Access {
    /// Errors: the catalog cannot be asked whether there are users.
    pub async fn new(
        catalog: Arc<dyn Catalog>,
        clock: Clock,
        anonymous: Anonymous,
    ) -> Result<Self, CatalogError> {
        let has_users = AtomicBool::new(catalog.directory().has_users().await?);
        let (remembered, throttle) = (Remembered::default(), Throttle::default());
        Ok(Self { catalog, clock, anonymous, has_users, remembered, tickets: None, throttle })
    }

    fn directory(&self) -> &dyn Directory {
        self.catalog.directory()
    }

    /// Whether there is anybody who could show credentials.
    #[must_use]
    pub fn has_credentials(&self) -> bool {
        self.tickets.is_some() || self.has_users.load(Ordering::SeqCst)
    }

    /// Whether everybody may come.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.public().is_some()
    }

    /// The public, where there are no credentials and it may come: whatever a request shows is then
    /// for somebody else, such as a proxy.
    #[must_use]
    pub fn anybody(&self) -> Option<Caller> {
        self.public().filter(|_| !self.has_credentials()).map(Caller::anonymous)
    }

    /// What the public may do, if it may come.
    fn public(&self) -> Option<Scopes> {
        let guarded = self.has_credentials();
        match self.anonymous {
            // Where there is nobody else, nobody is to be kept apart from anybody.
            Anonymous::UntilUsers | Anonymous::Always if !guarded => Some(Scopes::all()),
            Anonymous::Always => Some(Scopes::of(&[Scope::Upload, Scope::Read])),
            Anonymous::UntilUsers | Anonymous::Never => None,
        }
    }

    /// Who shows this token or ticket, or nothing. Whoever shows a wrong one waits for the answer,
    /// the longer the more often: `peer` is where it came from.
    ///
    /// Cancel safety: may be dropped.
    pub async fn caller(
        &self,
        bearer: Option<&str>,
        peer: Option<IpAddr>,
    ) -> Result<Caller, Denied> {
        let Some(bearer) = bearer else {
            return self.public().map(Caller::anonymous).ok_or(Denied::Missing);
        };
        let found = self.bearer(bearer).await;
        if matches!(found, Err(Denied::Invalid)) {
            self.throttle.penalty(peer).await;
        }
        found
    }

    async fn bearer(&self, text: &str) -> Result<Caller, Denied> {
        if !Token::looks_like_one(text) {
            return self.ticket(text).await;
        }
        let token = text.parse::<Token>().map_err(|_| Denied::Invalid)?;
        let read = self.directory().token(token.id);
        let found = self.remembered.or_read(|it| &mut it.tokens, &token.id, read).await?;
        let (record, user) = found.ok_or(Denied::Invalid)?;
        let now = self.clock.now();
        // The secret first: who has not got it learns nothing of the rest, not by time either.
        let valid = token.fits(&record.hash) & record.is_valid(now) & user.disabled_at.is_none();
        if !valid {
            return Err(Denied::Invalid);
        }
        self.note_use(&record, now).await;
        let means = Means::Token(record.id);
        Ok(Caller { principal: user.name, scopes: record.scopes, means })
    }
}
