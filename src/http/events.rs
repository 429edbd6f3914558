//! `GET /uploads/{id}/events`: a status body at each change, as Server-Sent Events.

use futures_util::stream;
use http::{HeaderValue, header};
use tokio::time::timeout;

use super::{
    body::{self, Response},
    problem::Problem,
    state::{Answer, State},
};
use crate::{
    dialect::Status,
    engine::Watch,
    upload::{Principal, UploadId, limits::EVENT_KEEP_ALIVE},
};

/// Follows an upload until it has ended, the client leaves or the service stops.
pub(super) async fn follow(state: &State, principal: &Principal, id: UploadId) -> Answer {
    let watch = state.engine.watch(principal, id).await?;
    let watch = watch.ok_or_else(Problem::not_found)?;
    let events = stream::unfold((watch, state.stopping.clone()), async |(mut watch, stopping)| {
        let next = stopping.run_until_cancelled(next(&mut watch)).await??;
        Some((Ok(next.into()), (watch, stopping)))
    });
    let mut response = Response::new(body::stream(events));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // A proxy that gathers answers would hold the events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// The next event, or a comment that shows that the stream is alive.
async fn next(watch: &mut Watch) -> Option<String> {
    match timeout(EVENT_KEEP_ALIVE, watch.next()).await {
        Ok(snapshot) => {
            let status = Status::from(snapshot?);
            let json = serde_json::to_string(&status).expect("our answers have string keys only");
            Some(format!("data: {json}\n\n"))
        }
        Err(_) => Some(": alive\n\n".into()),
    }
}
