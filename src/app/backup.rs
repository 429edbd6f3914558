//! Makes the cuts that backups are copied from.

use std::{io, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::catalog;
use crate::{
    catalog::{Access, CatalogSnapshot},
    config::Config,
    engine::{Clock, UploadError},
    http::control::{Cut, CutError, Cutter},
    store::{ChunkStore, FsStore, StoreError, backup::cut_catalog},
    upload::Reserve,
};

/// The store and the catalog of which cuts are made: those on the local disk.
#[derive(Debug)]
pub(super) struct Cuts {
    store: Arc<FsStore>,
    database: (PathBuf, Access),
    clock: Clock,
    /// Where the folder of each cut is.
    incomplete: PathBuf,
    reserve: Reserve,
}

impl Cuts {
    pub(super) fn new(config: &Config, store: Arc<FsStore>, clock: Clock) -> Self {
        let database = (config.database.clone(), catalog::access(config));
        let (incomplete, reserve) = (config.incomplete_dir.clone(), config.reserve_free);
        Self { store, database, clock, incomplete, reserve }
    }
}

#[async_trait]
impl Cutter for Cuts {
    async fn cut(&self, id: Uuid) -> Result<Cut, CutError> {
        let (id, created_at) = (id.to_string(), self.clock.now().to_string());
        let space = self.store.space().await.map_err(UploadError::from)?;
        let room = space.free.saturating_sub(self.reserve.of(space.total));
        let copy = cut_catalog(&self.incomplete, &id);
        let (store, (database, access)) = (self.store.clone(), self.database.clone());
        let made = spawn_blocking(move || {
            let take = || CatalogSnapshot::take(&database, access).map_err(io::Error::other);
            let snapshot = store.begin_cut(&id, take).map_err(|error| match error.kind() {
                io::ErrorKind::WouldBlock => CutError::Busy,
                io::ErrorKind::NotFound => CutError::Gone,
                _ => UploadError::from(StoreError::from_io("begin a backup", error)).into(),
            })?;
            // From here on nobody waits for us.
            fits(snapshot.len().map_err(UploadError::from)?, room)?;
            Ok(snapshot.save(&copy).map_err(UploadError::from)?)
        });
        let made: Result<(), CutError> =
            made.await.map_err(|panic| UploadError::Unavailable(panic.into()))?;
        made.map(|()| Cut { created_at })
    }
}

fn fits(len: u64, room: u64) -> Result<(), UploadError> {
    if len <= room {
        return Ok(());
    }
    let why = format!(
        "a copy of the database takes {len} bytes beside the uploads, and {room} are free there \
         without what reserve_free keeps"
    );
    Err(UploadError::NoSpace(why.into()))
}
