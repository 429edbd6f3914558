//! Opens the catalog, as it is set.

use crate::{
    catalog::{Access, CatalogError, SqliteCatalog, cannot_map_when_full},
    config::Config,
};

/// Opens it, and warns if it would end the server when there is no room. Blocks.
pub(super) fn open(config: &Config) -> Result<SqliteCatalog, CatalogError> {
    let shared = !config.database_exclusive;
    let access = if shared { Access::Shared } else { Access::Exclusive };
    let catalog = SqliteCatalog::open_for(&config.database, access)?;
    if shared && cannot_map_when_full(&config.database) {
        tracing::warn!(
            database = %config.database.display(),
            "The database is on btrfs, where a full disk or quota would end the server: set \
             database_exclusive, or put it on another file system"
        );
    }
    Ok(catalog)
}
