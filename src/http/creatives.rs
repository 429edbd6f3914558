//! `/upload-creative`, `/creatives` and `/scheduled`: what is published, and for which day.

use std::sync::Arc;

use futures_util::stream;
use http::{HeaderMap, StatusCode, header, request};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    body::{self, BoxError, RequestBody, Response},
    content::{self, Representation},
    incoming::{CONTENT_DIGEST, frames, text},
    permission::Permission,
    problem::Problem,
    query::{Parameters, page},
    request_id,
    state::{Answer, State},
    trouble::sentence,
};
use crate::{
    dialect::{CreativeBody, Grant, Standing, direct},
    engine::{CreativeQuery, Lease},
    upload::{
        ByteRange, Creative, CreativeId, Day, Principal,
        limits::{READ_LEN_MAX, SMALL_READ_LEN},
    },
};

/// One creative.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct OneCreative<C = CreativeBody> {
    /// The creative.
    pub(super) creative: C,
}

/// A page of creatives.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct CreativeList {
    /// By scheduled day, then in the order of their making.
    pub(super) creatives: Vec<CreativeBody>,
    /// What to send as `cursor` for the next page; null on the last.
    pub(super) next_cursor: Option<String>,
}

/// What is scheduled for the days that matter now.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct Scheduled {
    /// The two days.
    pub(super) scheduled_creatives: ScheduledDays,
}

/// Two days.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct ScheduledDays {
    /// The day that it is in the server's time zone.
    pub(super) today: Vec<CreativeBody>,
    /// The day after.
    pub(super) tomorrow: Vec<CreativeBody>,
}

/// The body of a PATCH.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Reschedule {
    /// The new day, `YYYY-MM-DD`; not one that is over.
    pub(super) scheduled_at: String,
}

/// `{"creative": …}`.
fn one(status: StatusCode, creative: &CreativeBody) -> Response {
    body::json(status, &OneCreative { creative })
}

/// `POST /upload-creative`.
pub(super) async fn upload(
    state: &State,
    grant: &Grant,
    headers: &HeaderMap,
    body: RequestBody,
) -> Answer {
    let content_type = text(headers, &header::CONTENT_TYPE);
    let digest = text(headers, &CONTENT_DIGEST);
    let (content_type, digest) = (content_type.as_deref(), digest.as_deref());
    let body = frames(body);
    let status = direct::upload_creative(&state.engine, grant, content_type, digest, body).await?;
    Ok(match (status.upload.state, &status.creative) {
        (Standing::Complete, Some(creative)) => {
            body::created(&creative.address(), &OneCreative { creative })
        }
        // It is safe and will be complete; the status says where to ask.
        _ => body::json(StatusCode::ACCEPTED, &status),
    })
}

/// `GET /scheduled`.
pub(super) async fn scheduled(state: &State, principal: &Principal) -> Answer {
    let today = state.engine.clock().today();
    let on = async |day| state.engine.creatives_on(principal, day).await.map(bodies);
    let days = ScheduledDays { today: on(today).await?, tomorrow: on(today.tomorrow()).await? };
    Ok(body::json(StatusCode::OK, &Scheduled { scheduled_creatives: days }))
}

/// `GET /creatives`.
pub(super) async fn list(state: &State, principal: &Principal, query: &str) -> Answer {
    let parameters = Parameters::read(query, &["from", "to", "limit", "cursor"])?;
    let limit = parameters.limit()?;
    let (from, to) = days(&parameters)?;
    let query = CreativeQuery {
        principal: principal.clone(),
        from,
        to,
        after: parameters.get_with("cursor", "the `next_cursor` of the page before", cursor)?,
        limit: limit + 1,
    };
    let creatives = state.engine.creatives(&query).await?;
    let (creatives, next_cursor) =
        page(creatives, limit, |last| format!("{}_{}", last.scheduled, last.id));
    let list = CreativeList { creatives: bodies(creatives), next_cursor };
    Ok(body::json(StatusCode::OK, &list))
}

/// The days `from` and `to`. An empty list would tell whoever swapped them that there is nothing.
fn days(parameters: &Parameters) -> Result<(Option<Day>, Option<Day>), Problem> {
    let read = |name| parameters.get::<Day>(name, "a day, as YYYY-MM-DD");
    let (from, to) = (read("from")?, read("to")?);
    if let (Some(from), Some(to)) = (from, to)
        && to < from
    {
        let detail = format!("`from` ({from}) is after `to` ({to}): name the earlier day first.");
        return Err(Problem::bad_request("invalid_parameter", detail));
    }
    Ok((from, to))
}

