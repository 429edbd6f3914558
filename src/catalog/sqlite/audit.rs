//! The audit trail: lines that are added in the transaction of what they tell.

use async_trait::async_trait;
use rusqlite::{Connection, ToSql, named_params, params};

use super::{
    SqliteCatalog,
    columns::{self, Millis, comparable},
};
use crate::{
    catalog::{AuditQuery, CatalogError, Trail},
    upload::{AuditEntry, By, Creative, Deed, Timestamp, UploadRecord},
};

type Result<T> = std::result::Result<T, CatalogError>;

#[async_trait]
impl Trail for SqliteCatalog {
    async fn note(&self, entry: &AuditEntry) -> Result<()> {
        let entry = entry.clone();
        self.write(move |tx| append(tx, &entry)).await
    }

    async fn entries(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>> {
        let query = query.clone();
        self.readers.read(move |db| list(db, &query)).await
    }

    async fn prune(&self, before: Timestamp, limit: usize) -> Result<usize> {
        self.write(move |tx| prune(tx, before, limit)).await
    }
}

pub(super) fn append(tx: &Connection, entry: &AuditEntry) -> Result<()> {
    const SQL: &str = "INSERT INTO audit
            (at, action, principal, subject, upload, detail, means, address, request_id)
        VALUES (:at, :action, :principal, :subject, :upload, :detail, :means, :address,
            :request_id)";
    tx.prepare_cached(SQL)?.execute(named_params! {
        ":at": Millis(entry.at),
        ":action": entry.deed,
        ":principal": entry.principal,
        ":subject": entry.subject,
        ":upload": entry.upload,
        ":detail": entry.detail,
        ":means": entry.means,
        ":address": entry.address,
        ":request_id": entry.request_id,
    })?;
    Ok(())
}

/// Something was done to an upload.
pub(super) fn of_upload(
    tx: &Connection,
    record: &UploadRecord,
    deed: Deed,
    by: &By,
    detail: Option<String>,
) -> Result<()> {
    let entry = by.entry(deed, record.identity.principal(), &record.id).of_upload(record.id);
    append(tx, &AuditEntry { detail, ..entry })
}

/// Something was done to a creative.
pub(super) fn of_creative(
    tx: &Connection,
    creative: &Creative,
    deed: Deed,
    by: &By,
    detail: &(impl ToString + ?Sized),
) -> Result<()> {
    let entry = by.entry(deed, &creative.principal, &creative.id);
    append(tx, &entry.of_upload(creative.upload_id).saying(detail))
}

/// Compares just the columns that are named, so that each question finds the index that fits it.
/// Lines are in the order of their numbers: of those since a time, the first says where to begin.
pub(super) fn list(db: &Connection, query: &AuditQuery) -> Result<Vec<AuditEntry>> {
    const SINCE: &str = " AND number >= (SELECT min(number) FROM audit WHERE at >= ?1)
        AND +at >= ?1";
    let since = query.since.map(Millis);
    let agree: [(&str, Option<&dyn ToSql>); 3] = [
        (SINCE, since.as_ref().map(|it| it as &dyn ToSql)),
        (" AND principal = ?", query.principal.as_ref().map(|it| it as &dyn ToSql)),
        (" AND upload = ?", query.upload.as_ref().map(|it| it as &dyn ToSql)),
    ];
    let mut sql = String::from("SELECT * FROM audit WHERE 0 < number");
    let mut values: Vec<&dyn ToSql> = Vec::new();
    for (clause, value) in agree.iter().filter_map(|(clause, value)| Some((clause, (*value)?))) {
        sql.push_str(clause);
        values.push(value);
    }
    sql.push_str(" ORDER BY number DESC LIMIT ?");
    let limit = comparable(query.limit as u64);
    values.push(&limit);
    let mut statement = db.prepare_cached(&sql)?;
    let entries = statement.query_map(&*values, columns::audit_entry)?;
    Ok(entries.collect::<rusqlite::Result<_>>()?)
}

/// The horizon first: of what is not behind it, nothing can be deleted.
pub(super) fn prune(tx: &Connection, before: Timestamp, limit: usize) -> Result<usize> {
    const HORIZON: &str = "INSERT INTO audit_horizon (singleton, at) VALUES (1, ?1)
        ON CONFLICT (singleton) DO UPDATE SET at = max(at, excluded.at)";
    const DELETE: &str = "DELETE FROM audit WHERE number IN
        (SELECT number FROM audit WHERE at < ?1 ORDER BY at LIMIT ?2)";
    tx.prepare_cached(HORIZON)?.execute([Millis(before)])?;
    Ok(tx.prepare_cached(DELETE)?.execute(params![Millis(before), comparable(limit as u64)])?)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        catalog::contract::{sample_by, sample_time},
        upload::{Principal, UploadId},
    };

    /// Each statement, for a test that reads them.
    pub(in crate::catalog::sqlite) async fn call_everything(
        catalog: &SqliteCatalog,
        upload: UploadId,
    ) {
        let entry = sample_by(0).entry(Deed::TicketIssued, &Principal::anonymous(), "t");
        catalog.note(&entry).await.expect("noted");
        for named in 0..8_u8 {
            let query = AuditQuery {
                since: (named & 1 != 0).then(|| sample_time(0)),
                principal: (named & 2 != 0).then(|| "anonymous".into()),
                upload: (named & 4 != 0).then_some(upload),
                limit: 1,
            };
            assert_eq!(catalog.entries(&query).await.expect("read").len(), 1);
        }
        catalog.prune(sample_time(5000), 10).await.expect("pruned");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nobody_changes_or_shortens_the_trail() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("catalog.db");
        let catalog = SqliteCatalog::open(&path).expect("a catalog");
        for ms in [1, 2] {
            let entry = sample_by(ms).entry(Deed::UserAdded, &Principal::named("ann"), "ann");
            catalog.note(&entry).await.expect("noted");
        }
        assert_eq!(catalog.prune(sample_time(2), 10).await.expect("pruned"), 1);
        let connection = Connection::open(&path).expect("opened");
        for sql in [
        "UPDATE audit SET principal = 'bob'",
        "DELETE FROM audit",
        "INSERT OR REPLACE INTO audit SELECT number, 0, action, principal, subject, upload, detail,
            means, address, request_id FROM audit",
    ] {
        let error = connection.execute(sql, []).expect_err("refused").to_string();
        assert!(error.contains("append-only"), "{sql}: {error}");
    }
        let query = AuditQuery { since: None, principal: None, upload: None, limit: 10 };
        assert_eq!(catalog.entries(&query).await.expect("read").len(), 1);
    }
}
