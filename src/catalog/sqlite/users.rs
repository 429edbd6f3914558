//! Users and their tokens.

use rusqlite::{Connection, OptionalExtension, named_params, params};

use super::{
    audit, codes,
    columns::{self, Millis, comparable},
    deployment,
};
use crate::{
    catalog::{CatalogError, EmailChange},
    upload::{
        AccessState, By, Deed, Principal, Timestamp, TokenId, TokenKind, TokenRecord, User, limits,
    },
};

type Result<T> = std::result::Result<T, CatalogError>;

pub(super) fn add(tx: &Connection, user: &User, by: &By) -> Result<bool> {
    const SQL: &str = "INSERT INTO users (name, email, created_at, disabled_at)
        VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
    let disabled_at = user.disabled_at.map(Millis);
    let row = params![user.name, user.email, Millis(user.created_at), disabled_at];
    if tx.prepare_cached(SQL)?.execute(row)? == 0 {
        return Ok(false);
    }
    deployment::set_access(tx, AccessState::Users)?;
    note(tx, &user.name, Deed::UserAdded, by)
}

/// What was done to a user, and that it was.
fn note(tx: &Connection, name: &Principal, deed: Deed, by: &By) -> Result<bool> {
    audit::append(tx, &by.entry(deed, name, name.as_str()))?;
    Ok(true)
}

pub(super) fn by_name(db: &Connection, name: &Principal) -> Result<Option<User>> {
    const SQL: &str = "SELECT * FROM users WHERE name = ?1";
    Ok(db.prepare_cached(SQL)?.query_row([name], columns::user).optional()?)
}

/// Whether there may be more of what belongs to a principal: not of a user who is disabled or gone.
pub(super) fn may_add(db: &Connection, principal: &Principal) -> Result<bool> {
    let user = by_name(db, principal)?;
    Ok(principal.is_anonymous() || user.is_some_and(|user| user.disabled_at.is_none()))
}

pub(super) fn by_email(db: &Connection, email: &str) -> Result<Option<User>> {
    const SQL: &str = "SELECT * FROM users WHERE email = ?1";
    Ok(db.prepare_cached(SQL)?.query_row([email], columns::user).optional()?)
}

pub(super) fn list(db: &Connection, after: &str, limit: usize) -> Result<Vec<User>> {
    const SQL: &str = "SELECT * FROM users WHERE ?1 < name ORDER BY name LIMIT ?2";
    let mut statement = db.prepare_cached(SQL)?;
    let rows = statement.query_map(params![after, comparable(limit as u64)], columns::user)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn disable(
    tx: &Connection,
    name: &Principal,
    at: Option<Timestamp>,
    by: &By,
) -> Result<bool> {
    const SQL: &str = "UPDATE users SET disabled_at = ?2 WHERE name = ?1";
    if tx.prepare_cached(SQL)?.execute(params![name, at.map(Millis)])? == 0 {
        return Ok(false);
    }
    note(tx, name, if at.is_some() { Deed::UserDisabled } else { Deed::UserEnabled }, by)
}

pub(super) fn set_email(
    tx: &Connection,
    name: &Principal,
    email: Option<&str>,
    by: &By,
) -> Result<EmailChange> {
    const SQL: &str = "UPDATE OR IGNORE users SET email = ?2 WHERE name = ?1";
    if by_name(tx, name)?.is_none() {
        return Ok(EmailChange::Unknown);
    }
    if tx.prepare_cached(SQL)?.execute(params![name, email])? == 0 {
        return Ok(EmailChange::Taken);
    }
    // Whoever has the former address has the code that was sent to it.
    codes::forget(tx, name)?;
    note(tx, name, Deed::UserEmailChanged, by)?;
    Ok(EmailChange::Done)
}

/// Whether something of a user's is there that must not go unasked.
fn owns(tx: &Connection, name: &Principal) -> Result<bool> {
    const SQL: &str = "SELECT EXISTS (SELECT 1 FROM creatives WHERE owner = ?1)
        OR EXISTS (SELECT 1 FROM uploads WHERE principal = ?1 AND state = 'receiving')
        OR EXISTS (SELECT 1 FROM uploads WHERE principal = ?1 AND state = 'stitching')";
    Ok(tx.prepare_cached(SQL)?.query_row([name], |row| row.get(0))?)
}

/// Forgets some of what goes with a user who owns nothing else. Returns whether there may be more.
pub(super) fn clear(tx: &Connection, name: &Principal) -> Result<bool> {
    const TOMBSTONES: &str = "DELETE FROM uploads WHERE rowid IN
        (SELECT rowid FROM uploads WHERE owner = ?1 LIMIT ?2)";
    const TOKENS: &str = "DELETE FROM tokens WHERE id IN
        (SELECT id FROM tokens WHERE user = ?1 LIMIT ?2)";
    if owns(tx, name)? {
        return Ok(false);
    }
    let row = params![name, comparable(limits::SWEEP_BATCH_LEN_MAX as u64)];
    let gone = tx.prepare_cached(TOMBSTONES)?.execute(row)?;
    let gone = gone + tx.prepare_cached(TOKENS)?.execute(row)?;
    Ok(0 < gone)
}

/// The foreign keys would refuse it, too: what is looked at here is what can be said of it.
pub(super) fn remove(tx: &Connection, name: &Principal, by: &By) -> Result<bool> {
    const USER: &str = "DELETE FROM users WHERE name = ?1";
    if owns(tx, name)? {
        return Ok(false);
    }
    clear(tx, name)?;
    if tx.prepare_cached(USER)?.execute([name])? == 0 {
        return Ok(false);
    }
    note(tx, name, Deed::UserRemoved, by)
}

pub(super) fn add_token(tx: &Connection, token: &TokenRecord, by: &By) -> Result<bool> {
    const SQL: &str = "INSERT INTO tokens (id, user, label, hash, scopes, kind, created_at,
            expires_at, used_at, revoked_at)
        SELECT :id, name, :label, :hash, :scopes, :kind, :created_at, :expires_at, :used_at,
            :revoked_at FROM users WHERE name = :user";
    let added = tx.prepare_cached(SQL)?.execute(named_params! {
        ":id": token.id,
        ":user": token.user,
        ":label": token.label,
        ":hash": token.hash,
        ":scopes": token.scopes,
        ":kind": token.kind,
        ":created_at": Millis(token.created_at),
        ":expires_at": token.expires_at.map(Millis),
        ":used_at": token.used_at.map(Millis),
        ":revoked_at": token.revoked_at.map(Millis),
    })?;
    if added == 1 {
        let entry = by.entry(Deed::TokenCreated, &token.user, &token.id);
        audit::append(tx, &entry.saying(&token.scopes))?;
    }
    Ok(added == 1)
}

