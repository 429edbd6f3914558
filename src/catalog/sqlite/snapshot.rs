//! The catalog as it was at one moment, to be copied while others write on.

use std::path::Path;

use rusqlite::{Connection, backup::Backup, backup::StepResult};

use super::{Access, connection, file};
use crate::{catalog::CatalogError, upload::limits::SNAPSHOT_PAGES};

/// The catalog as it was at one moment, for as long as this lives. Meanwhile the journal grows: it
/// is not to live long.
#[derive(Debug)]
pub struct CatalogSnapshot(Connection);

impl CatalogSnapshot {
    /// All that was committed before this call, and nothing that is committed after it. Blocks for
    /// a moment.
    pub fn take(path: &Path, access: Access) -> Result<Self, CatalogError> {
        let reader = connection::reader(path, access)?;
        // The moment is that of the first read.
        reader.execute_batch("BEGIN; SELECT count(*) FROM session;")?;
        Ok(Self(reader))
    }

    /// How many bytes a copy takes.
    pub fn len(&self) -> Result<u64, CatalogError> {
        let pragma = |name| self.0.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
        Ok(pragma("page_count")?.saturating_mul(pragma("page_size")?))
    }

    /// Whether it has no byte, which no catalog is.
    pub fn is_empty(&self) -> Result<bool, CatalogError> {
        Ok(self.len()? == 0)
    }

    /// Writes it to a new file, one without a journal. The copy was not closed in order, and on
    /// another start of the machine: what it says of running uploads is checked against their bytes
    /// by the first server that opens it. Blocks; not durable.
    pub fn save(self, to: &Path) -> Result<(), CatalogError> {
        const NOT_CLOSED: &str = "UPDATE session SET closed = 0, epoch = 'restored from a backup'";
        file::make(to)?;
        let mut copy = Connection::open(to)?;
        // Whoever asked for it makes it durable, or throws it away.
        copy.pragma_update(None, "synchronous", "OFF")?;
        {
            let backup = Backup::new(&self.0, &mut copy)?;
            loop {
                match backup.step(SNAPSHOT_PAGES)? {
                    StepResult::Done => break,
                    StepResult::More => {}
                    // We alone have the copy, and the snapshot waits for nobody.
                    other => {
                        let message = format!("SQLite cannot copy the database: {other:?}");
                        return Err(CatalogError::Unavailable(message.into()));
                    }
                }
            }
        }
        drop(self);
        let mode: String =
            copy.pragma_update_and_check(None, "journal_mode", "DELETE", |row| row.get(0))?;
        debug_assert_eq!(mode, "delete");
        copy.execute(NOT_CLOSED, [])?;
        copy.close().map_err(|(_, error)| error)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Catalog, CatalogView, SqliteCatalog};

    #[tokio::test]
    async fn a_snapshot_has_what_was_committed_before_it_and_nothing_later() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("c.db");
        let catalog = SqliteCatalog::open(&path).expect("a new one");
        catalog.open_session("here").await.expect("begun");
        let note = |id: u8| {
            let sql = format!("INSERT INTO doomed (id, filename) VALUES (zeroblob({id}), 'a.png')");
            catalog.write(move |tx| Ok(tx.execute_batch(&sql)?))
        };
        note(16).await.expect("written");
        let snapshot = CatalogSnapshot::take(&path, Access::Shared).expect("a snapshot");
        catalog.write(|tx| Ok(tx.execute_batch("DELETE FROM doomed")?)).await.expect("written");
        let copy = dir.path().join("copy.db");
        assert!(0 < snapshot.len().expect("a length"));
        snapshot.save(&copy).expect("saved");

        let names: Vec<_> = std::fs::read_dir(dir.path()).expect("a list").collect();
        assert!(!names.iter().flatten().any(|it| it.file_name() == "copy.db-wal"), "{names:?}");
        let view = CatalogView::open(&copy).expect("a catalog");
        assert_eq!(view.doomed().expect("a list").len(), 1);
        assert!(view.has_open_session().expect("it tells"));
        drop(view);
        // Nothing of it is believed on the word of a session that ended here.
        let restored = SqliteCatalog::open(&copy).expect("a catalog");
        assert!(!restored.open_session("here").await.expect("begun"), "it was not closed");
    }
}
