//! What is committed is found, as it was said, all of a batch or nothing.

use super::{
    Fact, Shared, commit, find, open, open_ended, open_full, sample_by, sample_creative,
    sample_day, sample_name, sample_range, sample_time, sample_upload, sample_upload_of, state,
};
use crate::{
    catalog::{CatalogError, Committed},
    upload::{
        CreativeId, Durability, EndReason, Identity, Plan, Principal, Sha256Digest, Timestamp,
        UploadId, UploadRecord, UploadState, Visitor,
    },
};

/// Every column at an end of its domain.
fn extreme_uploads() -> [UploadRecord; 3] {
    let principal = Principal::named("Zoë \0 ';--");
    let largest = Plan::new(i64::MAX as u64 - 1, u64::MAX, 1).expect("one piece");
    let empty = Plan::new(0, 0, 1).expect("one empty piece");
    let identity = |plan| Identity::new(principal.clone(), "a\0b\u{202e}", "../../etc", plan);
    let plain = sample_upload("plain");
    let said = UploadRecord {
        identity: identity(largest).expect("short"),
        filename: sample_name("🦀\0\"\r\n.png"),
        scheduled: Some(sample_day("9999-12-31")),
        declared_sha256: Some(Sha256Digest([255; 32])),
        accept: "image/*, .pdf,application/zip".parse().expect("kinds of file"),
        created_at: sample_time(-1),
        ..sample_upload("said")
    };
    let ended = UploadRecord {
        identity: identity(empty).expect("short"),
        state: UploadState::Failed,
        reason: Some(EndReason("the client's words".into())),
        released: true,
        ended_at: Some(sample_time(5)),
        ..sample_upload("ended")
    };
    [plain, said, ended]
}

pub(super) async fn what_was_opened_is_found_as_it_was(catalog: Shared) {
    for record in extreme_uploads() {
        commit(&*catalog, vec![Fact::Opened(Box::new(record.clone()))]).await;
        assert_eq!(find(&*catalog, record.id).await, record);
        let current = catalog.current(&record.identity.key()).await.expect("read");
        assert_eq!(current, Some(record));
    }
}

pub(super) async fn what_is_not_there_is_not_found(catalog: Shared) {
    let record = sample_upload("x");
    assert_eq!(catalog.upload(record.id).await.expect("read"), None);
    assert_eq!(catalog.current(&record.identity.key()).await.expect("read"), None);
    assert_eq!(catalog.ranges(record.id).await.expect("read"), []);
    assert_eq!(catalog.creative(CreativeId::new()).await.expect("read"), None);
    assert!(!catalog.complete(&sample_creative(&record)).await.expect("nothing to complete"));
    let ended = catalog.end(record.id, UploadState::Cancelled, None, &sample_by(0)).await;
    assert!(!ended.expect("nothing to end"));
    catalog.release(record.id).await.expect("nothing to release");
    catalog.forget(record.id, &[sample_range(0, 10).range]).await.expect("nothing to forget");
    catalog.drop_ranges(record.id).await.expect("nothing to drop");
    assert_eq!(catalog.upload(record.id).await.expect("read"), None);
    assert_eq!(catalog.creative(record.creative_id).await.expect("read"), None);
}

pub(super) async fn one_identity_has_one_running_upload(catalog: Shared) {
    let (first, second) = (sample_upload("x"), sample_upload("x"));
    let opened = |record: &UploadRecord| vec![Fact::Opened(Box::new(record.clone()))];
    commit(&*catalog, opened(&first)).await;
    let refused = catalog.commit(opened(&second), Durability::Strict).await;
    assert!(matches!(refused, Err(CatalogError::Taken)), "{refused:?}");

    // Neither another principal's upload nor an ended one stands in the way.
    commit(&*catalog, opened(&sample_upload_of(&Principal::named("other"), "x"))).await;
    catalog.end(first.id, UploadState::Failed, None, &sample_by(1)).await.expect("ended");
    commit(&*catalog, opened(&second)).await;

    // Nor do two in one batch pass.
    let batch = [sample_upload("y"), sample_upload("y")].map(|r| Fact::Opened(Box::new(r)));
    let refused = catalog.commit(batch.into(), Durability::Strict).await;
    assert!(matches!(refused, Err(CatalogError::Taken)), "{refused:?}");
}

