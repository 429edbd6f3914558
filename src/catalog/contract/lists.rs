//! Lists hold what was asked for, in the order that was promised, and no more than allowed.

use super::{
    Shared, find, ids, open, open_complete, open_ended, open_full, sample_by, sample_name,
    sample_range, sample_time, sample_upload, sample_upload_of,
};
use crate::{
    catalog::{Fact, Resemblance, UploadQuery},
    upload::{
        Amount, Durability, Identity, Plan, Principal, UploadId, UploadRecord, UploadState, limits,
    },
};

pub(super) async fn uploads_of_one_principal_newest_first(catalog: Shared) {
    let ann = Principal::named("ann");
    let mine: Vec<_> = (0..5).map(|n| sample_upload_of(&ann, &format!("{n}"))).collect();
    // Opened in another order than begun.
    for n in [3, 0, 4, 1, 2] {
        open(&*catalog, &mine[n]).await;
    }
    open(&*catalog, &sample_upload_of(&Principal::named("bob"), "0")).await;
    catalog.end(mine[1].id, UploadState::Cancelled, None, &sample_by(1)).await.expect("ended");

    let list = |state, before, limit| {
        let query = UploadQuery { principal: ann.clone(), state, before, limit };
        let catalog = &catalog;
        async move { ids(&catalog.uploads(&query).await.expect("listed")) }
    };
    let id = |n: usize| mine[n].id;
    assert_eq!(list(None, None, 10).await, [id(4), id(3), id(2), id(1), id(0)]);
    assert_eq!(list(None, None, 2).await, [id(4), id(3)]);
    assert_eq!(list(None, Some(id(3)), 2).await, [id(2), id(1)]);
    assert_eq!(list(None, Some(id(0)), usize::MAX).await, []);
    assert_eq!(list(None, None, 0).await, []);
    let (receiving, cancelled) = (Some(UploadState::Receiving), Some(UploadState::Cancelled));
    assert_eq!(list(receiving, None, 3).await, [id(4), id(3), id(2)]);
    assert_eq!(list(receiving, Some(id(2)), usize::MAX).await, [id(0)]);
    assert_eq!(list(cancelled, None, 10).await, [id(1)]);
    assert_eq!(list(Some(UploadState::Complete), None, 10).await, []);
    let query = UploadQuery { principal: ann.clone(), state: cancelled, before: None, limit: 1 };
    let whole = catalog.uploads(&query).await.expect("listed");
    assert_eq!(whole, [find(&*catalog, id(1)).await]);
}

/// Names nothing but the public.
fn anything() -> Resemblance {
    Resemblance {
        principal: Principal::anonymous(),
        identifier: None,
        filename: None,
        relative_path: None,
        total: None,
        stride: None,
        count: None,
    }
}

fn upload_named(identifier: &str, filename: &str, path: &str, plan: Plan) -> UploadRecord {
    let identity = Identity::new(Principal::anonymous(), identifier, path, plan).expect("short");
    UploadRecord { identity, filename: sample_name(filename), ..sample_upload("") }
}

pub(super) async fn uploads_resemble_by_all_that_is_named(catalog: Shared) {
    let plan = |total, stride, count| Plan::new(total, stride, count).expect("a plan");
    let one = upload_named("30-cat", "cat.png", "a/cat.png", plan(30, 10, 3));
    let two = upload_named("30-cat", "cat.png", "b/cat.png", plan(30, 30, 1));
    let three = upload_named("30-dog", "cat.png", "a/cat.png", plan(31, u64::MAX, 1));
    let theirs = sample_upload_of(&Principal::named("ann"), "30-cat");
    for record in [&one, &two, &three, &theirs] {
        open(&*catalog, record).await;
    }
    let text = |text: &str| Some(text.to_owned());
    let cases: Vec<(Resemblance, Vec<UploadId>)> = vec![
        (anything(), vec![three.id, two.id, one.id]),
        (Resemblance { identifier: text("30-cat"), ..anything() }, vec![two.id, one.id]),
        (Resemblance { filename: text("cat.png"), ..anything() }, vec![three.id, two.id, one.id]),
        (Resemblance { relative_path: text("a/cat.png"), ..anything() }, vec![three.id, one.id]),
        (Resemblance { total: Some(30), ..anything() }, vec![two.id, one.id]),
        (Resemblance { stride: Some(30), ..anything() }, vec![two.id]),
        (Resemblance { stride: Some(u64::MAX), ..anything() }, vec![three.id]),
        (Resemblance { count: Some(1), ..anything() }, vec![three.id, two.id]),
        (Resemblance { total: Some(u64::MAX), ..anything() }, vec![]),
        (Resemblance { identifier: text(""), ..anything() }, vec![]),
        (
            Resemblance {
                identifier: text("30-cat"),
                filename: text("cat.png"),
                relative_path: text("a/cat.png"),
                total: Some(30),
                stride: Some(10),
                count: Some(3),
                ..anything()
            },
            vec![one.id],
        ),
    ];
    for (query, expected) in cases {
        let found = catalog.resembling(&query, sample_time(0)).await.expect("found");
        assert_eq!(ids(&found), expected, "{query:?}");
    }
}

