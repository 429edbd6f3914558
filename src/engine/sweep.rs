//! The periodic removal of what has expired.
//!
//! Invariant 8: the sweep never touches a completed file, nor an upload that is being written to.

use std::{error::Error, sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use super::{Engine, Shared, UploadError};
use crate::upload::{
    EndReason, Timestamp, UploadState,
    limits::{LIVE_IDLE, SWEEP_BATCH_LEN_MAX},
};

/// Sweeps every `sweep_interval` until the engine stops.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut ticks = interval(shared.options.sweep_interval.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = sweep(&shared).await {
            tracing::warn!(error = &error as &dyn Error, "A sweep was cut short; the next goes on");
        }
        shared.registry.evict(LIVE_IDLE);
    }
}

/// One sweep.
async fn sweep(shared: &Arc<Shared>) -> Result<(), UploadError> {
    expire(shared).await?;
    let before = ago(shared, shared.options.tombstone_ttl);
    while !shared.stop.is_cancelled()
        && shared.catalog.purge(before, SWEEP_BATCH_LEN_MAX).await? == SWEEP_BATCH_LEN_MAX
    {}
    super::recover::bury(shared).await
}

/// Ends uploads whose last byte came too long ago.
async fn expire(shared: &Arc<Shared>) -> Result<(), UploadError> {
    let before = ago(shared, shared.options.upload_ttl);
    loop {
        let ids = shared.catalog.idle(before, SWEEP_BATCH_LEN_MAX).await?;
        let mut ended = 0;
        for id in &ids {
            if shared.stop.is_cancelled() {
                return Ok(());
            }
            let Some(live) = Shared::by_id(shared, *id).await? else { continue };
            let progress = live.progress.lock().await;
            let key = live.lock().record.identity.key();
            // Under the gate nobody comes in by the catalog; whoever came in before counts as a
            // user, and so does this sweep. Those who only watch bring nothing.
            let _gate = shared.registry.gate(&key).lock().await;
            let is_idle = {
                let state = live.lock();
                state.record.state == UploadState::Receiving && state.record.touched_at < before
            };
            if is_idle && !shared.registry.is_used(*id, 1 + live.watchers()) {
                let reason = EndReason("nothing came for too long".into());
                shared.end(&live, UploadState::Expired, Some(reason)).await?;
                shared.metrics.expired.inc();
                ended += 1;
            }
            drop(progress);
        }
        // Those that are in use stay in the list: the next sweep looks at them again.
        if ended == 0 || ids.len() < SWEEP_BATCH_LEN_MAX {
            return Ok(());
        }
    }
}

/// So long ago.
pub(super) fn ago(shared: &Shared, span: Duration) -> Timestamp {
    shared.clock.now().saturating_sub(span).unwrap_or(Timestamp::MIN)
}

impl Engine {
    /// Sweeps now, whatever the interval.
    pub async fn sweep(&self) -> Result<(), UploadError> {
        sweep(&self.shared).await
    }
}
