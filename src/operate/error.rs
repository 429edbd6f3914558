//! Why a tool could not do what it was asked: the third answer beside yes and no.

use std::io;

use crate::{
    app::StartError,
    catalog::CatalogError,
    engine::UploadError,
    http::BoxError,
    store::{
        OpenError, StoreError,
        backup::{RestoreError, VaultError},
    },
};

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
    /// The control socket is there and cannot be used.
    #[error("cannot use the control socket {path}: run this as the user of the server")]
    Socket {
        /// Where it is.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is a server, and no way to reach it.
    #[error(
        "a server uses these data and does not answer at {path}: check control_socket here and \
         there, or stop the server"
    )]
    Unreachable {
        /// Where it should answer.
        path: String,
    },
    /// The server takes too long.
    #[error("the server took the request at {path} and does not answer: look at its log")]
    Silent {
        /// Where it was asked.
        path: String,
    },
    /// The connection ended early, or what came over it is no answer.
    #[error("the server's answer did not come whole: ask again, or look at its log")]
    Broken(#[source] BoxError),
    /// The server could not do it.
    #[error("the server could not do it: {0}")]
    Server(String),
    /// The data could not be closed.
    #[error("cannot close the data in order: the next start recovers")]
    Close(#[source] UploadError),
    /// The answer cannot be written.
    #[error("cannot write the answer")]
    Output(#[from] io::Error),
    /// The folder of the backup.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The data folders.
    #[error(transparent)]
    Place(#[from] OpenError),
    /// The backup, or where it is to go.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// A mistake of ours.
    #[error("a part of the work panicked: please report it")]
    Panicked(#[from] tokio::task::JoinError),
}
