//! Whether the caller of an answer that lasts may still have it.
//!
//! A user may be disabled, a token taken back or a session ended while an event stream or a
//! download goes on. So the credentials of its request are judged again, without counting as
//! another request.

use std::sync::Arc;

use http::request;
use tokio::time::Instant;

use super::{gate, route::Route, state::State};
use crate::upload::{Principal, limits::PERMISSION_RECHECK};

/// What a request was let in with, and when that was judged last.
#[derive(Debug)]
pub(super) struct Permission {
    state: Arc<State>,
    route: Route,
    request: request::Parts,
    principal: Principal,
    judged: Instant,
}

impl Permission {
    /// Of a request that was let in a moment ago, for this principal.
    pub(super) fn new(
        state: &Arc<State>,
        route: Route,
        request: &request::Parts,
        principal: &Principal,
    ) -> Self {
        let (request, principal) = (request.clone(), principal.clone());
        Self { state: state.clone(), route, request, principal, judged: Instant::now() }
    }

    /// Judges now. False as well if nobody can be asked: what is not confirmed ends.
    ///
    /// Cancel safety: may be dropped.
    pub(super) async fn holds(&mut self) -> bool {
        self.judged = Instant::now();
        let caller = gate::readmit(&self.state, self.route, &self.request).await;
        caller.is_ok_and(|caller| caller.principal == self.principal)
    }

    /// As [`Self::holds`], but takes the last judgement for [`PERMISSION_RECHECK`].
    pub(super) async fn held_lately(&mut self) -> bool {
        self.judged.elapsed() < PERMISSION_RECHECK || self.holds().await
    }
}
