//! By whom a request is, for the audit trail.

use http::request;

use super::{gate::Peer, request_id, state::State};
use crate::upload::{By, Means};

/// By whoever was let in by these means.
pub(super) fn of(state: &State, request: &request::Parts, means: Means) -> By {
    let request_id = request_id::of(&request.extensions);
    By {
        at: state.engine.clock().now(),
        means,
        address: request.extensions.get::<Peer>().map(|peer| peer.0.to_canonical()),
        request_id: (!request_id.is_empty()).then(|| request_id.to_owned()),
    }
}
