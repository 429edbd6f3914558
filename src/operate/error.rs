//! Why a tool could not do what it was asked: the third answer beside yes and no.

use std::io;

use crate::{app::StartError, catalog::CatalogError, store::StoreError};

/// Why a tool has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The data cannot be opened.
    #[error(transparent)]
    Open(#[from] StartError),
    /// The database cannot be read.
    #[error("cannot read the database")]
    Catalog(#[from] CatalogError),
    /// The folders cannot be read.
    #[error("cannot read the data folders")]
    Store(#[from] StoreError),
    /// The answer cannot be written.
    #[error("cannot write the answer")]
    Output(#[from] io::Error),
    /// A mistake of ours.
    #[error("a part of the work panicked: please report it")]
    Panicked(#[from] tokio::task::JoinError),
}
