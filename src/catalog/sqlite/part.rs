//! One call's part of a transaction that it shares with others.

use rusqlite::{Connection, Transaction};
use tokio::sync::oneshot;

use super::error;
use crate::catalog::CatalogError;

/// Tells a caller what came of its part, once it is known what became of the transaction.
pub(super) type Tell = Box<dyn FnOnce(Result<(), &CatalogError>) + Send>;

/// One call's part, whatever it gives.
pub(super) trait Part: Send {
    /// Does it, or does nothing of it.
    fn run(self: Box<Self>, transaction: &Transaction<'_>) -> Tell;

    /// Tells the caller that it was not begun.
    fn refuse(self: Box<Self>, error: &CatalogError);
}

/// A call: what it does, and whom to tell.
pub(super) struct Call<T, W> {
    work: W,
    reply: oneshot::Sender<Result<T, CatalogError>>,
}

impl<T, W> Call<T, W>
where
    T: Send + 'static,
    W: FnOnce(&Connection) -> Result<T, CatalogError> + Send + 'static,
{
    /// A call, and where its answer comes.
    pub(super) fn new(work: W) -> (Self, oneshot::Receiver<Result<T, CatalogError>>) {
        let (reply, answer) = oneshot::channel();
        (Self { work, reply }, answer)
    }
}

impl<T, W> Part for Call<T, W>
where
    T: Send + 'static,
    W: FnOnce(&Connection) -> Result<T, CatalogError> + Send + 'static,
{
    fn run(self: Box<Self>, transaction: &Transaction<'_>) -> Tell {
        let Self { work, reply } = *self;
        let done = in_savepoint(transaction, work);
        Box::new(move |committed| {
            let answer = match (done, committed) {
                // What it found in the way may have been another's change, which is not there now.
                (Ok(_) | Err(CatalogError::Taken), Err(error)) => Err(error::again(error)),
                (done, _) => done,
            };
            // Whoever asked may have left.
            let _ = reply.send(answer);
        })
    }

    fn refuse(self: Box<Self>, error: &CatalogError) {
        let _ = self.reply.send(Err(error::again(error)));
    }
}

/// Keeps what the work changed if it succeeds; rolls it back, and nothing else, if it does not.
fn in_savepoint<T>(
    transaction: &Transaction<'_>,
    work: impl FnOnce(&Connection) -> Result<T, CatalogError>,
) -> Result<T, CatalogError> {
    // rusqlite's own savepoints are parsed anew each time.
    transaction.prepare_cached("SAVEPOINT part")?.execute([])?;
    let savepoint = Savepoint { transaction };
    let value = work(savepoint.transaction)?;
    savepoint.keep()?;
    Ok(value)
}

/// What was changed since then is rolled back, unless it is kept.
struct Savepoint<'a> {
    transaction: &'a Connection,
}

impl Savepoint<'_> {
    fn keep(self) -> rusqlite::Result<()> {
        self.transaction.prepare_cached("RELEASE part")?.execute([])?;
        std::mem::forget(self);
        Ok(())
    }
}

impl Drop for Savepoint<'_> {
    fn drop(&mut self) {
        let rolled_back = self.transaction.execute_batch("ROLLBACK TO part; RELEASE part");
        if rolled_back.is_err() && !self.transaction.is_autocommit() {
            // All of it then: half of a call must not be committed with the others.
            let _ = self.transaction.execute_batch("ROLLBACK");
        }
    }
}
