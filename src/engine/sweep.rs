//! The periodic removal of what has expired.
//!
//! Invariant 8: the sweep never touches a completed file, nor an upload that is being written to.

use std::{error::Error, sync::Arc, time::Duration};

use jiff::SignedDuration;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{Engine, Shared, UploadError};
use crate::upload::{
    EndReason, Timestamp, UploadId, UploadState,
    limits::{
        CLOCK_JUMP_MIN, EXPIRY_GRACE, LIVE_IDLE, SWEEP_BATCH_LEN_MAX, TICKET_LIFETIME_MAX,
        TICKETS_KEPT,
    },
};

/// Sweeps every `sweep_interval` until the engine stops.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut ticks = interval(shared.options.sweep_interval.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let grace = shared.options.upload_ttl.min(EXPIRY_GRACE);
    let mut patience = Patience::new(shared.clock.now(), Instant::now(), grace);
    loop {
        let waits_since = Instant::now();
        let due = tokio::select! {
            () = shared.stop.cancelled() => return,
            due = ticks.tick() => due,
        };
        patience.look_at_wait(waits_since, due, Instant::now());
        let over = patience.is_over(shared.clock.now(), Instant::now());
        let swept = if over { sweep(&shared).await } else { clear(&shared).await };
        if let Err(error) = swept {
            tracing::warn!(error = &error as &dyn Error, "A sweep was cut short; the next goes on");
        }
        shared.registry.evict(LIVE_IDLE);
    }
}

/// Whether the wall clock may be believed when it says that nothing came for too long.
///
/// Clients cannot come while the server is down, and a clock that jumps ahead says of everyone that
/// they stayed away. So after a start and after a jump nothing expires for a while.
#[derive(Debug)]
struct Patience {
    grace: Duration,
    /// What both clocks said last.
    last: (Timestamp, Instant),
    until: Instant,
}

impl Patience {
    fn new(wall: Timestamp, now: Instant, grace: Duration) -> Self {
        Self { grace, last: (wall, now), until: now + grace }
    }

    /// Looks at how late a sweep begins that was waited for. If the process stood still (SIGSTOP),
    /// nobody could reach it meanwhile, as after a start.
    fn look_at_wait(&mut self, since: Instant, due: Instant, now: Instant) {
        let late = now.saturating_duration_since(due.max(since));
        if CLOCK_JUMP_MIN < late {
            tracing::warn!(seconds = late.as_secs(), "Stood still: nothing expires for a while");
            self.until = now + self.grace;
        }
    }

    /// Looks at both clocks; at least once a sweep.
    fn is_over(&mut self, wall: Timestamp, now: Instant) -> bool {
        let (last_wall, last_now) = std::mem::replace(&mut self.last, (wall, now));
        let on_the_wall = wall.duration_since(last_wall);
        let passed = SignedDuration::try_from(now - last_now).unwrap_or(SignedDuration::MAX);
        if CLOCK_JUMP_MIN < on_the_wall.saturating_sub(passed).unsigned_abs() {
            tracing::warn!(%last_wall, %wall, "The clock jumped: nothing expires for a while");
            self.until = now + self.grace;
        }
        self.until <= now
    }
}

/// One sweep.
async fn sweep(shared: &Arc<Shared>) -> Result<(), UploadError> {
    expire(shared).await?;
    let before = ago(shared, shared.options.tombstone_ttl);
    while !shared.stop.is_cancelled()
        && shared.catalog.purge(before, SWEEP_BATCH_LEN_MAX).await? == SWEEP_BATCH_LEN_MAX
    {}
    let before = ago(shared, TICKET_LIFETIME_MAX);
    while !shared.stop.is_cancelled()
        && shared
            .catalog
            .directory()
            .purge_tickets(before, TICKETS_KEPT, SWEEP_BATCH_LEN_MAX)
            .await?
            == SWEEP_BATCH_LEN_MAX
    {}
    forget_sign_ins(shared).await?;
    prune(shared).await?;
    shared.empty_trash().await?;
    clear(shared).await
}

/// Forgets sessions of the page, and codes to sign in, that are over.
async fn forget_sign_ins(shared: &Arc<Shared>) -> Result<(), UploadError> {
    let (users, now) = (shared.catalog.directory(), shared.clock.now());
    while !shared.stop.is_cancelled()
        && users.purge_sessions(now, SWEEP_BATCH_LEN_MAX).await? == SWEEP_BATCH_LEN_MAX
    {}
    while !shared.stop.is_cancelled()
        && users.purge_codes(now, SWEEP_BATCH_LEN_MAX).await? == SWEEP_BATCH_LEN_MAX
    {}
    Ok(())
}

/// Forgets lines of the audit trail that are too old.
async fn prune(shared: &Arc<Shared>) -> Result<(), UploadError> {
    let Some(ttl) = shared.options.audit_ttl else { return Ok(()) };
    let before = ago(shared, ttl);
    while !shared.stop.is_cancelled()
        && shared.catalog.trail().prune(before, SWEEP_BATCH_LEN_MAX).await? == SWEEP_BATCH_LEN_MAX
    {
    }
    Ok(())
}

/// Settles what is in doubt, and removes what ended uploads and deleted creatives could not take
/// with them.
async fn clear(shared: &Arc<Shared>) -> Result<(), UploadError> {
    for live in shared.registry.all() {
        shared.make_sure(&live).await?;
        if live.is_in_doubt() {
            shared.settle_doubt(&shared.ledger.lock().await, &live).await?;
        }
    }
    super::recover::bury(shared).await?;
    Ok(shared.store.tidy().await?)
}