pub(super) async fn complete_uploads_resemble_while_they_are_fresh(catalog: Shared) {
    let [full, done, deleted, failed] = ["full", "done", "deleted", "failed"].map(sample_upload);
    open_full(&*catalog, &full).await;
    open_complete(&*catalog, &done).await;
    let creative = open_complete(&*catalog, &deleted).await;
    catalog.delete_creative(creative.id, &sample_by(0)).await.expect("deleted");
    open_ended(&*catalog, &failed, UploadState::Failed).await;

    let ended_at = creative.created_at.as_millisecond() - sample_time(0).as_millisecond();
    let since = |ms| {
        let catalog = &catalog;
        async move { ids(&catalog.resembling(&anything(), sample_time(ms)).await.expect("found")) }
    };
    assert_eq!(since(ended_at).await, [done.id, full.id]);
    assert_eq!(since(ended_at + 1).await, [full.id]);
}

pub(super) async fn hostile_texts_are_only_themselves(catalog: Shared) {
    let plan = Plan::new(30, 10, 3).expect("a plan");
    let texts = ["a\0b", "a\0c", "a", "A", "á", "a\u{301}", "%", "_", "' OR 1=1 --", ""];
    let mut records = Vec::new();
    for text in texts {
        let record = upload_named(text, &format!("{text}."), text, plan);
        open(&*catalog, &record).await;
        records.push(record);
    }
    for (text, record) in texts.into_iter().zip(&records) {
        for query in [
            Resemblance { identifier: Some(text.into()), ..anything() },
            Resemblance { filename: Some(format!("{text}.")), ..anything() },
            Resemblance { relative_path: Some(text.into()), ..anything() },
        ] {
            let found = catalog.resembling(&query, sample_time(0)).await.expect("found");
            assert_eq!(found, std::slice::from_ref(record), "{query:?}");
        }
    }
}

pub(super) async fn few_enough_uploads_resemble(catalog: Shared) {
    let mut newest = Vec::new();
    for n in 0..=limits::RESEMBLING_MAX {
        let record = sample_upload(&format!("{n}"));
        open(&*catalog, &record).await;
        newest.push(record.id);
    }
    newest.reverse();
    newest.truncate(limits::RESEMBLING_MAX);
    let found = catalog.resembling(&anything(), sample_time(0)).await.expect("found");
    assert_eq!(ids(&found), newest);
}

pub(super) async fn what_is_being_stitched_is_listed(catalog: Shared) {
    let [running, one, two, done] = ["running", "one", "two", "done"].map(sample_upload);
    open(&*catalog, &running).await;
    open_full(&*catalog, &one).await;
    open_full(&*catalog, &two).await;
    open_complete(&*catalog, &done).await;
    assert_eq!(catalog.stitching(None, 10).await.expect("listed"), [one.id, two.id]);
    assert_eq!(catalog.stitching(None, 1).await.expect("listed"), [one.id]);
    assert_eq!(catalog.stitching(Some(one.id), 10).await.expect("listed"), [two.id]);
    assert_eq!(catalog.stitching(Some(two.id), 10).await.expect("listed"), []);

    let among = [two.id, done.id, UploadId::new(), running.id];
    assert_eq!(catalog.running(&among).await.expect("looked"), [two.id, running.id]);
    assert_eq!(catalog.running(&[]).await.expect("looked"), []);
}

