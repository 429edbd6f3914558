//! What a server that has stopped left behind: its folders and its catalog, read without it.

use std::{collections::BTreeMap, fs, io, path::Path};

use rusqlite::{Connection, OpenFlags, types::FromSql};
use uuid::Uuid;

use crate::{compare, failure::Failure, ledger::Entry, report::Kind, round::Round};

/// A creative as the catalog has it.
struct Recorded {
    id: Uuid,
    filename: String,
}

/// Compares folders, catalog and ledger. The server must have stopped.
pub(crate) fn compare(round: &Round) -> Result<(), Failure> {
    let data = round.setup.data();
    let catalog = Connection::open_with_flags(
        round.setup.database(),
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    for name in names(&data.join("incomplete"))? {
        round.tally.broken(Kind::Leftover, format!("incomplete/{name} is left"));
    }
    rows(round, &catalog)?;
    files(round, &catalog, &data.join("completed"))
}

/// What must not stand in the catalog in the end.
fn rows(round: &Round, catalog: &Connection) -> Result<(), Failure> {
    let sound: String = one(catalog, "PRAGMA integrity_check")?;
    if sound != "ok" {
        round.tally.broken(Kind::Other, format!("the catalog is damaged: {sound}"));
    }
    let running: i64 = one(catalog, "SELECT count(*) FROM uploads WHERE ended_at IS NULL")?;
    if running != 0 {
        round.tally.broken(Kind::Leftover, format!("{running} uploads are still running"));
    }
    let doomed: i64 = one(catalog, "SELECT count(*) FROM doomed")?;
    if doomed != 0 {
        let detail = format!("files of {doomed} deleted creatives are not known to be gone");
        round.tally.broken(Kind::Leftover, detail);
    }
    Ok(())
}

/// Every file has its creative, every creative its file, and each is what was sent.
fn files(round: &Round, catalog: &Connection, completed: &Path) -> Result<(), Failure> {
    let mut recorded: BTreeMap<Uuid, Recorded> =
        creatives(catalog)?.into_iter().map(|creative| (creative.id, creative)).collect();
    let entries = round.ledger.snapshot().0;
    for name in names(completed)? {
        let id = name.split('.').next().and_then(|id| id.parse().ok());
        let Some(creative) = id.and_then(|id: Uuid| recorded.remove(&id)) else {
            round.tally.broken(Kind::FileOnly, format!("completed/{name} has no creative"));
            continue;
        };
        let named = |entry: &&Entry| entry.plan.name == creative.filename;
        if let Some(entry) = entries.iter().find(named) {
            compare::content(&round.tally, entry, &entries, &fs::read(completed.join(&name))?);
        }
    }
    for Recorded { id, filename } in recorded.values() {
        let detail = format!("creative {id} of {filename} has no file in completed/");
        round.tally.broken(Kind::CreativeOnly, detail);
    }
    Ok(())
}

fn creatives(catalog: &Connection) -> Result<Vec<Recorded>, Failure> {
    let mut statement = catalog.prepare("SELECT id, filename FROM creatives")?;
    let rows = statement.query_map((), |row| {
        let id: [u8; 16] = row.get("id")?;
        Ok(Recorded { id: Uuid::from_bytes(id), filename: row.get("filename")? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn one<T: FromSql>(catalog: &Connection, query: &str) -> Result<T, Failure> {
    Ok(catalog.query_row(query, (), |row| row.get(0))?)
}

/// The names in a folder, without the dotted ones: those are no files of uploads.
pub(crate) fn names(folder: &Path) -> io::Result<Vec<String>> {
    let name = |entry: io::Result<fs::DirEntry>| -> io::Result<String> {
        Ok(entry?.file_name().to_string_lossy().into())
    };
    let names: io::Result<Vec<String>> = fs::read_dir(folder)?.map(name).collect();
    Ok(names?.into_iter().filter(|name| !name.starts_with('.')).collect())
}
