//! Group commit: ranges that are finished at about the same time share one flush of each file and
//! one transaction of the catalog, and their answers wait for it together.
//!
//! While one batch is being flushed the next one gathers, and no connection that still brings
//! bytes waits for either.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{Shared, UploadError, live::Live, warm::Frames};
use crate::{
    catalog::{Committed, Fact},
    upload::{
        Durability, NotPermitted, StoredRange, UploadId, UploadState,
        limits::{COMMIT_BATCH_LEN_MAX, COMMIT_QUEUE_LEN},
    },
};

/// A range whose bytes are all written, and that is to be acknowledged.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) live: Arc<Live>,
    pub(super) stored: StoredRange,
    /// Its bytes, if they are kept for the stitch.
    pub(super) warm: Option<Frames>,
    /// The epoch in which its first byte was written.
    pub(super) epoch: u64,
    /// Told whether this range made the upload full, once bytes and fact are safe.
    pub(super) reply: oneshot::Sender<Result<bool, UploadError>>,
}

/// The ranges of one batch that belong to one upload.
struct Group {
    live: Arc<Live>,
    ranges: Vec<Pending>,
    /// Whether they are the last ones that were missing.
    fills: bool,
}

impl Group {
    fn new(live: Arc<Live>) -> Self {
        Self { live, ranges: Vec::new(), fills: false }
    }
}

pub(super) fn queue() -> (mpsc::Sender<Pending>, mpsc::Receiver<Pending>) {
    mpsc::channel(COMMIT_QUEUE_LEN)
}

/// Commits batch after batch until the engine stops: then no request is left that waits for one.
pub(super) async fn run(shared: Arc<Shared>, mut queue: mpsc::Receiver<Pending>) {
    let mut batch = Vec::with_capacity(COMMIT_BATCH_LEN_MAX);
    loop {
        tokio::select! {
            biased;
            _ = queue.recv_many(&mut batch, COMMIT_BATCH_LEN_MAX) => {}
            () = shared.stop.cancelled() => return,
        }
        let groups = group(batch.drain(..));
        let begun = Instant::now();
        #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
        shared
            .metrics
            .commit_ranges
            .observe(groups.iter().map(|g| g.ranges.len()).sum::<usize>() as f64);
        commit(&shared, groups).await;
        shared.metrics.commit_seconds.observe(begun.elapsed().as_secs_f64());
    }
}

fn group(batch: impl Iterator<Item = Pending>) -> Vec<Group> {
    let mut groups: HashMap<UploadId, Group> = HashMap::new();
    for pending in batch {
        let live = pending.live.clone();
        let group = groups.entry(live.id).or_insert_with(|| Group::new(live));
        group.ranges.push(pending);
    }
    groups.into_values().collect()
}

/// One batch: flush, record, tell.
async fn commit(shared: &Arc<Shared>, groups: Vec<Group>) {
    let groups = flush(shared, groups).await;
    let ledger = shared.ledger.lock().await;
    let (groups, facts) = facts(shared, groups);
    if groups.is_empty() {
        return;
    }
    match shared.catalog.commit(facts, durability(shared, &groups)).await {
        // Of an upload that is full by our account and is not among those that became `stitching`
        // just now, an earlier commit said so, which took effect and yet seemed to fail.
        Ok(Committed { filled: _, ended, refused }) => {
            for group in groups {
                if refused.contains(&group.live.id) {
                    let error = spent(&group.live);
                    refuse(group, &error);
                    continue;
                }
                if ended.contains(&group.live.id) {
                    // Its end took effect and yet seemed to fail: whoever comes next hears of it,
                    // and its bytes go then.
                    group.live.lock().in_question = true;
                    shared.learn_end(&group.live).await.ok();
                    refuse(group, &UploadError::unavailable("the upload ended elsewhere"));
                } else {
                    tell_stored(shared, group);
                }
            }
        }
        Err(error) => {
            let error: UploadError = error.into();
            tracing::error!(error = &error as &dyn std::error::Error, "A group commit failed");
            for group in groups {
                {
                    let mut state = group.live.lock();
                    state.terms_changed = true;
                    state.in_doubt.extend(group.ranges.iter().map(|p| p.stored.range));
                }
                learn_whether_opened(shared, &group.live).await;
                // If it cannot be done now, the next range does it before it is written.
                shared.settle_doubt(&ledger, &group.live).await.ok();
                refuse(group, &error);
            }
        }
    }
}

/// What becomes full is published at once, and that lasts. So must the record of the upload, even
/// in `relaxed`: a file in `completed/` of which the catalog knows nothing would stay for ever.
fn durability(shared: &Shared, groups: &[Group]) -> Durability {
    let fills = groups.iter().any(|group| group.fills);
    if fills { Durability::Strict } else { shared.options.durability }
}

