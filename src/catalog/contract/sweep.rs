//! What the sweep asks for and takes away: what is over, and nothing else.

use super::{
    Fact, Shared, commit, find, open, open_complete, open_ended, open_full, sample_by,
    sample_creative, sample_range, sample_time, sample_upload, state,
};
use crate::upload::{UploadRecord, UploadState};

pub(super) async fn idle_uploads_are_those_that_receive_nothing(catalog: Shared) {
    let touched = |name, ms| UploadRecord { touched_at: sample_time(ms), ..sample_upload(name) };
    let [late, early, middle] =
        [("late", 30), ("early", 10), ("middle", 20)].map(|(name, ms)| touched(name, ms));
    let (full, ended) = (touched("full", 1), touched("ended", 1));
    for record in [&late, &early, &middle] {
        open(&*catalog, record).await;
    }
    open_full(&*catalog, &full).await;
    open_ended(&*catalog, &ended, UploadState::Cancelled).await;

    let idle = |ms, limit| {
        let catalog = &catalog;
        async move { catalog.idle(sample_time(ms), limit).await.expect("listed") }
    };
    assert_eq!(idle(31, 10).await, [early.id, middle.id, late.id]);
    assert_eq!(idle(30, 10).await, [early.id, middle.id]);
    assert_eq!(idle(31, 1).await, [early.id]);
    assert_eq!(idle(10, 10).await, []);

    // A new range, and it is idle no more.
    let (upload, stored) = (early.id, sample_range(10, 10));
    commit(&*catalog, vec![Fact::Stored { upload, stored, at: sample_time(40) }]).await;
    assert_eq!(idle(31, 10).await, [middle.id, late.id]);
}

pub(super) async fn the_purge_takes_what_ended_and_leaves_creatives(catalog: Shared) {
    let [running, full, done] = ["running", "full", "done"].map(sample_upload);
    open(&*catalog, &running).await;
    open_full(&*catalog, &full).await;
    let creative = open_complete(&*catalog, &done).await; // at 1000
    let mut ended = Vec::new();
    for ms in [30, 10, 20] {
        let record = sample_upload(&format!("ended at {ms}"));
        open(&*catalog, &record).await;
        let was_it = catalog.end(record.id, UploadState::Failed, None, &sample_by(ms)).await;
        assert!(was_it.expect("ended"));
        ended.push(record.id);
    }
    let purge = |ms, limit| {
        let catalog = &catalog;
        async move { catalog.purge(sample_time(ms), limit).await.expect("purged") }
    };
    let there = |id| {
        let catalog = &catalog;
        async move { catalog.upload(id).await.expect("read").is_some() }
    };
    let purgeable = |ms| {
        let catalog = &catalog;
        async move { catalog.purgeable(sample_time(ms)).await.expect("counted") }
    };
    assert_eq!((purgeable(10).await, purgeable(30).await, purgeable(1001).await), (0, 2, 4));
    assert_eq!(purge(10, 10).await, 0);
    assert_eq!(purge(30, 1).await, 1);
    assert_eq!(purgeable(30).await, 1, "what went does not count");
    assert!(!there(ended[1]).await, "the oldest goes first");
    assert_eq!(catalog.ranges(ended[1]).await.expect("read"), []);
    assert_eq!(purge(30, 10).await, 1);
    assert!(!there(ended[2]).await);
    assert!(there(ended[0]).await, "it ended at 30, not before");

    assert_eq!(purge(1001, 10).await, 2);
    assert!(!there(done.id).await);
    assert_eq!(catalog.creative(creative.id).await.expect("read"), Some(creative));
    assert_eq!(catalog.current(&done.identity.key()).await.expect("read"), None);
    for record in [running, full] {
        assert!(find(&*catalog, record.id).await.state.is_running());
        assert!(!catalog.ranges(record.id).await.expect("read").is_empty());
    }
}

pub(super) async fn ranges_are_dropped_after_the_end_only(catalog: Shared) {
    let [running, full, done] = ["running", "full", "done"].map(sample_upload);
    open(&*catalog, &running).await;
    open_full(&*catalog, &full).await;
    open_full(&*catalog, &done).await;
    let more = |offset| {
        let stored = sample_range(offset, 10);
        Fact::Stored { upload: done.id, stored, at: done.touched_at }
    };
    commit(&*catalog, vec![more(30), more(40)]).await;
    assert!(catalog.complete(&sample_creative(&done)).await.expect("completed"));
    assert_ne!(catalog.ranges(done.id).await.expect("read"), [], "more than a few");
    for id in [running.id, full.id, done.id] {
        catalog.drop_ranges(id).await.expect("dropped, or no effect");
    }
    assert_eq!(catalog.ranges(running.id).await.expect("read").len(), 1);
    assert_eq!(catalog.ranges(full.id).await.expect("read").len(), 3);
    assert_eq!(catalog.ranges(done.id).await.expect("read"), []);
    assert_eq!(state(&*catalog, done.id).await, UploadState::Complete);
}