pub(super) fn token(db: &Connection, id: TokenId) -> Result<Option<(TokenRecord, User)>> {
    const SQL: &str = "SELECT * FROM tokens WHERE id = ?1";
    let token = db.prepare_cached(SQL)?.query_row([id], columns::token).optional()?;
    let Some(token) = token else { return Ok(None) };
    let user = by_name(db, &token.user)?;
    Ok(user.map(|user| (token, user)))
}

pub(super) fn tokens(
    db: &Connection,
    user: Option<&Principal>,
    kind: TokenKind,
    limit: usize,
) -> Result<Vec<TokenRecord>> {
    const OF_ALL: &str = "SELECT * FROM tokens WHERE kind = ?1 ORDER BY id DESC LIMIT ?2";
    const OF_ONE: &str = "SELECT * FROM tokens WHERE user = ?1 AND kind = ?2
        ORDER BY id DESC LIMIT ?3";
    let limit = comparable(limit as u64);
    let mut statement = db.prepare_cached(if user.is_some() { OF_ONE } else { OF_ALL })?;
    let rows = if let Some(user) = user {
        statement.query_map(params![user, kind, limit], columns::token)?
    } else {
        statement.query_map(params![kind, limit], columns::token)?
    };
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn revoke(tx: &Connection, id: TokenId, by: &By) -> Result<bool> {
    const SQL: &str = "UPDATE tokens SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL
        RETURNING user";
    let row = params![id, Millis(by.at)];
    let user: Option<Principal> =
        tx.prepare_cached(SQL)?.query_row(row, |row| row.get(0)).optional()?;
    if let Some(user) = &user {
        audit::append(tx, &by.entry(Deed::TokenRevoked, user, &id))?;
    }
    Ok(user.is_some())
}

pub(super) fn used(tx: &Connection, id: TokenId, at: Timestamp) -> Result<()> {
    const SQL: &str = "UPDATE tokens SET used_at = ?2 WHERE id = ?1";
    tx.prepare_cached(SQL)?.execute(params![id, Millis(at)])?;
    Ok(())
}

pub(super) fn extend(tx: &Connection, id: TokenId, until: Timestamp) -> Result<()> {
    const SQL: &str = "UPDATE tokens SET expires_at = ?2 WHERE id = ?1 AND revoked_at IS NULL";
    tx.prepare_cached(SQL)?.execute(params![id, Millis(until)])?;
    Ok(())
}

pub(super) fn purge_sessions(tx: &Connection, before: Timestamp, limit: usize) -> Result<usize> {
    const SQL: &str = "DELETE FROM tokens WHERE id IN (SELECT id FROM tokens
        WHERE kind = 'session' AND expires_at < ?1 LIMIT ?2)";
    let row = params![Millis(before), comparable(limit as u64)];
    Ok(tx.prepare_cached(SQL)?.execute(row)?)
}

pub(super) fn has_users(db: &Connection) -> Result<bool> {
    const SQL: &str = "SELECT EXISTS (SELECT 1 FROM users)";
    Ok(db.prepare_cached(SQL)?.query_row([], |row| row.get(0))?)
}
