//! `GET /uploads/{id}/events`: a status body after each change, as Server-Sent Events.
//!
//! Each event has an id. `EventSource` connects again whenever a stream ends, and names the last
//! id that it got: whoever has got the last state of an upload is answered 204, which ends that.

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::time::timeout;

use super::{
    body::{self, Response},
    problem::Problem,
    state::{Answer, State},
};
use crate::{
    dialect::Status,
    engine::{Snapshot, Watch},
    upload::{Principal, UploadId, limits::EVENT_KEEP_ALIVE},
};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Follows an upload until it has ended, the client leaves or the service stops.
pub(super) async fn follow(
    state: &State,
    principal: &Principal,
    id: UploadId,
    headers: &HeaderMap,
) -> Answer {
    let watch = state.engine.watch(principal, id).await?;
    let watch = watch.ok_or_else(Problem::not_found)?;
    if has_seen_the_end(headers, &watch.now()) {
        return Ok(body::no_content());
    }
    let events = stream::unfold((watch, state.stopping.clone()), async |(mut watch, stopping)| {
        let next = stopping.run_until_cancelled(next(&mut watch)).await??;
        Some((Ok(next), (watch, stopping)))
    });
    let mut response = Response::new(body::stream(events));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // A proxy that gathers answers would hold the events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

fn has_seen_the_end(headers: &HeaderMap, now: &Snapshot) -> bool {
    let last = headers.get(LAST_EVENT_ID);
    !now.state.is_running() && last.is_some_and(|last| last.as_bytes() == event_id(now).as_bytes())
}

/// Tells the states of an upload apart. Two events with one id may differ in their times.
fn event_id(snapshot: &Snapshot) -> String {
    format!("{}-{}", snapshot.state.as_str(), snapshot.received_pieces)
}

/// The next event, or a comment that shows that the stream is alive.
async fn next(watch: &mut Watch) -> Option<Bytes> {
    match timeout(EVENT_KEEP_ALIVE, watch.next(event)).await {
        Ok(event) => event,
        Err(_) => Some(Bytes::from_static(b": alive\n\n")),
    }
}

fn event(snapshot: Snapshot) -> Bytes {
    let id = event_id(&snapshot);
    let status = Status::from(snapshot);
    let json = serde_json::to_string(&status).expect("our answers have string keys only");
    format!("id: {id}\ndata: {json}\n\n").into()
}
