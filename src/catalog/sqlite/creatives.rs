//! Creatives, and the files of those that were deleted.

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    audit,
    columns::{self, Millis, comparable},
    ranges, uploads, users,
};
use crate::{
    catalog::{CatalogError, CreativeQuery, Doomed},
    upload::{By, Creative, CreativeId, Day, Deed, Principal, TrashNote, UploadState, limits},
};

type Result<T> = std::result::Result<T, CatalogError>;

/// Completes the upload and records what it became, or neither.
pub(super) fn complete(tx: &Connection, creative: &Creative) -> Result<bool> {
    complete_as(tx, creative, Deed::UploadCompleted)
}

/// The same for an upload whose finished file was found.
pub(super) fn recover(tx: &Connection, creative: &Creative) -> Result<bool> {
    if !users::may_add(tx, &creative.principal)? {
        return Ok(false);
    }
    uploads::advance(tx, creative.upload_id, UploadState::Stitching)?;
    complete_as(tx, creative, Deed::UploadRecovered)
}

fn complete_as(tx: &Connection, creative: &Creative, deed: Deed) -> Result<bool> {
    // Here, where nobody can be disabled between the look and the deed.
    if !users::may_add(tx, &creative.principal)? {
        return Ok(false);
    }
    let was_it = uploads::complete(tx, creative.upload_id, creative.created_at)?;
    if was_it {
        insert(tx, creative)?;
        ranges::drop_some(tx, creative.upload_id, limits::FEW_RANGES)?;
        let by = By::server(creative.created_at);
        let entry = by.entry(deed, &creative.principal, &creative.upload_id);
        audit::append(tx, &entry.of_upload(creative.upload_id).saying(&creative.id))?;
    }
    Ok(was_it)
}

fn insert(tx: &Connection, creative: &Creative) -> Result<()> {
    const SQL: &str = "INSERT INTO creatives (id, principal, filename, size, sha256, blake3,
            content_type, scheduled, created_at, upload_id)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    tx.prepare_cached(SQL)?.execute(params![
        creative.id,
        creative.principal,
        creative.filename,
        creative.size,
        creative.digest.sha256,
        creative.digest.blake3,
        creative.content_type,
        creative.scheduled,
        Millis(creative.created_at),
        creative.upload_id,
    ])?;
    Ok(())
}

pub(super) fn by_id(db: &Connection, id: CreativeId) -> Result<Option<Creative>> {
    const SQL: &str = "SELECT * FROM creatives WHERE id = ?1";
    Ok(db.prepare_cached(SQL)?.query_row([id], columns::creative).optional()?)
}

