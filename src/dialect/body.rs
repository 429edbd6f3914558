//! What clients read about uploads and creatives: the JSON of every answer that carries one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    engine::{Missing, Snapshot},
    upload::{Creative, CreativeId, Day, UploadId, UploadState},
};

/// How an upload stands: the same body wherever one is answered, but for `missing_chunks`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// The upload.
    pub upload: Upload,
    /// Whether the file is published and its creative recorded. Only this means success.
    pub complete: bool,
    /// The creative, once the upload is complete and for as long as it exists.
    pub creative: Option<CreativeBody>,
}

/// One upload.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Upload {
    /// Its id.
    pub id: UploadId,
    /// Where it stands.
    pub state: Standing,
    /// The client's name for the file. Hostile until escaped.
    pub filename: String,
    /// The size of the file, in bytes.
    pub total_size: u64,
    /// How many bytes of it are safely here, without those that have yet to be verified.
    pub received_bytes: u64,
    /// The nominal size of a chunk, in bytes.
    pub chunk_size: u64,
    /// How many chunks there are.
    pub total_chunks: u64,
    /// How many chunks are safely here, without those that have yet to be verified. In every
    /// answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_chunks: Option<u64>,
    /// There if chunks were stored before the machine stopped uncleanly and have yet to be read
    /// back: how far that is. A probe of such a chunk reads it back and tells whether it is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verifying: Option<Verifying>,
    /// Inclusive pairs of the numbers (from 1) of chunks that are known not to be here, in order;
    /// at most 1,000. In lookups and in the status of one upload only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_chunks: Option<Vec<(u64, u64)>>,
    /// True if more chunks are missing behind the last pair: ask again with `from_chunk` one higher
    /// than the last number of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub missing_truncated: bool,
    /// When its first request came (RFC 3339).
    #[schemars(extend("format" = "date-time"))]
    pub created_at: String,
    /// When it will be forgotten, if nothing more comes (RFC 3339).
    #[schemars(extend("format" = "date-time"))]
    pub expires_at: String,
    /// Why it ended without a file, or why its completion is held up.
    pub error: Option<String>,
}

/// How far the chunks of an upload are verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verifying {
    /// Bytes that are verified.
    pub bytes: u64,
    /// Bytes that are stored, verified or not.
    pub of: u64,
}

/// Where an upload stands, as its client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Chunks are still missing.
    Receiving,
    /// Every chunk is here; the file is being checked and published.
    Stitching,
    /// The same, and the operator's scanner has to let it pass.
    Quarantined,
    /// The file is published and its creative is recorded. Final.
    Complete,
    /// The file was refused for good. Final.
    Failed,
    /// The client gave it up. Final.
    Cancelled,
    /// Nothing came for too long. Final.
    Expired,
}

impl From<&Snapshot> for Standing {
    fn from(snapshot: &Snapshot) -> Self {
        match snapshot.state {
            UploadState::Receiving => Self::Receiving,
            UploadState::Stitching if snapshot.quarantined => Self::Quarantined,
            UploadState::Stitching => Self::Stitching,
            UploadState::Complete => Self::Complete,
            UploadState::Failed => Self::Failed,
            UploadState::Cancelled => Self::Cancelled,
            UploadState::Expired => Self::Expired,
        }
    }
}

/// One published file.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CreativeBody {
    /// Its id.
    pub id: CreativeId,
    /// Whose it is.
    pub user_id: String,
    /// Where its bytes are served.
    pub creative_url: String,
    /// The client's name for the file. Hostile until escaped.
    pub filename: String,
    /// Its size, in bytes.
    pub size: u64,
    /// Its SHA-256, in hexadecimal, if it was taken: by the server's choice, or because the client
    /// named it.
    pub sha256: Option<String>,
    /// Its BLAKE3, in hexadecimal, if it was taken.
    pub blake3: Option<String>,
    /// Its media type.
    pub content_type: String,
    /// The day it is scheduled for.
    pub scheduled_at: Day,
    /// When it was published (RFC 3339).
    #[schemars(extend("format" = "date-time"))]
    pub created_at: String,
    /// The upload it came from.
    pub upload_id: UploadId,
}

impl From<Snapshot> for Status {
    fn from(snapshot: Snapshot) -> Self {
        let complete = snapshot.state == UploadState::Complete;
        let creative = snapshot.creative.clone().map(CreativeBody::from);
        Self { upload: snapshot.into(), complete, creative }
    }
}

impl From<Snapshot> for Upload {
    fn from(snapshot: Snapshot) -> Self {
        // Clients count chunks from 1.
        let numbered = |missing: &Missing| {
            missing.pairs.iter().map(|(first, last)| (first + 1, last + 1)).collect()
        };
        Self {
            id: snapshot.id,
            state: Standing::from(&snapshot),
            filename: snapshot.filename.as_str().to_owned(),
            total_size: snapshot.plan.total(),
            received_bytes: snapshot.received_bytes,
            chunk_size: snapshot.plan.stride(),
            total_chunks: snapshot.plan.count(),
            received_chunks: Some(snapshot.received_pieces),
            verifying: snapshot.verifying.map(|it| Verifying { bytes: it.bytes, of: it.of }),
            missing_chunks: snapshot.missing.as_ref().map(numbered),
            missing_truncated: snapshot.missing.is_some_and(|missing| missing.truncated),
            created_at: snapshot.created_at.to_string(),
            expires_at: snapshot.expires_at.to_string(),
            error: snapshot.error,
        }
    }
}

impl CreativeBody {
    /// The path at which it is described.
    #[must_use]
    pub fn address(&self) -> String {
        format!("/creatives/{}", self.id)
    }
}

impl From<Creative> for CreativeBody {
    fn from(creative: Creative) -> Self {
        Self {
            id: creative.id,
            user_id: creative.principal.as_str().to_owned(),
            creative_url: format!("/creatives/{}/content", creative.id),
            filename: creative.filename.as_str().to_owned(),
            size: creative.size,
            sha256: creative.digest.sha256.map(|digest| digest.to_string()),
            blake3: creative.digest.blake3.map(|digest| digest.to_string()),
            content_type: creative.content_type,
            scheduled_at: creative.scheduled,
            created_at: creative.created_at.to_string(),
            upload_id: creative.upload_id,
        }
    }
}
