//! Whether uploads can be taken: at most one check a second, whose result all askers share.
//!
//! A check writes and syncs files, and `/readyz` needs no credentials: without this bound anybody
//! could keep the disk busy.

use std::{
    error::Error,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use super::state::State;
use crate::upload::limits::{READY_CHECK_INTERVAL, READY_CHECK_TIMEOUT, READY_FREE_MIN};

/// Nothing, or the name of the check that fails.
type Outcome = Result<(), &'static str>;

/// The last check, and the result that it had or is about to have.
#[derive(Debug, Default)]
pub struct Readiness(Mutex<Option<Check>>);

#[derive(Debug, Clone)]
struct Check {
    begun: Instant,
    outcome: watch::Receiver<Option<Outcome>>,
}

impl Readiness {
    /// The result of a check that began less than [`READY_CHECK_INTERVAL`] ago, or that still runs.
    /// Begins one if there is none. A check that hangs is not given up, since the next one would
    /// hang beside it; whoever asks meanwhile hears of a timeout.
    ///
    /// Cancel safety: may be dropped; the check goes on for those who ask next.
    pub(super) async fn ask(&self, state: &Arc<State>) -> Outcome {
        let Check { begun, mut outcome } = self.current(state);
        let done = outcome.wait_for(Option::is_some);
        match timeout_at(begun + READY_CHECK_TIMEOUT, done).await {
            Ok(Ok(outcome)) => outcome.unwrap_or(Err("check")),
            // The check panicked.
            Ok(Err(_)) => Err("check"),
            Err(_) => Err("timeout"),
        }
    }

    fn current(&self, state: &Arc<State>) -> Check {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(check) = last.as_ref().filter(|check| check.counts()) {
            return check.clone();
        }
        let (sender, outcome) = watch::channel(None);
        let check = Check { begun: Instant::now(), outcome };
        *last = Some(check.clone());
        drop(last);
        let state = state.clone();
        // In a task of its own: an asker that leaves must not make the next one begin anew.
        tokio::spawn(async move {
            let outcome = run(&state).await;
            sender.send_replace(Some(outcome));
        });
        check
    }
}

impl Check {
    fn counts(&self) -> bool {
        let runs = self.outcome.borrow().is_none() && self.outcome.has_changed().is_ok();
        runs || self.begun.elapsed() < READY_CHECK_INTERVAL
    }
}

async fn run(state: &State) -> Outcome {
    let space = state.engine.check().await.map_err(|(check, error)| {
        tracing::warn!(check, error = &error as &dyn Error, "Not ready");
        check
    })?;
    if space.free < READY_FREE_MIN { Err("free_space") } else { Ok(()) }
}