pub(super) async fn uploads_are_counted_by_state(catalog: Shared) {
    use UploadState::{Cancelled, Complete, Expired, Failed, Receiving, Stitching};
    for (n, last) in [Failed, Cancelled, Cancelled, Expired].into_iter().enumerate() {
        open_ended(&*catalog, &sample_upload(&format!("ended {n}")), last).await;
    }
    for n in 0..3 {
        open(&*catalog, &sample_upload(&format!("running {n}"))).await;
    }
    open_full(&*catalog, &sample_upload("full")).await;
    let counts = catalog.count_uploads().await.expect("counted");
    let expected =
        [(Receiving, 3), (Stitching, 1), (Complete, 0), (Failed, 1), (Cancelled, 2), (Expired, 1)];
    for (state, count) in expected {
        let found: Vec<_> = counts.iter().filter(|(of, _)| *of == state).collect();
        assert!(found.len() < 2, "{state:?} is counted twice");
        assert_eq!(found.first().map_or(0, |(_, count)| *count), count, "{state:?}");
    }
}

/// Of each state the newest are looked at, and that bound is met by what has the identifier, or
/// else the name, that is asked for.
pub(super) async fn what_a_probe_may_mean_is_looked_for_among_the_newest(catalog: Shared) {
    let plan = Plan::new(30, 10, 3).expect("a plan");
    let oldest = upload_named("oldest", "oldest.png", "a", plan);
    open(&*catalog, &oldest).await;
    let mut facts = Vec::new();
    for n in 0..limits::RESEMBLING_CANDIDATES_MAX {
        let record = upload_named(&format!("{n}"), "cat.png", "b", plan);
        facts.push(Fact::Opened(Box::new(record)));
    }
    catalog.commit(facts, Durability::Relaxed).await.expect("committed");
    let text = |text: &str| Some(text.to_owned());
    for query in [
        Resemblance { identifier: text("oldest"), ..anything() },
        Resemblance { filename: text("oldest.png"), ..anything() },
        Resemblance { identifier: text("oldest"), relative_path: text("a"), ..anything() },
    ] {
        let found = catalog.resembling(&query, sample_time(0)).await.expect("found");
        assert_eq!(ids(&found), [oldest.id], "{query:?}");
    }
    let newest = Resemblance { relative_path: text("b"), identifier: text("0"), ..anything() };
    assert_eq!(catalog.resembling(&newest, sample_time(0)).await.expect("found").len(), 1);
}

pub(super) async fn what_is_here_of_an_upload_is_known_without_its_ranges(catalog: Shared) {
    let record = sample_upload("x");
    let amount = async || {
        let Amount { ranges, bytes } = catalog.amount(record.id).await.expect("read");
        (ranges, bytes)
    };
    assert_eq!(amount().await, (0, 0), "it is not there");
    open(&*catalog, &record).await;
    assert_eq!(amount().await, (1, 10));
    let stored = |offset, len| {
        let (upload, at) = (record.id, sample_time(1));
        Fact::Stored { upload, stored: sample_range(offset, len), at }
    };
    // One is new, and one is said again and is another one.
    let facts = vec![stored(10, 10), stored(10, 5), stored(20, 10)];
    catalog.commit(facts, Durability::Strict).await.expect("committed");
    assert_eq!(amount().await, (3, 25));
    catalog.commit(vec![stored(10, 10)], Durability::Relaxed).await.expect("committed");
    assert_eq!(amount().await, (3, 30));
    let known = [sample_range(0, 10).range, sample_range(5, 5).range];
    catalog.forget(record.id, &known).await.expect("forgotten");
    assert_eq!(amount().await, (2, 20), "what was not there does not count");
    catalog.end(record.id, UploadState::Cancelled, None, &sample_by(2)).await.expect("ended");
    assert_eq!(amount().await, (0, 0));
}
