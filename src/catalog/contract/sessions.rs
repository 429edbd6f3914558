//! Sessions: what is suspect after which end, and that facts outlive them.

use std::future::Future;

use super::{
    Fact, Shared, commit, find, is_unavailable, open, open_complete, open_full, sample_by,
    sample_creative, sample_range, sample_time, sample_upload,
};
use crate::{
    catalog::{Resemblance, UploadQuery},
    upload::{Durability, Principal, UploadState},
};

pub(super) async fn a_session_of_the_same_epoch_suspects_nothing(catalog: Shared) {
    assert!(catalog.open_session("boot 1").await.expect("the first session"));
    catalog.ping().await.expect("it answers");
    let record = sample_upload("x");
    open(&*catalog, &record).await;
    assert!(!catalog.open_session("boot 1").await.expect("after a crash of the process"));
    assert!(!find(&*catalog, record.id).await.suspect);
}

pub(super) async fn a_session_of_another_epoch_suspects_what_runs(catalog: Shared) {
    catalog.open_session("boot 1").await.expect("opened");
    let [running, full, done] = ["running", "full", "done"].map(sample_upload);
    open(&*catalog, &running).await;
    open_full(&*catalog, &full).await;
    open_complete(&*catalog, &done).await;
    assert!(!catalog.open_session("boot 2").await.expect("after a crash of the machine"));
    assert!(find(&*catalog, running.id).await.suspect);
    assert!(find(&*catalog, full.id).await.suspect);
    assert!(!find(&*catalog, done.id).await.suspect);

    // It stays so until the upload was read back, and what is opened later is not suspect.
    let later = sample_upload("later");
    open(&*catalog, &later).await;
    catalog.trust(full.id).await.expect("read back");
    assert!(!catalog.open_session("boot 2").await.expect("after a crash of the process"));
    assert!(find(&*catalog, running.id).await.suspect);
    assert!(!find(&*catalog, full.id).await.suspect);
    assert!(!find(&*catalog, later.id).await.suspect);
}

/// Which ranges of an upload must be read back, by their offsets.
async fn unverified(catalog: &dyn super::Catalog, upload: crate::upload::UploadId) -> Vec<u64> {
    let ranges = catalog.unverified(upload).await.expect("read");
    ranges.iter().map(|stored| stored.range.offset()).collect()
}

pub(super) async fn suspicion_belongs_to_a_range(catalog: Shared) {
    catalog.open_session("boot 1").await.expect("opened");
    let record = sample_upload("x");
    let (id, at) = (record.id, sample_time(1));
    open(&*catalog, &record).await;
    let store = |offset| Fact::Stored { upload: id, stored: sample_range(offset, 10), at };
    commit(&*catalog, vec![store(10)]).await;
    assert_eq!(unverified(&*catalog, id).await, [0; 0], "nothing is doubted before a crash");

    catalog.open_session("boot 2").await.expect("after a crash of the machine");
    assert_eq!(catalog.unverified(id).await.expect("read"), [0, 10].map(|it| sample_range(it, 10)));
    commit(&*catalog, vec![store(20)]).await;
    assert_eq!(unverified(&*catalog, id).await, [0, 10], "what is stored now is believed");
    let others = [sample_range(0, 9).range, sample_range(5, 5).range];
    catalog.verified(id, &others).await.expect("no effect");
    catalog.verified(id, &[sample_range(10, 10).range]).await.expect("verified");
    assert_eq!(unverified(&*catalog, id).await, [0]);

    // A crash of the process keeps what was verified; to trust an upload verifies the rest.
    catalog.open_session("boot 2").await.expect("after a crash of the process");
    assert!(find(&*catalog, id).await.suspect);
    assert_eq!(unverified(&*catalog, id).await, [0]);
    catalog.trust(id).await.expect("verified");
    assert!(!find(&*catalog, id).await.suspect);
    assert_eq!(unverified(&*catalog, id).await, [0; 0]);

    // The next crash of the machine doubts everything again; what is stored anew or is forgotten is
    // not doubted.
    catalog.open_session("boot 3").await.expect("after a crash of the machine");
    assert_eq!(unverified(&*catalog, id).await, [0, 10, 20]);
    commit(&*catalog, vec![store(0)]).await;
    catalog.forget(id, &[sample_range(10, 10).range]).await.expect("forgotten");
    assert_eq!(unverified(&*catalog, id).await, [20]);
    assert!(find(&*catalog, id).await.suspect, "it is for the engine to say that all is verified");

    let ended = catalog.end(id, UploadState::Cancelled, None, &sample_by(2)).await;
    assert!(ended.expect("ended"));
    assert!(!find(&*catalog, id).await.suspect);
    assert_eq!(unverified(&*catalog, id).await, [0; 0]);
    catalog.verified(id, &[sample_range(20, 10).range]).await.expect("no effect");
    catalog.trust(id).await.expect("no effect");
}

