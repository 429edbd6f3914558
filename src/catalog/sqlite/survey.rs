//! What a start must know of a catalog before anything is written.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, config::DbConfig};

use super::{
    connection::{self, Access},
    deployment, file, migrate,
};
use crate::{
    catalog::CatalogError,
    upload::{AccessState, Mark},
};

type Result<T> = std::result::Result<T, CatalogError>;

/// The versions of the schema that have users, the audit trail, and a deployment, and the one from
/// which on what it says of the access can be believed (see `0017_open.sql`).
const USERS: u32 = 3;
const AUDIT: u32 = 8;
const DEPLOYMENT: u32 = 10;
const ACCESS: u32 = 17;

/// What is known of a catalog that is there, of whatever version of this program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are answers to independent questions")]
pub struct CatalogSurvey {
    /// Which deployment it belongs to; nothing if an older version of this program wrote it.
    pub mark: Option<Mark>,
    /// Whether a service has ever started on it.
    pub is_used: bool,
    /// Whether it knows unfinished uploads.
    pub has_running: bool,
    /// Whether it knows finished files.
    pub has_creatives: bool,
    /// Whether it knows users.
    pub has_users: bool,
    /// Who may use the service, if that was decided.
    pub access: Option<AccessState>,
}

impl CatalogSurvey {
    /// Who may use the service, also by a version of this program that did not store it.
    #[must_use]
    pub fn access(&self) -> Option<AccessState> {
        let open_before = self.is_used && self.mark.is_none();
        self.access.or(open_before.then_some(AccessState::Open))
    }

    /// Looks at the catalog of this path; nothing if none is there. Makes nothing, and leaves the
    /// journal as it is. Blocks.
    ///
    /// Errors: [`CatalogError::Corrupt`] if the file is not a catalog or is of a newer program.
    pub fn of(path: &Path, access: Access) -> Result<Option<Self>> {
        file::refuse_link(path)?;
        if !path.try_exists().map_err(|error| CatalogError::Unavailable(error.into()))? {
            return Ok(None);
        }
        let db = connection::visitor_for(path, access)?;
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        match migrate::check(&db)? {
            0 => Ok(None),
            version => look(&db, version).map(Some),
        }
    }
}

fn look(db: &Connection, version: u32) -> Result<CatalogSurvey> {
    let any =
        |sql: &str| -> Result<bool> { Ok(db.query_row(sql, [], |_| Ok(())).optional()?.is_some()) };
    let (mark, access) = if version < DEPLOYMENT {
        (None, None)
    } else {
        (Some(deployment::mark(db)?), deployment::access(db)?)
    };
    // What the migrations will decide, seen before they are applied.
    let has_had_users = (AUDIT..ACCESS).contains(&version)
        && any("SELECT 1 FROM audit WHERE principal <> 'anonymous'
                OR action IN ('user_added', 'user_removed') LIMIT 1")?;
    let access = if has_had_users { Some(AccessState::Users) } else { access };
    Ok(CatalogSurvey {
        mark,
        access,
        is_used: any("SELECT 1 FROM session")?,
        has_running: any("SELECT 1 FROM uploads WHERE ended_at IS NULL LIMIT 1")?,
        has_creatives: any("SELECT 1 FROM creatives LIMIT 1")?,
        has_users: USERS <= version && any("SELECT 1 FROM users LIMIT 1")?,
    })
}
