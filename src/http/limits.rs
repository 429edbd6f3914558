//! `/limits`: what a client may have, and how much of it the caller has.

use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use super::pace::Pace;
use super::{
    body,
    state::{Answer, State},
};
use crate::{
    access::RateLimits,
    upload::{Principal, Quotas, Usage, limits},
};

/// What else than the engine's limits a client is told of.
#[derive(Debug)]
pub struct Terms {
    /// Connections at a time, of all and of one address.
    pub connections: (usize, usize),
    /// How often what may be done.
    pub rates: RateLimits,
    /// How slowly a body may come.
    pub pace: Pace,
}

/// All that a client may want to know before it sends a file. A limit that is null is none.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Limits {
    /// Who may use the service: `open`, everybody on its machine, without credentials, or `users`.
    /// With the setting `allow_anonymous` everybody may upload and read in either case.
    access: &'static str,
    /// The day it is for the service: what is scheduled before it is refused.
    #[schemars(extend("format" = "date"))]
    today: String,
    /// Where this day begins and ends, by its name in the time zone database; null if it has none.
    time_zone: Option<String>,
    /// The kinds of file that are taken, such as `image/*` and `.pdf`. Empty for all.
    accept: Vec<String>,
    /// The largest file that is taken, in bytes.
    max_file_size: u64,
    /// The most chunks that a file may have.
    max_chunks: u64,
    /// Unfinished uploads that the caller may have at a time…
    max_uploads: Option<u64>,
    /// …and has.
    uploads: u64,
    /// Bytes of the files of unfinished uploads that the caller may have at a time…
    max_upload_bytes: Option<u64>,
    /// …and has.
    upload_bytes: u64,
    /// Bytes that the caller may store, those of unfinished uploads included…
    max_stored_bytes: Option<u64>,
    /// …and has stored, those of unfinished uploads not included.
    stored_bytes: u64,
    /// Files that the caller may store, unfinished uploads included…
    max_stored_files: Option<u64>,
    /// …and has stored, unfinished uploads not included.
    stored_files: u64,
    /// Bytes of the disk that the caller's unfinished uploads may keep reserved at the moment…
    max_reserved_bytes: Option<u64>,
    /// …and keep: what was declared and has not arrived.
    reserved_bytes: u64,
    /// Bytes of the disk that files in the trash take, whoever's they are: they are given up when
    /// an upload needs the room.
    trash_bytes: u64,
    /// How many files that are.
    trash_files: u64,
    /// How long they are kept at most, in seconds.
    trash_ttl: f64,
    /// Connections that the service has at a time.
    max_connections: usize,
    /// Connections that one address may have at a time.
    max_connections_per_address: usize,
    /// Requests that the caller, and its address, may send in a `rate_window`: more wait.
    max_requests: Option<u64>,
    /// Uploads that they may begin in a `rate_window`: more wait.
    max_new_uploads: Option<u64>,
    /// In seconds.
    rate_window: f64,
    /// Bytes in a second that a body must bring on average over a `progress_window`; a request
    /// that brings fewer is answered 408.
    min_progress: Option<u64>,
    /// In seconds.
    progress_window: f64,
    /// How long a body may bring nothing, in seconds.
    body_idle_timeout: f64,
}

/// `GET /limits`.
pub(super) async fn show(state: &State, principal: &Principal) -> Answer {
    let options = state.engine.options();
    let Terms { rates, pace, .. } = &state.terms;
    let Quotas {
        uploads: max_uploads,
        upload_bytes: max_upload_bytes,
        stored_bytes: max_stored_bytes,
        stored_files: max_stored_files,
    } = options.quotas;
    let usage = state.engine.usage(principal).await?;
    let Usage { uploads, upload_bytes, stored_bytes, stored_files, .. } = usage;
    let clock = state.engine.clock();
    let limits = Limits {
        access: state.access.state().as_str(),
        today: clock.today().to_string(),
        time_zone: clock.zone().iana_name().map(str::to_owned),
        accept: options.accept.kinds(),
        max_file_size: options.max_file_size,
        max_chunks: limits::PIECE_COUNT_MAX,
        max_uploads,
        uploads,
        max_upload_bytes,
        upload_bytes,
        max_stored_bytes,
        stored_bytes,
        max_stored_files,
        stored_files,
        max_reserved_bytes: state.engine.reservable(principal).await?,
        reserved_bytes: usage.reserved_bytes(),
        trash_bytes: state.metrics.trash_bytes.get(),
        trash_files: state.metrics.trash_files.get(),
        trash_ttl: options.trash_ttl.as_secs_f64(),
        max_connections: state.terms.connections.0,
        max_connections_per_address: state.terms.connections.1,
        max_requests: rates.requests,
        max_new_uploads: rates.new_uploads,
        rate_window: rates.window.as_secs_f64(),
        min_progress: pace.progress,
        progress_window: pace.window.as_secs_f64(),
        body_idle_timeout: pace.idle.as_secs_f64(),
    };
    Ok(body::json(StatusCode::OK, &limits))
}
