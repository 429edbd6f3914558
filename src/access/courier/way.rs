//! One code on its way to its user.

use std::sync::Arc;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Desk, warn};
use crate::{
    mail::Mail,
    upload::{CodeRecord, Principal},
};

/// That a user's code is being sent.
pub(super) struct Way {
    pub(super) desk: Arc<Desk>,
    pub(super) user: Principal,
    pub(super) given_up: CancellationToken,
}

impl Way {
    pub(super) async fn deliver(self, code: CodeRecord, mail: Mail) {
        let desk = &self.desk;
        let left = code.expires_at.duration_since(desk.clock.now()).unsigned_abs();
        let is_settled = tokio::select! {
            biased;
            () = self.given_up.cancelled() => true,
            // After its time it is of no use to anybody.
            () = sleep(left) => true,
            handed_over = desk.hand_over(&mail) => handed_over,
        };
        if is_settled && let Err(error) = desk.catalog.directory().code_sent(&code).await {
            warn(&error, "Cannot note that a code was sent: it is sent again after a restart");
        }
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        let mut on_the_way = self.desk.on_the_way();
        // What was given up has made room already, and another one may be there by now.
        if !self.given_up.is_cancelled() {
            on_the_way.remove(&self.user);
        }
    }
}
