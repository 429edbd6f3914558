//! A few connections that read, so that no read waits for a commit.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task,
    time::timeout,
};

use super::{error, turns::Turns};
use crate::{
    catalog::CatalogError,
    upload::{Principal, limits},
};

type Idle = Arc<Mutex<Vec<Reader>>>;

/// Connections that read, each lent to one query at a time.
///
/// Each query sees all that was committed before it began. None waits, or takes, longer than
/// [`limits::CATALOG_READ_TIME`]: it is [`CatalogError::Unavailable`] then.
pub(super) struct Readers {
    idle: Idle,
    /// As many as there are connections.
    permits: Arc<Semaphore>,
    /// Fewer than there are connections.
    scans: Arc<Semaphore>,
    turns: Turns,
    /// How long a query may wait, and how long it may take.
    patience: Duration,
}

impl Readers {
    pub(super) fn new(connections: Vec<Connection>) -> Result<Self, CatalogError> {
        let permits = Arc::new(Semaphore::new(connections.len()));
        let scans = Arc::new(Semaphore::new(limits::CATALOG_SCANS.into()));
        let readers: Result<Vec<_>, _> = connections.into_iter().map(Reader::new).collect();
        let (idle, turns) = (Arc::new(Mutex::new(readers?)), Turns::default());
        Ok(Self { idle, permits, scans, turns, patience: limits::CATALOG_READ_TIME })
    }

    /// Runs `query` on a thread that may block.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, CatalogError> + Send + 'static,
    ) -> Result<T, CatalogError> {
        let lent = Lent::take(&self.idle, self.wait(&self.permits).await?, self.patience);
        task::spawn_blocking(move || query(lent.connection())).await.map_err(error::lost)?
    }

    /// As [`Self::read`], for a list of what is this principal's. Of one principal one list is read
    /// at a time, and of all so few that a reader is left for what is asked for by its key.
    pub(super) async fn scan<T: Send + 'static>(
        &self,
        of: &Principal,
        query: impl FnOnce(&Connection) -> Result<T, CatalogError> + Send + 'static,
    ) -> Result<T, CatalogError> {
        let turn = self.wait(&self.turns.of(of)).await?;
        let scan = self.wait(&self.scans).await?;
        // Kept until the query ends, whether or not anybody waits for it.
        let held = (turn, scan);
        self.read(move |db| {
            let _held = held;
            query(db)
        })
        .await
    }

    async fn wait(&self, permits: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, CatalogError> {
        let permit = timeout(self.patience, Arc::clone(permits).acquire_owned()).await;
        permit.map_err(|_| error::busy())?.map_err(|_| error::closed())
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

/// A connection that gives up whatever takes too long.
struct Reader {
    connection: Connection,
    until: Arc<Mutex<Instant>>,
}

impl Reader {
    fn new(mut connection: Connection) -> Result<Self, CatalogError> {
        let until = Arc::new(Mutex::new(Instant::now()));
        let deadline = until.clone();
        let is_over = move || *lock(&deadline) <= Instant::now();
        connection.progress_handler(limits::CATALOG_STEPS_PER_LOOK, Some(is_over))?;
        Ok(Self { connection, until })
    }
}

/// A connection on loan: it goes back when this is dropped, by a panic, too.
struct Lent {
    reader: Option<Reader>,
    idle: Idle,
    /// Dropped last, so that whoever gets it next finds a connection.
    _permit: OwnedSemaphorePermit,
}

impl Lent {
    fn take(idle: &Idle, permit: OwnedSemaphorePermit, patience: Duration) -> Self {
        let reader = lock(idle).pop();
        if let Some(reader) = &reader {
            *lock(&reader.until) = Instant::now() + patience;
        }
        Self { reader, idle: Arc::clone(idle), _permit: permit }
    }

    fn connection(&self) -> &Connection {
        &self.reader.as_ref().expect("there is one for each permit, until the drop").connection
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        lock(&self.idle).extend(self.reader.take());
    }
}

/// What a lock holds. Nothing panics while one is held, so a poisoned one is as good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{super::connection, *};

    fn readers(path: &std::path::Path) -> Readers {
        let connections = connection::readers(path, connection::Access::Shared).expect("a file");
        Readers::new(connections).expect("readers")
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

    #[tokio::test]
    async fn a_query_that_takes_too_long_is_given_up() {
        const FOR_EVER: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
            SELECT count(*) FROM n";
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("c.db");
        let _writer = connection::writer(&path, connection::Access::Shared).expect("a new file");
        let readers = Readers { patience: Duration::from_millis(1), ..readers(&path) };
        for _ in 0..=limits::CATALOG_READERS {
            let given_up = readers.read(|db| Ok(db.query_row(FOR_EVER, [], |_| Ok(()))?)).await;
            assert!(matches!(given_up, Err(CatalogError::Unavailable(_))), "{given_up:?}");
        }
        let readers = Readers { patience: limits::CATALOG_READ_TIME, ..readers };
        let one: i64 = readers
            .read(|db| Ok(db.query_row("SELECT 1", [], |row| row.get(0))?))
            .await
            .expect("the reader is as good as before");
        assert_eq!(one, 1);
    }

    /// One principal's slow lists, however many, leave a turn for others, and readers for keys.
    #[tokio::test]
    async fn slow_lists_of_one_principal_hold_up_nobody_else() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("c.db");
        let _writer = connection::writer(&path, connection::Access::Shared).expect("a new file");
        let readers = Arc::new(readers(&path));
        let (release, held) = std::sync::mpsc::sync_channel::<()>(1);
        let held = Arc::new(Mutex::new(held));
        let (begun, mut begins) = tokio::sync::mpsc::channel(20);
        let slow: Vec<_> = (0..20)
            .map(|_| {
                let (readers, held, begun) = (readers.clone(), held.clone(), begun.clone());
                tokio::spawn(async move {
                    let list = move |_: &Connection| {
                        begun.try_send(()).expect("there is room for all");
                        // Until the test lets it go on.
                        let _ = lock(&held).recv();
                        Ok(())
                    };
                    readers.scan(&Principal::named("ann"), list).await
                })
            })
            .collect();
        begins.recv().await.expect("one has begun");
        readers.scan(&Principal::named("bob"), |_| Ok(())).await.expect("bob has a turn");
        readers.read(|_| Ok(())).await.expect("what is asked for by its key has a reader");
        assert!(begins.try_recv().is_err(), "ann has one turn at a time");
        drop(release);
        for list in slow {
            list.await.expect("no panic").expect("each has its turn");
        }
    }
}
