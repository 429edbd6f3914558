//! Making tokens, and taking them back.

use std::time::Duration;

use super::{Access, Token, UserError};
use crate::{
    catalog::CatalogError,
    upload::{By, Principal, Scopes, Timestamp, TokenId, TokenKind, TokenRecord, User, limits},
};

/// A token that is to be made.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// For whom; a user of this name is made if there is none.
    pub user: Principal,
    /// What its owner will know it by.
    pub label: String,
    /// What may be done with it.
    pub scopes: Scopes,
    /// How long it counts; for ever, if nothing is said.
    pub lifetime: Option<Duration>,
}

impl Access {
    /// Makes a token for a program. The secret is in what is returned, and nowhere else.
    pub async fn create_token(
        &self,
        new: NewToken,
        by: &By,
    ) -> Result<(Token, TokenRecord), UserError> {
        if limits::TOKEN_LABEL_LEN_MAX < new.label.len() {
            return Err(UserError::Label);
        }
        self.known_user(&new.user, by).await?;
        let (token, record) = self.draw(new, TokenKind::Key)?;
        if self.directory().add_token(&record, by).await? {
            Ok((token, record))
        } else {
            Err(UserError::Unknown)
        }
    }

    /// Thinks one up, and what is to be kept of it.
    pub(super) fn draw(
        &self,
        new: NewToken,
        kind: TokenKind,
    ) -> Result<(Token, TokenRecord), getrandom::Error> {
        let token = Token::new()?;
        let now = self.clock.now();
        let record = TokenRecord {
            id: token.id,
            user: new.user,
            label: new.label,
            hash: token.hash(),
            scopes: new.scopes,
            kind,
            created_at: now,
            expires_at: new.lifetime.map(|lifetime| later(now, lifetime)),
            used_at: None,
            revoked_at: None,
        };
        Ok((token, record))
    }

    /// The newest tokens that were made for programs, and then the newest sessions, of one user or
    /// of all.
    pub async fn tokens(&self, user: Option<&Principal>) -> Result<Vec<TokenRecord>, CatalogError> {
        let mut tokens = Vec::new();
        // Each kind by itself: no number of sessions hides a token.
        for kind in [TokenKind::Key, TokenKind::Session] {
            tokens.extend(self.directory().tokens(user, kind, limits::PAGE_LEN_MAX).await?);
        }
        Ok(tokens)
    }

    /// A token, and whose it is.
    pub(super) async fn known_token(
        &self,
        id: TokenId,
    ) -> Result<Option<(TokenRecord, User)>, CatalogError> {
        let read = self.directory().token(id);
        self.remembered.or_read(|it| &mut it.tokens, &id, read).await
    }

    /// Takes a token back: the next request that shows it is refused. Returns false if it is not
    /// known, or was taken back before.
    pub async fn revoke_token(&self, id: TokenId, by: &By) -> Result<bool, CatalogError> {
        let revoked = self.directory().revoke_token(id, by).await;
        self.remembered.forget();
        revoked
    }

    /// Remembers when a token was used: to the hour, so that not every request writes.
    pub(super) async fn note_use(&self, record: &TokenRecord, now: Timestamp) {
        let step = limits::TOKEN_USE_STEP;
        let recent = |at: Timestamp| at.duration_since(now).unsigned_abs() < step;
        if record.used_at.is_some_and(recent) {
            return;
        }
        if let Some((known, _)) = self.remembered.tables().tokens.get_mut(&record.id) {
            known.used_at = Some(now);
        }
        if let Err(error) = self.directory().token_used(record.id, now).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(token.id = %record.id, error, "Cannot note the use of a token");
        }
    }
}

/// A time so much later, or the end of all time.
pub(super) fn later(now: Timestamp, by: Duration) -> Timestamp {
    now.saturating_add(by).unwrap_or(Timestamp::MAX)
}
