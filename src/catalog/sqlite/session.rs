//! The session: whether the former one was closed, and on which start of the machine it ran.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::catalog::CatalogError;

type Result<T> = std::result::Result<T, CatalogError>;

/// The number of the session, as a term of a statement. The first one has the number 1.
macro_rules! number {
    () => {
        "coalesce((SELECT number FROM session WHERE singleton = 1), 1)"
    };
}

/// The number of the first session whose bytes are believed, as a term of a statement.
macro_rules! believed_from {
    () => {
        "coalesce((SELECT believed_from FROM session WHERE singleton = 1), 1)"
    };
}

pub(super) use {believed_from, number};

/// Begins a session. Returns whether the former one was closed; before the first there is nothing
/// that could be open.
pub(super) fn open(tx: &Connection, epoch: &str) -> Result<bool> {
    const FORMER: &str =
        "SELECT closed, epoch, number, believed_from FROM session WHERE singleton = 1";
    const OPEN: &str = "INSERT OR REPLACE INTO session
            (singleton, epoch, closed, number, believed_from)
        VALUES (1, ?1, 0, ?2, ?3)";
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    let former: Option<(bool, String, i64, i64)> = tx.query_row(FORMER, [], read).optional()?;
    let Some((closed, former_epoch, former_number, believed_from)) = former else {
        tx.execute(OPEN, params![epoch, 1, 1])?;
        return Ok(true);
    };
    let number = former_number + 1;
    let is_unclean = !closed && former_epoch != epoch;
    let believed_from = if is_unclean { number } else { believed_from };
    tx.execute(OPEN, params![epoch, number, believed_from])?;
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
