//! The one connection that writes, on a thread of its own.
//!
//! `SQLite` has one writer at a time anyway. With one thread and a bounded queue in front of it,
//! calls wait in order, instead of fighting for the file's lock, and no runtime thread ever waits
//! for the disk. A job that panics is rolled back and costs its caller an error; the next one is
//! served.

use std::{
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    thread,
};

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::{error, memory};
use crate::{
    catalog::CatalogError,
    upload::{Durability, limits},
};

/// Whether the thread goes on after a job.
type Next = ControlFlow<()>;
type Job = Box<dyn FnOnce(&mut Writing) -> Next + Send>;

/// The way to the thread that writes. The thread ends with the last of its callers.
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(connection: Connection) -> Result<Self, CatalogError> {
        let (jobs, queue) = mpsc::channel(limits::CATALOG_QUEUE_LEN);
        let writing = Writing { connection, synchronous: Durability::Strict, doubtful: false };
        thread::Builder::new()
            .name("catalog".into())
            .spawn(move || serve(writing, queue))
            .map_err(|error| CatalogError::Unavailable(Box::new(error)))?;
        Ok(Self { jobs })
    }

    /// Runs `work` in a transaction: committed if it succeeds, rolled back if it does not.
    pub(super) async fn transaction<T: Send + 'static>(
        &self,
        durability: Durability,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, CatalogError> + Send + 'static,
    ) -> Result<T, CatalogError> {
        self.run(Next::Continue(()), move |writing| writing.transaction(durability, work)).await
    }

    /// Runs `work` as the last transaction, folds the journal into the file and ends the thread.
    pub(super) async fn finish(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<(), CatalogError> + Send + 'static,
    ) -> Result<(), CatalogError> {
        let finish = |writing: &mut Writing| {
            writing.transaction(Durability::Strict, work)?;
            // Another process may still read and so keep the journal from being folded in; the
            // facts in it are durable all the same.
            writing.fold().map(drop)
        };
        self.run(Next::Break(()), finish).await
    }

    async fn run<T: Send + 'static>(
        &self,
        next: Next,
        work: impl FnOnce(&mut Writing) -> Result<T, CatalogError> + Send + 'static,
    ) -> Result<T, CatalogError> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |writing| {
            // A caller that has left is no reason not to do it: see the trait on cancel safety.
            let _ = reply.send(work(writing));
            next
        });
        self.jobs.send(job).await.map_err(|_| error::closed())?;
        answer.await.map_err(error::lost)?
    }
}

fn serve(mut writing: Writing, mut queue: mpsc::Receiver<Job>) {
    while let Some(job) = queue.blocking_recv() {
        // Unwind safe: the transaction that the panic passes through rolls back as it is dropped.
        match catch_unwind(AssertUnwindSafe(|| job(&mut writing))) {
            Ok(Next::Continue(())) => {}
            Ok(Next::Break(())) => return,
            Err(_) => tracing::error!("A job of the catalog's writer panicked and was rolled back"),
        }
    }
}

/// The connection that writes, and what it is set to.
struct Writing {
    connection: Connection,
    /// What `PRAGMA synchronous` is set to.
    synchronous: Durability,
    /// Whether the journal may have lost what it was told to flush.
    doubtful: bool,
}

