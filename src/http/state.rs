//! What every handler is given, and what it gives back.

use std::sync::Arc;

use super::{
    body::Response, cross_site::Sites, limits::Terms, problem::Problem, readiness::Readiness,
    stop::Stop, streams::Streams, visitors::Visitors,
};
use crate::{
    access::{Access, Rates},
    engine::{Allowance, Engine},
    metrics::Metrics,
};

/// What every handler can reach. Built in one place (`app`), shared by all connections.
#[derive(Debug)]
pub struct State {
    /// The engine.
    pub engine: Engine,
    /// Who may use it.
    pub access: Access,
    /// How often they did.
    pub rates: Rates,
    /// What they are told of how much they may.
    pub terms: Terms,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Tells callers without credentials apart.
    pub visitors: Arc<Visitors>,
    /// Which pages may change something.
    pub sites: Sites,
    /// Whether uploads can be taken, as found out last.
    pub readiness: Readiness,
    /// Memory for what is being sent of files.
    pub answers: Allowance,
    /// Who follows an upload.
    pub streams: Streams,
    /// The stop of the service. From its beginning on the service is not ready any more.
    pub stop: Stop,
}

/// What an answer is before it is known for which request it is.
pub(super) type Answer = Result<Response, Problem>;
