//! How much each statement does on a catalog with a past: so much at most, however long that is.

use std::{collections::BTreeMap, sync::Mutex};

use rusqlite::{
    StatementStatus, named_params,
    trace::{TraceEvent, TraceEventCodes},
};

use super::{tests::call_everything, *};
use crate::{
    catalog::contract::{know_ann, sample_by, sample_time, sample_upload},
    upload::{TokenKind, User},
};

/// Uploads in each state, and rows of each other table.
const ROWS: u32 = 20_000;
/// Steps of `SQLite` that one statement may take. A walk over [`ROWS`] rows takes far more.
const STEPS_MAX: i32 = 40_000;

/// The most steps that each statement took.
static STEPS: Mutex<BTreeMap<String, i32>> = Mutex::new(BTreeMap::new());

fn note(event: TraceEvent<'_>) {
    if let TraceEvent::Profile(statement, _) = event {
        let steps = statement.get_status(StatementStatus::VmStep);
        let mut all = STEPS.lock().expect("nobody panics here");
        let most = all.entry(statement.sql().into_owned()).or_default();
        *most = steps.max(*most);
    }
}

/// A month's tombstones, running uploads, creatives, tokens, codes, tickets and audit lines: all of
/// them what a statement might walk over, because they agree with all that is asked for.
fn fill(db: &Connection) {
    const UPLOADS: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n
            WHERE i < :rows)
        INSERT INTO uploads (id, principal, identifier, relative_path, total, stride, pieces,
            identity, filename, creative_id, state, released, created_at, touched_at,
            ended_at)
        SELECT randomblob(16), :principal, 'x', 'album/cat.png', 30, 10, 3,
            CASE WHEN :ended_at IS NULL THEN randomblob(32) ELSE :identity END, 'cat.png',
            randomblob(16), :state, 0, :at, :at, :ended_at FROM n";
    const OTHERS: &str = "
        INSERT INTO creatives (id, principal, filename, size, sha256, content_type, scheduled,
            created_at, upload_id)
        SELECT creative_id, principal, filename, total, zeroblob(32), 'image/png', '2026-12-01',
            touched_at, id FROM uploads WHERE state = 'complete';
        INSERT INTO audit (at, action, principal, subject, upload, means)
        SELECT touched_at, 'upload_opened', principal, 'x', id, 'server' FROM uploads
            WHERE state = 'failed';
        INSERT INTO users (name, email, created_at)
        SELECT hex(id), hex(id), touched_at FROM uploads WHERE state = 'complete';
        INSERT INTO tokens (id, user, label, hash, scopes, kind, created_at, expires_at)
        SELECT id, 'ann', '', zeroblob(32), 'upload', 'session', touched_at, touched_at
            FROM uploads WHERE state IN ('complete', 'failed');
        INSERT INTO codes (user, salt, hash, expires_at, tries_left, sent)
        SELECT hex(id), zeroblob(16), zeroblob(32), touched_at + 1000, 5, 1
            FROM uploads WHERE state = 'complete';
        INSERT INTO tickets (key, begun, expires_at)
        SELECT identity, 1, touched_at FROM uploads WHERE state = 'receiving';";
    let at = sample_time(0).as_millisecond();
    let key = sample_upload("x").identity.key();
    for (state, principal, ended_at) in [
        ("receiving", "anonymous", None),
        ("stitching", "anonymous", None),
        ("complete", "anonymous", Some(at)),
        ("failed", "anonymous", Some(at)),
        ("cancelled", "ann", Some(at)),
    ] {
        let row = named_params! {
            ":rows": ROWS, ":principal": principal, ":identity": key, ":state": state, ":at": at,
            ":ended_at": ended_at,
        };
        db.execute(UPLOADS, row).expect("filled");
    }
    db.execute_batch(OTHERS).expect("filled");
}

