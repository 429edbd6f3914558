//! Of many that race for one transition, one is told that it was the one.

use std::{future::Future, sync::Arc};

use super::{
    CatalogError, Fact, Shared, find, open, open_full, sample_by, sample_creative, sample_upload,
    state,
};
use crate::upload::{CreativeId, Durability, UploadState};

const RACERS: usize = 32;
const ROUNDS: usize = 4;

/// Runs the same call many times at once. Gives all results, in no order that matters.
async fn race<T, Fut>(call: impl Fn(usize) -> Fut) -> Vec<T>
where
    T: Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
{
    let barrier = Arc::new(tokio::sync::Barrier::new(RACERS));
    let racers: Vec<_> = (0..RACERS)
        .map(|racer| {
            let (barrier, call) = (Arc::clone(&barrier), call(racer));
            tokio::spawn(async move {
                barrier.wait().await;
                call.await
            })
        })
        .collect();
    let mut results = Vec::new();
    for racer in racers {
        results.push(racer.await.expect("no racer panics"));
    }
    results
}

fn winners(results: Vec<Result<bool, CatalogError>>) -> usize {
    results.into_iter().filter(|result| *result.as_ref().expect("a call that succeeds")).count()
}

pub(super) async fn of_many_that_open_one_identity_one_does(catalog: Shared) {
    for round in 0..ROUNDS {
        let results = race(|_| {
            let catalog = Shared::clone(&catalog);
            let record = sample_upload(&format!("round {round}"));
            async move {
                let opened = vec![Fact::Opened(Box::new(record.clone()))];
                match catalog.commit(opened, Durability::Strict).await {
                    Ok(_) => Some(record.id),
                    Err(CatalogError::Taken) => None,
                    Err(error) => panic!("{error}"),
                }
            }
        })
        .await;
        let opened: Vec<_> = results.into_iter().flatten().collect();
        let key = sample_upload(&format!("round {round}")).identity.key();
        let current = catalog.current(&key).await.expect("read").expect("one was opened");
        assert_eq!(opened, [current.id]);
    }
}

pub(super) async fn of_many_that_fill_an_upload_one_owns_it(catalog: Shared) {
    for round in 0..ROUNDS {
        let record = sample_upload(&format!("round {round}"));
        open(&*catalog, &record).await;
        let results = race(|_| {
            let (catalog, upload) = (Shared::clone(&catalog), record.id);
            async move {
                let full = catalog.commit(vec![Fact::Full { upload }], Durability::Relaxed).await;
                full.map(|committed| committed.filled == [upload])
            }
        })
        .await;
        assert_eq!(winners(results), 1);
        assert_eq!(state(&*catalog, record.id).await, UploadState::Stitching);
    }
}

pub(super) async fn of_many_that_complete_an_upload_one_does(catalog: Shared) {
    for round in 0..ROUNDS {
        let record = sample_upload(&format!("round {round}"));
        open_full(&*catalog, &record).await;
        let creatives: Vec<_> = (0..RACERS).map(|_| CreativeId::new()).collect();
        let results = race(|racer| {
            let catalog = Shared::clone(&catalog);
            let mut creative = sample_creative(&record);
            creative.id = creatives[racer];
            async move { catalog.complete(&creative).await }
        })
        .await;
        assert_eq!(winners(results), 1);
        let mut there = 0;
        for id in creatives {
            there += usize::from(catalog.creative(id).await.expect("read").is_some());
        }
        assert_eq!(there, 1, "one upload, one creative");
    }
}

pub(super) async fn of_many_that_end_an_upload_one_does(catalog: Shared) {
    for round in 0..ROUNDS {
        let record = sample_upload(&format!("round {round}"));
        open(&*catalog, &record).await;
        let ends = [UploadState::Failed, UploadState::Cancelled, UploadState::Expired];
        let results = race(|racer| {
            let (catalog, id, last) = (Shared::clone(&catalog), record.id, ends[racer % 3]);
            async move { catalog.end(id, last, None, &sample_by(1)).await.map(|was| (was, last)) }
        })
        .await;
        let results = results.into_iter().map(|result| result.expect("a call that succeeds"));
        let ended: Vec<_> = results.filter(|(was_it, _)| *was_it).map(|(_, last)| last).collect();
        assert_eq!(ended, [state(&*catalog, record.id).await]);
    }
}

pub(super) async fn an_upload_completes_or_is_cancelled(catalog: Shared) {
    for round in 0..ROUNDS {
        let record = sample_upload(&format!("round {round}"));
        open_full(&*catalog, &record).await;
        let results = race(|racer| {
            let (catalog, creative) = (Shared::clone(&catalog), sample_creative(&record));
            async move {
                if racer % 2 == 0 {
                    catalog.complete(&creative).await
                } else {
                    let last = UploadState::Cancelled;
                    catalog.end(creative.upload_id, last, None, &sample_by(1)).await
                }
            }
        })
        .await;
        assert_eq!(winners(results), 1);
        let published = catalog.creative(record.creative_id).await.expect("read").is_some();
        let complete = find(&*catalog, record.id).await.state == UploadState::Complete;
        assert_eq!(published, complete);
    }
}