pub(super) async fn after_the_end_nothing_is_available(catalog: Shared) {
    catalog.open_session("boot 1").await.expect("opened");
    let record = sample_upload("x");
    open(&*catalog, &record).await;
    catalog.close().await.expect("closed");
    assert!(is_unavailable(&catalog.ping().await));
    assert!(is_unavailable(&catalog.upload(record.id).await));
    let fact = Fact::Stored { upload: record.id, stored: sample_range(10, 10), at: sample_time(1) };
    assert!(is_unavailable(&catalog.commit(vec![fact], Durability::Strict).await));
    assert!(is_unavailable(&catalog.complete(&sample_creative(&record)).await));
    assert!(is_unavailable(&catalog.close().await));
    assert!(is_unavailable(&catalog.open_session("boot 1").await));
}

pub(super) async fn facts_outlive_the_session<F, Fut>(open_handle: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Shared>,
{
    let [running, done] = ["running", "done"].map(sample_upload);
    let first = open_handle().await;
    assert!(first.open_session("boot 1").await.expect("the first session"));
    open(&*first, &running).await;
    let creative = open_complete(&*first, &done).await;
    first.close().await.expect("closed");
    drop(first);

    // A clean end: another start of the machine makes nothing suspect.
    let second = open_handle().await;
    assert!(second.open_session("boot 2").await.expect("after a clean end"));
    assert_eq!(find(&*second, running.id).await, running);
    assert_eq!(second.ranges(running.id).await.expect("read"), [sample_range(0, 10)]);
    assert_eq!(find(&*second, done.id).await.state, UploadState::Complete);
    assert_eq!(second.creative(creative.id).await.expect("read"), Some(creative));
    let (upload, stored) = (running.id, sample_range(10, 10));
    let fact = Fact::Stored { upload, stored, at: sample_time(5) };
    second.commit(vec![fact], Durability::Relaxed).await.expect("committed");
    drop(second);

    // A crash: relaxed facts survive the death of the process, and another start is suspicious.
    let third = open_handle().await;
    assert!(!third.open_session("boot 3").await.expect("after a crash"));
    let found = find(&*third, running.id).await;
    assert!(found.suspect);
    assert_eq!(found.touched_at, sample_time(5));
    let ranges = [sample_range(0, 10), sample_range(10, 10)];
    assert_eq!(third.ranges(running.id).await.expect("read"), ranges);

    // Two handles at the same time see each other's facts.
    let fourth = open_handle().await;
    assert_eq!(commit(&*fourth, vec![Fact::Full { upload }]).await, [upload]);
    assert_eq!(third.stitching(None, 10).await.expect("read"), [upload]);
    assert_eq!(commit(&*third, vec![Fact::Full { upload }]).await, []);
    everything(&*third).await;
}

/// Calls what reads, once each: whatever is in the catalog, it can be read.
async fn everything(catalog: &dyn super::Catalog) {
    let principal = Principal::anonymous();
    let query = UploadQuery { principal: principal.clone(), state: None, before: None, limit: 10 };
    assert_eq!(catalog.uploads(&query).await.expect("listed").len(), 2);
    let query = Resemblance {
        principal,
        identifier: None,
        filename: Some("cat.png".into()),
        relative_path: None,
        total: None,
        stride: None,
        count: None,
    };
    assert_eq!(catalog.resembling(&query, sample_time(0)).await.expect("found").len(), 2);
}
