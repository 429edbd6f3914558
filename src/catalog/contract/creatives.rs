//! Creatives: by day, from one day to another, deleted with their files.

use super::{
    Shared, codes::know_ann, open, open_complete, open_ended, open_full, sample_by,
    sample_creative, sample_day, sample_upload, sample_upload_of, state,
};
use crate::{
    catalog::{AuditQuery, CreativeQuery, Doomed},
    upload::{
        Blake3Digest, By, Creative, CreativeId, Day, Deed, FileDigest, Means, Principal,
        Sha256Digest, TrashNote, TrashReason, UploadState,
    },
};

/// A creative of this principal for this day.
async fn publish(catalog: &Shared, principal: &Principal, day: &str) -> Creative {
    let upload = sample_upload_of(principal, &CreativeId::new().to_string());
    open_full(&**catalog, &upload).await;
    let creative = Creative { scheduled: sample_day(day), ..sample_creative(&upload) };
    assert!(catalog.complete(&creative).await.expect("completed"));
    creative
}

pub(super) async fn creatives_are_listed_by_day_then_by_id(catalog: Shared) {
    let ann = Principal::named("ann");
    let a = publish(&catalog, &ann, "2026-12-02").await;
    let b = publish(&catalog, &ann, "2026-12-01").await;
    let c = publish(&catalog, &ann, "2026-12-02").await;
    let d = publish(&catalog, &ann, "2027-01-01").await;
    publish(&catalog, &Principal::named("bob"), "2026-12-02").await;

    let list = |from: Option<&str>, to: Option<&str>, after: Option<(Day, CreativeId)>, limit| {
        let (from, to) = (from.map(sample_day), to.map(sample_day));
        let query = CreativeQuery { principal: ann.clone(), from, to, after, limit };
        let catalog = &catalog;
        async move { catalog.creatives(&query).await.expect("listed") }
    };
    let place = |creative: &Creative| Some((creative.scheduled, creative.id));
    let ids = |creatives: Vec<Creative>| creatives.iter().map(|c| c.id).collect::<Vec<_>>();
    let all = [b.clone(), a.clone(), c.clone(), d.clone()];
    assert_eq!(list(None, None, None, usize::MAX).await, all);
    assert_eq!(ids(list(None, None, None, 2).await), [b.id, a.id]);
    assert_eq!(ids(list(None, None, place(&a), 2).await), [c.id, d.id]);
    assert_eq!(ids(list(None, None, place(&d), 2).await), []);
    assert_eq!(ids(list(Some("2026-12-02"), None, None, 9).await), [a.id, c.id, d.id]);
    assert_eq!(ids(list(None, Some("2026-12-02"), None, 9).await), [b.id, a.id, c.id]);
    let day = Some("2026-12-02");
    assert_eq!(ids(list(day, day, None, 9).await), [a.id, c.id]);
    assert_eq!(ids(list(day, day, place(&a), 9).await), [c.id]);
    assert_eq!(ids(list(day, day, place(&b), 9).await), [a.id, c.id]);
    assert_eq!(ids(list(Some("2026-12-03"), day, None, 9).await), []);
    assert_eq!(ids(list(None, None, None, 0).await), []);
}

pub(super) async fn a_creative_has_the_digests_that_were_taken(catalog: Shared) {
    let ann = Principal::named("ann");
    let (sha256, blake3) = (Some(Sha256Digest([255; 32])), Some(Blake3Digest([0; 32])));
    for (sha256, blake3) in [(sha256, None), (None, blake3), (sha256, blake3), (None, None)] {
        let upload = sample_upload_of(&ann, &CreativeId::new().to_string());
        open_full(&*catalog, &upload).await;
        let digest = FileDigest { sha256, blake3 };
        let creative = Creative { digest, ..sample_creative(&upload) };
        assert!(catalog.complete(&creative).await.expect("completed"));
        let found = catalog.creative(creative.id).await.expect("read");
        assert_eq!(found, Some(creative));
    }
}

