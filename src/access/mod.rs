//! Who is asking, and what they may do.
//!
//! One question is answered here, for every request: which principal does it come from, and with
//! which scopes? What each address needs is the HTTP layer's table (`http::gate`); what belongs to
//! whom is held by engine and catalog.

mod caller;
mod secret;
mod throttle;
mod tickets;
mod tokens;
mod users;

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use self::throttle::Throttle;
pub(crate) use self::throttle::place;
pub use self::{
    caller::{Caller, Means},
    secret::Token,
    tickets::{Issued, KeyError, NewTicket, Ticket, TicketKeys, Unusable},
    tokens::NewToken,
    users::UserError,
};
use crate::{
    catalog::{Catalog, CatalogError, Directory},
    engine::Clock,
    upload::{Scope, Scopes, TokenId, TokenRecord, User, limits::TOKENS_REMEMBERED_MAX},
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
    tokens: Mutex<Remembered>,
    /// With which tickets may be signed, if any count.
    tickets: Option<TicketKeys>,
    throttle: Throttle,
}

/// Tokens that were looked up, until anything changes.
#[derive(Debug, Default)]
struct Remembered {
    tokens: HashMap<TokenId, (TokenRecord, User)>,
    /// Rises with every change: what was read before one is not remembered after it.
    changes: u64,
}

impl Access {
    /// Errors: the catalog cannot be asked whether there are users.
    pub async fn new(
        catalog: Arc<dyn Catalog>,
        clock: Clock,
        anonymous: Anonymous,
    ) -> Result<Self, CatalogError> {
        let has_users = AtomicBool::new(catalog.directory().has_users().await?);
        let (tokens, throttle) = (Mutex::default(), Throttle::default());
        Ok(Self { catalog, clock, anonymous, has_users, tokens, tickets: None, throttle })
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
        let (record, user) = self.look_up(token.id).await?.ok_or(Denied::Invalid)?;
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

    async fn look_up(&self, id: TokenId) -> Result<Option<(TokenRecord, User)>, CatalogError> {
        let changes = {
            let remembered = self.remembered();
            if let Some(known) = remembered.tokens.get(&id) {
                return Ok(Some(known.clone()));
            }
            remembered.changes
        };
        let found = self.directory().token(id).await?;
        let mut remembered = self.remembered();
        if let Some(found) = found.as_ref().filter(|_| remembered.changes == changes) {
            if TOKENS_REMEMBERED_MAX <= remembered.tokens.len() {
                remembered.tokens.clear();
            }
            remembered.tokens.insert(id, found.clone());
        }
        Ok(found)
    }

    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