impl Writing {
    fn transaction<T>(
        &mut self,
        durability: Durability,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        self.dispel_doubt()?;
        self.set_synchronous(durability)?;
        // Immediate: a transaction that reads first and then finds another process writing could
        // not wait for it.
        let behavior = TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(behavior)?;
        let value = work(&transaction)?;
        transaction.commit().inspect_err(|error| {
            self.doubtful = error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure);
        })?;
        Ok(value)
    }

    /// Sets how much a commit flushes; nothing if it is set so already.
    ///
    /// Strict is `FULL`: each commit flushes the journal. Relaxed is `NORMAL`: a commit is with the
    /// operating system, which is all it takes to survive the death of the process, and the journal
    /// is flushed by the next strict commit (the whole file, so everything before it, too) or
    /// before it is folded in. After loss of power the file is a consistent one of a moment ago.
    /// Not `OFF`: that folds the journal in without any flush and so can leave a broken file.
    fn set_synchronous(&mut self, durability: Durability) -> Result<(), CatalogError> {
        if self.synchronous == durability {
            return Ok(());
        }
        let level = match durability {
            Durability::Strict => "FULL",
            Durability::Relaxed => "NORMAL",
        };
        self.connection.pragma_update(None, "synchronous", level)?;
        self.synchronous = durability;
        Ok(())
    }

    /// After a flush that failed the system forgets what was not written, and the next flush says
    /// that all is well. Relaxed commits before it may so be missing from the middle of the
    /// journal, and everything after a hole is lost with it. So nothing is added to that journal:
    /// first all of it is written anew, into the file itself.
    fn dispel_doubt(&mut self) -> Result<(), CatalogError> {
        if self.doubtful {
            // A fold before this one may have failed. All that it wrote is in the journal still.
            self.connection.path().map(Path::new).map(memory::forget);
        }
        if self.doubtful && !self.fold()? {
            return Err(CatalogError::Unavailable("its journal could not be flushed".into()));
        }
        self.doubtful = false;
        Ok(())
    }

    /// Writes the journal into the file, durably, and empties it. False if a reader was in the way.
    fn fold(&self) -> Result<bool, CatalogError> {
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        let busy: bool = self.connection.query_row(sql, [], |row| row.get(0))?;
        Ok(!busy)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::{super::connection, *};

    fn writing(path: &Path) -> Writing {
        let connection = connection::writer(path, connection::Access::Shared).expect("a new file");
        Writing { connection, synchronous: Durability::Strict, doubtful: false }
    }

    fn doom(transaction: &Transaction<'_>) -> Result<(), CatalogError> {
        transaction.execute("INSERT INTO doomed VALUES (randomblob(16), 'a')", [])?;
        Ok(())
    }

    #[test]
    fn the_level_of_flushing_follows_the_durability() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut writing = writing(&dir.path().join("c.db"));
        let level = |writing: &Writing| -> i64 {
            writing.connection.pragma_query_value(None, "synchronous", |r| r.get(0)).expect("level")
        };
        for (durability, number) in
            [(Durability::Strict, 2), (Durability::Relaxed, 1), (Durability::Strict, 2)]
        {
            writing.transaction(durability, doom).expect("written");
            assert_eq!(level(&writing), number, "{durability:?}");
        }
    }

    #[test]
    fn a_doubtful_journal_is_written_anew_before_the_next_commit() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("c.db");
        let mut writing = writing(&path);
        let len = || fs::metadata(dir.path().join("c.db-wal")).expect("a journal").len();
        for _ in 0..10 {
            writing.transaction(Durability::Relaxed, doom).expect("written");
        }
        let before = len();
        writing.doubtful = true;
        writing.transaction(Durability::Strict, doom).expect("written");
        assert!(len() < before, "the journal was begun anew");
        assert!(!writing.doubtful);

        // A reader that stands in the way is waited for, and then the commit is refused.
        let mut readers = connection::readers(&path, connection::Access::Shared).expect("readers");
        let snapshot = readers[0].transaction().expect("begun");
        snapshot.query_row("SELECT count(*) FROM doomed", [], |_| Ok(())).expect("read");
        writing.connection.busy_timeout(std::time::Duration::ZERO).expect("set");
        writing.doubtful = true;
        writing.transaction(Durability::Strict, doom).expect_err("still in doubt");
        drop(snapshot);
        writing.transaction(Durability::Strict, doom).expect("written");
    }

    #[tokio::test]
    async fn a_panic_costs_its_own_call_only() {
        let dir = tempfile::tempdir().expect("a directory");
        let connection = connection::writer(&dir.path().join("c.db"), connection::Access::Shared)
            .expect("a new file");
        let writer = Writer::start(connection).expect("a thread");
        let lost = writer
            .transaction(Durability::Strict, |transaction| -> Result<(), _> {
                doom(transaction)?;
                panic!("on purpose")
            })
            .await;
        assert!(matches!(lost, Err(CatalogError::Unavailable(_))), "{lost:?}");
        let count = "SELECT count(*) FROM doomed";
        let count = writer
            .transaction(Durability::Strict, move |t| Ok(t.query_row(count, [], |r| r.get(0))?))
            .await;
        assert_eq!(count.ok(), Some(0), "rolled back");
    }
}