pub(super) async fn a_creative_is_rescheduled(catalog: Shared) {
    let ann = Principal::named("ann");
    let creative = publish(&catalog, &ann, "2026-12-02").await;
    let other = publish(&catalog, &ann, "2026-12-02").await;
    let day = sample_day("2026-12-24");
    let moved = Creative { scheduled: day, ..creative.clone() };
    let answer = catalog.reschedule(creative.id, day, &sample_by(0)).await.expect("rescheduled");
    assert_eq!(answer, Some(moved.clone()));
    assert_eq!(catalog.creative(creative.id).await.expect("read"), Some(moved));
    assert_eq!(catalog.creative(other.id).await.expect("read"), Some(other));
    let nothing =
        catalog.reschedule(CreativeId::new(), day, &sample_by(0)).await.expect("no effect");
    assert_eq!(nothing, None);
}

pub(super) async fn a_deleted_creative_leaves_a_doomed_file(catalog: Shared) {
    let ann = Principal::named("ann");
    let by = By { means: Means::Nothing, ..sample_by(0) };
    let upload = sample_upload_of(&ann, "x");
    let first = open_complete(&*catalog, &upload).await;
    let second = publish(&catalog, &ann, "2026-12-02").await;
    assert_eq!(catalog.doomed().await.expect("listed"), []);

    let deleted = catalog.delete_creative(first.id, &by).await.expect("deleted");
    assert_eq!(deleted, Some(first.clone()));
    assert_eq!(catalog.creative(first.id).await.expect("read"), None);
    assert_eq!(state(&*catalog, upload.id).await, UploadState::Complete);
    let doomed = [Doomed { id: first.id, filename: first.filename.clone(), note: None }];
    assert_eq!(catalog.doomed().await.expect("listed"), doomed);
    let by_id = async |id| catalog.doomed_by_id(id).await.expect("read");
    assert_eq!(by_id(first.id).await.as_ref(), Some(&doomed[0]));
    assert_eq!(by_id(second.id).await, None);

    // Again, and what was never there: nothing new is doomed.
    assert_eq!(catalog.delete_creative(first.id, &by).await.expect("no effect"), None);
    assert_eq!(catalog.delete_creative(CreativeId::new(), &by).await.expect("no effect"), None);
    assert_eq!(catalog.doomed().await.expect("listed"), doomed);

    catalog.buried(first.id).await.expect("buried");
    catalog.buried(first.id).await.expect("it may be buried again");
    assert_eq!(catalog.doomed().await.expect("listed"), []);
    assert_eq!(by_id(first.id).await, None);
    assert_eq!(catalog.creative(second.id).await.expect("read"), Some(second));
}

pub(super) async fn a_full_upload_that_ends_without_a_file_dooms_what_it_may_have_published(
    catalog: Shared,
) {
    let (receiving, full) = (sample_upload("receiving"), sample_upload("full"));
    open_ended(&*catalog, &receiving, UploadState::Cancelled).await;
    assert_eq!(catalog.doomed().await.expect("listed"), []);
    open_full(&*catalog, &full).await;
    let by = sample_by(1);
    let cancel = || catalog.end(full.id, UploadState::Cancelled, None, &by);
    assert!(cancel().await.expect("ended"));
    let note = TrashNote::of_upload(&full, TrashReason::Ended).to_json();
    let (id, filename) = (full.creative_id, full.filename.clone());
    let doomed = [Doomed { id, filename, note: Some(note) }];
    assert_eq!(catalog.doomed().await.expect("listed"), doomed);
    catalog.buried(full.creative_id).await.expect("buried");
    assert!(!cancel().await.expect("it had ended"));
    assert_eq!(catalog.doomed().await.expect("listed"), []);
}

pub(super) async fn what_the_operator_deletes_is_to_be_kept_in_the_trash(catalog: Shared) {
    let creative = publish(&catalog, &Principal::named("ann"), "2026-12-02").await;
    let by = By { means: Means::Operator, ..sample_by(0) };
    catalog.delete_creative(creative.id, &by).await.expect("deleted");
    let [doomed] = &catalog.doomed().await.expect("listed")[..] else { panic!("one is doomed") };
    let note = doomed.note.as_ref().and_then(|note| TrashNote::parse(note.as_bytes()));
    assert_eq!(note, TrashNote::of_deleted(&creative, &by));
    assert_eq!(note.and_then(|note| note.user_id).as_deref(), Some("ann"));
}

