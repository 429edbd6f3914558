//! The users and tokens of the model.

use async_trait::async_trait;

use super::{
    MemoryCatalog,
    facts::{Facts, to_millis},
};
use crate::{
    catalog::{CatalogError, Directory, EmailChange},
    upload::{
        AccessState, By, CodeRecord, Deed, Principal, TicketKey, Timestamp, TokenId, TokenKind,
        TokenRecord, User,
    },
};

#[async_trait]
impl Directory for MemoryCatalog {
    async fn add_user(&self, user: &User, by: &By) -> Result<bool, CatalogError> {
        let user = User {
            created_at: to_millis(user.created_at),
            disabled_at: user.disabled_at.map(to_millis),
            ..user.clone()
        };
        self.change(|facts| {
            let email = |other: &User| user.email.as_ref().is_some_and(|it| has(other, it));
            let taken = facts.users.contains_key(&user.name) || facts.users.values().any(email);
            if !taken {
                facts.note(by.entry(Deed::UserAdded, &user.name, user.name.as_str()));
                facts.users.insert(user.name.clone(), user);
                facts.decide_access(AccessState::Users);
            }
            !taken
        })
    }

    async fn user(&self, name: &Principal) -> Result<Option<User>, CatalogError> {
        self.visit(|facts| facts.users.get(name).cloned())
    }

    async fn user_by_email(&self, email: &str) -> Result<Option<User>, CatalogError> {
        self.visit(|facts| facts.users.values().find(|user| has(user, email)).cloned())
    }

    async fn users(
        &self,
        after: Option<&Principal>,
        limit: usize,
    ) -> Result<Vec<User>, CatalogError> {
        self.visit(|facts| {
            let users = facts.users.values().filter(|user| after.is_none_or(|it| *it < user.name));
            users.take(limit).cloned().collect()
        })
    }

    async fn disable_user(
        &self,
        name: &Principal,
        at: Option<Timestamp>,
        by: &By,
    ) -> Result<bool, CatalogError> {
        self.change(|facts| {
            let Some(user) = facts.users.get_mut(name) else { return false };
            user.disabled_at = at.map(to_millis);
            let deed = if at.is_some() { Deed::UserDisabled } else { Deed::UserEnabled };
            facts.note(by.entry(deed, name, name.as_str()));
            true
        })
    }

    async fn set_email(
        &self,
        name: &Principal,
        email: Option<&str>,
        by: &By,
    ) -> Result<EmailChange, CatalogError> {
        self.change(|facts| {
            let rival = |it: &User| it.name != *name && email.is_some_and(|email| has(it, email));
            let taken = facts.users.values().any(rival);
            let Some(user) = facts.users.get_mut(name) else { return EmailChange::Unknown };
            if taken {
                return EmailChange::Taken;
            }
            user.email = email.map(str::to_owned);
            facts.codes.remove(name);
            facts.note(by.entry(Deed::UserEmailChanged, name, name.as_str()));
            EmailChange::Done
        })
    }

    async fn remove_user(&self, name: &Principal, by: &By) -> Result<bool, CatalogError> {
        self.change(|facts| {
            let owns = facts.creatives.values().any(|creative| creative.principal == *name)
                || facts
                    .uploads
                    .values()
                    .any(|upload| upload.identity.principal() == name && upload.state.is_running());
            if owns || facts.users.remove(name).is_none() {
                return false;
            }
            facts.tokens.retain(|_, token| token.user != *name);
            facts.codes.remove(name);
            facts.uploads.retain(|_, upload| upload.identity.principal() != name);
            facts.note(by.entry(Deed::UserRemoved, name, name.as_str()));
            true
        })
    }

    async fn add_token(&self, token: &TokenRecord, by: &By) -> Result<bool, CatalogError> {
        self.change(|facts| facts.add_token(token, by))
    }

    async fn token(&self, id: TokenId) -> Result<Option<(TokenRecord, User)>, CatalogError> {
        self.visit(|facts| {
            let token = facts.tokens.get(&id)?;
            Some((token.clone(), facts.users.get(&token.user)?.clone()))
        })
    }

    async fn tokens(
        &self,
        user: Option<&Principal>,
        kind: TokenKind,
        limit: usize,
    ) -> Result<Vec<TokenRecord>, CatalogError> {
        self.visit(|facts| {
            let tokens = facts.tokens.values().rev();
            let tokens = tokens.filter(|token| token.kind == kind);
            let tokens = tokens.filter(|token| user.is_none_or(|user| token.user == *user));
            tokens.take(limit).cloned().collect()
        })
    }

    async fn revoke_token(&self, id: TokenId, by: &By) -> Result<bool, CatalogError> {
        self.change(|facts| {
            let token = facts.tokens.get_mut(&id).filter(|token| token.revoked_at.is_none());
            let Some(token) = token else { return false };
            token.revoked_at = Some(to_millis(by.at));
            let entry = by.entry(Deed::TokenRevoked, &token.user, &id);
            facts.note(entry);
            true
        })
    }

    async fn token_used(&self, id: TokenId, at: Timestamp) -> Result<(), CatalogError> {
        self.change(|facts| {
            if let Some(token) = facts.tokens.get_mut(&id) {
                token.used_at = Some(to_millis(at));
            }
        })
    }