/// Ends uploads whose last byte came too long ago.
async fn expire(shared: &Arc<Shared>) -> Result<(), UploadError> {
    let before = ago(shared, shared.options.upload_ttl);
    // Those that are in use, or cannot be read, stay in the list: they keep nobody behind them from
    // making room, and the next sweep looks at them again.
    let mut passed = 0;
    loop {
        let ids = shared.catalog.idle(before, passed + SWEEP_BATCH_LEN_MAX).await?;
        let mut ended = 0;
        for id in ids.iter().skip(passed) {
            if shared.stop.is_cancelled() {
                return Ok(());
            }
            match expire_one(shared, *id, before).await {
                Ok(expired) => ended += usize::from(expired),
                Err(error) => {
                    let error = &error as &dyn Error;
                    tracing::warn!(upload.id = %id, error, "Cannot expire an upload for now");
                }
            }
        }
        if ids.len() < passed + SWEEP_BATCH_LEN_MAX {
            return Ok(());
        }
        passed = ids.len() - ended;
    }
}

/// Ends an upload if it is idle and nobody uses it. Returns whether it did.
async fn expire_one(
    shared: &Arc<Shared>,
    id: UploadId,
    before: Timestamp,
) -> Result<bool, UploadError> {
    let Some(live) = Shared::by_id(shared, id).await? else { return Ok(false) };
    if live.has_evidence() {
        return Ok(false); // it is being recovered
    }
    let _progress = live.progress.lock().await;
    let key = live.lock().record.identity.key();
    // Under the gate nobody comes in by the catalog; whoever came in before counts as a user, and
    // so does this sweep. Those who only watch bring nothing.
    let _gate = shared.registry.gate(&key).lock().await;
    let is_idle = {
        let state = live.lock();
        state.record.state == UploadState::Receiving && state.record.touched_at < before
    };
    if !is_idle || shared.registry.is_used(id, 1 + live.watchers()) {
        return Ok(false);
    }
    let reason = EndReason("nothing came for too long".into());
    let expired = shared.end(&live, UploadState::Expired, Some(reason), None).await?;
    shared.metrics.expired.inc_by(u64::from(expired));
    Ok(expired)
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

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);
    const GRACE: Duration = Duration::from_hours(1);

    /// Two clocks that go together unless one of them is moved.
    struct Clocks {
        wall: Timestamp,
        now: Instant,
    }

    impl Clocks {
        fn new() -> Self {
            let wall = "2026-12-01T12:00:00Z".parse().expect("a time");
            Self { wall, now: Instant::now() }
        }

        fn pass(&mut self, span: Duration) {
            self.wall = self.wall.saturating_add(span).expect("inside the calendar");
            self.now += span;
        }

        fn jump(&mut self, hours: i64) {
            self.wall += SignedDuration::from_hours(hours);
        }

        /// How many looks, a minute apart, it takes until things expire again.
        fn minutes_until_over(&mut self, patience: &mut Patience) -> u32 {
            let mut minutes = 0;
            while !patience.is_over(self.wall, self.now) {
                self.pass(MINUTE);
                minutes += 1;
            }
            minutes
        }
    }

    #[test]
    fn after_a_start_and_after_every_jump_of_the_clock_nothing_expires_for_the_grace() {
        let mut clocks = Clocks::new();
        let mut patience = Patience::new(clocks.wall, clocks.now, GRACE);
        assert_eq!(clocks.minutes_until_over(&mut patience), 60);
        for hours in [24, -24, 24 * 365, -1] {
            clocks.jump(hours);
            assert_eq!(clocks.minutes_until_over(&mut patience), 60, "after {hours} hours");
        }
        clocks.jump(25);
        clocks.pass(MINUTE * 30);
        assert!(!patience.is_over(clocks.wall, clocks.now));
        clocks.jump(-25);
        assert_eq!(clocks.minutes_until_over(&mut patience), 60, "each jump counts anew");
    }

    #[test]
    fn after_a_standstill_nothing_expires_for_the_grace_but_a_long_sweep_is_none() {
        let mut clocks = Clocks::new();
        let mut patience = Patience::new(clocks.wall, clocks.now, GRACE);
        clocks.minutes_until_over(&mut patience);
        let (since, due) = (clocks.now, clocks.now + MINUTE);
        patience.look_at_wait(since, due, due + MINUTE);
        assert!(patience.is_over(clocks.wall, clocks.now), "a little late is nothing");
        // The sweep before took three days, and the next was due long ago.
        let late = clocks.now + Duration::from_hours(72);
        patience.look_at_wait(late, due, late);
        assert!(patience.is_over(clocks.wall, clocks.now));

        patience.look_at_wait(since, due, due + Duration::from_hours(48));
        clocks.pass(Duration::from_hours(48) + MINUTE);
        assert_eq!(clocks.minutes_until_over(&mut patience), 60);
    }

    #[test]
    fn a_clock_that_goes_as_it_should_is_believed_however_rarely_it_is_looked_at() {
        let mut clocks = Clocks::new();
        let mut patience = Patience::new(clocks.wall, clocks.now, Duration::ZERO);
        for span in [Duration::ZERO, MINUTE, Duration::from_hours(1000)] {
            clocks.pass(span);
            assert!(patience.is_over(clocks.wall, clocks.now));
        }
        // Corrections by a time server are no jumps.
        clocks.wall = clocks.wall.saturating_add(Duration::from_secs(59)).expect("a time");
        assert!(patience.is_over(clocks.wall, clocks.now));
    }
}
