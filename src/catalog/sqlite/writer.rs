//! The one connection that writes, on a thread of its own.
//!
//! `SQLite` has one writer at a time anyway. With one thread and a bounded queue in front of it,
//! calls wait in order, instead of fighting for the file's lock, and no runtime thread ever waits
//! for the disk. What came while a transaction was being flushed is carried out together in the
//! next one, so that many calls share a flush. A call that fails or panics is rolled back alone.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    thread,
};

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::{
    error,
    memory::Memory,
    part::{Call, Part},
};
use crate::{
    catalog::CatalogError,
    upload::{Durability, limits},
    witness::Witness,
};

/// What the thread is asked for.
enum Job {
    /// A part of a transaction.
    Part(Durability, Box<dyn Part>),
    /// The last transaction, and the end of the thread: who waits for that.
    Finish(Box<dyn Part>, oneshot::Sender<Result<(), CatalogError>>),
}

/// The way to the thread that writes. The thread ends with the last of its callers.
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(connection: Connection) -> Result<Self, CatalogError> {
        let (jobs, queue) = mpsc::channel(limits::CATALOG_QUEUE_LEN);
        let writing = Writing::new(connection);
        thread::Builder::new()
            .name("catalog".into())
            .spawn(move || serve(writing, queue))
            .map_err(|error| CatalogError::Unavailable(Box::new(error)))?;
        Ok(Self { jobs })
    }

    /// Runs `work` in a transaction, perhaps with that of others: what it changes is committed if
    /// it succeeds, and rolled back if it does not.
    pub(super) async fn transaction<T: Send + 'static>(
        &self,
        durability: Durability,
        work: impl FnOnce(&Connection) -> Result<T, CatalogError> + Send + 'static,
    ) -> Result<T, CatalogError> {
        let (part, answer) = Call::new(work);
        // A caller that has left is no reason not to do it: see the trait on cancel safety.
        let job = Job::Part(durability, Box::new(part));
        self.jobs.send(job).await.map_err(|_| error::closed())?;
        answer.await.map_err(error::lost)?
    }

    /// Runs `work` as the last transaction, folds the journal into the file and ends the thread.
    pub(super) async fn finish(
        &self,
        work: impl FnOnce(&Connection) -> Result<(), CatalogError> + Send + 'static,
    ) -> Result<(), CatalogError> {
        let (part, worked) = Call::new(work);
        let (reply, folded) = oneshot::channel();
        let job = Job::Finish(Box::new(part), reply);
        self.jobs.send(job).await.map_err(|_| error::closed())?;
        worked.await.map_err(error::lost)??;
        folded.await.map_err(error::lost)?
    }
}

/// Carries out whatever has come, together, until it is told to finish.
fn serve(mut writing: Writing, mut queue: mpsc::Receiver<Job>) {
    let mut jobs = Vec::new();
    while queue.blocking_recv_many(&mut jobs, limits::CATALOG_GROUP_LEN_MAX) != 0 {
        let (mut durability, mut parts) = (Durability::Relaxed, Vec::new());
        let mut last = None;
        for job in jobs.drain(..) {
            match job {
                // One that must last makes all of them last.
                Job::Part(Durability::Strict, part) => {
                    durability = Durability::Strict;
                    parts.push(part);
                }
                Job::Part(Durability::Relaxed, part) => parts.push(part),
                Job::Finish(part, reply) => {
                    last = Some((part, reply));
                    // Whoever comes behind it comes too late, and hears so as its part is dropped.
                    break;
                }
            }
        }
        writing.carry_out(durability, parts);
        if let Some((part, reply)) = last {
            writing.carry_out(Durability::Strict, vec![part]);
            // Another process may still read and so keep the journal from being folded in; the
            // facts in it are durable all the same.
            let _ = reply.send(writing.fold().map(drop));
            return;
        }
    }
}

/// Errors: also if the transaction is gone, because SQLite has rolled it back.
fn commit(transaction: Transaction<'_>) -> rusqlite::Result<()> {
    if transaction.is_autocommit() {
        let gone = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT_ROLLBACK);
        return Err(rusqlite::Error::SqliteFailure(gone, None));
    }
    transaction.commit()
}