pub(super) async fn a_batch_that_is_refused_writes_nothing(catalog: Shared) {
    let (old, new, rival) = (sample_upload("old"), sample_upload("new"), sample_upload("old"));
    open(&*catalog, &old).await;
    let batch = vec![
        Fact::Opened(Box::new(new.clone())),
        Fact::Stored { upload: new.id, stored: sample_range(0, 10), at: sample_time(9) },
        Fact::Stored { upload: old.id, stored: sample_range(10, 10), at: sample_time(9) },
        Fact::Scheduled { upload: old.id, day: sample_day("2027-01-01") },
        Fact::Full { upload: old.id },
        Fact::Opened(Box::new(rival.clone())),
    ];
    let refused = catalog.commit(batch, Durability::Strict).await;
    assert!(matches!(refused, Err(CatalogError::Taken)), "{refused:?}");
    assert_eq!(find(&*catalog, old.id).await, old);
    assert_eq!(catalog.ranges(old.id).await.expect("read"), [sample_range(0, 10)]);
    for id in [new.id, rival.id] {
        assert_eq!(catalog.upload(id).await.expect("read"), None);
        assert_eq!(catalog.ranges(id).await.expect("read"), []);
    }
}

pub(super) async fn ranges_are_listed_by_offset(catalog: Shared) {
    let (one, other) = (sample_upload("one"), sample_upload("other"));
    open(&*catalog, &other).await;
    commit(&*catalog, vec![Fact::Opened(Box::new(one.clone()))]).await;
    let far = i64::MAX as u64 - 10;
    let offsets = [20, 0, far, 10, 300];
    let stored = |offset| Fact::Stored {
        upload: one.id,
        stored: sample_range(offset, 10),
        at: sample_time(7),
    };
    commit(&*catalog, offsets.map(stored).into()).await;
    let expected = [0, 10, 20, 300, far].map(|offset| sample_range(offset, 10));
    assert_eq!(catalog.ranges(one.id).await.expect("read"), expected);
    assert_eq!(find(&*catalog, one.id).await.touched_at, sample_time(7));
    assert_eq!(catalog.ranges(other.id).await.expect("read"), [sample_range(0, 10)]);
    assert_eq!(find(&*catalog, other.id).await.touched_at, other.touched_at);
}

pub(super) async fn a_range_at_the_same_offset_is_replaced(catalog: Shared) {
    let record = sample_upload("x");
    open(&*catalog, &record).await;
    let mut stored = sample_range(0, 8);
    stored.checksum.0 ^= 1;
    commit(&*catalog, vec![Fact::Stored { upload: record.id, stored, at: sample_time(1) }]).await;
    assert_eq!(catalog.ranges(record.id).await.expect("read"), [stored]);
}

pub(super) async fn the_latest_word_of_the_client_counts(catalog: Shared) {
    let record = sample_upload("x");
    let upload = record.id;
    open_full(&*catalog, &record).await;
    let facts = |day, digest| {
        let sha256 = Sha256Digest([digest; 32]);
        vec![Fact::Scheduled { upload, day: sample_day(day) }, Fact::Declared { upload, sha256 }]
    };
    commit(&*catalog, facts("2026-12-24", 1)).await;
    commit(&*catalog, facts("2026-12-02", 2)).await;
    let found = find(&*catalog, upload).await;
    assert_eq!(found.scheduled, Some(sample_day("2026-12-02")));
    assert_eq!(found.declared_sha256, Some(Sha256Digest([2; 32])));
}

