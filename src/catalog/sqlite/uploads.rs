//! Uploads: facts, transitions and lists.
//!
//! A transition reads the state and then writes the next one, inside a transaction that holds the
//! write lock from its start: of two that race, the second sees what the first has done.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, ToSql, named_params, params};

use super::{
    audit,
    columns::{self, Millis, comparable, upload_columns},
    ranges::{self, More},
    session::number,
    tickets, users,
};
use crate::{
    catalog::{CatalogError, Committed, Fact, UploadQuery},
    upload::{
        Amount, By, Day, Deed, EndReason, Identity, IdentityKey, Principal, Sha256Digest,
        Timestamp, TrashNote, TrashReason, Trouble, UploadId, UploadRecord, UploadState,
    },
};

type Result<T> = std::result::Result<T, CatalogError>;

/// Writes facts in order.
pub(super) fn commit(tx: &Connection, facts: &[Fact]) -> Result<Committed> {
    let mut committed = Committed::default();
    // Whose last use is known to be written: its ranges come one after the other.
    let mut touched = None;
    let mut more: HashMap<UploadId, More> = HashMap::new();
    for fact in facts {
        if committed.refused.contains(&fact.upload()) {
            continue;
        }
        match fact {
            Fact::Spent { upload, allowance } => {
                if !tickets::spend(tx, *allowance)? {
                    committed.refused.push(*upload);
                }
            }
            Fact::Opened(record) => {
                touched = open(tx, record)?.then_some((record.id, record.touched_at));
            }
            Fact::OpenedBy { upload, by } => opened_by(tx, *upload, by)?,
            Fact::Stored { upload, stored, at } => {
                if touched == Some((*upload, *at)) || touch(tx, *upload, *at)? {
                    touched = Some((*upload, *at));
                    ranges::store(tx, *upload, *stored, more.entry(*upload).or_default())?;
                } else if !committed.ended.contains(upload) {
                    committed.ended.push(*upload);
                }
            }
            Fact::Scheduled { upload, day } => schedule(tx, *upload, *day)?,
            Fact::Declared { upload, sha256 } => declare(tx, *upload, *sha256)?,
            Fact::Full { upload } => {
                if advance(tx, *upload, UploadState::Stitching)? {
                    committed.filled.push(*upload);
                }
            }
        }
    }
    for (upload, more) in &more {
        more.add(tx, *upload)?;
    }
    Ok(committed)
}

/// False if its principal may not own it any more: then nothing is written.
fn open(tx: &Connection, record: &UploadRecord) -> Result<bool> {
    const SQL: &str = concat!(
        "INSERT INTO uploads
            (id, principal, visitor, identifier, relative_path, total, stride, pieces, identity,
            filename, scheduled, declared_sha256, accept, creative_id, state, reason, trouble,
            attempts, session, released, created_at, touched_at, ended_at)
        VALUES (:id, :principal, :visitor, :identifier, :relative_path, :total, :stride, :pieces,
                :identity, :filename, :scheduled, :declared_sha256, :accept, :creative_id, :state,
                :reason, :trouble, :attempts, ",
        number!(),
        ", :released, :created_at, :touched_at,
                :ended_at)
        ON CONFLICT (identity) WHERE ended_at IS NULL DO NOTHING"
    );
    // Not left to the foreign key: what a user who is gone sends late is no reason to refuse what
    // came in the same batch from others.
    if !may_own(tx, record.identity.principal())? {
        return Ok(false);
    }
    let (identity, plan) = (&record.identity, record.identity.plan());
    let inserted = tx.prepare_cached(SQL)?.execute(named_params! {
        ":id": record.id,
        ":principal": identity.principal(),
        ":visitor": identity.visitor(),
        ":identifier": identity.identifier(),
        ":relative_path": identity.relative_path(),
        ":total": plan.total(),
        ":stride": plan.stride(),
        ":pieces": plan.count(),
        ":identity": identity.key(),
        ":filename": record.filename,
        ":scheduled": record.scheduled,
        ":declared_sha256": record.declared_sha256,
        ":accept": record.accept,
        ":creative_id": record.creative_id,
        ":state": record.state,
        ":reason": record.reason,
        ":trouble": record.trouble.as_ref().map(|trouble| &trouble.reason),
        ":attempts": record.trouble.as_ref().map_or(0, |trouble| trouble.attempts),
        ":released": record.released,
        ":created_at": Millis(record.created_at),
        ":touched_at": Millis(record.touched_at),
        ":ended_at": record.ended_at.map(Millis),
    })?;
    if inserted == 0 { Err(CatalogError::Taken) } else { Ok(true) }
}

fn opened_by(tx: &Connection, upload: UploadId, by: &By) -> Result<()> {
    let Some(record) = by_id(tx, upload)? else { return Ok(()) };
    let name = record.filename.as_str().to_owned();
    audit::of_upload(tx, &record, Deed::UploadOpened, by, Some(name))
}

fn may_own(tx: &Connection, principal: &Principal) -> Result<bool> {
    Ok(principal.is_anonymous() || users::by_name(tx, principal)?.is_some())
}