    async fn extend_token(&self, id: TokenId, until: Timestamp) -> Result<(), CatalogError> {
        self.change(|facts| {
            let token = facts.tokens.get_mut(&id).filter(|token| token.revoked_at.is_none());
            if let Some(token) = token {
                token.expires_at = Some(to_millis(until));
            }
        })
    }

    async fn purge_sessions(&self, before: Timestamp, limit: usize) -> Result<usize, CatalogError> {
        let is_over = |token: &TokenRecord| {
            token.kind == TokenKind::Session && token.expires_at.is_some_and(|at| at < before)
        };
        self.change(|facts| {
            let over = facts.tokens.values().filter(|token| is_over(token));
            let over: Vec<TokenId> = over.map(|token| token.id).take(limit).collect();
            facts.tokens.retain(|id, _| !over.contains(id));
            over.len()
        })
    }

    async fn put_code(&self, code: &CodeRecord, email: &str) -> Result<bool, CatalogError> {
        let code = CodeRecord { expires_at: to_millis(code.expires_at), ..code.clone() };
        self.change(|facts| {
            let known = facts.users.get(&code.user).is_some_and(|user| has(user, email));
            if known {
                facts.codes.insert(code.user.clone(), code);
            }
            known
        })
    }

    async fn try_code(
        &self,
        email: &str,
        now: Timestamp,
    ) -> Result<Option<CodeRecord>, CatalogError> {
        let has_it = |user: &&User| has(user, email) && user.disabled_at.is_none();
        self.change(|facts| {
            let code = facts.codes.get_mut(&facts.users.values().find(has_it)?.name)?;
            if now < code.expires_at {
                code.tries_left = code.tries_left.checked_sub(1)?;
                return Some(code.clone());
            }
            None
        })
    }

    async fn spend_code(
        &self,
        code: &CodeRecord,
        session: &TokenRecord,
        by: &By,
    ) -> Result<bool, CatalogError> {
        self.change(|facts| {
            let is_it = facts.codes.get(&code.user).is_some_and(|it| it.hash == code.hash);
            is_it && facts.codes.remove(&code.user).is_some() && facts.add_token(session, by)
        })
    }

    async fn code_sent(&self, code: &CodeRecord) -> Result<(), CatalogError> {
        self.change(|facts| {
            if let Some(kept) = facts.codes.get_mut(&code.user).filter(|it| it.hash == code.hash) {
                kept.sent = true;
            }
        })
    }

    async fn unsent_codes(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<CodeRecord>, CatalogError> {
        self.visit(|facts| {
            let unsent = facts.codes.values().filter(|code| !code.sent && now < code.expires_at);
            let mut unsent: Vec<CodeRecord> = unsent.cloned().collect();
            unsent.sort_by_key(|code| code.expires_at);
            unsent.truncate(limit);
            unsent
        })
    }

    async fn purge_codes(&self, before: Timestamp, limit: usize) -> Result<usize, CatalogError> {
        self.change(|facts| {
            let over = facts.codes.values().filter(|code| code.expires_at < before);
            let over: Vec<Principal> = over.map(|code| code.user.clone()).take(limit).collect();
            facts.codes.retain(|user, _| !over.contains(user));
            over.len()
        })
    }

    async fn begun_with(&self, ticket: TicketKey) -> Result<u32, CatalogError> {
        self.visit(|facts| facts.tickets.get(&ticket).map_or(0, |(begun, _)| *begun))
    }

    async fn purge_tickets(
        &self,
        before: Timestamp,
        keep: usize,
        limit: usize,
    ) -> Result<usize, CatalogError> {
        self.change(|facts| {
            let mut by_end: Vec<_> = facts.tickets.iter().map(|(key, it)| (it.1, *key)).collect();
            by_end.sort_unstable_by_key(|(until, _)| std::cmp::Reverse(*until));
            let over = by_end.into_iter().skip(keep).filter(|(until, _)| *until < before);
            let over: Vec<TicketKey> = over.map(|(_, key)| key).take(limit).collect();
            facts.tickets.retain(|key, _| !over.contains(key));
            over.len()
        })
    }

    async fn has_users(&self) -> Result<bool, CatalogError> {
        self.visit(|facts| !facts.users.is_empty())
    }
}

/// Whether this is the user's address.
fn has(user: &User, email: &str) -> bool {
    user.email.as_ref().is_some_and(|it| it.eq_ignore_ascii_case(email))
}

impl Facts {
    fn add_token(&mut self, token: &TokenRecord, by: &By) -> bool {
        let token = TokenRecord {
            created_at: to_millis(token.created_at),
            expires_at: token.expires_at.map(to_millis),
            used_at: token.used_at.map(to_millis),
            revoked_at: token.revoked_at.map(to_millis),
            ..token.clone()
        };
        let known = self.users.contains_key(&token.user);
        if known {
            let entry = by.entry(Deed::TokenCreated, &token.user, &token.id);
            self.note(entry.saying(&token.scopes));
            self.tokens.insert(token.id, token);
        }
        known
    }
}
