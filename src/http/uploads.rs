//! `/uploads`: what became of them, and how to give one up.

use std::error::Error;

use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    body::{self, Response},
    problem::Problem,
    query::{Parameters, page},
    service::{Answer, State},
};
use crate::{
    dialect::Status,
    engine::{Cancelled, Class, UploadError, UploadQuery},
    upload::{Principal, UploadId, UploadState},
};

/// A page of uploads.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct UploadList {
    /// Newest first.
    pub(super) uploads: Vec<Status>,
    /// What to send as `cursor` for the next page; null on the last.
    pub(super) next_cursor: Option<String>,
}

/// `GET /uploads/{id}`.
pub(super) async fn show(state: &State, principal: &Principal, id: UploadId) -> Answer {
    let snapshot = state.engine.upload(principal, id).await.map_err(|e| problem(&e))?;
    let status = Status::from(snapshot.ok_or_else(Problem::not_found)?);
    Ok(body::json(StatusCode::OK, &status))
}

/// `GET /uploads`.
pub(super) async fn list(state: &State, principal: &Principal, query: &str) -> Answer {
    let parameters = Parameters::read(query, &["state", "limit", "cursor"])?;
    let limit = parameters.limit()?;
    let states = "one of `receiving`, `stitching`, `complete`, `failed`, `cancelled`, `expired`";
    let query = UploadQuery {
        principal: principal.clone(),
        state: parameters.get_with("state", states, UploadState::from_word)?,
        before: parameters.get("cursor", "the `next_cursor` of the page before")?,
        limit: limit + 1,
    };
    let uploads = state.engine.uploads(&query).await.map_err(|e| problem(&e))?;
    let (uploads, next_cursor) = page(uploads, limit, |last| last.id.to_string());
    let uploads = uploads.into_iter().map(Status::from).collect();
    Ok(body::json(StatusCode::OK, &UploadList { uploads, next_cursor }))
}

/// `DELETE /uploads/{id}`.
pub(super) async fn cancel(state: &State, principal: &Principal, id: UploadId) -> Answer {
    match state.engine.cancel(principal, id).await.map_err(|e| problem(&e))? {
        Some(Cancelled::Ended) => Ok(no_content()),
        Some(Cancelled::Complete) => Err(Problem::new(
            StatusCode::CONFLICT,
            "conflict",
            "The upload is complete: delete its creative instead.",
        )),
        None => Err(Problem::not_found()),
    }
}

/// 204.
pub(super) fn no_content() -> Response {
    let mut response = Response::new(body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// The engine's trouble with anything but an upload request.
pub(super) fn problem(error: &UploadError) -> Problem {
    match error.class() {
        Class::Schedule => Problem::bad_request("invalid_scheduled_at", sentence(error)),
        Class::NoSpace => {
            log(error);
            Problem::new(StatusCode::INSUFFICIENT_STORAGE, "no_space", sentence(error))
        }
        Class::Unavailable => {
            log(error);
            Problem::unavailable(std::time::Duration::from_secs(2))
        }
        Class::Malformed
        | Class::Damaged
        | Class::Conflict
        | Class::TooLarge
        | Class::Gone
        | Class::Refused
        | Class::Interrupted
        | Class::TimedOut => {
            log(error);
            Problem::internal()
        }
    }
}

fn sentence(error: &UploadError) -> String {
    super::service::sentence(&error.to_string())
}

fn log(error: &UploadError) {
    tracing::error!(error = error as &dyn Error, "A request could not be carried out");
}
