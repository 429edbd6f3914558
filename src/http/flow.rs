//! `/upload` and `/uploads/lookup`: what the flow.js dialect answers, on the wire.

use http::{StatusCode, header};

use super::{
    body::{self, RequestBody},
    gate::FlowGate,
    incoming::{CONTENT_DIGEST, frames, text},
    problem::Problem,
    state::Answer,
};
use crate::dialect::{Refusal, Status, flow};

/// `GET /upload`.
pub(super) async fn probe(gate: &FlowGate<'_>) -> Answer {
    answer(flow::probe(&gate.state.engine, gate, query(gate)).await)
}

/// `POST` and `PUT /upload`.
pub(super) async fn upload(gate: &FlowGate<'_>, body: RequestBody) -> Answer {
    let content_type = text(&gate.parts.headers, &header::CONTENT_TYPE);
    let content_digest = text(&gate.parts.headers, &CONTENT_DIGEST);
    let request = flow::Upload {
        gate,
        query: query(gate),
        content_type: content_type.as_deref(),
        content_digest: content_digest.as_deref(),
    };
    answer(flow::upload(&gate.state.engine, request, frames(body)).await)
}

/// `GET /uploads/lookup`.
pub(super) async fn lookup(gate: &FlowGate<'_>) -> Answer {
    let detail = "No upload is known for this file: send it from its first chunk.";
    match flow::lookup(&gate.state.engine, gate, query(gate)).await? {
        Some(status) => Ok(body::json(StatusCode::OK, &status)),
        None => Err(Problem::new(StatusCode::NOT_FOUND, "not_found", detail)),
    }
}

fn query<'a>(gate: &FlowGate<'a>) -> &'a str {
    gate.parts.uri.query().unwrap_or_default()
}

fn answer(answer: Result<flow::Answer, Refusal>) -> Answer {
    Ok(match answer? {
        flow::Answer::Here(status) => body::json(StatusCode::OK, &status),
        flow::Answer::Completed(status) => body::created(&made(&status), &status),
        flow::Answer::Missing => body::no_content(),
    })
}

/// The address of what an upload has become: of its creative, unless that is deleted already.
fn made(status: &Status) -> String {
    match &status.creative {
        Some(creative) => creative.address(),
        None => format!("/uploads/{}", status.upload.id),
    }
}
