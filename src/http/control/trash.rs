//! The trash, as the operator changes it.

use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::people::known_user;
use crate::{
    engine::{Emptied, Restored},
    http::{
        body,
        problem::Problem,
        query::Parameters,
        state::{Answer, State},
    },
    upload::{By, CreativeId, KnownName, Timestamp, TrashId, UploadId},
};

/// What came back from the trash.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RestoredBody {
    /// The creative that has its file again.
    pub creative_id: Option<CreativeId>,
    /// Whose it is.
    pub user_id: Option<String>,
    /// The upload that has its file again.
    pub upload_id: Option<UploadId>,
    /// How many bytes of the file are there.
    pub bytes: u64,
}

/// What was removed from the trash for good.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EmptiedBody {
    /// How many files.
    pub files: u64,
    /// How many bytes of the disk they took.
    pub bytes: u64,
}

/// `POST /trash/restore` and `/trash/empty`.
pub(super) async fn trash(state: &State, what: &str, query: &str, by: &By) -> Answer {
    match what {
        "restore" => restore(state, query, by).await,
        "empty" => {
            let query = Parameters::read(query, &["older_than"])?;
            let seconds = query.get::<u64>("older_than", "a number of seconds")?;
            let now = state.engine.clock().now();
            // Of what was put there this moment, too, unless a time is named.
            let before = match seconds.map(Duration::from_secs) {
                Some(span) => now.saturating_sub(span).unwrap_or(Timestamp::MIN),
                None => Timestamp::MAX,
            };
            let Emptied { files, bytes } = state.engine.empty_trash(before, by).await?;
            Ok(body::json(StatusCode::OK, &EmptiedBody { files, bytes }))
        }
        _ => Err(Problem::not_found()),
    }
}

async fn restore(state: &State, query: &str, by: &By) -> Answer {
    let query = Parameters::read(query, &["id", "to"])?;
    let unknown = || {
        let detail = "Nothing in the trash has this id: `flowstitch trash list` shows what is \
                      there.";
        Problem::new(StatusCode::NOT_FOUND, "not_found", detail)
    };
    let id = query.get::<TrashId>("id", "an id")?.ok_or_else(unknown)?;
    let named = query.get::<KnownName>("to", "the name of a user")?.is_some();
    let to = if named { Some(known_user(state, &query, "to").await?) } else { None };
    let restored = state.engine.restore_from_trash(id, to.as_ref(), by).await?;
    let restored = restored.ok_or_else(unknown)?;
    let restored = restored.map_err(|why| Problem::new(StatusCode::CONFLICT, "conflict", why))?;
    let answer = match restored {
        Restored::Creative(creative) => RestoredBody {
            creative_id: Some(creative.id),
            user_id: Some(creative.principal.as_str().to_owned()),
            upload_id: None,
            bytes: creative.size,
        },
        Restored::Upload(upload, bytes) => {
            RestoredBody { creative_id: None, user_id: None, upload_id: Some(upload), bytes }
        }
    };
    Ok(body::json(StatusCode::OK, &answer))
}
