//! Uploads of callers without credentials.
//!
//! Such callers are told apart by a cookie of ours or, while they have none, by address and user
//! agent. A client that sends before it asks has no cookie yet when it begins an upload, and gets
//! one with the first answer: the upload is then handed over from the visitor without a cookie to
//! the one with it. Two rules keep the upload whole, and strangers out:
//!
//! * A cookie takes an upload over only if it was handed out in answer to bytes, after the upload
//!   was begun; while the upload is in memory, only if that was in answer to its own bytes.
//! * Requests without a cookie that were on their way at that moment still belong to the upload.
//!   Later ones are somebody else's, and begin anew.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Intent, Shared, UploadError, live::Live, registry::Registry, registry::Use};
use crate::upload::{
    Identity, Timestamp, Visitor,
    limits::{VISITOR_LATE_MAX, VISITOR_OFFERS_MAX, visitor_late},
};

/// A request of a caller without credentials.
#[derive(Debug, Clone, Copy)]
pub struct Visit {
    /// Which of them it is.
    pub visitor: Visitor,
    /// What is known of its cookie.
    pub cookie: Cookie,
}

/// What is known of the cookie of a visitor.
#[derive(Debug, Clone, Copy)]
pub enum Cookie {
    /// The request shows it.
    Shown(Option<HandedOut>),
    /// The request shows none.
    Missing {
        /// Which one its answer hands out, if it does.
        offered: Option<Visitor>,
        /// When the request came, by the clock that never jumps.
        arrived: Instant,
        /// When the request came.
        at: Timestamp,
    },
}

/// A cookie that came with the answer to a request that brought bytes.
#[derive(Debug, Clone, Copy)]
pub struct HandedOut {
    /// Who sends the request if its cookie is not looked at.
    pub to: Visitor,
    /// When the cookie was handed out.
    pub at: Timestamp,
}

impl Intent {
    /// When the request came, if it shows no cookie where one would count.
    pub(super) fn arrived(&self) -> Option<(Instant, Timestamp)> {
        match self.visit?.cookie {
            Cookie::Missing { arrived, at, .. } => Some((arrived, at)),
            Cookie::Shown(_) => None,
        }
    }

    /// The cookie that the answer hands out may come with the next request of this upload.
    pub(super) fn note_offer(&self, live: &Live) {
        let Some(Visit { cookie: Cookie::Missing { offered: Some(offered), .. }, .. }) = self.visit
        else {
            return;
        };
        let mut state = live.lock();
        if !state.offered.contains(&offered) {
            if VISITOR_OFFERS_MAX <= state.offered.len() {
                state.offered.remove(0);
            }
            state.offered.push(offered);
        }
    }
}

impl Shared {
    /// Hands over what this visitor began before it had its cookie, if there is nothing yet that it
    /// began with it.
    pub(super) async fn inherit(shared: &Arc<Self>, intent: &Intent) -> Result<(), UploadError> {
        let Some(Visit { visitor, cookie: Cookie::Shown(Some(handed_out)) }) = intent.visit else {
            return Ok(());
        };
        let key = intent.identity.key();
        let former = intent.identity.clone().of_visitor(Some(handed_out.to)).key();
        if shared.registry.nothing_to_inherit(&key, &former) {
            return Ok(());
        }
        let _gates = shared.registry.gates(&key, &former).await;
        if Self::find_under_gate(shared, key).await?.is_some() {
            return Ok(());
        }
        let begun = Self::find_under_gate(shared, former).await?;
        let begun =
            begun.filter(|live| began_before(live, handed_out.at) && may_have_got(live, visitor));
        let live = begun.or_else(|| {
            // Of several answers to requests that were sent at once, the last cookie counts.
            let live = Registry::handed_over(shared, &former, None)?;
            let offered = live.lock().offered.contains(&visitor);
            offered.then_some(live)
        });
        let Some(live) = live else { return Ok(()) };
        if !shared.hand_over(&live, &intent.identity).await? {
            return Ok(());
        }
        let round_trip = shared.clock.now().duration_since(handed_out.at).unsigned_abs();
        let before = Instant::now() + visitor_late(round_trip);
        shared.registry.note_handed_over(former, live.id, before);
        Ok(())
    }

    /// The upload to which a request without a cookie belongs because it was on its way when the
    /// upload was handed over.
    pub(super) fn handed_over(shared: &Arc<Self>, intent: &Intent) -> Option<Use> {
        let (arrived, _) = intent.arrived()?;
        Registry::handed_over(shared, &intent.identity.key(), Some(arrived))
    }

    /// Returns whether the upload has that identity now.
    async fn hand_over(&self, live: &Live, to: &Identity) -> Result<bool, UploadError> {
        self.make_sure(live).await?;
        let ledger = self.ledger.lock().await;
        self.settle_doubt(&ledger, live).await?;
        let (from, persisted) = {
            let state = live.lock();
            (state.record.identity.key(), state.persisted)
        };
        if persisted {
            match self.catalog.hand_over(live.id, &from, to).await {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(error) => {
                    // It may have taken effect: the catalog is asked again.
                    self.registry.forget_absent(&[from, to.key()]);
                    return Err(error.into());
                }
            }
        }
        live.lock().record.identity = to.clone();
        self.registry.rekey(live.id, from, to.key());
        Ok(true)
    }
}

/// Whether the sender of an upload may have this cookie, as far as is known: what was handed out is
/// forgotten when the upload leaves memory.
fn may_have_got(live: &Live, visitor: Visitor) -> bool {
    let state = live.lock();
    state.offered.is_empty() || state.offered.contains(&visitor)
}

/// Whether an upload was begun before this moment. What the network reorders is allowed for.
fn began_before(live: &Live, at: Timestamp) -> bool {
    let created_at = live.lock().record.created_at;
    created_at.duration_since(at)
        <= jiff::SignedDuration::try_from(VISITOR_LATE_MAX).unwrap_or_default()
}
