//! Who may use the service: users and their tokens.
//!
//! Kept with the facts about uploads, because those refer to it: a user goes only after all that is
//! his.

use std::fmt;

use async_trait::async_trait;

use super::CatalogError;
use crate::upload::{
    By, CodeRecord, Principal, TicketKey, Timestamp, TokenId, TokenKind, TokenRecord, User,
};

/// What came of the wish to change an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmailChange {
    /// It is changed.
    Done,
    /// It is another user's.
    Taken,
    /// There is no such user.
    Unknown,
}

/// The users and their tokens.
///
/// Contract (held by `catalog::contract`): as that of [`super::Catalog`]. E-mail addresses are
/// compared without regard to the case of ASCII letters. [`Self::put_code`], [`Self::try_code`] and
/// [`Self::code_sent`] write to the disk whatever they find, so that the time they take does not
/// tell whether there is a user.
///
/// Cancel safety: a call whose future is dropped may still take effect.
#[async_trait]
pub trait Directory: fmt::Debug + Send + Sync {
    /// Adds a user. Returns false, and changes nothing, if the name or the address is taken.
    async fn add_user(&self, user: &User, by: &By) -> Result<bool, CatalogError>;

    /// The user with this name.
    async fn user(&self, name: &Principal) -> Result<Option<User>, CatalogError>;

    /// The user with this e-mail address.
    async fn user_by_email(&self, email: &str) -> Result<Option<User>, CatalogError>;

    /// Up to `limit` users, by name, those after `after`.
    async fn users(
        &self,
        after: Option<&Principal>,
        limit: usize,
    ) -> Result<Vec<User>, CatalogError>;

    /// Disables a user at a time, or enables with none. Returns false if there is no such user.
    async fn disable_user(
        &self,
        name: &Principal,
        at: Option<Timestamp>,
        by: &By,
    ) -> Result<bool, CatalogError>;

    /// Gives a user this e-mail address, or none. Nothing changes if another user has it. The code
    /// that was sent to the former one counts no more.
    async fn set_email(
        &self,
        name: &Principal,
        email: Option<&str>,
        by: &By,
    ) -> Result<EmailChange, CatalogError>;

    /// Forgets a user with all tokens. What is left of ended uploads goes, too. Returns false, and
    /// changes nothing, if running uploads or creatives of the user are there, or no such user; if
    /// something is begun meanwhile, what is left of ended uploads and tokens may have gone.
    async fn remove_user(&self, name: &Principal, by: &By) -> Result<bool, CatalogError>;

    /// Adds a token. Returns false, and changes nothing, if its user is not there.
    async fn add_token(&self, token: &TokenRecord, by: &By) -> Result<bool, CatalogError>;

    /// The token with this id, and whose it is.
    async fn token(&self, id: TokenId) -> Result<Option<(TokenRecord, User)>, CatalogError>;

    /// The tokens of a kind, of one user or of all, the newest first, up to `limit`.
    async fn tokens(
        &self,
        user: Option<&Principal>,
        kind: TokenKind,
        limit: usize,
    ) -> Result<Vec<TokenRecord>, CatalogError>;

    /// Takes a token back, at the time that `by` says. Returns false if it is not there or was
    /// taken back before.
    async fn revoke_token(&self, id: TokenId, by: &By) -> Result<bool, CatalogError>;

    /// Remembers that a token was used.
    async fn token_used(&self, id: TokenId, at: Timestamp) -> Result<(), CatalogError>;

    /// Changes when a token ends. No effect on one that was taken back.
    async fn extend_token(&self, id: TokenId, until: Timestamp) -> Result<(), CatalogError>;

    /// Forgets sessions that ended before `before`, up to `limit`. Returns how many went.
    async fn purge_sessions(&self, before: Timestamp, limit: usize) -> Result<usize, CatalogError>;

    /// Keeps a code for its user, to whom it is sent at this address, in place of the one that
    /// there was. Returns false, and changes nothing, if there is no such user, or the address is
    /// not the user's any more.
    async fn put_code(&self, code: &CodeRecord, email: &str) -> Result<bool, CatalogError>;

    /// Takes one of the tries of the code of whoever has this address, and gives the code. Nothing
    /// if there is none that counts at `now` and has a try left, or its user is disabled.
    async fn try_code(
        &self,
        email: &str,
        now: Timestamp,
    ) -> Result<Option<CodeRecord>, CatalogError>;

    /// Forgets a code, because it was used, and adds the session of its user that it was used for:
    /// both or neither. Returns false, and changes nothing, if the code is not there any more.
    async fn spend_code(
        &self,
        code: &CodeRecord,
        session: &TokenRecord,
        by: &By,
    ) -> Result<bool, CatalogError>;

    /// Remembers that a code was sent. No effect if it is not there any more.
    async fn code_sent(&self, code: &CodeRecord) -> Result<(), CatalogError>;

    /// Up to `limit` codes that count at `now` and were not sent, those that end first first.
    async fn unsent_codes(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<CodeRecord>, CatalogError>;

    /// Forgets codes that ended before `before`, up to `limit`. Returns how many went.
    async fn purge_codes(&self, before: Timestamp, limit: usize) -> Result<usize, CatalogError>;

    /// How many uploads were begun with a ticket that allows only so many.
    async fn begun_with(&self, ticket: TicketKey) -> Result<u32, CatalogError>;

    /// Forgets what was counted for tickets that ended before `before`, up to `limit`, but for the
    /// `keep` tickets that end last: a clock that was wrong for a while must not make a ticket good
    /// again. Returns for how many.
    async fn purge_tickets(
        &self,
        before: Timestamp,
        keep: usize,
        limit: usize,
    ) -> Result<usize, CatalogError>;

    /// Whether there is any user: then the service is not for everybody.
    async fn has_users(&self) -> Result<bool, CatalogError>;
}
