//! What is written down about a file that is put into the trash, so that it can be told what it
//! was, and be brought back, without the catalog.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{By, Creative, CreativeId, Day, FileDigest, Means, Timestamp, UploadId, UploadRecord};

/// Why a file was put into the trash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrashReason {
    /// The catalog knows no upload with this id: it may be older than the file.
    UnknownUpload,
    /// The finished file of an upload that is not complete does not fit what is known of that.
    NotMatching,
    /// The finished file was damaged before its creative was recorded.
    Damaged,
    /// The upload was given up or refused when its file may have been published.
    Ended,
    /// Another file had the name of one that was being published.
    InTheWay,
    /// The operator deleted the creative, or removed its user.
    DeletedByOperator,
}

impl TrashReason {
    /// Whether the file is known not to be the one that its creative should have.
    #[must_use]
    pub fn is_refutation(self) -> bool {
        match self {
            Self::NotMatching | Self::Damaged | Self::InTheWay => true,
            Self::UnknownUpload | Self::Ended | Self::DeletedByOperator => false,
        }
    }
}

impl fmt::Display for TrashReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownUpload => "the database knows no upload with this id",
            Self::NotMatching => "the finished file does not match its upload",
            Self::Damaged => "the finished file was damaged before it was recorded",
            Self::Ended => "the upload ended after its file may have been published",
            Self::InTheWay => "another file had the name of a file that was published",
            Self::DeletedByOperator => "the operator deleted the creative",
        })
    }
}

/// All that is known of a file in the trash. Texts are as clients wrote them: hostile until
/// escaped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrashNote {
    /// Why it is there.
    pub reason: TrashReason,
    /// The creative that it had or would have had.
    pub creative_id: Option<CreativeId>,
    /// The upload that it came from.
    pub upload_id: Option<UploadId>,
    /// Whose it is.
    pub user_id: Option<String>,
    /// The client's name for the file.
    pub filename: Option<String>,
    /// The size of the whole file, in bytes.
    pub size: Option<u64>,
    /// The SHA-256 of the whole file.
    pub sha256: Option<String>,
    /// Its BLAKE3.
    pub blake3: Option<String>,
    /// Its media type.
    pub content_type: Option<String>,
    /// The day it was scheduled for.
    pub scheduled: Option<Day>,
    /// When it was published, or its upload was begun.
    pub created_at: Option<Timestamp>,
}

impl TrashNote {
    /// About a file of which nothing is known but its name.
    #[must_use]
    pub fn unknown(reason: TrashReason) -> Self {
        Self {
            reason,
            creative_id: None,
            upload_id: None,
            user_id: None,
            filename: None,
            size: None,
            sha256: None,
            blake3: None,
            content_type: None,
            scheduled: None,
            created_at: None,
        }
    }

    /// About the file of an upload.
    #[must_use]
    pub fn of_upload(record: &UploadRecord, reason: TrashReason) -> Self {
        Self {
            creative_id: Some(record.creative_id),
            upload_id: Some(record.id),
            user_id: Some(record.identity.principal().as_str().to_owned()),
            filename: Some(record.filename.as_str().to_owned()),
            size: Some(record.identity.plan().total()),
            sha256: record.declared_sha256.map(|sha256| sha256.to_string()),
            scheduled: record.scheduled,
            created_at: Some(record.created_at),
            ..Self::unknown(reason)
        }
    }

    /// About the file of a creative that is deleted; nothing if its owner does that: then the file
    /// goes for good.
    #[must_use]
    pub fn of_deleted(creative: &Creative, by: &By) -> Option<Self> {
        if by.means != Means::Operator {
            return None;
        }
        let FileDigest { sha256, blake3 } = creative.digest;
        Some(Self {
            creative_id: Some(creative.id),
            upload_id: Some(creative.upload_id),
            user_id: Some(creative.principal.as_str().to_owned()),
            filename: Some(creative.filename.as_str().to_owned()),
            size: Some(creative.size),
            sha256: sha256.map(|digest| digest.to_string()),
            blake3: blake3.map(|digest| digest.to_string()),
            content_type: Some(creative.content_type.clone()),
            scheduled: Some(creative.scheduled),
            created_at: Some(creative.created_at),
            ..Self::unknown(TrashReason::DeletedByOperator)
        })
    }

    /// The note as it is kept.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers, which JSON can hold")
    }

    /// The note that [`Self::to_json`] gave; nothing for any other text.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }
}
