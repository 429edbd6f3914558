//! `/uploads`: what became of them, and how to give one up.

use std::num::NonZeroU64;

use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    body,
    problem::Problem,
    query::{Parameters, page},
    state::{Answer, State},
};
use crate::{
    dialect::{Grant, Status},
    engine::{Cancelled, UploadQuery},
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
pub(super) async fn show(
    state: &State,
    principal: &Principal,
    id: UploadId,
    query: &str,
) -> Answer {
    let parameters = Parameters::read(query, &["from_chunk"])?;
    let expected = "the number of a chunk, from 1";
    let number: Option<NonZeroU64> = parameters.get("from_chunk", expected)?;
    let from = number.map_or(0, |number| number.get() - 1);
    let snapshot = state.engine.upload(principal, id, from).await?;
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
    let uploads = state.engine.uploads(&query).await?;
    let (uploads, next_cursor) = page(uploads, limit, |last| last.id.to_string());
    let uploads = uploads.into_iter().map(Status::from).collect();
    Ok(body::json(StatusCode::OK, &UploadList { uploads, next_cursor }))
}

/// `DELETE /uploads/{id}`.
pub(super) async fn cancel(state: &State, grant: &Grant, id: UploadId) -> Answer {
    match state.engine.cancel(&grant.principal, id, &grant.by).await? {
        Some(Cancelled::Ended) => Ok(body::no_content()),
        Some(Cancelled::Complete(creative)) => {
            let detail = format!(
                "The upload is complete: delete its creative instead, with a token: DELETE \
                 /creatives/{creative}."
            );
            Err(Problem::new(StatusCode::CONFLICT, "conflict", detail))
        }
        None => Err(Problem::not_found()),
    }
}