/// Whether the upload is running; if so, it was used at that time.
fn touch(tx: &Connection, upload: UploadId, at: Timestamp) -> Result<bool> {
    const SQL: &str = "UPDATE uploads SET touched_at = ?2 WHERE id = ?1 AND ended_at IS NULL";
    Ok(tx.prepare_cached(SQL)?.execute(params![upload, Millis(at)])? == 1)
}

fn schedule(tx: &Connection, upload: UploadId, day: Day) -> Result<()> {
    const SQL: &str = "UPDATE uploads SET scheduled = ?2 WHERE id = ?1 AND ended_at IS NULL";
    tx.prepare_cached(SQL)?.execute(params![upload, day])?;
    Ok(())
}

fn declare(tx: &Connection, upload: UploadId, sha256: Sha256Digest) -> Result<()> {
    const SQL: &str = "UPDATE uploads SET declared_sha256 = ?2 WHERE id = ?1 AND ended_at IS NULL";
    tx.prepare_cached(SQL)?.execute(params![upload, sha256])?;
    Ok(())
}

/// Goes to another running state. False if there is no way there from the present one.
pub(super) fn advance(tx: &Connection, upload: UploadId, next: UploadState) -> Result<bool> {
    const SQL: &str = "UPDATE uploads SET state = ?2, trouble = NULL, attempts = 0 WHERE id = ?1";
    if !may_become(tx, upload, next)? {
        return Ok(false);
    }
    tx.prepare_cached(SQL)?.execute(params![upload, next])?;
    Ok(true)
}

fn may_become(tx: &Connection, upload: UploadId, next: UploadState) -> Result<bool> {
    Ok(state(tx, upload)?.is_some_and(|state| state.may_become(next)))
}

fn state(tx: &Connection, upload: UploadId) -> Result<Option<UploadState>> {
    const SQL: &str = "SELECT state FROM uploads WHERE id = ?1";
    Ok(tx.prepare_cached(SQL)?.query_row([upload], |row| row.get(0)).optional()?)
}

/// Ends it without a file. One that was full may have been published, and then not recorded: that
/// file is doomed.
pub(super) fn end(
    tx: &Connection,
    upload: UploadId,
    (how, deed): (UploadState, Deed),
    reason: Option<&EndReason>,
    by: &By,
) -> Result<bool> {
    const DOOM: &str = "INSERT OR IGNORE INTO doomed (id, filename, note) VALUES (?1, ?2, ?3)";
    let before = by_id(tx, upload)?;
    let ended = finish(tx, upload, how, reason, by.at)?;
    let Some(record) = before.filter(|_| ended) else { return Ok(false) };
    if record.state == UploadState::Stitching {
        let note = TrashNote::of_upload(&record, TrashReason::Ended).to_json();
        tx.prepare_cached(DOOM)?.execute(params![record.creative_id, record.filename, note])?;
    }
    audit::of_upload(tx, &record, deed, by, reason.map(|reason| reason.0.clone()))?;
    Ok(true)
}

/// Goes to a final state. False if there is no way there from the present one.
fn finish(
    tx: &Connection,
    upload: UploadId,
    state: UploadState,
    reason: Option<&EndReason>,
    at: Timestamp,
) -> Result<bool> {
    const SQL: &str = "UPDATE uploads
        SET state = ?2, reason = ?3, trouble = NULL, attempts = 0, ended_at = ?4 WHERE id = ?1";
    if !may_become(tx, upload, state)? {
        return Ok(false);
    }
    tx.prepare_cached(SQL)?.execute(params![upload, state, reason, Millis(at)])?;
    Ok(true)
}

/// `stitching` becomes `complete`. False from any other state.
pub(super) fn complete(tx: &Connection, upload: UploadId, at: Timestamp) -> Result<bool> {
    finish(tx, upload, UploadState::Complete, None, at)
}

pub(super) fn hold_up(tx: &Connection, upload: UploadId, trouble: &Trouble) -> Result<()> {
    const SQL: &str = "UPDATE uploads SET trouble = ?2, attempts = ?3
        WHERE id = ?1 AND state = 'stitching'";
    tx.prepare_cached(SQL)?.execute(params![upload, trouble.reason, trouble.attempts])?;
    Ok(())
}

pub(super) fn is_running(tx: &Connection, upload: UploadId) -> Result<bool> {
    Ok(state(tx, upload)?.is_some_and(UploadState::is_running))
}

/// Every range of it was read back: it is not suspect any more.
pub(super) fn trust(tx: &Connection, upload: UploadId) -> Result<()> {
    const SQL: &str =
        concat!("UPDATE uploads SET session = ", number!(), " WHERE id = ?1 AND ended_at IS NULL");
    tx.prepare_cached(SQL)?.execute([upload])?;
    Ok(())
}

/// False if it has neither of the two identities, or if another running upload has the new one.
pub(super) fn hand_over(
    tx: &Connection,
    upload: UploadId,
    from: IdentityKey,
    to: &Identity,
) -> Result<bool> {
    const SQL: &str = "UPDATE OR IGNORE uploads SET visitor = ?3, identity = ?4
        WHERE id = ?1 AND identity IN (?2, ?4)";
    let values = params![upload, from, to.visitor(), to.key()];
    Ok(tx.prepare_cached(SQL)?.execute(values)? == 1)
}

