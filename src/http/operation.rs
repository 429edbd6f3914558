//! What the operator and his machines ask: alive, ready, how much, and what can be asked at all.

use std::sync::Arc;

use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    body::{self, Response},
    openapi,
    problem::Problem,
    state::{Answer, State},
};
/// `{"status": "ok"}`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct Health {
    /// `ok`.
    pub(super) status: String,
}

/// `GET /healthz`: the process serves.
pub(super) fn health() -> Response {
    body::json(StatusCode::OK, &Health { status: "ok".into() })
}

/// `GET /readyz`: uploads can be taken.
pub(super) async fn ready(state: &Arc<State>) -> Answer {
    if state.stop.begun.is_cancelled() {
        return Err(not_ready("shutting_down"));
    }
    state.readiness.ask(state).await.map_err(not_ready)?;
    Ok(health())
}

fn not_ready(check: &'static str) -> Problem {
    let detail = format!("Not ready: the check `{check}` fails.");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", detail)
}

/// `GET /metrics`.
pub(super) async fn metrics(state: &State) -> Answer {
    let page = state.engine.metrics().await?;
    let mut response = Response::new(body::full(page));
    let text = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(text));
    Ok(response)
}

/// `GET /openapi.json`.
pub(super) fn openapi() -> Response {
    body::json(StatusCode::OK, openapi::document())
}
