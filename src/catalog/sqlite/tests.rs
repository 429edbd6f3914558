//! What only `SQLite` must hold: its file, its plans, its errors.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use rusqlite::{
    params,
    trace::{TraceEvent, TraceEventCodes},
};
use tempfile::TempDir;

use super::*;
use crate::catalog::contract::{
    self, open, open_complete, sample_by, sample_day, sample_range, sample_time, sample_upload,
};

type Shared = Arc<dyn Catalog>;

/// A folder with the path of a catalog that is not there yet.
fn folder() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("catalog.db");
    (dir, path)
}

fn open_catalog(path: &Path) -> SqliteCatalog {
    SqliteCatalog::open(path).expect("a catalog")
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_holds_the_contract() {
    let dir = tempfile::tempdir().expect("a directory");
    let count = AtomicUsize::new(0);
    for access in [Access::Shared, Access::Exclusive] {
        contract::run_all(|| async {
            let path = dir.path().join(format!("{}.db", count.fetch_add(1, Ordering::Relaxed)));
            Arc::new(SqliteCatalog::open_for(&path, access).expect("a catalog")) as Shared
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_holds_the_contract_across_sessions() {
    let (_dir, path) = folder();
    contract::run_reopened(|| async { Arc::new(open_catalog(&path)) as Shared }).await;
}

#[tokio::test]
async fn migrations_are_shown_and_not_applied() {
    let (_dir, path) = folder();
    let applied = |path: &Path| -> Vec<bool> {
        migrations(path).expect("shown").iter().map(|migration| migration.applied).collect()
    };
    assert!(applied(&path).iter().all(|applied| !applied));
    assert!(!path.exists(), "looking makes no file");
    let catalog = open_catalog(&path);
    assert!(applied(&path).iter().all(|applied| *applied), "while it is open");
    catalog.close().await.expect("closed");
    assert!(applied(&path).iter().all(|applied| *applied), "after it was closed");
    let first = migrations(&path).expect("shown")[0];
    assert_eq!(first, Migration { number: 1, name: "catalog", applied: true });
}

#[tokio::test]
async fn a_newer_catalog_is_refused_and_left_alone() {
    let (_dir, path) = folder();
    open_catalog(&path).close().await.expect("closed");
    let connection = Connection::open(&path).expect("opened");
    connection.pragma_update(None, "user_version", 99).expect("set");
    drop(connection);
    for error in [SqliteCatalog::open(&path).err(), migrations(&path).err()] {
        let error = error.expect("refused").to_string();
        assert!(error.contains("version 99") && error.contains("newer program"), "{error}");
    }
}

#[test]
fn a_file_that_is_no_catalog_is_refused_and_left_alone() {
    let (_dir, path) = folder();
    let text = "Dear diary, this is no database at all. ".repeat(100);
    std::fs::write(&path, &text).expect("written");
    for error in [SqliteCatalog::open(&path).err(), migrations(&path).err()] {
        let error = error.expect("refused").to_string();
        assert!(error.contains("not a SQLite database"), "{error}");
    }
    assert_eq!(std::fs::read_to_string(&path).expect("read"), text);
}

#[test]
fn a_folder_that_is_not_there_is_unavailable() {
    let (dir, _) = folder();
    let error = SqliteCatalog::open(&dir.path().join("nowhere/catalog.db")).expect_err("no folder");
    assert!(matches!(error, CatalogError::Unavailable(_)), "{error:?}");
}

#[tokio::test]
async fn closing_folds_the_journal_in() {
    let (dir, path) = folder();
    let catalog = open_catalog(&path);
    catalog.open_session("boot").await.expect("opened");
    let record = sample_upload("x");
    open(&catalog, &record).await;
    catalog.close().await.expect("closed");
    let journal = dir.path().join("catalog.db-wal");
    assert_eq!(std::fs::metadata(journal).map_or(0, |journal| journal.len()), 0);

    // The file alone is the whole catalog.
    let copy = dir.path().join("copy.db");
    std::fs::copy(&path, &copy).expect("copied");
    let found = open_catalog(&copy).upload(record.id).await.expect("read");
    assert_eq!(found, Some(record));
}

#[tokio::test]
async fn the_schema_itself_refuses_a_second_creative_of_one_upload() {
    let (_dir, path) = folder();
    let catalog = open_catalog(&path);
    open_complete(&catalog, &sample_upload("x")).await;
    let copy = "INSERT INTO creatives SELECT randomblob(16), principal, filename, size, sha256,
        content_type, scheduled, created_at, upload_id, blake3 FROM creatives";
    let error = Connection::open(&path).expect("a file").execute(copy, []).expect_err("refused");
    assert!(error.to_string().contains("UNIQUE constraint failed: creatives.upload_id"), "{error}");
}

/// The catalog as a crash would leave it with so much of its journal on the disk.
fn crashed(dir: &Path, journal: &[u8]) -> SqliteCatalog {
    let copy = dir.join(format!("{}.db", crate::upload::UploadId::new()));
    std::fs::copy(dir.join("catalog.db"), &copy).expect("copied");
    std::fs::write(copy.with_extension("db-wal"), journal).expect("written");
    open_catalog(&copy)
}

#[tokio::test]
async fn a_lost_tail_of_the_journal_takes_relaxed_facts_only() {
    let (dir, path) = folder();
    let catalog = open_catalog(&path);
    let [strict, relaxed, last] = ["strict", "relaxed", "last"].map(sample_upload);
    let opened = |record: &UploadRecord| vec![Fact::Opened(Box::new(record.clone()))];
    let journal = || std::fs::read(dir.path().join("catalog.db-wal")).expect("a journal");
    catalog.commit(opened(&strict), Durability::Strict).await.expect("committed");
    let flushed = journal().len();
    catalog.commit(opened(&relaxed), Durability::Relaxed).await.expect("committed");
    let written = journal();
    assert!(flushed < written.len());

    // The process dies: what it gave to the system is there. The machine dies: any part of what
    // was not flushed is.
    let found = crashed(dir.path(), &written).upload(relaxed.id).await.expect("read");
    assert_eq!(found, Some(relaxed.clone()));
    for len in (flushed..written.len()).step_by(1000) {
        let survivor = crashed(dir.path(), &written[..len]);
        assert_eq!(survivor.upload(strict.id).await.expect("read"), Some(strict.clone()));
        assert_eq!(survivor.upload(relaxed.id).await.expect("read"), None, "all or nothing");
    }
    // A strict commit flushes what was relaxed before it: it is one journal.
    catalog.commit(opened(&last), Durability::Strict).await.expect("committed");
    let survivor = crashed(dir.path(), &journal());
    for record in [strict, relaxed, last] {
        assert_eq!(survivor.upload(record.id).await.expect("read"), Some(record));
    }
}

#[tokio::test]
async fn a_value_out_of_its_domain_is_corrupt() {
    let (_dir, path) = folder();
    let catalog = open_catalog(&path);
    let record = sample_upload("x");
    open(&catalog, &record).await;
    let foreign = Connection::open(&path).expect("opened");
    let corrupt = |sql: &str| {
        let changed = foreign.execute(sql, params![record.id]).expect(sql);
        assert_eq!(changed, 1, "{sql}");
    };
    corrupt("UPDATE uploads SET scheduled = 'tomorrow' WHERE id = ?1");
    let found = catalog.upload(record.id).await;
    assert!(matches!(found, Err(CatalogError::Corrupt(_))), "{found:?}");
    corrupt("UPDATE uploads SET scheduled = NULL, total = 5, pieces = 9 WHERE id = ?1");
    let found = catalog.upload(record.id).await;
    assert!(matches!(found, Err(CatalogError::Corrupt(_))), "{found:?}");
    corrupt("UPDATE ranges SET len = 9223372036854775807, offset = 1 WHERE upload = ?1");
    let found = catalog.ranges(record.id).await;
    assert!(matches!(found, Err(CatalogError::Corrupt(_))), "{found:?}");
}

#[tokio::test]
async fn a_full_disk_is_no_space() {
    let (_dir, path) = folder();
    let catalog = open_catalog(&path);
    catalog
        .write(|tx| Ok(tx.pragma_update(None, "max_page_count", 1)?))
        .await
        .expect("as full as can be");
    let mut error = None;
    for n in 0..200 {
        let opened = vec![Fact::Opened(Box::new(sample_upload(&format!("{n}"))))];
        error = catalog.commit(opened, Durability::Strict).await.err();
        if error.is_some() {
            break;
        }
    }
    assert!(matches!(error, Some(CatalogError::NoSpace(_))), "{error:?}");
    catalog.ping().await.expect("it goes on");
}

#[tokio::test]
async fn another_process_that_writes_stops_no_reader() {
    let (_dir, path) = folder();
    let catalog = open_catalog(&path);
    let at_once = std::time::Duration::ZERO;
    catalog.write(move |tx| Ok(tx.busy_timeout(at_once)?)).await.expect("impatient");
    let mut foreign = Connection::open(&path).expect("opened");
    let held = foreign
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .expect("the lock");
    let refused = catalog.ping().await;
    assert!(matches!(refused, Err(CatalogError::Unavailable(_))), "{refused:?}");
    let read = catalog.upload(crate::upload::UploadId::new()).await;
    assert_eq!(read.expect("readers do not wait"), None);
    drop(held);
    catalog.ping().await.expect("free again");
}

/// The statements that ran while [`no_statement_walks_over_a_table`] looked.
static STATEMENTS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

#[expect(clippy::needless_pass_by_value, reason = "the trace calls it so")]
fn note(event: TraceEvent<'_>) {
    if let TraceEvent::Stmt(_, sql) = event {
        STATEMENTS.lock().expect("nobody panics here").insert(sql.to_owned());
    }
}

/// Calls everything once, each statement of the catalog among them.
pub(super) async fn call_everything(catalog: &SqliteCatalog) {
    catalog.open_session("boot 1").await.expect("opened");
    catalog.open_session("boot 2").await.expect("opened");
    let (record, other) = (sample_upload("x"), sample_upload("y"));
    let creative = open_complete(catalog, &record).await;
    open(catalog, &other).await;
    let (upload, sha256) = (other.id, crate::upload::Sha256Digest([7; 32]));
    let scheduled = Fact::Scheduled { upload, day: sample_day("2026-12-01") };
    let facts = vec![scheduled, Fact::Declared { upload, sha256 }, Fact::Full { upload }];
    catalog.commit(facts, Durability::Relaxed).await.expect("committed");
    catalog.unverified(other.id).await.expect("read");
    catalog.verified(other.id, &[sample_range(0, 10).range]).await.expect("verified");
    catalog.trust(other.id).await.expect("trusted");
    catalog.forget(other.id, &[sample_range(0, 10).range]).await.expect("forgotten");
    catalog.end(other.id, UploadState::Failed, None, &sample_by(1)).await.expect("ended");
    catalog.release(other.id).await.expect("released");
    catalog.drop_ranges(other.id).await.expect("dropped");
    catalog.current(&record.identity.key()).await.expect("read");
    catalog.ranges(record.id).await.expect("read");
    let principal = record.identity.principal().clone();
    for state in [None, Some(UploadState::Complete)] {
        let query = UploadQuery { principal: principal.clone(), state, before: None, limit: 1 };
        catalog.uploads(&query).await.expect("listed");
    }
    for named in 0..64_u64 {
        let text = |bit: u64| (named & bit != 0).then(|| "x".to_owned());
        let number = |bit: u64| (named & bit != 0).then_some(1);
        let query = Resemblance {
            principal: principal.clone(),
            identifier: text(1),
            filename: text(2),
            relative_path: text(4),
            total: number(8),
            stride: number(16),
            count: number(32),
        };
        catalog.resembling(&query, sample_time(0)).await.expect("found");
    }
    catalog.stitching(None, 1).await.expect("listed");
    catalog.amount(other.id).await.expect("read");
    catalog.running(&[UploadId::new()]).await.expect("looked");
    catalog.idle(sample_time(0), 1).await.expect("listed");
    catalog.count_uploads().await.expect("counted");
    let query = CreativeQuery { principal, from: None, to: None, after: None, limit: 1 };
    catalog.creatives(&query).await.expect("listed");
    catalog.usage(&record.identity.principal().clone(), &[record.id]).await.expect("added up");
    let (day, by) = (sample_day("2026-12-02"), sample_by(0));
    catalog.reschedule(creative.id, day, &by).await.expect("rescheduled");
    catalog.delete_creative(creative.id, &by).await.expect("deleted");
    catalog.recover(&creative).await.expect("no effect");
    assert!(catalog.restore_creative(&creative, &sample_by(0)).await.expect("restored"));
    catalog.delete_creative(creative.id, &sample_by(0)).await.expect("deleted");
    catalog.doomed().await.expect("listed");
    catalog.doomed_by_id(creative.id).await.expect("read");
    catalog.buried(creative.id).await.expect("buried");
    catalog.purgeable(sample_time(5000)).await.expect("counted");
    catalog.purge(sample_time(5000), 10).await.expect("purged");
    audit::tests::call_everything(catalog, other.id).await;
    catalog.ping().await.expect("it answers");
}

#[tokio::test]
async fn no_statement_walks_over_a_table() {
    let (_dir, path) = folder();
    let mut writer = connection::writer(&path, Access::Shared).expect("a new file");
    let mut readers = connection::readers(&path, Access::Shared).expect("readers");
    for connection in readers.iter_mut().chain([&mut writer]) {
        connection.trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(note)).expect("traced");
    }
    let catalog = SqliteCatalog::over(writer, readers).expect("a catalog");
    call_everything(&catalog).await;
    let statements = std::mem::take(&mut *STATEMENTS.lock().expect("nobody panicked"));
    assert!(60 < statements.len(), "the trace saw them: {statements:#?}");
    let connection = Connection::open(&path).expect("opened");
    for sql in statements {
        for step in plan(&connection, &sql) {
            // The doomed are all wanted, and few; candidates for a probe by hand are limited.
            let few = ["SCAN doomed", "SCAN candidates"].iter().any(|few| step.starts_with(few));
            let whole = step.starts_with("SCAN") && !few;
            let sorted = step.contains("TEMP B-TREE");
            let by_name =
                sql.contains(" AND identifier = ") && step.contains("uploads_by_filename");
            assert!(!whole && !sorted && !by_name, "{sql}\n  {step}");
        }
    }
}

/// The steps in which `SQLite` would run a statement; none for one that has no plan.
fn plan(connection: &Connection, sql: &str) -> Vec<String> {
    let Ok(mut statement) = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")) else {
        return Vec::new();
    };
    let none = vec![rusqlite::types::Null; statement.parameter_count()];
    let steps = statement.query_map(rusqlite::params_from_iter(none), |row| row.get(3));
    steps.expect("explained").collect::<rusqlite::Result<_>>().expect("explained")
}

/// A session that cannot be kept spends no code.
#[tokio::test]
async fn a_code_is_not_spent_for_a_session_that_fails() {
    let (_dir, path) = folder();
    let catalog: Shared = Arc::new(open_catalog(&path));
    contract::know_ann(&catalog).await;
    let (users, code, by) = (catalog.directory(), contract::sample_code("ann", 1), sample_by(0));
    let [taken, free] = [(); 2].map(|()| contract::sample_session("ann"));
    assert!(users.put_code(&code, "ann@example.com").await.expect("kept"));
    assert!(users.add_token(&taken, &by).await.expect("added"));
    assert!(users.spend_code(&code, &taken, &by).await.is_err(), "its id is taken");
    assert!(users.spend_code(&code, &free, &by).await.expect("it still counts"));
}