fn cursor(text: &str) -> Option<(Day, CreativeId)> {
    let (day, id) = text.split_once('_')?;
    Some((day.parse().ok()?, id.parse().ok()?))
}

fn bodies(creatives: Vec<Creative>) -> Vec<CreativeBody> {
    creatives.into_iter().map(CreativeBody::from).collect()
}

/// `GET /creatives/{id}`.
pub(super) async fn show(state: &State, principal: &Principal, id: CreativeId) -> Answer {
    Ok(one(StatusCode::OK, &find(state, principal, id).await?.into()))
}

async fn find(state: &State, principal: &Principal, id: CreativeId) -> Result<Creative, Problem> {
    let creative = state.engine.creative(principal, id).await?;
    creative.ok_or_else(Problem::not_found)
}

/// `PATCH /creatives/{id}`.
pub(super) async fn reschedule(
    state: &State,
    grant: &Grant,
    id: CreativeId,
    body: RequestBody,
) -> Answer {
    let patch: Reschedule = body::read_json(body).await?;
    let day = patch
        .scheduled_at
        .parse::<Day>()
        .map_err(|error| Problem::bad_request("invalid_scheduled_at", sentence(&error)))?;
    let creative = state.engine.reschedule(&grant.principal, id, day, &grant.by).await?;
    Ok(one(StatusCode::OK, &creative.ok_or_else(Problem::not_found)?.into()))
}

/// `DELETE /creatives/{id}`.
pub(super) async fn delete(state: &State, grant: &Grant, id: CreativeId) -> Answer {
    let deleted = state.engine.delete_creative(&grant.principal, id, &grant.by).await?;
    if deleted { Ok(body::no_content()) } else { Err(Problem::not_found()) }
}

/// `GET /creatives/{id}/content`.
pub(super) async fn content(
    state: Arc<State>,
    principal: &Principal,
    id: CreativeId,
    request: &request::Parts,
    permission: Permission,
) -> Answer {
    let (method, headers) = (&request.method, &request.headers);
    let request_id = request_id::of(&request.extensions);
    let creative = find(&state, principal, id).await?;
    let selection = content::select(method, headers, &Representation::of(&creative));
    let refused = selection.status.is_client_error();
    if selection.range.is_some() {
        // Once the answer has begun it can only be broken off.
        state.engine.check_file(&creative).await?;
    }
    let (described, readers) = (content::describe(&creative), state.sites.readers(headers));
    let mut response = selection.into_response(request_id, |range| {
        body::stream(stream::try_unfold(
            Reading { state, creative, permission, at: range.start },
            move |reading| reading.on(range.end),
        ))
    });
    if !refused {
        response.headers_mut().extend(described);
        if let Some(readers) = readers {
            readers.write(response.headers_mut());
        }
    }
    Ok(response)
}

/// Bytes on their way to a client, and the memory that they take until they are there.
struct Slice {
    bytes: bytes::Bytes,
    _lease: Option<Lease>,
}

impl AsRef<[u8]> for Slice {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A file that is being sent.
struct Reading {
    state: Arc<State>,
    creative: Creative,
    permission: Permission,
    at: u64,
}

impl Reading {
    /// The next slice; nothing at the end. Errors: it cannot be read, or the caller may no more;
    /// the connection is then cut, so that nobody takes what came for the whole file.
    async fn on(mut self, end: u64) -> Result<Option<(bytes::Bytes, Self)>, BoxError> {
        let lease = self.state.answers.try_lease(READ_LEN_MAX);
        // Without memory of its own a slice is small, and the download slower.
        let most = if lease.is_some() { READ_LEN_MAX } else { SMALL_READ_LEN };
        let len = (most as u64).min(end - self.at);
        if len == 0 {
            return Ok(None);
        }
        if !self.permission.held_lately().await {
            return Err("the caller may not have this any more".into());
        }
        let slice = ByteRange::new(self.at, len)?;
        let bytes = self.state.engine.read_creative(&self.creative, slice).await?;
        self.at += len;
        Ok(Some((bytes::Bytes::from_owner(Slice { bytes, _lease: lease }), self)))
    }
}