/// The creatives that a query finds.
pub(super) fn records(
    db: &Connection,
    sql: &str,
    values: &[&dyn rusqlite::ToSql],
) -> Result<Vec<Creative>> {
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map(values, columns::creative)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn list(db: &Connection, query: &CreativeQuery) -> Result<Vec<Creative>> {
    const SQL: &str = "SELECT * FROM creatives
        WHERE principal = ?1 AND (scheduled, id) > (?2, ?3) AND scheduled <= ?4
        ORDER BY scheduled, id LIMIT ?5";
    let text = |day: Option<Day>, none: &str| day.map_or_else(|| none.into(), |d| d.to_string());
    // One lower bound, the later of the two; an empty id stands before every other of its day.
    let after = query.after.filter(|(day, _)| query.from.is_none_or(|from| from <= *day));
    let (day, id) = match &after {
        Some((day, id)) => (day.to_string(), id.as_bytes().as_slice()),
        None => (text(query.from, ""), [].as_slice()),
    };
    let limit = comparable(query.limit as u64);
    let mut statement = db.prepare_cached(SQL)?;
    // "~" stands after every digit.
    let rows = params![query.principal, day, id, text(query.to, "~"), limit];
    let rows = statement.query_map(rows, columns::creative)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn reschedule(
    tx: &Connection,
    id: CreativeId,
    day: Day,
    by: &By,
) -> Result<Option<Creative>> {
    const SQL: &str = "UPDATE creatives SET scheduled = ?2 WHERE id = ?1 RETURNING *";
    let row = params![id, day];
    let moved = tx.prepare_cached(SQL)?.query_row(row, columns::creative).optional()?;
    if let Some(creative) = &moved {
        audit::of_creative(tx, creative, Deed::CreativeRescheduled, by, &day)?;
    }
    Ok(moved)
}

/// Writes a record again whose file was brought back.
pub(super) fn restore(tx: &Connection, creative: &Creative, by: &By) -> Result<bool> {
    const OF_ITS_UPLOAD: &str = "SELECT id FROM creatives WHERE upload_id = ?1";
    let of_its_upload = tx.prepare_cached(OF_ITS_UPLOAD)?.exists([creative.upload_id])?;
    let is_taken = of_its_upload || by_id(tx, creative.id)?.is_some();
    if is_taken || !users::may_add(tx, &creative.principal)? {
        return Ok(false);
    }
    insert(tx, creative)?;
    buried(tx, creative.id)?;
    audit::of_creative(tx, creative, Deed::FileRestored, by, creative.filename.as_str())?;
    Ok(true)
}

/// Deletes the record and dooms the file, or neither.
pub(super) fn delete(tx: &Connection, id: CreativeId, by: &By) -> Result<Option<Creative>> {
    const DELETE: &str = "DELETE FROM creatives WHERE id = ?1 RETURNING *";
    const DOOM: &str = "INSERT INTO doomed (id, filename, note) VALUES (?1, ?2, ?3)";
    let deleted = tx.prepare_cached(DELETE)?.query_row([id], columns::creative).optional()?;
    if let Some(creative) = &deleted {
        let note = TrashNote::of_deleted(creative, by).map(|note| note.to_json());
        tx.prepare_cached(DOOM)?.execute(params![creative.id, creative.filename, note])?;
        let name = creative.filename.as_str();
        audit::of_creative(tx, creative, Deed::CreativeDeleted, by, name)?;
    }
    Ok(deleted)
}

/// Gives it to a user. It is taken out and put in again, so that what each of the two has stored is
/// counted as always.
pub(super) fn give(
    tx: &Connection,
    id: CreativeId,
    to: &Principal,
    by: &By,
) -> Result<Option<Creative>> {
    const TAKE: &str = "DELETE FROM creatives WHERE id = ?1 RETURNING *";
    const FORGET: &str = "DELETE FROM uploads WHERE id = ?1 AND ended_at IS NOT NULL";
    if users::by_name(tx, to)?.is_none() {
        return Ok(None);
    }
    let taken = tx.prepare_cached(TAKE)?.query_row([id], columns::creative).optional()?;
    let Some(former) = taken else { return Ok(None) };
    let given = Creative { principal: to.clone(), ..former.clone() };
    insert(tx, &given)?;
    tx.prepare_cached(FORGET)?.execute([given.upload_id])?;
    audit::of_creative(tx, &former, Deed::CreativeGiven, by, to.as_str())?;
    Ok(Some(given))
}

pub(super) fn doomed(db: &Connection) -> Result<Vec<Doomed>> {
    const SQL: &str = "SELECT id, filename, note FROM doomed ORDER BY id";
    let mut statement = db.prepare_cached(SQL)?;
    let rows = statement.query_map([], doomed_file)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn doomed_by_id(db: &Connection, id: CreativeId) -> Result<Option<Doomed>> {
    const SQL: &str = "SELECT id, filename, note FROM doomed WHERE id = ?1";
    Ok(db.prepare_cached(SQL)?.query_row([id], doomed_file).optional()?)
}

fn doomed_file(row: &rusqlite::Row<'_>) -> rusqlite::Result<Doomed> {
    Ok(Doomed { id: row.get(0)?, filename: row.get(1)?, note: row.get(2)? })
}

pub(super) fn buried(tx: &Connection, id: CreativeId) -> Result<()> {
    const SQL: &str = "DELETE FROM doomed WHERE id = ?1";
    tx.prepare_cached(SQL)?.execute([id])?;
    Ok(())
}