pub(super) async fn a_creative_whose_file_was_brought_back_is_written_again(catalog: Shared) {
    let creative = publish(&catalog, &Principal::named("ann"), "2026-12-02").await;
    let by = sample_by(0);
    assert!(!catalog.restore_creative(&creative, &by).await.expect("it is there"));
    catalog.delete_creative(creative.id, &by).await.expect("deleted");
    let of_nobody = Creative { principal: Principal::named("nobody"), ..creative.clone() };
    assert!(!catalog.restore_creative(&of_nobody, &by).await.expect("there is no such user"));
    assert_eq!(catalog.creative(creative.id).await.expect("read"), None);
    assert!(catalog.restore_creative(&creative, &by).await.expect("restored"));
    assert_eq!(catalog.creative(creative.id).await.expect("read"), Some(creative.clone()));
    assert_eq!(catalog.doomed().await.expect("listed"), [], "its file is to stay");
    let other = Creative { id: CreativeId::new(), ..creative };
    assert!(!catalog.restore_creative(&other, &by).await.expect("its upload has one"));
}

pub(super) async fn an_upload_is_recovered_from_its_finished_file_once(catalog: Shared) {
    let (record, ended) = (sample_upload("x"), sample_upload("ended"));
    let creative = sample_creative(&record);
    open(&*catalog, &record).await;
    assert!(catalog.recover(&creative).await.expect("recovered"));
    assert!(!catalog.recover(&creative).await.expect("it is complete"));
    assert_eq!(state(&*catalog, record.id).await, UploadState::Complete);
    assert_eq!(catalog.creative(creative.id).await.expect("read"), Some(creative.clone()));
    let query = AuditQuery { since: None, principal: None, upload: Some(record.id), limit: 9 };
    let lines = catalog.trail().entries(&query).await.expect("read");
    let recovered = lines.iter().filter(|line| line.deed == Deed::UploadRecovered);
    assert_eq!(recovered.count(), 1);

    open_ended(&*catalog, &ended, UploadState::Cancelled).await;
    assert!(!catalog.recover(&sample_creative(&ended)).await.expect("it has ended"));
    assert_eq!(catalog.creative(ended.creative_id).await.expect("read"), None);
}

pub(super) async fn a_creative_is_given_to_a_user(catalog: Shared) {
    let ann = know_ann(&catalog).await.name;
    let public = Principal::anonymous();
    let record = sample_upload("a");
    let creative = open_complete(&*catalog, &record).await;
    assert_eq!(creative.principal, public);
    let (nobody, by) = (Principal::named("nobody"), sample_by(7));
    let id = creative.id;
    assert_eq!(catalog.give_creative(id, &nobody, &by).await.expect("no such user"), None);
    let none = CreativeId::new();
    assert_eq!(catalog.give_creative(none, &ann, &by).await.expect("no creative"), None);
    assert_eq!(catalog.creative(id).await.expect("read"), Some(creative.clone()));

    let given = catalog.give_creative(id, &ann, &by).await.expect("given");
    assert_eq!(given, Some(Creative { principal: ann.clone(), ..creative.clone() }));
    assert_eq!(catalog.creative(id).await.expect("read"), given);
    assert_eq!(catalog.upload(record.id).await.expect("read"), None, "it answers nobody");
    assert_eq!(catalog.doomed().await.expect("read"), [], "its file stays");
    for (of, stored) in [(&public, 0), (&ann, creative.size)] {
        assert_eq!(catalog.usage(of, &[]).await.expect("read").stored_bytes, stored, "{of:?}");
    }
    let query =
        AuditQuery { since: None, principal: None, upload: Some(creative.upload_id), limit: 1 };
    let line = catalog.trail().entries(&query).await.expect("read").remove(0);
    assert_eq!((line.deed, line.principal.as_str()), (Deed::CreativeGiven, public.as_str()));
    assert_eq!(line.detail.as_deref(), Some("ann"));
}
