//! `POST /backup`: takes the snapshot that a backup is copied by.

use std::fmt;

use async_trait::async_trait;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    engine::UploadError,
    http::{body, problem::Problem, query::Parameters, state::Answer},
};

/// A cut that was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cut {
    /// When it was made (RFC 3339).
    pub created_at: String,
}

/// Why a cut was not made.
#[derive(Debug)]
pub enum CutError {
    /// Another backup is being taken.
    Busy,
    /// Its folder is not there, or nobody has it locked.
    Gone,
    /// It cannot be made.
    Failed(UploadError),
}

impl From<UploadError> for CutError {
    fn from(error: UploadError) -> Self {
        Self::Failed(error)
    }
}

/// Whoever can make a cut of store and catalog.
#[async_trait]
pub trait Cutter: fmt::Debug + Send + Sync {
    /// Makes a cut, in the folder of this name that its tool has locked.
    async fn cut(&self, id: Uuid) -> Result<Cut, CutError>;
}

pub(super) async fn cut(cutter: Option<&dyn Cutter>, query: &str) -> Answer {
    let Some(cutter) = cutter else {
        let detail = "This store cannot be backed up: use what it brings itself.";
        return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, "not_implemented", detail));
    };
    let conflict = |detail: &'static str| Problem::new(StatusCode::CONFLICT, "conflict", detail);
    let gone = || {
        conflict(
            "The folder in which the backup was begun is gone: perhaps a server was started at \
             that moment. Run the same command again.",
        )
    };
    let id = Parameters::read(query, &["id"])?.get::<Uuid>("id", "a UUID")?.ok_or_else(gone)?;
    match cutter.cut(id).await {
        Ok(cut) => Ok(body::json(StatusCode::OK, &cut)),
        Err(CutError::Busy) => {
            Err(conflict("A backup of these data is being taken already: wait until it has ended."))
        }
        Err(CutError::Gone) => Err(gone()),
        Err(CutError::Failed(error)) => Err(error.into()),
    }
}
