//! An upload goes from state to state as the rules have it, and no other way.

use super::{
    Fact, Shared, commit, find, open, open_complete, open_ended, open_full, sample_by,
    sample_creative, sample_range, sample_time, sample_upload, state,
};
use crate::upload::{EndReason, Trouble, UploadId, UploadRecord, UploadState};

pub(super) async fn an_upload_is_full_once(catalog: Shared) {
    let (one, other) = (sample_upload("one"), sample_upload("other"));
    open(&*catalog, &one).await;
    open(&*catalog, &other).await;
    let full = |upload| Fact::Full { upload };
    let batch = vec![full(other.id), full(one.id), full(other.id), full(UploadId::new())];
    assert_eq!(commit(&*catalog, batch.clone()).await, [other.id, one.id]);
    assert_eq!(commit(&*catalog, batch).await, []);
    assert_eq!(state(&*catalog, one.id).await, UploadState::Stitching);

    let done = sample_upload("done");
    open_complete(&*catalog, &done).await;
    assert_eq!(commit(&*catalog, vec![full(done.id)]).await, []);
    assert_eq!(state(&*catalog, done.id).await, UploadState::Complete);
}

pub(super) async fn an_upload_completes_with_its_creative_or_not_at_all(catalog: Shared) {
    let record = sample_upload("x");
    let creative = sample_creative(&record);
    open(&*catalog, &record).await;
    assert!(!catalog.complete(&creative).await.expect("it is still receiving"));
    assert_eq!(find(&*catalog, record.id).await, record);
    assert_eq!(catalog.creative(creative.id).await.expect("read"), None);

    commit(&*catalog, vec![Fact::Full { upload: record.id }]).await;
    assert!(catalog.complete(&creative).await.expect("completed"));
    let complete = UploadRecord {
        state: UploadState::Complete,
        ended_at: Some(creative.created_at),
        ..record.clone()
    };
    assert_eq!(find(&*catalog, record.id).await, complete);
    assert_eq!(catalog.creative(creative.id).await.expect("read"), Some(creative.clone()));
    assert_eq!(catalog.ranges(record.id).await.expect("read"), [], "a few go with it");

    let mut second = sample_creative(&record);
    second.id = crate::upload::CreativeId::new();
    assert!(!catalog.complete(&second).await.expect("it was complete before"));
    assert_eq!(catalog.creative(second.id).await.expect("read"), None);

    let cancelled = sample_upload("cancelled");
    open_ended(&*catalog, &cancelled, UploadState::Cancelled).await;
    assert!(!catalog.complete(&sample_creative(&cancelled)).await.expect("it had ended"));
    assert_eq!(catalog.creative(cancelled.creative_id).await.expect("read"), None);
}

pub(super) async fn an_upload_ends_once(catalog: Shared) {
    use UploadState::{Cancelled, Expired, Failed};
    for last in [Failed, Cancelled, Expired] {
        let record = sample_upload(last.as_str());
        open(&*catalog, &record).await;
        let reason = Some(EndReason(format!("it {}", last.as_str())));
        let ended = catalog.end(record.id, last, reason.clone(), &sample_by(3)).await;
        assert!(ended.expect("ended"));
        let expected =
            UploadRecord { state: last, reason, ended_at: Some(sample_time(3)), ..record.clone() };
        assert_eq!(find(&*catalog, record.id).await, expected);
        for next in [Failed, Cancelled, Expired] {
            let ended = catalog.end(record.id, next, None, &sample_by(4)).await;
            assert!(!ended.expect("it had ended"));
        }
        assert_eq!(find(&*catalog, record.id).await, expected);
    }
    let done = sample_upload("done");
    open_complete(&*catalog, &done).await;
    let complete = find(&*catalog, done.id).await;
    assert!(!catalog.end(done.id, Failed, None, &sample_by(4)).await.expect("it was complete"));
    assert_eq!(find(&*catalog, done.id).await, complete);
}

pub(super) async fn an_upload_that_is_being_stitched_does_not_expire(catalog: Shared) {
    let record = sample_upload("x");
    open_full(&*catalog, &record).await;
    let expired = catalog.end(record.id, UploadState::Expired, None, &sample_by(1)).await;
    assert!(!expired.expect("it is stitching"));
    assert_eq!(state(&*catalog, record.id).await, UploadState::Stitching);
    let failed = catalog.end(record.id, UploadState::Failed, None, &sample_by(1)).await;
    assert!(failed.expect("ended"));
}

pub(super) async fn an_upload_ends_in_three_states_only(catalog: Shared) {
    use UploadState::{Complete, Receiving, Stitching};
    for wrong in [Receiving, Stitching, Complete] {
        let catalog = Shared::clone(&catalog);
        let end = async move { catalog.end(UploadId::new(), wrong, None, &sample_by(0)).await };
        let ended = tokio::spawn(end).await;
        assert!(ended.is_err_and(|error| error.is_panic()), "{wrong:?}");
    }
}

