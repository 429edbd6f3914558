//! The users and tokens of the embedded catalog.

use async_trait::async_trait;
use rusqlite::Connection;

use super::{SqliteCatalog, codes, tickets, users};
use crate::{
    catalog::{CatalogError, Directory, EmailChange},
    upload::{
        By, CodeRecord, Principal, TicketKey, Timestamp, TokenId, TokenKind, TokenRecord, User,
    },
};

#[async_trait]
impl Directory for SqliteCatalog {
    async fn add_user(&self, user: &User, by: &By) -> Result<bool, CatalogError> {
        let (user, by) = (user.clone(), by.clone());
        self.write(move |tx| users::add(tx, &user, &by)).await
    }

    async fn user(&self, name: &Principal) -> Result<Option<User>, CatalogError> {
        let name = name.clone();
        self.readers.read(move |db| users::by_name(db, &name)).await
    }

    async fn user_by_email(&self, email: &str) -> Result<Option<User>, CatalogError> {
        let email = email.to_owned();
        self.readers.read(move |db| users::by_email(db, &email)).await
    }

    async fn users(
        &self,
        after: Option<&Principal>,
        limit: usize,
    ) -> Result<Vec<User>, CatalogError> {
        let after = after.map_or_else(String::new, |name| name.as_str().to_owned());
        self.readers.read(move |db| users::list(db, &after, limit)).await
    }

    async fn disable_user(
        &self,
        name: &Principal,
        at: Option<Timestamp>,
        by: &By,
    ) -> Result<bool, CatalogError> {
        let (name, by) = (name.clone(), by.clone());
        self.write(move |tx| users::disable(tx, &name, at, &by)).await
    }

    async fn set_email(
        &self,
        name: &Principal,
        email: Option<&str>,
        by: &By,
    ) -> Result<EmailChange, CatalogError> {
        let (name, email, by) = (name.clone(), email.map(str::to_owned), by.clone());
        self.write(move |tx| users::set_email(tx, &name, email.as_deref(), &by)).await
    }

    async fn remove_user(&self, name: &Principal, by: &By) -> Result<bool, CatalogError> {
        let (name, by) = (name.clone(), by.clone());
        // What is left of ended uploads, and tokens, in slices; the rest in one transaction.
        let slice = |name: Principal| move |tx: &Connection| users::clear(tx, &name);
        while self.write(slice(name.clone())).await? {}
        self.write(move |tx| users::remove(tx, &name, &by)).await
    }

    async fn add_token(&self, token: &TokenRecord, by: &By) -> Result<bool, CatalogError> {
        let (token, by) = (token.clone(), by.clone());
        self.write(move |tx| users::add_token(tx, &token, &by)).await
    }

    async fn token(&self, id: TokenId) -> Result<Option<(TokenRecord, User)>, CatalogError> {
        self.readers.read(move |db| users::token(db, id)).await
    }

    async fn tokens(
        &self,
        user: Option<&Principal>,
        kind: TokenKind,
        limit: usize,
    ) -> Result<Vec<TokenRecord>, CatalogError> {
        let user = user.cloned();
        self.readers.read(move |db| users::tokens(db, user.as_ref(), kind, limit)).await
    }

    async fn revoke_token(&self, id: TokenId, by: &By) -> Result<bool, CatalogError> {
        let by = by.clone();
        self.write(move |tx| users::revoke(tx, id, &by)).await
    }

    async fn token_used(&self, id: TokenId, at: Timestamp) -> Result<(), CatalogError> {
        self.write(move |tx| users::used(tx, id, at)).await
    }

    async fn extend_token(&self, id: TokenId, until: Timestamp) -> Result<(), CatalogError> {
        self.write(move |tx| users::extend(tx, id, until)).await
    }

    async fn purge_sessions(&self, before: Timestamp, limit: usize) -> Result<usize, CatalogError> {
        self.write(move |tx| users::purge_sessions(tx, before, limit)).await
    }

    async fn put_code(&self, code: &CodeRecord, email: &str) -> Result<bool, CatalogError> {
        let (code, email) = (code.clone(), email.to_owned());
        self.write(move |tx| codes::put(tx, &code, &email)).await
    }

    async fn try_code(
        &self,
        email: &str,
        now: Timestamp,
    ) -> Result<Option<CodeRecord>, CatalogError> {
        let email = email.to_owned();
        self.write(move |tx| codes::attempt(tx, &email, now)).await
    }

    async fn spend_code(
        &self,
        code: &CodeRecord,
        session: &TokenRecord,
        by: &By,
    ) -> Result<bool, CatalogError> {
        let (code, session, by) = (code.clone(), session.clone(), by.clone());
        // The user is there, as long as the code is.
        let spend = move |tx: &Connection| {
            Ok(codes::spend(tx, &code)? && users::add_token(tx, &session, &by)?)
        };
        self.write(spend).await
    }

    async fn code_sent(&self, code: &CodeRecord) -> Result<(), CatalogError> {
        let code = code.clone();
        self.write(move |tx| codes::sent(tx, &code)).await
    }

    async fn unsent_codes(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<CodeRecord>, CatalogError> {
        self.readers.read(move |db| codes::unsent(db, now, limit)).await
    }

    async fn purge_codes(&self, before: Timestamp, limit: usize) -> Result<usize, CatalogError> {
        self.write(move |tx| codes::purge(tx, before, limit)).await
    }

    async fn begun_with(&self, ticket: TicketKey) -> Result<u32, CatalogError> {
        self.readers.read(move |db| tickets::begun_with(db, ticket)).await
    }

    async fn purge_tickets(
        &self,
        before: Timestamp,
        keep: usize,
        limit: usize,
    ) -> Result<usize, CatalogError> {
        self.write(move |tx| tickets::purge(tx, before, keep, limit)).await
    }

    async fn has_users(&self) -> Result<bool, CatalogError> {
        self.readers.read(users::has_users).await
    }
}
