//! Sorts what `SQLite` says by what the caller can do about it.

use rusqlite::{
    Error, ErrorCode,
    ffi::{SQLITE_IOERR_SHMSIZE, SQLITE_IOERR_WRITE},
};

use super::file;
use crate::catalog::CatalogError;

impl From<Error> for CatalogError {
    fn from(error: Error) -> Self {
        let Error::SqliteFailure(failure, _) = &error else {
            // All the other variants are values that do not fit their columns or our types.
            return Self::Corrupt(error.to_string());
        };
        match failure.code {
            ErrorCode::DiskFull => Self::NoSpace(Box::new(error)),
            // The index of the journal, which it maps into memory, could not be lengthened.
            ErrorCode::SystemIoFailure if failure.extended_code == SQLITE_IOERR_SHMSIZE => {
                Self::NoSpace(Box::new(error))
            }
            // SQLite has no code of its own for a file that would be larger than the process may
            // make it. Where there is such a limit, a write fails because of it as a rule.
            ErrorCode::SystemIoFailure
                if failure.extended_code == SQLITE_IOERR_WRITE && file::len_max().is_some() =>
            {
                Self::NoSpace(Box::new(error))
            }
            ErrorCode::DatabaseBusy => Self::Unavailable(
                "another process keeps it locked: a server with database_exclusive, which must \
                 stop first, or a tool of SQLite"
                    .into(),
            ),
            ErrorCode::DatabaseLocked
            | ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::PermissionDenied
            | ErrorCode::ReadOnly
            | ErrorCode::OutOfMemory
            | ErrorCode::OperationAborted
            | ErrorCode::OperationInterrupted
            | ErrorCode::SchemaChanged => Self::Unavailable(Box::new(error)),
            ErrorCode::NotADatabase => Self::Corrupt(
                "the file is not a SQLite database: name another file, or move this one away"
                    .into(),
            ),
            // Constraints, a malformed file, tables that are not there.
            _ => Self::Corrupt(error.to_string()),
        }
    }
}

/// The same error, for one more of those whom it concerns.
pub(super) fn again(error: &CatalogError) -> CatalogError {
    match error {
        CatalogError::Taken => CatalogError::Taken,
        CatalogError::InUse => CatalogError::InUse,
        CatalogError::NoSpace(source) => CatalogError::NoSpace(source.to_string().into()),
        CatalogError::Unavailable(source) => CatalogError::Unavailable(source.to_string().into()),
        CatalogError::Corrupt(what) => CatalogError::Corrupt(what.clone()),
    }
}

/// The error of every call that comes after the end of the session.
pub(super) fn closed() -> CatalogError {
    CatalogError::Unavailable("the catalog is closed".into())
}

/// The error of a call that waited too long for its turn.
pub(super) fn busy() -> CatalogError {
    CatalogError::Unavailable("too many queries are running: try again in a moment".into())
}

/// The error of a call whose work was begun and not finished.
pub(super) fn lost(source: impl std::error::Error + Send + Sync + 'static) -> CatalogError {
    CatalogError::Unavailable(Box::new(source))
}
