//! Who is asking, and what they may do.
//!
//! One question is answered here, for every request: which principal does it come from, and with
//! which scopes? What each address needs is the HTTP layer's table (`http::gate`); what belongs to
//! whom is held by engine and catalog.

mod caller;
mod code;
mod courier;
mod forward;
mod pace;
mod rates;
mod remembered;
mod secret;
mod session;
mod throttle;
mod tickets;
mod tokens;
mod users;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

pub(crate) use self::throttle::place;
pub use self::{
    caller::{Caller, Means, Shown},
    courier::{AskedFrom, NoCode},
    forward::{Forward, ForwardError, ForwardOptions, ForwardSetUpError},
    rates::{RateLimits, Rates},
    secret::Token,
    session::SessionTerms,
    tickets::{Issued, KeyError, NewTicket, NotIssued, Ticket, TicketKeys, Unusable},
    tokens::NewToken,
    users::UserError,
};
use http::request;

use self::{courier::Courier, remembered::Remembered, throttle::Throttle};
use crate::{
    catalog::{Catalog, CatalogError, Directory},
    engine::Clock,
    upload::{AccessState, By, Scope, Scopes},
};

/// Who may come without credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anonymous {
    /// Everybody, as long as the service is [`AccessState::Open`], and then nobody.
    WhileOpen,
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
    /// It shows two credentials, and they differ.
    #[error("the request shows two different credentials: send one, in one place")]
    Ambiguous,
    /// It shows a token where only tickets belong.
    #[error(
        "`ticket` takes tickets only: send a token as `Authorization: Bearer …`, and revoke this \
         one if others may have seen the address"
    )]
    Misplaced,
    /// Whoever is asked elsewhere does not know who it is.
    #[error("nobody is signed in: sign in, or send a token, as `Authorization: Bearer …`")]
    Unknown,
    /// Whoever is asked elsewhere does not let this one pass, or the operator does not.
    #[error("you are not allowed to use this service: ask whoever runs it")]
    Refused,
    /// A code to sign in that is not the one that was sent, or does not count any more.
    #[error("the code is not valid, or not any more: check it, or ask for a new one")]
    Code,
    /// A ticket that was signed as it should be cannot be used.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// It could not be found out.
    #[error(transparent)]
    Unavailable(#[from] CatalogError),
    /// It could not be asked elsewhere.
    #[error(transparent)]
    Forward(#[from] ForwardError),
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
    /// Whether the service is [`AccessState::Open`].
    open: AtomicBool,
    remembered: Remembered,
    /// With which tickets may be signed, if any count.
    tickets: Option<TicketKeys>,
    /// Who else is asked, if anybody is.
    forward: Option<Forward>,
    throttle: Throttle,
    sessions: SessionTerms,
    /// Sends codes, if there is anybody who takes mail.
    courier: Option<Courier>,
}

impl Access {
    /// Errors: the catalog cannot be asked whether there are users.
    pub async fn new(
        catalog: Arc<dyn Catalog>,
        clock: Clock,
        anonymous: Anonymous,
        state: AccessState,
    ) -> Result<Self, CatalogError> {
        let has_users = AtomicBool::new(catalog.directory().has_users().await?);
        Ok(Self {
            catalog,
            clock,
            anonymous,
            has_users,
            open: AtomicBool::new(state == AccessState::Open),
            remembered: Remembered::default(),
            tickets: None,
            forward: None,
            throttle: Throttle::default(),
            sessions: SessionTerms::default(),
            courier: None,
        })
    }

    fn directory(&self) -> &dyn Directory {
        self.catalog.directory()
    }

    /// Whether there is anybody who could show credentials.
    #[must_use]
    pub fn has_credentials(&self) -> bool {
        let elsewhere = self.tickets.is_some() || self.forward.is_some();
        elsewhere || self.has_users()
    }

    /// Whether there are users, as whom one could sign in.
    #[must_use]
    pub fn has_users(&self) -> bool {
        self.has_users.load(Ordering::SeqCst)
    }

    /// Who may use the service, as it is stored.
    #[must_use]
    pub fn state(&self) -> AccessState {
        if self.open.load(Ordering::SeqCst) { AccessState::Open } else { AccessState::Users }
    }

    /// Whether nobody has decided yet who may come, so that everybody on this machine may.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        self.anonymous == Anonymous::WhileOpen && self.state() == AccessState::Open
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
        match self.anonymous {
            // Where there is nobody else, nobody is to be kept apart from anybody.
            Anonymous::WhileOpen if self.is_undecided() => Some(Scopes::all()),
            Anonymous::Always => Some(Scopes::of(&[Scope::Upload, Scope::Read])),
            Anonymous::WhileOpen => None,
        }
    }

    /// Who shows this token or ticket, or nothing. Whoever shows a wrong one waits for the answer,
    /// the longer the more often: `by` says where it came from. Of what is none of ours, somebody
    /// else may know whose it is.
    ///
    /// Cancel safety: may be dropped.
    pub async fn caller(
        &self,
        shown: Shown<'_>,
        by: &By,
        request: &request::Parts,
    ) -> Result<Caller, Denied> {
        let found = self.identify(shown, by, request).await;
        if matches!(found, Err(Denied::Invalid)) {
            self.throttle.penalty(by.address).await;
        }
        found
    }

    /// As [`Self::caller`], of a request that was let in before: nobody waits, and what is wrong
    /// by now costs nothing. Credentials must not have expired at the time of `by`.
    ///
    /// Cancel safety: may be dropped.
    pub async fn identify(
        &self,
        shown: Shown<'_>,
        by: &By,
        request: &request::Parts,
    ) -> Result<Caller, Denied> {
        let found = match shown {
            Shown::Header(text) => self.bearer(text, by).await,
            Shown::Field(text) => self.ticket(text, by).await,
            Shown::Nothing => Err(Denied::Missing),
        };
        let found = match (found, &self.forward) {
            (Err(Denied::Missing | Denied::Invalid), Some(forward)) if shown.may_be_foreign() => {
                self.forwarded(forward, request, by).await
            }
            (found, _) => found,
        };
        match found {
            Err(why @ (Denied::Missing | Denied::Unknown)) if shown == Shown::Nothing => {
                self.public().map(Caller::anonymous).ok_or(why)
            }
            found => found,
        }
    }

    async fn bearer(&self, text: &str, by: &By) -> Result<Caller, Denied> {
        if !Token::looks_like_one(text) {
            return self.ticket(text, by).await;
        }
        let token = text.parse::<Token>().map_err(|_| Denied::Invalid)?;
        let (record, user) = self.known_token(token.id).await?.ok_or(Denied::Invalid)?;
        let now = by.at;
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
