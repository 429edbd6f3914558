//! The session: whether the former one was closed, and on which start of the machine it ran.

use rusqlite::{Connection, OptionalExtension};

use super::uploads;
use crate::catalog::CatalogError;

type Result<T> = std::result::Result<T, CatalogError>;

/// Begins a session. Returns whether the former one was closed; before the first there is nothing
/// that could be open.
pub(super) fn open(tx: &Connection, epoch: &str) -> Result<bool> {
    const FORMER: &str = "SELECT closed, epoch FROM session WHERE singleton = 1";
    const OPEN: &str =
        "INSERT OR REPLACE INTO session (singleton, epoch, closed) VALUES (1, ?1, 0)";
    let former = tx.query_row(FORMER, [], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)));
    let (closed, former_epoch) = former.optional()?.unwrap_or((true, epoch.into()));
    if !closed && former_epoch != epoch {
        uploads::suspect_all(tx)?;
    }
    tx.execute(OPEN, [epoch])?;
    Ok(closed)
}

/// Ends the session that was begun, if one was.
pub(super) fn close(tx: &Connection) -> Result<()> {
    tx.execute("UPDATE session SET closed = 1 WHERE singleton = 1", [])?;
    Ok(())
}

/// Reads something, to show that it can be read.
pub(super) fn ping(tx: &Connection) -> Result<()> {
    Ok(tx.query_row("SELECT count(*) FROM session WHERE singleton = 1", [], |_| Ok(()))?)
}
