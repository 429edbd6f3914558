//! Whether the caller of an answer that lasts may still have it.
//!
//! A user may be disabled, a token taken back or a session ended while an event stream or a
//! download goes on. So the credentials of its request are judged again, without counting as
//! another request.

use std::sync::Arc;

use http::request;
use tokio::time::Instant;

use super::{gate, problem::Problem, route::Route, state::State};
use crate::upload::{Principal, Timestamp, limits::PERMISSION_RECHECK};

/// What a request was let in with, and when that was judged last.
#[derive(Debug)]
pub(super) struct Permission {
    state: Arc<State>,
    route: Route,
    request: Arc<request::Parts>,
    ticket: Option<String>,
    principal: Principal,
    judged: Instant,
    /// When the credentials must not have expired: at that time, or else whenever it is judged.
    as_of: Option<Timestamp>,
}

impl Permission {
    /// Of a request that was let in a moment ago, for this principal.
    pub(super) fn new(
        state: &Arc<State>,
        route: Route,
        request: &Arc<request::Parts>,
        principal: &Principal,
    ) -> Self {
        let (request, principal) = (request.clone(), principal.clone());
        let (state, ticket) = (state.clone(), None);
        Self { state, route, request, ticket, principal, judged: Instant::now(), as_of: None }
    }

    /// The same, of a request whose body is still to come, and which showed this ticket among its
    /// fields. What is valid now may expire meanwhile.
    pub(super) fn for_body(self, ticket: Option<&str>) -> Self {
        let as_of = Some(self.state.engine.clock().now());
        Self { ticket: ticket.map(str::to_owned), as_of, ..self }
    }

    /// Judges now. False as well if nobody can be asked: what is not confirmed ends.
    ///
    /// Cancel safety: may be dropped.
    pub(super) async fn holds(&mut self) -> bool {
        self.judged = Instant::now();
        self.judge().await.is_ok()
    }

    /// When the request was let in, or judged last by [`Self::holds`].
    pub(super) fn since(&self) -> Instant {
        self.judged
    }

    /// As [`Self::holds`]. Errors: why it may no more, or 503 if nobody can be asked.
    pub(super) async fn judge(&self) -> Result<(), Problem> {
        let shown = (self.ticket.as_deref(), self.as_of);
        let caller = gate::readmit(&self.state, self.route, &self.request, shown).await?;
        if caller.principal == self.principal { Ok(()) } else { Err(gate::invalid()) }
    }

    /// As [`Self::holds`], but takes the last judgement for [`PERMISSION_RECHECK`].
    pub(super) async fn held_lately(&mut self) -> bool {
        self.judged.elapsed() < PERMISSION_RECHECK || self.holds().await
    }
}
