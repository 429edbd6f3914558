//! Catalog and files as a visitor sees them.

use std::{path::PathBuf, sync::Arc};

use tokio::task::spawn_blocking;

use super::Failure;
use crate::{
    app::{StartError, folders},
    catalog::CatalogView,
    config::Config,
    store::StoreView,
};

/// Catalog and files, of a server that may be running.
#[derive(Debug)]
pub(super) struct Data {
    pub(super) facts: CatalogView,
    pub(super) files: StoreView,
    /// The folders, for the operator to read.
    pub(super) incomplete: PathBuf,
    pub(super) completed: PathBuf,
    pub(super) trash: PathBuf,
}

impl Data {
    /// Opens what is there, and makes nothing. Blocks for a moment.
    pub(super) fn open(config: &Config) -> Result<Self, StartError> {
        let facts =
            CatalogView::open(&config.database).map_err(StartError::of(&config.database))?;
        let files = StoreView::open(folders(config))?;
        let (incomplete, completed) = (config.incomplete_dir.clone(), config.completed_dir.clone());
        let trash = config.trash_dir.clone();
        Ok(Self { facts, files, incomplete, completed, trash })
    }

    /// Looks on a thread that may block.
    pub(super) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        look: impl FnOnce(&Self) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let data = Arc::clone(self);
        spawn_blocking(move || look(&data)).await?
    }
}
