//! What a principal has: it follows every change, of whatever kind.

use super::{
    Shared, open, open_complete, open_ended, open_full, sample_by, sample_range, sample_time,
    sample_upload, sample_upload_of,
};
use crate::upload::{Principal, UploadId, UploadState, Usage};

async fn usage(catalog: &Shared, of: &Principal, besides: &[UploadId]) -> (u64, u64, u64) {
    let Usage { uploads, upload_bytes, stored_bytes, stored_files, .. } =
        catalog.usage(of, besides).await.expect("added up");
    assert_eq!(stored_files, stored_bytes / 30, "all files are of one size here");
    (uploads, upload_bytes, stored_bytes)
}

pub(super) async fn what_has_arrived_of_running_uploads_is_known(catalog: Shared) {
    let ann = Principal::named("ann");
    let received = async |besides: &[UploadId]| {
        catalog.usage(&ann, besides).await.expect("added up").received_bytes
    };
    let [a, b, c] = ["a", "b", "c"].map(|name| sample_upload_of(&ann, name));
    open(&*catalog, &a).await;
    open_full(&*catalog, &b).await;
    open_complete(&*catalog, &c).await;
    assert_eq!(received(&[]).await, 40, "a third of one and all of another, not the complete one");
    assert_eq!(received(&[b.id]).await, 10);
    catalog.forget(b.id, &[sample_range(10, 10).range]).await.expect("forgotten");
    assert_eq!(received(&[]).await, 30);
    let ended = catalog.end(b.id, UploadState::Cancelled, None, &sample_by(1)).await;
    ended.expect("answered");
    assert_eq!(received(&[]).await, 10, "nothing of what has ended");
    catalog.purge(sample_time(5000), 10).await.expect("purged");
    assert_eq!(received(&[]).await, 10);
}

pub(super) async fn what_a_principal_has_is_known_at_any_time(catalog: Shared) {
    let (ann, public) = (Principal::named("ann"), Principal::anonymous());
    assert_eq!(usage(&catalog, &ann, &[]).await, (0, 0, 0));
    let uploads = ["a", "b", "c", "d"].map(|name| sample_upload_of(&ann, name));
    open(&*catalog, &uploads[0]).await;
    open_full(&*catalog, &uploads[1]).await;
    open_ended(&*catalog, &uploads[2], UploadState::Cancelled).await;
    assert_eq!(usage(&catalog, &ann, &[]).await, (2, 60, 0), "not what has ended");
    let creative = open_complete(&*catalog, &uploads[3]).await;
    assert_eq!(usage(&catalog, &ann, &[]).await, (2, 60, 30));

    open_complete(&*catalog, &sample_upload("a")).await;
    assert_eq!(usage(&catalog, &public, &[]).await, (0, 0, 30), "each has its own");
    assert_eq!(usage(&catalog, &ann, &[]).await, (2, 60, 30));

    for (upload, left) in [(&uploads[0], (1, 30, 30)), (&uploads[1], (0, 0, 30))] {
        for _ in 0..2 {
            // The second time it has no effect.
            let ended = catalog.end(upload.id, UploadState::Failed, None, &sample_by(1)).await;
            ended.expect("answered");
            assert_eq!(usage(&catalog, &ann, &[]).await, left);
        }
    }
    catalog.purge(sample_time(5000), 10).await.expect("purged");
    assert_eq!(usage(&catalog, &ann, &[]).await, (0, 0, 30), "a creative outlives its upload");
    catalog.delete_creative(creative.id, &sample_by(0)).await.expect("deleted");
    assert_eq!(usage(&catalog, &ann, &[]).await, (0, 0, 0));
}

pub(super) async fn what_is_asked_for_besides_is_left_out(catalog: Shared) {
    let (ann, bob) = (Principal::named("ann"), Principal::named("bob"));
    let (running, complete) = (sample_upload_of(&ann, "a"), sample_upload_of(&ann, "b"));
    open(&*catalog, &running).await;
    open_complete(&*catalog, &complete).await;
    for (besides, left) in [
        (vec![], (1, 30, 30)),
        (vec![running.id], (0, 0, 30)),
        (vec![complete.id], (1, 30, 0)),
        (vec![running.id, complete.id, UploadId::new()], (0, 0, 0)),
    ] {
        assert_eq!(usage(&catalog, &ann, &besides).await, left);
        assert_eq!(usage(&catalog, &bob, &besides).await, (0, 0, 0), "nobody owes for another");
    }
}