pub(super) async fn facts_of_an_upload_that_is_not_running_have_no_effect(catalog: Shared) {
    let (ended, running) = (sample_upload("ended"), sample_upload("running"));
    open_ended(&*catalog, &ended, UploadState::Cancelled).await;
    open(&*catalog, &running).await;
    let before = find(&*catalog, ended.id).await;
    let late = |upload| {
        [
            Fact::Stored { upload, stored: sample_range(10, 10), at: sample_time(2000) },
            Fact::Scheduled { upload, day: sample_day("2027-01-01") },
            Fact::Declared { upload, sha256: Sha256Digest([1; 32]) },
            Fact::Full { upload },
        ]
    };
    let (first, unknown) = (late(ended.id), late(UploadId::new()));
    let committed = catalog.commit(first.to_vec(), Durability::Strict).await.expect("committed");
    assert_eq!(committed, Committed { ended: vec![ended.id], ..Committed::default() });
    assert_eq!(find(&*catalog, ended.id).await, before);
    let batch = [first.clone(), unknown, late(running.id), first].concat();
    let committed = catalog.commit(batch, Durability::Strict).await.expect("committed");
    assert_eq!(committed.filled, [running.id]);
    assert_eq!(committed.ended.len(), 2, "each that is not running is named once");
    assert_eq!(find(&*catalog, ended.id).await, before);
    assert_eq!(catalog.ranges(ended.id).await.expect("read"), [sample_range(0, 10)]);
    assert_eq!(state(&*catalog, running.id).await, UploadState::Stitching);
}

pub(super) async fn relaxed_facts_are_seen_as_strict_ones_are(catalog: Shared) {
    for durability in [Durability::Relaxed, Durability::Strict, Durability::Relaxed] {
        let record = sample_upload(&format!("{durability:?} {}", UploadId::new()));
        let facts = vec![
            Fact::Opened(Box::new(record.clone())),
            Fact::Stored { upload: record.id, stored: sample_range(0, 30), at: sample_time(0) },
            Fact::Full { upload: record.id },
        ];
        let committed = catalog.commit(facts, durability).await.expect("committed");
        assert_eq!(committed, Committed { filled: vec![record.id], ..Committed::default() });
        assert_eq!(state(&*catalog, record.id).await, UploadState::Stitching);
        assert_eq!(catalog.ranges(record.id).await.expect("read"), [sample_range(0, 30)]);
    }
}

pub(super) async fn times_are_kept_to_the_millisecond(catalog: Shared) {
    let precise: Timestamp = "2026-12-01T12:00:00.123987654Z".parse().expect("a time");
    let kept = sample_time(123);
    let mut record = sample_upload("x");
    (record.created_at, record.touched_at) = (precise, precise);
    open_full(&*catalog, &record).await;
    let found = find(&*catalog, record.id).await;
    assert_eq!((found.created_at, found.touched_at), (kept, kept));
    let mut creative = sample_creative(&record);
    creative.created_at = precise;
    assert!(catalog.complete(&creative).await.expect("completed"));
    assert_eq!(find(&*catalog, record.id).await.ended_at, Some(kept));
    let creative = catalog.creative(creative.id).await.expect("read").expect("it is there");
    assert_eq!(creative.created_at, kept);
}

pub(super) async fn an_upload_is_handed_over_to_another_visitor_once(catalog: Shared) {
    let visitor = |cookie: &str| Some(Visitor::with_cookie(cookie));
    let upload = sample_upload("x");
    let of = |cookie: &str| upload.identity.clone().of_visitor(visitor(cookie));
    let first = UploadRecord { identity: of("a"), ..upload.clone() };
    open(&*catalog, &first).await;
    assert_eq!(catalog.current(&upload.identity.key()).await.expect("read"), None);

    let hand_over = async |id, from: &str, to: &str| {
        catalog.hand_over(id, &of(from).key(), &of(to)).await.expect("written")
    };
    assert!(!hand_over(first.id, "c", "b").await, "it is not that one's");
    assert!(hand_over(first.id, "a", "b").await);
    assert!(hand_over(first.id, "a", "b").await, "it is so already");
    assert!(!hand_over(UploadId::new(), "a", "b").await, "there is none");
    let found = catalog.current(&of("b").key()).await.expect("read");
    assert_eq!(found, Some(UploadRecord { identity: of("b"), ..first.clone() }));
    assert_eq!(catalog.current(&of("a").key()).await.expect("read"), None);
    assert_eq!(catalog.usage(&Principal::anonymous(), &[]).await.expect("read").uploads, 1);

    // Two that run never share an identity; one that has ended may have it besides.
    let second = UploadRecord { identity: of("a"), ..sample_upload("x") };
    open(&*catalog, &second).await;
    assert!(!hand_over(second.id, "a", "b").await);
    catalog.end(first.id, UploadState::Cancelled, None, &sample_by(1)).await.expect("ended");
    assert!(hand_over(second.id, "a", "b").await);
    assert!(hand_over(first.id, "b", "c").await, "one that has ended, too");
}