pub(super) fn release(tx: &Connection, upload: UploadId) -> Result<()> {
    const SQL: &str = "UPDATE uploads SET released = 1
        WHERE id = ?1 AND state IN ('failed', 'cancelled', 'expired')";
    tx.prepare_cached(SQL)?.execute([upload])?;
    Ok(())
}

/// How much of an upload is here, if it runs.
pub(super) fn amount(db: &Connection, id: UploadId) -> Result<Amount> {
    const SQL: &str = "SELECT received_ranges, received_bytes FROM uploads
        WHERE id = ?1 AND ended_at IS NULL";
    let amount = |row: &rusqlite::Row<'_>| Ok(Amount { ranges: row.get(0)?, bytes: row.get(1)? });
    Ok(db.prepare_cached(SQL)?.query_row([id], amount).optional()?.unwrap_or_default())
}

pub(super) fn by_id(db: &Connection, id: UploadId) -> Result<Option<UploadRecord>> {
    const SQL: &str = concat!("SELECT ", upload_columns!(), " FROM uploads WHERE id = ?1");
    Ok(db.prepare_cached(SQL)?.query_row([id], columns::upload).optional()?)
}

pub(super) fn current(db: &Connection, key: IdentityKey) -> Result<Option<UploadRecord>> {
    // Rows are numbered in the order of their writing. Ids are not: they hold the time of a clock
    // that may have been set back since.
    const SQL: &str = concat!(
        "SELECT ",
        upload_columns!(),
        " FROM uploads
        WHERE rowid = coalesce(
                (SELECT rowid FROM uploads WHERE identity = ?1 AND ended_at IS NULL),
                (SELECT rowid FROM uploads WHERE identity = ?1 ORDER BY rowid DESC LIMIT 1))
            AND (state <> 'complete'
                OR EXISTS (SELECT 1 FROM creatives WHERE upload_id = uploads.id))"
    );
    Ok(db.prepare_cached(SQL)?.query_row([key], columns::upload).optional()?)
}

pub(super) fn list(db: &Connection, query: &UploadQuery) -> Result<Vec<UploadRecord>> {
    const IN_ANY_STATE: &str = concat!(
        "SELECT ",
        upload_columns!(),
        " FROM uploads WHERE principal = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3"
    );
    const IN_STATE: &str = concat!(
        "SELECT ",
        upload_columns!(),
        " FROM uploads
        WHERE principal = ?1 AND id < ?2 AND state = ?4 ORDER BY id DESC LIMIT ?3"
    );
    // No UUIDv7 is as large as this.
    let before = query.before.unwrap_or(UploadId::from_bytes([0xff; 16]));
    let limit = comparable(query.limit as u64);
    match &query.state {
        None => records(db, IN_ANY_STATE, &[&query.principal, &before, &limit]),
        Some(state) => records(db, IN_STATE, &[&query.principal, &before, &limit, state]),
    }
}

pub(super) fn records(
    db: &Connection,
    sql: &str,
    values: &[&dyn ToSql],
) -> Result<Vec<UploadRecord>> {
    let mut statement = db.prepare_cached(sql)?;
    let records = statement.query_map(values, columns::upload)?;
    Ok(records.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn running(db: &Connection, among: &[UploadId]) -> Result<Vec<UploadId>> {
    let if_running = |id: &UploadId| is_running(db, *id).map(|it| it.then_some(*id)).transpose();
    among.iter().filter_map(if_running).collect()
}

pub(super) fn stitching(
    db: &Connection,
    after: Option<UploadId>,
    limit: usize,
) -> Result<Vec<UploadId>> {
    const SQL: &str = "SELECT id FROM uploads INDEXED BY uploads_stitching
        WHERE state = 'stitching' AND ?1 < id
        ORDER BY id LIMIT ?2";
    // An empty id stands before every other.
    let after = after.as_ref().map_or([].as_slice(), |id| id.as_bytes());
    let mut statement = db.prepare_cached(SQL)?;
    let ids = statement.query_map(params![after, comparable(limit as u64)], |row| row.get(0))?;
    Ok(ids.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn idle(db: &Connection, before: Timestamp, limit: usize) -> Result<Vec<UploadId>> {
    const SQL: &str = "SELECT id FROM uploads WHERE state = 'receiving' AND touched_at < ?1
        ORDER BY touched_at LIMIT ?2";
    let mut statement = db.prepare_cached(SQL)?;
    let ids =
        statement.query_map(params![Millis(before), comparable(limit as u64)], |row| row.get(0))?;
    Ok(ids.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn count(db: &Connection) -> Result<Vec<(UploadState, u64)>> {
    const SQL: &str = "SELECT state, uploads FROM tally
        WHERE state IN ('receiving', 'stitching', 'complete', 'failed', 'cancelled', 'expired')";
    let mut statement = db.prepare_cached(SQL)?;
    let counts = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(counts.collect::<rusqlite::Result<_>>()?)
}
