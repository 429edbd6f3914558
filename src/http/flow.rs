//! `/upload` and `/uploads/lookup`: what the flow.js dialect answers, on the wire.

use http::{HeaderName, StatusCode, header, request};

use super::{
    body::{self, RequestBody},
    incoming::{frames, text},
    problem::Problem,
    state::{Answer, State},
};
use crate::{
    dialect::{Refusal, Status, flow},
    upload::Principal,
};

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// `GET /upload`.
pub(super) async fn probe(state: &State, principal: &Principal, query: &str) -> Answer {
    answer(flow::probe(&state.engine, principal, query).await)
}

/// `POST` and `PUT /upload`.
pub(super) async fn upload(
    state: &State,
    principal: &Principal,
    parts: &request::Parts,
    body: RequestBody,
) -> Answer {
    let content_type = text(&parts.headers, &header::CONTENT_TYPE);
    let content_digest = text(&parts.headers, &CONTENT_DIGEST);
    let request = flow::Upload {
        principal,
        query: parts.uri.query().unwrap_or_default(),
        content_type: content_type.as_deref(),
        content_digest: content_digest.as_deref(),
    };
    answer(flow::upload(&state.engine, request, frames(body)).await)
}

/// `GET /uploads/lookup`.
pub(super) async fn lookup(state: &State, principal: &Principal, query: &str) -> Answer {
    let detail = "No upload is known for this file: send it from its first chunk.";
    match flow::lookup(&state.engine, principal, query).await? {
        Some(status) => Ok(body::json(StatusCode::OK, &status)),
        None => Err(Problem::new(StatusCode::NOT_FOUND, "not_found", detail)),
    }
}

fn answer(answer: Result<flow::Answer, Refusal>) -> Answer {
    let json = |status, body: Box<Status>| body::json(status, &body);
    Ok(match answer? {
        flow::Answer::Here(status) => json(StatusCode::OK, status),
        flow::Answer::Completed(status) => json(StatusCode::CREATED, status),
        flow::Answer::Missing => body::no_content(),
    })
}
