//! Follows an upload from change to change, for those who show it as it goes.
//!
//! Watchers are told at most once in [`EVENT_INTERVAL`], and what they are told is written once for
//! all of them: so a chunk costs the same however many watch its upload.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{Engine, Shared, Snapshot, UploadError, registry::Use};
use crate::upload::{Principal, UploadId, limits::EVENT_INTERVAL};

/// Follows one upload.
#[derive(Debug)]
pub struct Watch {
    /// Goes before the use does: to the sweep, a use beyond the watchers is somebody at work.
    changes: watch::Receiver<u64>,
    live: Use,
    shared: Arc<Shared>,
    /// Whether there is a change that the watcher was not told of.
    due: bool,
    /// Until when nothing is told, unless the upload ends.
    quiet_until: Instant,
    ended: bool,
}

/// What the watchers of an upload were told last.
#[derive(Debug, Clone)]
pub(super) struct Told {
    /// The number of the change.
    version: u64,
    /// Whether the upload had ended.
    ended: bool,
    text: Bytes,
}

impl Watch {
    /// How the upload stands at this moment.
    #[must_use]
    pub fn now(&self) -> Snapshot {
        self.shared.snapshot(&self.live)
    }

    /// What `write` makes of how the upload stands: at once, then after each change, but not more
    /// often than once in [`EVENT_INTERVAL`]; nothing once it has ended and that was told. Of all
    /// who are told of the same change only one writes, so `write` must be the same for all.
    ///
    /// Cancel safety: may be dropped; no change is lost.
    pub async fn next(&mut self, write: impl FnOnce(Snapshot) -> Bytes) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        self.wait().await?;
        let told = self.tell(write);
        self.due = false;
        self.quiet_until = Instant::now() + EVENT_INTERVAL;
        self.ended = told.ended;
        Some(told.text)
    }

    /// Until there is something to tell, and the time for it. Nothing if the upload is gone from
    /// memory, which its use prevents.
    async fn wait(&mut self) -> Option<()> {
        if !self.due {
            self.changes.changed().await.ok()?;
            self.due = true;
        }
        while self.live.upload_state().is_running() && Instant::now() < self.quiet_until {
            tokio::select! {
                () = sleep_until(self.quiet_until) => {}
                changed = self.changes.changed() => changed.ok()?,
            }
        }
        Some(())
    }

    fn tell(&mut self, write: impl FnOnce(Snapshot) -> Bytes) -> Told {
        // Read before the upload is looked at: what is told is never older than its number.
        let version = *self.changes.borrow_and_update();
        // If writing panicked, what was told before is as good.
        let mut last = self.live.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(told) = last.as_ref().filter(|told| told.version == version) {
            return told.clone();
        }
        let snapshot = self.shared.snapshot(&self.live);
        let ended = !snapshot.state.is_running();
        last.insert(Told { version, ended, text: write(snapshot) }).clone()
    }
}

impl Engine {
    /// Follows the upload with this id, if it is this principal's.
    pub async fn watch(
        &self,
        principal: &Principal,
        id: UploadId,
    ) -> Result<Option<Watch>, UploadError> {
        let Some(live) = self.own(principal, id).await? else { return Ok(None) };
        Shared::verify_later(&self.shared, &live);
        let (changes, shared, quiet_until) = (live.watch(), self.shared.clone(), Instant::now());
        Ok(Some(Watch { changes, live, shared, due: true, quiet_until, ended: false }))
    }
}
