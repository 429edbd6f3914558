//! Opens the catalog, as it is set.

use super::{StartError, deployment};
use crate::{
    catalog::{Access, CatalogError, Migration, SqliteCatalog, cannot_map_when_full, migrations},
    config::Config,
};

/// Applies the migrations that are missing, once it is sure that the database belongs to the
/// folders. Returns what there was to do before. Blocks.
pub fn migrate(config: &Config) -> Result<Vec<Migration>, StartError> {
    let of_it = StartError::of(&config.database);
    let passed = deployment::check(config)?;
    let before = migrations(&config.database).map_err(&of_it)?;
    let _lock = passed.lock(&config.database)?;
    open(config).map_err(of_it)?;
    Ok(before)
}

/// Who may use the database beside the server, as it is set.
pub(super) fn access(config: &Config) -> Access {
    if config.database_exclusive { Access::Exclusive } else { Access::Shared }
}

/// Opens it, and warns if it would end the server when there is no room. Blocks.
pub(super) fn open(config: &Config) -> Result<SqliteCatalog, CatalogError> {
    let access = access(config);
    let catalog = SqliteCatalog::open_for(&config.database, access)?;
    if access == Access::Shared && cannot_map_when_full(&config.database) {
        tracing::warn!(
            database = %config.database.display(),
            "The database is on btrfs, where a full disk or quota would end the server: set \
             database_exclusive, or put it on another file system"
        );
    }
    Ok(catalog)
}
