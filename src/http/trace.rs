//! One span and one log line for each request.
//!
//! The span has the method, the path and the request id. Never the query: flow.js puts the names of
//! files there. Never headers: tokens travel in them.

use std::time::Instant;

use http::StatusCode;
use tower::{ServiceExt, service_fn};
use tracing::{Instrument, Span, debug, error, info, info_span, warn};

use super::{
    Handler,
    body::{Request, Response},
    problem::ProblemCode,
    request_id,
};
use crate::upload::limits;

/// Logs every request once, when it is answered or when nobody waits for its answer any more.
pub(super) fn trace<S: Handler>(inner: S) -> impl Handler {
    service_fn(move |request: Request| {
        let span = span_of(&request);
        let in_flight = InFlight { since: Instant::now(), answered: false };
        let answer = inner.clone().oneshot(request);
        async move {
            let response = answer.await?;
            in_flight.answered(&response);
            Ok(response)
        }
        .instrument(span)
    })
}

fn span_of(request: &Request) -> Span {
    info_span!(
        "request",
        method = beginning(request.method().as_str()),
        path = beginning(request.uri().path()),
        request_id = request_id::of(request.extensions()),
    )
}

/// As much as a log line needs: a client may send 64 KiB of either.
fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(limits::LOGGED_LEN_MAX)]
}

/// A request that has no answer yet.
struct InFlight {
    since: Instant,
    answered: bool,
}

impl InFlight {
    /// At debug if all is well, for every chunk comes by here; a client's mistake is worth a line;
    /// 503 and 507 are ours, but the client knows to come again; at a 500 someone must look.
    fn answered(mut self, response: &Response) {
        self.answered = true;
        let latency_ms = self.latency_ms();
        let code = response.extensions().get::<ProblemCode>().map(|code| code.0);
        let status = response.status();
        let number = status.as_u16();
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            error!(status = number, code, latency_ms, "Answered with a mistake of ours");
        } else if status.is_server_error() {
            warn!(status = number, code, latency_ms, "Could not serve for now");
        } else if status.is_client_error() {
            info!(status = number, code, latency_ms, "Refused");
        } else {
            debug!(status = number, latency_ms, "Answered");
        }
    }

    fn latency_ms(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Drop for InFlight {
    /// hyper drops the handler of a client that hung up. 499 is what others log for that.
    fn drop(&mut self) {
        if !self.answered {
            debug!(status = 499, latency_ms = self.latency_ms(), "Nobody waits for the answer");
        }
    }
}
