//! Why a catalog could not do what it was asked.

/// Why a catalog could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// Another running upload holds the identity.
    #[error("another running upload has this identity")]
    Taken,
    /// No room to write.
    #[error("no space left for the catalog")]
    NoSpace(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Another process has locked it.
    #[error("another server is using it: stop that one, or give this one its own database")]
    InUse,
    /// It cannot be reached or is busy: the same call may succeed later.
    #[error("the catalog is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What it holds cannot be: a newer schema, a value out of its domain.
    #[error("the catalog holds what it must not: {0}")]
    Corrupt(String),
}
