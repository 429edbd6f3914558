//! The one row that says which deployment this is.

use async_trait::async_trait;
use rusqlite::{Connection, named_params};

use super::{SqliteCatalog, columns::comparable};
use crate::{
    catalog::{Advanced, CatalogError, Deployment, Seen},
    upload::{AccessState, DeploymentId, Mark},
};

type Result<T> = std::result::Result<T, CatalogError>;

#[async_trait]
impl Deployment for SqliteCatalog {
    async fn id(&self) -> Result<DeploymentId> {
        self.readers.read(|db| Ok(mark(db)?.deployment)).await
    }

    async fn advance(&self, seen: Seen) -> Result<Advanced> {
        self.write(move |tx| advance(tx, seen)).await
    }

    async fn access(&self) -> Result<Option<AccessState>> {
        self.readers.read(access).await
    }

    async fn set_access(&self, state: AccessState) -> Result<()> {
        self.write(move |tx| set_access(tx, state)).await
    }
}

/// The id, and the generation that was counted last.
pub(super) fn mark(db: &Connection) -> Result<Mark> {
    const SQL: &str = "SELECT id, generation FROM deployment WHERE singleton = 1";
    let read = |row: &rusqlite::Row<'_>| {
        let generation = row.get::<_, i64>(1)?.unsigned_abs();
        Ok(Mark { deployment: DeploymentId::from_bytes(row.get(0)?), generation })
    };
    Ok(db.prepare_cached(SQL)?.query_row([], read)?)
}

fn advance(tx: &Connection, seen: Seen) -> Result<Advanced> {
    const DOUBT: &str = "UPDATE session SET closed = 0, epoch = '' WHERE singleton = 1";
    const COUNT: &str = "UPDATE deployment SET generation = ?1 WHERE singleton = 1";
    let own = mark(tx)?;
    let advanced = own.advanced(seen);
    if !advanced.in_step {
        tx.execute(DOUBT, [])?;
    }
    tx.prepare_cached(COUNT)?.execute([comparable(advanced.mark.generation)])?;
    Ok(advanced)
}

pub(super) fn access(db: &Connection) -> Result<Option<AccessState>> {
    const SQL: &str = "SELECT access FROM deployment WHERE singleton = 1";
    Ok(db.prepare_cached(SQL)?.query_row([], |row| row.get(0))?)
}

pub(super) fn set_access(tx: &Connection, state: AccessState) -> Result<()> {
    const SQL: &str = "UPDATE deployment SET access = :state
        WHERE singleton = 1 AND access IS NOT :users";
    let states = named_params! { ":state": state, ":users": AccessState::Users };
    tx.prepare_cached(SQL)?.execute(states)?;
    Ok(())
}
