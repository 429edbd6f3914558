//! `/limits`: what a client may have, and how much of it the caller has.

use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    body,
    state::{Answer, State},
};
use crate::upload::{Principal, Quotas, Usage, limits};

/// All that a client may want to know before it sends a file. A limit that is null is none.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Limits {
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
}

/// `GET /limits`.
pub(super) async fn show(state: &State, principal: &Principal) -> Answer {
    let options = state.engine.options();
    let Quotas {
        uploads: max_uploads,
        upload_bytes: max_upload_bytes,
        stored_bytes: max_stored_bytes,
    } = options.quotas;
    let Usage { uploads, upload_bytes, stored_bytes } = state.engine.usage(principal).await?;
    let limits = Limits {
        max_file_size: options.max_file_size,
        max_chunks: limits::PIECE_COUNT_MAX,
        max_uploads,
        uploads,
        max_upload_bytes,
        upload_bytes,
        max_stored_bytes,
        stored_bytes,
    };
    Ok(body::json(StatusCode::OK, &limits))
}
