//! Opens connections, all of them set up alike.

use std::{ffi::CStr, path::Path};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::{file, memory, migrate};
use crate::{catalog::CatalogError, upload::limits};

/// Who may use the file at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Any process: the index of the journal is a file that all of them map into memory.
    Shared,
    /// This process alone: the index is in its own memory.
    Exclusive,
}

impl Access {
    /// The part of `SQLite` that opens, maps and locks files.
    fn vfs(self) -> &'static CStr {
        match self {
            Self::Shared => c"unix",
            Self::Exclusive => c"unix-excl",
        }
    }
}

/// The connection that writes. Makes the file if it is not there, and brings its schema up to date.
pub(super) fn writer(path: &Path, access: Access) -> Result<Connection, CatalogError> {
    // A process before this one may have ended right after the disk failed.
    memory::forget_all(path);
    file::refuse_link(path)?;
    file::make(path)?;
    let mut connection = open(path, OpenFlags::SQLITE_OPEN_CREATE, access)?;
    // Before anything is changed: a file that is not ours stays as it is.
    migrate::check(&connection)?;
    file::close_to_others(path)?;
    enter_wal(&connection)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Each call has a savepoint, and of each page that it changes a copy is kept until it is done:
    // else in a file, by two system calls a page.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "wal_autocheckpoint", journal_pages(file::len_max()))?;
    migrate::apply(&mut connection)?;
    Ok(connection)
}

/// The connections that only read, on a file that [`writer`] has opened.
pub(super) fn readers(path: &Path, access: Access) -> Result<Vec<Connection>, CatalogError> {
    (0..limits::CATALOG_READERS).map(|_| reader(path, access)).collect()
}

/// A connection that only reads a file that is there.
pub(super) fn reader(path: &Path, access: Access) -> Result<Connection, CatalogError> {
    let connection = open(path, OpenFlags::empty(), access)?;
    // Not opened read-only: a reader, too, must be able to recover the journal of a dead writer.
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// A connection that looks at a file that is there, whatever is in it.
pub(super) fn visitor(path: &Path) -> Result<Connection, CatalogError> {
    visitor_for(path, Access::Shared)
}

/// As [`visitor`], for whoever is named.
pub(super) fn visitor_for(path: &Path, access: Access) -> Result<Connection, CatalogError> {
    open(path, OpenFlags::empty(), access)
}

fn open(path: &Path, extra: OpenFlags, access: Access) -> Result<Connection, CatalogError> {
    file::refuse_link(path)?;
    // No mutex inside SQLite: each connection is used by one thread at a time.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | extra;
    let connection = Connection::open_with_flags_and_vfs(path, flags, access.vfs())?;
    connection.busy_timeout(limits::CATALOG_BUSY_TIMEOUT)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // A plan does not depend on what is bound: else statements are planned anew for each value.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // More than there are statements, so that none is ever parsed twice.
    connection.set_prepared_statement_cache_capacity(limits::CATALOG_STATEMENTS);
    Ok(connection)
}

/// How many pages of 4 KiB the journal may have before it is folded into the file: few enough that
/// it stays well below the limit of file sizes, if there is one.
fn journal_pages(len_max: Option<u64>) -> u32 {
    let most = len_max.map_or(u64::MAX, |len| (len / 4 / 4096).max(1));
    u32::try_from(most).unwrap_or(u32::MAX).min(limits::CATALOG_JOURNAL_PAGES)
}

/// Readers that never wait for the writer, and commits that are one append and one flush.
fn enter_wal(connection: &Connection) -> Result<(), CatalogError> {
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode == "wal" {
        return Ok(());
    }
    // File systems without shared memory, of the network mostly.
    let message = format!(
        "SQLite cannot keep a write-ahead log here and fell back to {mode:?}: put the data \
         directory on a local file system"
    );
    Err(CatalogError::Unavailable(message.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_stays_below_the_limit_of_file_sizes() {
        assert_eq!(journal_pages(None), limits::CATALOG_JOURNAL_PAGES);
        assert_eq!(journal_pages(Some(u64::MAX)), limits::CATALOG_JOURNAL_PAGES);
        assert_eq!(journal_pages(Some(1 << 20)), 64);
        assert_eq!(journal_pages(Some(0)), 1);
    }
}
