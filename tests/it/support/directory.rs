//! A catalog that counts what signing in writes.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use flowstitch::{
    catalog::{Catalog, CatalogError, Directory, EmailChange},
    upload::{
        By, CodeRecord, Principal, TicketKey, Timestamp, TokenId, TokenKind, TokenRecord, User,
    },
};

/// The users of another catalog, and how often each call wrote to them.
#[derive(Debug)]
pub(crate) struct CountedDirectory {
    inner: Arc<dyn Catalog>,
    writes: Mutex<Vec<&'static str>>,
}

impl CountedDirectory {
    pub(crate) fn new(inner: Arc<dyn Catalog>) -> Arc<Self> {
        Arc::new(Self { inner, writes: Mutex::default() })
    }

    /// The calls that wrote since the last question, by name.
    pub(crate) fn take(&self) -> Vec<&'static str> {
        let mut writes = std::mem::take(&mut *self.writes.lock().expect("nobody panics here"));
        writes.sort_unstable();
        writes
    }

    fn note(&self, call: &'static str) -> &dyn Directory {
        self.writes.lock().expect("nobody panics here").push(call);
        self.inner.directory()
    }
}

#[async_trait]
impl Directory for CountedDirectory {
    async fn add_user(&self, user: &User, by: &By) -> Result<bool, CatalogError> {
        self.note("add_user").add_user(user, by).await
    }

    async fn user(&self, name: &Principal) -> Result<Option<User>, CatalogError> {
        self.inner.directory().user(name).await
    }

    async fn user_by_email(&self, email: &str) -> Result<Option<User>, CatalogError> {
        self.inner.directory().user_by_email(email).await
    }

    async fn users(
        &self,
        after: Option<&Principal>,
        limit: usize,
    ) -> Result<Vec<User>, CatalogError> {
        self.inner.directory().users(after, limit).await
    }

    async fn disable_user(
        &self,
        name: &Principal,
        at: Option<Timestamp>,
        by: &By,
    ) -> Result<bool, CatalogError> {
        self.note("disable_user").disable_user(name, at, by).await
    }

    async fn set_email(
        &self,
        name: &Principal,
        email: Option<&str>,
        by: &By,
    ) -> Result<EmailChange, CatalogError> {
        self.note("set_email").set_email(name, email, by).await
    }

    async fn remove_user(&self, name: &Principal, by: &By) -> Result<bool, CatalogError> {
        self.note("remove_user").remove_user(name, by).await
    }

    async fn add_token(&self, token: &TokenRecord, by: &By) -> Result<bool, CatalogError> {
        self.note("add_token").add_token(token, by).await
    }

    async fn token(&self, id: TokenId) -> Result<Option<(TokenRecord, User)>, CatalogError> {
        self.inner.directory().token(id).await
    }

    async fn tokens(
        &self,
        user: Option<&Principal>,
        kind: TokenKind,
        limit: usize,
    ) -> Result<Vec<TokenRecord>, CatalogError> {
        self.inner.directory().tokens(user, kind, limit).await
    }

    async fn revoke_token(&self, id: TokenId, by: &By) -> Result<bool, CatalogError> {
        self.note("revoke_token").revoke_token(id, by).await
    }

    async fn token_used(&self, id: TokenId, at: Timestamp) -> Result<(), CatalogError> {
        self.note("token_used").token_used(id, at).await
    }

    async fn extend_token(&self, id: TokenId, until: Timestamp) -> Result<(), CatalogError> {
        self.note("extend_token").extend_token(id, until).await
    }

    async fn purge_sessions(&self, before: Timestamp, limit: usize) -> Result<usize, CatalogError> {
        self.inner.directory().purge_sessions(before, limit).await
    }

    async fn put_code(&self, code: &CodeRecord, email: &str) -> Result<bool, CatalogError> {
        self.note("put_code").put_code(code, email).await
    }

    async fn try_code(
        &self,
        email: &str,
        now: Timestamp,
    ) -> Result<Option<CodeRecord>, CatalogError> {
        self.note("try_code").try_code(email, now).await
    }

    async fn spend_code(
        &self,
        code: &CodeRecord,
        session: &TokenRecord,
        by: &By,
    ) -> Result<bool, CatalogError> {
        self.note("spend_code").spend_code(code, session, by).await
    }

    async fn code_sent(&self, code: &CodeRecord) -> Result<(), CatalogError> {
        self.note("code_sent").code_sent(code).await
    }

    async fn unsent_codes(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<CodeRecord>, CatalogError> {
        self.inner.directory().unsent_codes(now, limit).await
    }

    async fn purge_codes(&self, before: Timestamp, limit: usize) -> Result<usize, CatalogError> {
        self.inner.directory().purge_codes(before, limit).await
    }

    async fn begun_with(&self, ticket: TicketKey) -> Result<u32, CatalogError> {
        self.inner.directory().begun_with(ticket).await
    }

    async fn purge_tickets(
        &self,
        before: Timestamp,
        keep: usize,
        limit: usize,
    ) -> Result<usize, CatalogError> {
        self.inner.directory().purge_tickets(before, keep, limit).await
    }

    async fn has_users(&self) -> Result<bool, CatalogError> {
        self.inner.directory().has_users().await
    }
}
