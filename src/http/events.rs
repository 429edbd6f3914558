//! `GET /uploads/{id}/events`: a status body after each change, as Server-Sent Events.
//!
//! Each event has an id. `EventSource` connects again whenever a stream ends, and names the last
//! id that it got: whoever has got the last state of an upload is answered 204, which ends that.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, header, request};
use tokio::time::timeout;

use super::{
    body::{self, Response},
    gate,
    permission::Permission,
    problem::Problem,
    slots::Slot,
    state::{Answer, State},
    streams::Stream,
};
use crate::{
    dialect::Status,
    engine::{Snapshot, Watch},
    upload::{Principal, UploadId, limits::EVENT_KEEP_ALIVE},
};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Follows an upload until it has ended, the client leaves, the caller may no more, somebody else
/// needs the connection or the service stops.
pub(super) async fn follow(
    state: &Arc<State>,
    permission: Permission,
    principal: &Principal,
    id: UploadId,
    request: &request::Parts,
) -> Answer {
    let watch = state.engine.watch(principal, id).await?;
    let watch = watch.ok_or_else(Problem::not_found)?;
    if has_seen_the_end(&request.headers, &watch.now()) {
        return Ok(body::no_content());
    }
    let events = Events {
        watch,
        permission,
        slot: request.extensions.get::<Arc<Slot>>().cloned(),
        _stream: state.streams.open(principal, gate::peer(request))?,
    };
    let events =
        stream::unfold((events, state.stop.begun.clone()), async |(mut events, stopping)| {
            let next = stopping.run_until_cancelled(events.next()).await??;
            Some((Ok(next), (events, stopping)))
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

/// What it takes to tell of an upload.
struct Events {
    watch: Watch,
    permission: Permission,
    slot: Option<Arc<Slot>>,
    _stream: Stream,
}

impl Events {
    /// The next event, or a comment that shows that the stream is alive. Nothing at the end, and
    /// nothing for a caller who may not have it any more.
    async fn next(&mut self) -> Option<Bytes> {
        let next = match timeout(EVENT_KEEP_ALIVE, self.watch.next(event)).await {
            Ok(event) => {
                // From the event before on, the stream was idle. It is again from this one on.
                self.slot.iter().for_each(|slot| slot.may_give_way());
                event?
            }
            Err(_) => Bytes::from_static(b": alive\n\n"),
        };
        self.permission.holds().await.then_some(next)
    }
}

fn event(snapshot: Snapshot) -> Bytes {
    let id = event_id(&snapshot);
    let status = Status::from(snapshot);
    let json = serde_json::to_string(&status).expect("our answers have string keys only");
    format!("id: {id}\ndata: {json}\n\n").into()
}
