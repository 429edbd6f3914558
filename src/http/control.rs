//! What the operator's tools are answered: a service of its own, apart from what clients may ask.
//!
//! It is reached through a socket that only the server's user may open, or from within the same
//! process; so there is no other check of who asks.

mod backup;
mod creatives;
mod people;
mod trash;

use std::{convert::Infallible, sync::Arc};

use futures_util::future::BoxFuture;
use http::{Method, StatusCode, request};
use serde::{Deserialize, Serialize};

pub use self::{
    backup::{Cut, CutError, Cutter},
    creatives::Given,
    people::{Holdings, Issued, Person, TokenBody},
    trash::{EmptiedBody, RestoredBody},
};
use super::{
    body::{self, Request, Response},
    by,
    problem::Problem,
    query::Parameters,
    request_id,
    state::{Answer, State},
};
use crate::{
    dialect::Status,
    engine::{Engine, SweepPlan, UploadError},
    upload::{By, Creative, Means, UploadId, UploadState},
};

/// What a sweep does, or did.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Sweep {
    /// Uploads that expire, the longest idle first.
    pub expire: Vec<Expiring>,
    /// How many ended uploads are forgotten.
    pub tombstones: u64,
    /// Names of files of deleted creatives that are removed.
    pub files: Vec<String>,
}

/// An upload that expires.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Expiring {
    /// Its id.
    pub id: UploadId,
    /// The client's name for the file. Hostile until escaped.
    pub filename: String,
    /// When its last range came (RFC 3339).
    pub idle_since: String,
}

impl From<SweepPlan> for Sweep {
    fn from(plan: SweepPlan) -> Self {
        let expiring = |upload: crate::engine::Expiring| Expiring {
            id: upload.id,
            filename: upload.filename.as_str().to_owned(),
            idle_since: upload.idle_since.to_string(),
        };
        Self {
            expire: plan.expire.into_iter().map(expiring).collect(),
            tombstones: plan.tombstones,
            files: plan.files.iter().map(ToString::to_string).collect(),
        }
    }
}

impl Sweep {
    /// What of this is done, if the rest is still to do.
    #[must_use]
    pub fn without(mut self, rest: &Self) -> Self {
        self.expire.retain(|upload| !rest.expire.iter().any(|other| other.id == upload.id));
        self.files.retain(|file| !rest.files.contains(file));
        self.tombstones = self.tombstones.saturating_sub(rest.tombstones);
        self
    }
}

/// The service: answers every request, be it with a problem.
#[derive(Debug, Clone)]
pub struct Control {
    state: Arc<State>,
    /// What makes the cuts of backups.
    cutter: Option<Arc<dyn Cutter>>,
}

impl Control {
    /// The service on this state.
    #[must_use]
    pub fn new(state: Arc<State>, cutter: Option<Arc<dyn Cutter>>) -> Self {
        Self { state, cutter }
    }
}

impl tower::Service<Request> for Control {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let (state, cutter) = (self.state.clone(), self.cutter.clone());
        Box::pin(async move {
            let id = request_id::of(request.extensions()).to_owned();
            let own = state.clone();
            // To its end, whether or not the tool waits for it: half a change is worse than none.
            let (parts, _) = request.into_parts();
            let exchange = async move { dispatch(&own, cutter.as_deref(), &parts).await };
            let exchange = tracing::Instrument::in_current_span(exchange);
            let answer = state.engine.detach(exchange).await;
            let answer = answer.unwrap_or_else(|| Err(Problem::internal()));
            Ok(answer.unwrap_or_else(|problem| problem.into_response(&id)))
        })
    }
}

fn stopped() -> Problem {
    let detail = "The server is stopping: ask again when it has stopped.";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "shutting_down", detail)
}

async fn dispatch(state: &State, cutter: Option<&dyn Cutter>, request: &request::Parts) -> Answer {
    let path = request.uri.path();
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let known = matches!(
        segments[..],
        ["uploads", _, "cancel" | "retry"]
            | ["sweep" | "backup"]
            | ["users" | "tokens" | "trash" | "creatives", _]
    );
    if known && request.method != Method::POST {
        return Err(Problem::method_not_allowed(&[Method::POST]));
    }
    let by = &by::of(state, request, Means::Operator);
    let id = |text: &str| text.parse::<UploadId>().map_err(|_| unknown());
    let query = request.uri.query().unwrap_or_default();
    match segments[..] {
        ["creatives", what] => creatives::creatives(state, what, query, by).await,
        ["users", what] => people::users(state, what, query, by).await,
        ["trash", what] => trash::trash(state, what, query, by).await,
        ["tokens", what] => people::tokens(state, what, query, by).await,
        ["uploads", upload, "cancel"] => cancel(&state.engine, id(upload)?, by).await,
        ["uploads", upload, "retry"] => {
            // A stop does not wait for somebody who does nothing but wait.
            let retry = retry(&state.engine, id(upload)?);
            state.stop.begun.run_until_cancelled(retry).await.unwrap_or_else(|| Err(stopped()))
        }
        ["backup"] => backup::cut(cutter, query).await,
        ["sweep"] => {
            let query = Parameters::read(query, &["dry_run"])?;
            let dry_run = query.get("dry_run", "`true` or `false`")?.unwrap_or(false);
            Ok(body::json(StatusCode::OK, &sweep(&state.engine, dry_run).await?))
        }
        _ => Err(Problem::not_found()),
    }
}

fn unknown() -> Problem {
    let detail = "No upload has this id: `flowstitch uploads list` shows those there are.";
    Problem::new(StatusCode::NOT_FOUND, "not_found", detail)
}

/// `POST /uploads/{id}/cancel`.
async fn cancel(engine: &Engine, id: UploadId, by: &By) -> Answer {
    let (snapshot, was_running) = engine.cancel_any(id, by).await?.ok_or_else(unknown)?;
    match snapshot.state {
        UploadState::Complete => {
            let gone = "The upload is complete, and its creative deleted: nothing is left of it.";
            let advice = |Creative { id, .. }| {
                format!(
                    "The upload is complete: delete its creative instead, with `flowstitch \
                     creatives delete {id}`."
                )
            };
            Err(conflict(snapshot.creative.map_or_else(|| gone.to_owned(), advice)))
        }
        state if !was_running => {
            Err(conflict(format!("The upload had ended before: it is {}.", state.as_str())))
        }
        _ => Ok(body::json(StatusCode::OK, &Status::from(snapshot))),
    }
}

fn conflict(detail: String) -> Problem {
    Problem::new(StatusCode::CONFLICT, "conflict", detail)
}

/// `POST /uploads/{id}/retry`.
async fn retry(engine: &Engine, id: UploadId) -> Answer {
    let snapshot = engine.retry(id).await?.ok_or_else(unknown)?;
    Ok(body::json(StatusCode::OK, &Status::from(snapshot)))
}

/// `POST /sweep`: what it did, or with `dry_run` what it would do.
async fn sweep(engine: &Engine, dry_run: bool) -> Result<Sweep, UploadError> {
    let plan = Sweep::from(engine.sweep_plan().await?);
    if dry_run {
        return Ok(plan);
    }
    engine.sweep().await?;
    Ok(plan.without(&engine.sweep_plan().await?.into()))
}
