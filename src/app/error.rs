//! Why a start is refused.

use std::{error::Error, io, net::SocketAddr, path::Path};

use super::{CertificateError, Mismatch};
use crate::{
    access::ForwardSetUpError, catalog::CatalogError, engine::UploadError, mail::Unusable,
    store::OpenError,
};

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Database and data folders do not belong together.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// The data folders.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The database.
    #[error("cannot open the database {path}")]
    Catalog {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: CatalogError,
    },
    /// The keys of tickets.
    #[error("cannot use the keys of tickets in {path} (set by {setting})")]
    Keys {
        /// Which setting names the file.
        setting: &'static str,
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The mail server.
    #[error(transparent)]
    Mail(#[from] Unusable),
    /// The password for it.
    #[error("cannot read the password in {path} (set by smtp_password_file)")]
    Password {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The address.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Whoever can reach the address could do everything.
    #[error(
        "nobody may listen on {address} without credentials, for it is not of this machine alone: \
         run `flowstitch token create NAME` to make a token, with which clients then show who they \
         are, or let everybody in with --allow-anonymous"
    )]
    Unprotected {
        /// The address.
        address: SocketAddr,
    },
    /// The service is open to everybody, and is to be reached by others than this machine.
    #[error(
        "{setting} is set, but the service is open to everybody, because it has never had a user: \
         run `flowstitch token create NAME` to require credentials from now on, or let everybody \
         in with --allow-anonymous, or leave {setting} out"
    )]
    OpenBehind {
        /// The setting that says so.
        setting: &'static str,
    },
    /// The certificate or its key.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Whoever is asked who a request comes from.
    #[error("cannot use auth_url")]
    Forward(#[from] ForwardSetUpError),
    /// What the last session left could not be recovered.
    #[error("cannot recover what the last session left")]
    Recover(#[source] UploadError),
}

impl StartError {
    /// What an error of the catalog at this path is.
    pub fn of(database: &Path) -> impl Fn(CatalogError) -> Self {
        |source| Self::Catalog { path: database.display().to_string(), source }
    }
}