/// The connection that writes, and what it is set to.
struct Writing {
    connection: Connection,
    /// What `PRAGMA synchronous` is set to.
    synchronous: Durability,
    /// Whether the journal may have lost what it was told to flush.
    doubtful: bool,
    /// Asked after each flush.
    witness: Witness,
    /// Dropped last, see there.
    memory: Memory,
}

impl Writing {
    fn new(connection: Connection) -> Self {
        let path = Path::new(connection.path().unwrap_or_default()).to_owned();
        let (witness, memory) = (Witness::beside(&path), Memory::of(&path));
        Self { connection, synchronous: Durability::Strict, doubtful: false, witness, memory }
    }

    /// Runs all parts in one transaction, and tells their callers what came of it. A part that
    /// fails or panics takes back its own changes only. Some errors of the disk take the whole
    /// transaction with them: then those behind it have one of their own.
    fn carry_out(&mut self, durability: Durability, parts: Vec<Box<dyn Part>>) {
        let mut parts = parts.into_iter();
        while parts.len() != 0 {
            let transaction = match self.begin(durability) {
                Ok(transaction) => transaction,
                Err(error) => return parts.for_each(|part| part.refuse(&error)),
            };
            let mut ran = Vec::with_capacity(parts.len());
            for part in parts.by_ref() {
                // Unwind safe: the savepoint that the panic passes through is rolled back.
                if let Ok(tell) = catch_unwind(AssertUnwindSafe(|| part.run(&transaction))) {
                    ran.push(tell);
                } else {
                    tracing::error!("A call of the catalog's writer panicked");
                }
                if transaction.is_autocommit() {
                    break;
                }
            }
            let committed = commit(transaction);
            if let Err(error) = &committed {
                // Also if SQLite gave up before: it may have begun to write the journal.
                self.doubtful = matches!(
                    error.sqlite_error_code(),
                    Some(ErrorCode::SystemIoFailure | ErrorCode::OperationAborted)
                );
            }
            let committed = committed.map_err(CatalogError::from).and_then(|()| match durability {
                Durability::Strict => self.confirm(),
                Durability::Relaxed => Ok(()),
            });
            for tell in ran {
                tell(committed.as_ref().copied());
            }
        }
    }