/// Makes the bytes of every group safe. A group whose flush failed is refused, and everything that
/// was written to its file before the failure is forgotten with it: a failed fsync is reported
/// once, and says nothing of which bytes were lost.
async fn flush(shared: &Shared, groups: Vec<Group>) -> Vec<Group> {
    if shared.options.durability == Durability::Relaxed {
        return groups;
    }
    let ids: Vec<UploadId> = groups.iter().map(|group| group.live.id).collect();
    let results = shared.store.sync(&ids).await;
    let mut flushed = Vec::with_capacity(groups.len());
    for (group, result) in groups.into_iter().zip(results) {
        match result {
            Ok(()) => {
                group.live.flushed.store(true, Ordering::SeqCst);
                flushed.push(group);
            }
            Err(error) => {
                group.live.lock().epoch += 1;
                let error: UploadError = error.into();
                tracing::error!(
                    upload.id = %group.live.id,
                    error = &error as &dyn std::error::Error,
                    "A flush failed; what it covered is forgotten"
                );
                refuse(group, &error);
            }
        }
    }
    flushed
}

/// What the catalog is to be told, and the groups that it is told of.
fn facts(shared: &Shared, groups: Vec<Group>) -> (Vec<Group>, Vec<Fact>) {
    let at = shared.clock.now();
    let mut facts = Vec::new();
    let mut told = Vec::with_capacity(groups.len());
    for mut group in groups {
        let live = group.live.clone();
        let mut state = live.lock();
        if state.record.state != UploadState::Receiving {
            let gone = state.record.state;
            drop(state);
            group.ranges.drain(..).for_each(|p| drop(p.reply.send(Err(UploadError::Gone(gone)))));
            continue;
        }
        let lost = group.ranges.extract_if(.., |p| p.epoch != state.epoch);
        lost.for_each(|p| drop(p.reply.send(Err(UploadError::unavailable("a flush failed")))));
        if group.ranges.is_empty() {
            continue;
        }
        state.record.touched_at = at;
        if state.persisted {
            let terms_changed = std::mem::take(&mut state.terms_changed);
            facts.extend(
                terms_changed.then(|| super::facts::terms(&state.record)).into_iter().flatten(),
            );
        } else {
            state.terms_changed = false;
            facts.extend(super::facts::opening(&state));
        }
        let new: Vec<StoredRange> = group.ranges.iter().map(|p| p.stored).collect();
        facts.extend(new.iter().map(|stored| Fact::Stored {
            upload: live.id,
            stored: *stored,
            at,
        }));
        group.fills = Live::would_be_full(&state, live.plan, &new);
        if group.fills {
            facts.push(Fact::Full { upload: live.id });
        }
        drop(state);
        told.push(group);
    }
    (told, facts)
}

/// The catalog knows: so does the coverage now, and so do those who wait for an answer.
fn tell_stored(shared: &Arc<Shared>, mut group: Group) {
    let new: Vec<StoredRange> = group.ranges.iter().map(|p| p.stored).collect();
    let id = group.live.id;
    // First: once they are in the coverage, the stitch may come.
    let warm = group.ranges.iter_mut().filter_map(|p| Some((p.stored.range, p.warm.take()?)));
    warm.for_each(|(range, frames)| shared.keep_warm(&group.live, range, frames));
    if group.live.settle_commit(&new, group.fills) {
        let size_bytes = group.live.plan.total();
        tracing::info!(upload.id = %id, size_bytes, "Opened upload {id}");
    }
    shared.metrics.received_bytes.inc_by(new.iter().map(|s| s.range.len()).sum());
    Shared::hint(shared, &group.live);
    let last = group.ranges.pop();
    for pending in group.ranges {
        // Whoever asked may have left: its range is stored all the same.
        drop(pending.reply.send(Ok(false)));
    }
    if let Some(last) = last {
        drop(last.reply.send(Ok(group.fills)));
    }
}

/// A commit that seemed to fail may have taken effect. An upload that it opened must not be opened
/// again: the catalog would refuse that, and whatever is in the same batch with it.
pub(super) async fn learn_whether_opened(shared: &Shared, live: &Live) {
    if !live.lock().persisted && matches!(shared.catalog.upload(live.id).await, Ok(Some(_))) {
        live.lock().persisted = true;
    }
}

/// The answer to whoever would begin an upload with a ticket of which nothing is left.
pub(super) fn spent(live: &Live) -> UploadError {
    NotPermitted::Uploads(live.lock().allowance.map_or(0, |it| it.uploads)).into()
}

fn refuse(group: Group, error: &UploadError) {
    for pending in group.ranges {
        drop(pending.reply.send(Err(error.repeated())));
    }
}