pub(super) async fn what_holds_up_a_completion_is_known_until_it_is_over(catalog: Shared) {
    let trouble = |attempts| Trouble { attempts, reason: format!("reason {attempts}") };
    let held_up = async |id| find(&*catalog, id).await.trouble;
    let record = sample_upload("x");
    open(&*catalog, &record).await;
    catalog.hold_up(record.id, &trouble(1)).await.expect("no effect");
    assert_eq!(held_up(record.id).await, None);
    catalog.hold_up(UploadId::new(), &trouble(1)).await.expect("no effect");

    let [forgotten, done, failed] = ["forgotten", "done", "failed"].map(sample_upload);
    for record in [&forgotten, &done, &failed] {
        open_full(&*catalog, record).await;
        for attempts in [1, 2] {
            catalog.hold_up(record.id, &trouble(attempts)).await.expect("written");
            assert_eq!(held_up(record.id).await, Some(trouble(attempts)));
        }
    }
    catalog.forget(forgotten.id, &[sample_range(0, 10).range]).await.expect("forgotten");
    assert!(catalog.complete(&sample_creative(&done)).await.expect("completed"));
    let ended = catalog.end(failed.id, UploadState::Failed, None, &sample_by(1)).await;
    assert!(ended.expect("ended"));
    for record in [&forgotten, &done, &failed] {
        assert_eq!(held_up(record.id).await, None);
    }
}

pub(super) async fn ranges_that_are_forgotten_are_gone(catalog: Shared) {
    let record = sample_upload("x");
    open_full(&*catalog, &record).await;
    let [first, second, third] = [0, 10, 20].map(|offset| sample_range(offset, 10));

    // None, or none that is here: it keeps its state.
    catalog.forget(record.id, &[]).await.expect("forgotten");
    assert_eq!(state(&*catalog, record.id).await, UploadState::Stitching);
    let others = [sample_range(10, 9).range, sample_range(5, 5).range];
    catalog.forget(record.id, &others).await.expect("forgotten");
    assert_eq!(state(&*catalog, record.id).await, UploadState::Stitching);
    assert_eq!(catalog.ranges(record.id).await.expect("read"), [first, second, third]);

    catalog.forget(record.id, &[third.range, first.range]).await.expect("forgotten");
    assert_eq!(state(&*catalog, record.id).await, UploadState::Receiving);
    assert_eq!(catalog.ranges(record.id).await.expect("read"), [second]);
    catalog.forget(record.id, &[second.range]).await.expect("forgotten");
    assert_eq!(state(&*catalog, record.id).await, UploadState::Receiving);
    assert_eq!(catalog.ranges(record.id).await.expect("read"), []);

    // It can be filled again.
    assert_eq!(commit(&*catalog, vec![Fact::Full { upload: record.id }]).await, [record.id]);
}

pub(super) async fn an_upload_that_has_ended_forgets_nothing(catalog: Shared) {
    let record = sample_upload("x");
    open_ended(&*catalog, &record, UploadState::Failed).await;
    let before = find(&*catalog, record.id).await;
    catalog.forget(record.id, &[sample_range(0, 10).range]).await.expect("no effect");
    assert_eq!(find(&*catalog, record.id).await, before);
    assert_eq!(catalog.ranges(record.id).await.expect("read"), [sample_range(0, 10)]);
}

pub(super) async fn only_what_ended_without_a_file_is_released(catalog: Shared) {
    use UploadState::{Cancelled, Expired, Failed};
    for last in [Failed, Cancelled, Expired] {
        let record = sample_upload(last.as_str());
        open_ended(&*catalog, &record, last).await;
        assert!(!find(&*catalog, record.id).await.released);
        catalog.release(record.id).await.expect("released");
        let released = find(&*catalog, record.id).await;
        assert_eq!((released.state, released.released), (last, true));
    }
    let [running, full, done] = ["running", "full", "done"].map(sample_upload);
    open(&*catalog, &running).await;
    open_full(&*catalog, &full).await;
    open_complete(&*catalog, &done).await;
    for record in [running, full, done] {
        catalog.release(record.id).await.expect("no effect");
        assert!(!find(&*catalog, record.id).await.released);
    }
}

pub(super) async fn the_current_upload_is_running_or_was_opened_last(catalog: Shared) {
    let [first, second, third] = [(); 3].map(|()| sample_upload("x"));
    let key = first.identity.key();
    let current = || async { catalog.current(&key).await.expect("read").map(|upload| upload.id) };
    open_complete(&*catalog, &first).await;
    open(&*catalog, &sample_upload("y")).await;
    assert_eq!(current().await, Some(first.id));

    // The clock was set back before the second was opened: its id says that it is older.
    open_ended(&*catalog, &third, UploadState::Cancelled).await;
    assert_eq!(current().await, Some(third.id));
    open(&*catalog, &second).await;
    assert_eq!(current().await, Some(second.id));
    catalog.end(second.id, UploadState::Failed, None, &sample_by(1)).await.expect("ended");
    assert_eq!(current().await, Some(second.id));
}

pub(super) async fn a_complete_upload_counts_while_its_creative_exists(catalog: Shared) {
    let (older, newer, again) = (sample_upload("x"), sample_upload("x"), sample_upload("x"));
    let key = older.identity.key();
    open_complete(&*catalog, &older).await;
    let creative = open_complete(&*catalog, &newer).await;
    let current = || async { catalog.current(&key).await.expect("read").map(|upload| upload.id) };
    assert_eq!(current().await, Some(newer.id));
    catalog.delete_creative(creative.id, &sample_by(0)).await.expect("deleted");
    assert_eq!(current().await, None);
    assert_eq!(state(&*catalog, newer.id).await, UploadState::Complete);
    open(&*catalog, &again).await;
    assert_eq!(current().await, Some(again.id));
}