async fn call_the_directory(catalog: &SqliteCatalog) {
    let (now, by) = (sample_time(1), sample_by(0));
    let ann = Principal::named("ann");
    catalog.has_users().await.expect("asked");
    catalog.users(None, 1).await.expect("listed");
    catalog.user_by_email("ANN@example.com").await.expect("asked");
    for user in [None, Some(&ann)] {
        catalog.tokens(user, TokenKind::Session, 1).await.expect("listed");
    }
    catalog.unsent_codes(now, 1).await.expect("listed");
    catalog.try_code("ann@example.com", now).await.expect("tried");
    catalog.purge_sessions(now, 10).await.expect("purged");
    catalog.purge_codes(now, 10).await.expect("purged");
    catalog.purge_tickets(now, 10, 10).await.expect("purged");
    let user =
        User { name: Principal::named("bob"), email: None, created_at: now, disabled_at: None };
    catalog.add_user(&user, &by).await.expect("added");
    assert!(catalog.remove_user(&ann, &by).await.expect("removed"));
}

#[tokio::test]
async fn no_statement_takes_longer_the_more_there_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("catalog.db");
    let catalog: std::sync::Arc<dyn Catalog> =
        std::sync::Arc::new(SqliteCatalog::open(&path).expect("a catalog"));
    know_ann(&catalog).await;
    catalog.close().await.expect("closed");
    let mut writer = connection::writer(&path, Access::Shared).expect("a new file");
    writer.execute_batch("BEGIN").expect("begun");
    fill(&writer);
    writer.execute_batch("COMMIT").expect("committed");
    let mut readers = connection::readers(&path, Access::Shared).expect("readers");
    for connection in readers.iter_mut().chain([&mut writer]) {
        // The counters of a statement that is kept go on: here each is prepared anew.
        connection.set_prepared_statement_cache_capacity(0);
        let events = TraceEventCodes::SQLITE_TRACE_PROFILE;
        connection.trace_v2(events, Some(note)).expect("traced");
    }
    let catalog = SqliteCatalog::over(writer, readers).expect("a catalog");
    // Slice by slice, each of them counted once.
    let all = catalog.purgeable(sample_time(1)).await.expect("counted");
    assert_eq!(all, 3 * u64::from(ROWS));
    call_everything(&catalog).await;
    call_the_directory(&catalog).await;

    let steps = std::mem::take(&mut *STEPS.lock().expect("nobody panicked"));
    assert!(60 < steps.len(), "the trace saw them: {steps:#?}");
    // The operator's tool looks for a time.
    let exempt = |sql: &str| sql.contains("min(number)");
    let slow: BTreeMap<_, _> =
        steps.iter().filter(|(sql, steps)| STEPS_MAX < **steps && !exempt(sql)).collect();
    assert!(slow.is_empty(), "{slow:#?}");
}

/// An upload whose end was cut short may have left more ranges than are dropped at a time.
#[tokio::test]
async fn a_purge_takes_very_many_ranges_in_slices() {
    const RANGES: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n
            WHERE i < ?2)
        INSERT INTO ranges (upload, offset, len, checksum) SELECT ?1, i, 1, 0 FROM n";
    let dir = tempfile::tempdir().expect("a directory");
    let catalog = SqliteCatalog::open(&dir.path().join("catalog.db")).expect("a catalog");
    let [one, other] = ["one", "other"].map(sample_upload);
    for record in [&one, &other] {
        crate::catalog::contract::open(&catalog, record).await;
        catalog.end(record.id, UploadState::Failed, None, &sample_by(1)).await.expect("ended");
    }
    let id = one.id;
    let put = move |tx: &Connection| Ok(tx.execute(RANGES, (id, RANGES_SLICE + 5))?);
    catalog.write(put).await.expect("put");
    assert_eq!(catalog.purge(sample_time(2), 10).await.expect("purged"), 2);
    assert_eq!(catalog.ranges(id).await.expect("read"), []);
    assert_eq!(catalog.upload(other.id).await.expect("read"), None);
}
