//! A few connections that read, so that no read waits for a commit.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task,
};

use super::error;
use crate::{catalog::CatalogError, upload::limits};

type Idle = Arc<Mutex<Vec<Connection>>>;

/// Connections that read, each lent to one query at a time.
///
/// Each query sees all that was committed before it began.
pub(super) struct Readers {
    idle: Idle,
    /// As many as there are connections.
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(connections: Vec<Connection>) -> Self {
        let permits = Arc::new(Semaphore::new(connections.len()));
        Self { idle: Arc::new(Mutex::new(connections)), permits }
    }

    /// Runs `query` on a thread that may block.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, CatalogError> + Send + 'static,
    ) -> Result<T, CatalogError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let lent = Lent::take(&self.idle, permit.map_err(|_| error::closed())?);
        task::spawn_blocking(move || query(lent.connection())).await.map_err(error::lost)?
    }

    /// Waits for the queries that are running, and refuses all that come later.
    pub(super) async fn close(&self) -> Result<(), CatalogError> {
        let all = u32::from(limits::CATALOG_READERS);
        let _all = self.permits.acquire_many(all).await.map_err(|_| error::closed())?;
        self.permits.close();
        lock(&self.idle).clear();
        Ok(())
    }
}

/// A connection on loan: it goes back when this is dropped, by a panic, too.
struct Lent {
    connection: Option<Connection>,
    idle: Idle,
    /// Dropped last, so that whoever gets it next finds a connection.
    _permit: OwnedSemaphorePermit,
}

impl Lent {
    fn take(idle: &Idle, permit: OwnedSemaphorePermit) -> Self {
        let connection = lock(idle).pop();
        Self { connection, idle: Arc::clone(idle), _permit: permit }
    }

    fn connection(&self) -> &Connection {
        self.connection.as_ref().expect("there is one for each permit, until the drop")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        lock(&self.idle).extend(self.connection.take());
    }
}

/// The connections. Nothing panics while the lock is held, so a poisoned one is as good.
fn lock(idle: &Idle) -> MutexGuard<'_, Vec<Connection>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{super::connection, *};

    fn readers(path: &std::path::Path) -> Readers {
        Readers::new(connection::readers(path, connection::Access::Shared).expect("a file"))
    }

    #[tokio::test]
    async fn queries_that_panic_do_not_use_the_readers_up() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("c.db");
        let _writer = connection::writer(&path, connection::Access::Shared).expect("a new file");
        let readers = readers(&path);
        for _ in 0..=limits::CATALOG_READERS {
            let lost = readers.read(|_| -> Result<(), _> { panic!("on purpose") }).await;
            assert!(matches!(lost, Err(CatalogError::Unavailable(_))), "{lost:?}");
        }
        readers.read(|_| Ok(())).await.expect("a reader is left");
        readers.close().await.expect("none is lent");
        readers.read(|_| Ok(())).await.expect_err("closed");
    }

    #[tokio::test]
    async fn a_reader_cannot_write() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("c.db");
        let _writer = connection::writer(&path, connection::Access::Shared).expect("a new file");
        let readers = readers(&path);
        let written = readers.read(|c| Ok(c.execute("DELETE FROM uploads", [])?)).await;
        assert!(matches!(written, Err(CatalogError::Unavailable(_))), "{written:?}");
    }
}