    fn begin(&mut self, durability: Durability) -> Result<Transaction<'_>, CatalogError> {
        self.dispel_doubt()?;
        self.set_synchronous(durability)?;
        // Immediate: a transaction that reads first and then finds another process writing could
        // not wait for it.
        Ok(self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?)
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
            self.memory.forget();
        }
        if self.doubtful {
            if !self.fold()? {
                return Err(CatalogError::Unavailable("its journal could not be flushed".into()));
            }
            self.confirm()?;
        }
        self.doubtful = false;
        Ok(())
    }

    /// Whether the last flush can be believed. What it should have flushed is visible all the same;
    /// so nothing is added to it before it has been.
    fn confirm(&mut self) -> Result<(), CatalogError> {
        self.witness.confirm().map_err(|error| {
            self.doubtful = true;
            CatalogError::Unavailable(Box::new(error))
        })
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
    use std::{
        fs,
        path::Path,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use rusqlite::trace::{TraceEvent, TraceEventCodes};

    use super::{super::connection, *};

    fn writing(path: &Path) -> Writing {
        let connection = connection::writer(path, connection::Access::Shared).expect("a new file");
        Writing::new(connection)
    }

    /// One call in a transaction of its own.
    fn transaction<T: Send + 'static>(
        writing: &mut Writing,
        durability: Durability,
        work: impl FnOnce(&Connection) -> Result<T, CatalogError> + Send + 'static,
    ) -> Result<T, CatalogError> {
        let (call, mut answer) = Call::new(work);
        writing.carry_out(durability, vec![Box::new(call)]);
        answer.try_recv().expect("told")
    }

    fn doom(transaction: &Connection) -> Result<(), CatalogError> {
        transaction
            .execute("INSERT INTO doomed (id, filename) VALUES (randomblob(16), 'a')", [])?;
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
            transaction(&mut writing, durability, doom).expect("written");
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
            transaction(&mut writing, Durability::Relaxed, doom).expect("written");
        }
        let before = len();
        writing.doubtful = true;
        transaction(&mut writing, Durability::Strict, doom).expect("written");
        assert!(len() < before, "the journal was begun anew");
        assert!(!writing.doubtful);

        // A reader that stands in the way is waited for, and then the commit is refused.
        let mut readers = connection::readers(&path, connection::Access::Shared).expect("readers");
        let snapshot = readers[0].transaction().expect("begun");
        snapshot.query_row("SELECT count(*) FROM doomed", [], |_| Ok(())).expect("read");
        writing.connection.busy_timeout(std::time::Duration::ZERO).expect("set");
        writing.doubtful = true;
        transaction(&mut writing, Durability::Strict, doom).expect_err("still in doubt");
        drop(snapshot);
        transaction(&mut writing, Durability::Strict, doom).expect("written");
    }

    #[test]
    fn a_flush_that_is_not_confirmed_is_none() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut writing = writing(&dir.path().join("c.db"));
        writing.witness = Witness::failing();
        transaction(&mut writing, Durability::Relaxed, doom).expect("nothing was flushed");
        transaction(&mut writing, Durability::Strict, doom).expect_err("not confirmed");
        transaction(&mut writing, Durability::Relaxed, doom).expect_err("still in doubt");
        writing.witness = Witness::beside(dir.path());
        transaction(&mut writing, Durability::Strict, doom).expect("the doubt is dispelled");
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

    static COMMITS: AtomicUsize = AtomicUsize::new(0);

    #[expect(clippy::needless_pass_by_value, reason = "the trace calls it so")]
    fn count_commits(event: TraceEvent<'_>) {
        if let TraceEvent::Stmt(_, "COMMIT") = event {
            COMMITS.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn calls_share_a_transaction_and_fail_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut writing = writing(&dir.path().join("c.db"));
        let events = TraceEventCodes::SQLITE_TRACE_STMT;
        writing.connection.trace_v2(events, Some(count_commits)).expect("traced");
        let refuse = |connection: &Connection| {
            doom(connection)?;
            Err::<(), _>(CatalogError::Taken)
        };
        let panic = |connection: &Connection| -> Result<(), _> {
            doom(connection)?;
            panic!("on purpose")
        };
        let (first, mut first_answer) = Call::new(doom);
        let (second, mut second_answer) = Call::new(refuse);
        let (third, mut third_answer) = Call::new(panic);
        let (fourth, mut fourth_answer) = Call::new(doom);
        let calls: Vec<Box<dyn Part>> =
            vec![Box::new(first), Box::new(second), Box::new(third), Box::new(fourth)];
        writing.carry_out(Durability::Strict, calls);
        assert!(matches!(first_answer.try_recv(), Ok(Ok(()))));
        assert!(matches!(second_answer.try_recv(), Ok(Err(CatalogError::Taken))));
        third_answer.try_recv().expect_err("nobody is left to answer");
        assert!(matches!(fourth_answer.try_recv(), Ok(Ok(()))));
        assert_eq!(COMMITS.load(Ordering::Relaxed), 1);
        let count = "SELECT count(*) FROM doomed";
        let count = transaction(&mut writing, Durability::Strict, move |connection| {
            Ok(connection.query_row(count, [], |row| row.get::<_, i64>(0))?)
        });
        assert_eq!(count.ok(), Some(2), "of those that succeeded");
    }

    #[test]
    fn a_transaction_that_is_gone_costs_those_in_it_and_none_behind() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut writing = writing(&dir.path().join("c.db"));
        // As SQLite does by itself when the disk fails.
        let gone = |connection: &Connection| {
            connection.execute_batch("ROLLBACK")?;
            Err::<(), _>(CatalogError::NoSpace("the disk is full".into()))
        };
        let (first, mut first_answer) = Call::new(doom);
        let (second, mut second_answer) = Call::new(gone);
        let (third, mut third_answer) = Call::new(doom);
        let calls: Vec<Box<dyn Part>> = vec![Box::new(first), Box::new(second), Box::new(third)];
        writing.carry_out(Durability::Strict, calls);
        assert!(matches!(first_answer.try_recv(), Ok(Err(CatalogError::Unavailable(_)))));
        assert!(matches!(second_answer.try_recv(), Ok(Err(CatalogError::NoSpace(_)))));
        assert!(matches!(third_answer.try_recv(), Ok(Ok(()))));
    }
}
