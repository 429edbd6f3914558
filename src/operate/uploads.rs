//! `flowstitch uploads`: lists and shows them as the catalog has them, whoever's they are.

use serde::Serialize;

use super::{Data, Failure, table};
use crate::{
    dialect::{Standing, Status},
    upload::{CreativeId, Timestamp, UploadId, UploadRecord, UploadState, escaped},
};

/// Characters of a name that a table shows.
const NAME_LEN_MAX: usize = 60;

/// An upload, for programs.
#[derive(Debug, Serialize)]
pub(super) struct Upload {
    pub(super) id: UploadId,
    state: UploadState,
    /// The client's name for the file, as it came.
    filename: String,
    principal: String,
    total_size: u64,
    received_bytes: u64,
    created_at: String,
    /// When its last chunk was stored.
    last_byte_at: String,
    ended_at: Option<String>,
    /// Why it ended without a file.
    reason: Option<String>,
    sha256: Option<String>,
    blake3: Option<String>,
    scheduled_at: Option<String>,
    creative_id: Option<CreativeId>,
}

/// One upload as it stands.
pub(super) fn describe(data: &Data, record: &UploadRecord) -> Result<Upload, Failure> {
    let total = record.identity.plan().total();
    let received = match record.state {
        UploadState::Complete => total,
        UploadState::Receiving | UploadState::Stitching => data.facts.received(record.id)?.bytes,
        UploadState::Failed | UploadState::Cancelled | UploadState::Expired => 0,
    };
    let is_complete = record.state == UploadState::Complete;
    // What it became says more than what was asked for: also where nothing was.
    let creative = if is_complete { data.facts.creative(record.creative_id)? } else { None };
    let digest = creative.as_ref().map(|creative| creative.digest).unwrap_or_default();
    let sha256 = digest.sha256.or(record.declared_sha256);
    let scheduled = creative.as_ref().map(|creative| creative.scheduled).or(record.scheduled);
    Ok(Upload {
        reason: record.error(),
        id: record.id,
        state: record.state,
        filename: record.filename.as_str().to_owned(),
        principal: record.identity.principal().as_str().to_owned(),
        total_size: total,
        received_bytes: received,
        created_at: seconds(record.created_at),
        last_byte_at: seconds(record.touched_at),
        ended_at: record.ended_at.map(seconds),
        sha256: sha256.map(|sha256| sha256.to_string()),
        blake3: digest.blake3.map(|blake3| blake3.to_string()),
        scheduled_at: scheduled.map(|day| day.to_string()),
        creative_id: is_complete.then_some(record.creative_id),
    })
}

/// A time to the second (RFC 3339).
pub(super) fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A table for people; the name last, for nobody knows how wide it is.
pub(super) fn as_table(uploads: &[Upload]) -> String {
    let head = ["ID", "STATE", "SIZE", "RECEIVED", "LAST BYTE", "NAME"].map(str::to_owned);
    let row = |upload: &Upload| {
        let mut name = table::shortened(&upload.filename, NAME_LEN_MAX);
        if let Some(reason) = &upload.reason {
            name = format!("{name} ({})", table::shortened(reason, NAME_LEN_MAX));
        }
        [
            upload.id.to_string(),
            upload.state.as_str().to_owned(),
            upload.total_size.to_string(),
            upload.received_bytes.to_string(),
            upload.last_byte_at.clone(),
            name,
        ]
    };
    let rows: Vec<_> = [head].into_iter().chain(uploads.iter().map(row)).collect();
    table::aligned(&rows, &[2, 3])
}

/// All of one upload, a line for each field.
pub(super) fn as_lines(upload: &Upload) -> String {
    let fields = serde_json::to_value(upload).expect("strings and numbers");
    let fields = fields.as_object().expect("a struct").iter();
    let rows: Vec<_> = fields
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), escaped);
            [format!("{name}:"), text]
        })
        .collect();
    table::aligned(&rows, &[])
}

/// What came of a retry.
pub(super) fn outcome(status: &Status) -> String {
    let upload = &status.upload;
    let because = upload.error.as_ref().map(|why| format!(": {}", escaped(why)));
    let because = because.unwrap_or_default();
    match upload.state {
        Standing::Complete => format!("completed {}\n", upload.id),
        Standing::Stitching if because.is_empty() => {
            format!("{} is being stitched and takes its time\n", upload.id)
        }
        Standing::Quarantined if because.is_empty() => {
            format!("{} waits for the scanner\n", upload.id)
        }
        Standing::Stitching | Standing::Quarantined => {
            format!("{} cannot be stitched{because}\n", upload.id)
        }
        Standing::Receiving => format!(
            "{} waits for chunks: {} of {} bytes are here\n",
            upload.id, upload.received_bytes, upload.total_size
        ),
        Standing::Failed => format!("{} has failed{because}\n", upload.id),
        Standing::Cancelled => format!("{} is cancelled{because}\n", upload.id),
        Standing::Expired => format!("{} is expired{because}\n", upload.id),
    }
}
