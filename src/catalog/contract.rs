//! What every [`Catalog`] must hold: each sentence of the trait, as a test.
//!
//! For those who write a catalog of their own: call [`run_all`] and [`run_reopened`] from a test on
//! a runtime with several threads. A promise that is broken is a panic. The sample records are for
//! tests of the layers above, too.

mod codes;
mod creatives;
mod deployment;
mod facts;
mod lists;
mod races;
mod sessions;
mod sweep;
mod tickets;
mod trail;
mod transitions;
mod usage;
mod users;

#[cfg(test)]
pub(super) use self::codes::{know_ann, sample_code, sample_session};

use std::{future::Future, sync::Arc};

use super::{Catalog, CatalogError, Fact};
use crate::upload::{
    Accept, By, ByteRange, Checksum, Creative, CreativeId, Day, Durability, FileDigest, FileName,
    Identity, Means, Plan, Principal, Sha256Digest, StoredRange, Timestamp, UploadId, UploadRecord,
    UploadState, User,
};

type Shared = Arc<dyn Catalog>;

/// Each test with a catalog of its own.
macro_rules! run {
    ($make:ident, $($test:path),+ $(,)?) => { $( $test($make().await).await; )+ };
}

/// Runs the suite; `make` gives a new, empty catalog each time.
pub async fn run_all<F, Fut>(make: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Shared>,
{
    run!(
        make,
        facts::what_was_opened_is_found_as_it_was,
        facts::what_is_not_there_is_not_found,
        facts::one_identity_has_one_running_upload,
        facts::an_upload_is_handed_over_to_another_visitor_once,
        facts::a_batch_that_is_refused_writes_nothing,
        facts::ranges_are_listed_by_offset,
        facts::a_range_at_the_same_offset_is_replaced,
        facts::the_latest_word_of_the_client_counts,
        facts::facts_of_an_upload_that_is_not_running_have_no_effect,
        facts::relaxed_facts_are_seen_as_strict_ones_are,
        facts::times_are_kept_to_the_millisecond,
        transitions::an_upload_is_full_once,
        transitions::an_upload_completes_with_its_creative_or_not_at_all,
        transitions::an_upload_ends_once,
        transitions::an_upload_that_is_being_stitched_does_not_expire,
        transitions::an_upload_ends_in_three_states_only,
        transitions::what_holds_up_a_completion_is_known_until_it_is_over,
        transitions::ranges_that_are_forgotten_are_gone,
        transitions::an_upload_that_has_ended_forgets_nothing,
        transitions::only_what_ended_without_a_file_is_released,
        transitions::the_current_upload_is_running_or_was_opened_last,
        transitions::a_complete_upload_counts_while_its_creative_exists,
        races::of_many_that_open_one_identity_one_does,
        races::of_many_that_fill_an_upload_one_owns_it,
        races::of_many_that_complete_an_upload_one_does,
        races::of_many_that_end_an_upload_one_does,
        races::an_upload_completes_or_is_cancelled,
        lists::uploads_of_one_principal_newest_first,
        lists::uploads_resemble_by_all_that_is_named,
        lists::complete_uploads_resemble_while_they_are_fresh,
        lists::hostile_texts_are_only_themselves,
        lists::few_enough_uploads_resemble,
        lists::what_a_probe_may_mean_is_looked_for_among_the_newest,
        lists::what_is_here_of_an_upload_is_known_without_its_ranges,
        lists::what_is_being_stitched_is_listed,
        lists::uploads_are_counted_by_state,
        sweep::idle_uploads_are_those_that_receive_nothing,
        sweep::the_purge_takes_what_ended_and_leaves_creatives,
        sweep::ranges_are_dropped_after_the_end_only,
        creatives::creatives_are_listed_by_day_then_by_id,
        creatives::a_creative_has_the_digests_that_were_taken,
        creatives::a_creative_is_rescheduled,
        creatives::a_creative_is_given_to_a_user,
        creatives::a_deleted_creative_leaves_a_doomed_file,
        creatives::what_the_operator_deletes_is_to_be_kept_in_the_trash,
        creatives::a_creative_whose_file_was_brought_back_is_written_again,
        creatives::an_upload_is_recovered_from_its_finished_file_once,
        creatives::a_full_upload_that_ends_without_a_file_dooms_what_it_may_have_published,
        usage::what_has_arrived_of_running_uploads_is_known,
        usage::what_a_principal_has_is_known_at_any_time,
        usage::what_is_asked_for_besides_is_left_out,
        sessions::a_session_of_the_same_epoch_suspects_nothing,
        sessions::a_session_of_another_epoch_suspects_what_runs,
        sessions::suspicion_belongs_to_a_range,
        sessions::after_the_end_nothing_is_available,
        deployment::generations_are_counted_in_step_with_the_folders,
        deployment::after_a_restore_what_runs_is_suspect,
        deployment::the_first_user_closes_a_service_for_good,
    );
    run_directory(&make).await;
    trail::run_all(&make).await;
}

async fn run_directory<F, Fut>(make: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Shared>,
{
    run!(
        make,
        users::a_user_has_a_name_and_an_address_of_its_own,
        users::an_address_is_changed_unless_it_is_anothers,
        users::a_user_who_has_something_is_not_removed,
        users::an_upload_of_nobody_is_not_opened_and_disturbs_no_other,
        users::nothing_completes_for_a_user_who_is_disabled,
        users::a_token_belongs_to_a_user_and_goes_with_it,
        users::a_token_is_taken_back_once,
        users::sessions_that_are_over_are_forgotten,
        codes::a_code_is_tried_so_often_and_used_once,
        codes::a_code_is_used_once_for_one_session,
        codes::a_user_has_one_code_at_a_time,
        codes::a_code_for_a_former_address_counts_no_more,
        codes::of_many_that_try_a_code_so_many_do,
        codes::codes_that_were_not_sent_are_listed_and_those_that_are_over_go,
        tickets::a_ticket_is_good_for_so_many_uploads,
        tickets::of_many_that_begin_with_one_ticket_so_many_do,
        tickets::what_was_counted_is_forgotten_after_the_ticket_has_ended,
    );
}

/// Runs the part of the suite that closes and opens again: `open` gives a new handle each time, all
/// of them on the same facts, of which there are none at first.
pub async fn run_reopened<F, Fut>(open: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Shared>,
{
    sessions::facts_outlive_the_session(open).await;
}

/// A running upload of the public: 30 bytes in 3 pieces, nothing said of it but this identifier.
#[must_use]
pub fn sample_upload(identifier: &str) -> UploadRecord {
    sample_upload_of(&Principal::anonymous(), identifier)
}

/// As [`sample_upload`], of this principal.
#[must_use]
pub fn sample_upload_of(principal: &Principal, identifier: &str) -> UploadRecord {
    let plan = Plan::new(30, 10, 3).expect("three tens are thirty");
    let identity = Identity::new(principal.clone(), identifier, "album/cat.png", plan);
    UploadRecord {
        id: UploadId::new(),
        identity: identity.expect("short enough"),
        filename: sample_name("cat.png"),
        scheduled: None,
        declared_sha256: None,
        accept: Accept::default(),
        creative_id: CreativeId::new(),
        state: UploadState::Receiving,
        reason: None,
        trouble: None,
        suspect: false,
        released: false,
        created_at: sample_time(0),
        touched_at: sample_time(0),
        ended_at: None,
    }
}

/// What this upload becomes, published at `sample_time(1000)` and scheduled for that day.
#[must_use]
pub fn sample_creative(upload: &UploadRecord) -> Creative {
    Creative {
        id: upload.creative_id,
        principal: upload.identity.principal().clone(),
        filename: upload.filename.clone(),
        size: upload.identity.plan().total(),
        digest: FileDigest { sha256: Some(Sha256Digest([7; 32])), blake3: None },
        content_type: "image/png".into(),
        scheduled: sample_day("2026-12-01"),
        created_at: sample_time(1000),
        upload_id: upload.id,
    }
}

/// A range with a checksum that tells it from others.
#[must_use]
pub fn sample_range(offset: u64, len: u64) -> StoredRange {
    let range = ByteRange::new(offset, len).expect("a range of a small file");
    StoredRange { range, checksum: Checksum(u32::MAX - u32::try_from(offset).unwrap_or_default()) }
}

/// So many milliseconds after the noon of 1 December 2026.
#[must_use]
pub fn sample_time(ms: i64) -> Timestamp {
    let noon: Timestamp = "2026-12-01T12:00:00Z".parse().expect("a time");
    Timestamp::from_millisecond(noon.as_millisecond() + ms).expect("a time near it")
}

/// By the operator, at [`sample_time`]`(ms)`.
#[must_use]
pub fn sample_by(ms: i64) -> By {
    By { means: Means::Operator, ..By::server(sample_time(ms)) }
}

/// The day that the text names.
#[must_use]
pub fn sample_day(text: &str) -> Day {
    text.parse().expect("a day")
}

fn sample_name(text: &str) -> FileName {
    FileName::new(text).expect("short enough")
}

/// A user with this name.
#[must_use]
pub fn sample_user(name: &Principal) -> User {
    User { name: name.clone(), email: None, created_at: sample_time(0), disabled_at: None }
}

/// Makes sure that a principal may have uploads.
pub async fn know(catalog: &dyn Catalog, principal: &Principal) {
    if !principal.is_anonymous() {
        catalog.directory().add_user(&sample_user(principal), &sample_by(0)).await.expect("added");
    }
}

/// Opens an upload with its first range, as the engine does.
pub async fn open(catalog: &dyn Catalog, record: &UploadRecord) {
    let (upload, stored) = (record.id, sample_range(0, 10));
    let opened = Fact::Opened(Box::new(record.clone()));
    let stored = Fact::Stored { upload, stored, at: record.touched_at };
    commit(catalog, vec![opened, stored]).await;
}

/// Opens an upload and fills it: it is `stitching` then.
pub async fn open_full(catalog: &dyn Catalog, record: &UploadRecord) {
    open(catalog, record).await;
    let upload = record.id;
    let stored = |offset| {
        let stored = sample_range(offset, 10);
        Fact::Stored { upload, stored, at: record.touched_at }
    };
    let full = commit(catalog, vec![stored(10), stored(20), Fact::Full { upload }]).await;
    assert_eq!(full, [upload]);
}

/// Opens an upload, fills it and completes it.
pub async fn open_complete(catalog: &dyn Catalog, record: &UploadRecord) -> Creative {
    open_full(catalog, record).await;
    let creative = sample_creative(record);
    assert!(catalog.complete(&creative).await.expect("completed"));
    creative
}

/// Opens an upload that then ends in this state.
pub async fn open_ended(catalog: &dyn Catalog, record: &UploadRecord, state: UploadState) {
    open(catalog, record).await;
    assert!(catalog.end(record.id, state, None, &sample_by(1000)).await.expect("ended"));
}

/// Commits and returns the uploads that became full by it. Whose they are is made known before.
async fn commit(catalog: &dyn Catalog, facts: Vec<Fact>) -> Vec<UploadId> {
    for fact in &facts {
        if let Fact::Opened(record) = fact {
            know(catalog, record.identity.principal()).await;
        }
    }
    catalog.commit(facts, Durability::Strict).await.expect("committed").filled
}

/// The upload, which must be there.
async fn find(catalog: &dyn Catalog, id: UploadId) -> UploadRecord {
    catalog.upload(id).await.expect("read").expect("the upload is there")
}

async fn state(catalog: &dyn Catalog, id: UploadId) -> UploadState {
    find(catalog, id).await.state
}

fn ids(uploads: &[UploadRecord]) -> Vec<UploadId> {
    uploads.iter().map(|upload| upload.id).collect()
}

fn is_unavailable<T>(result: &Result<T, CatalogError>) -> bool {
    matches!(result, Err(CatalogError::Unavailable(_)))
}

#[cfg(test)]
mod tests {
    use super::{super::MemoryCatalog, *};

    #[tokio::test(flavor = "multi_thread")]
    async fn the_model_holds_the_contract() {
        run_all(|| async { Arc::new(MemoryCatalog::new()) as Shared }).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_model_holds_the_contract_across_sessions() {
        let first = MemoryCatalog::new();
        run_reopened(|| async { Arc::new(first.reopened()) as Shared }).await;
    }
}
