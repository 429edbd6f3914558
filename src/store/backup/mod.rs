//! Backups: one consistent cut of the data, while the server runs and is written to.
//!
//! A cut is a snapshot of the catalog, and a promise: from then on the server keeps every file that
//! the snapshot may name (`cuts`). The tool copies those files out of the folders into a
//! [`Vault`] while the server goes on (`view`), and back (`restore`).

mod copy;
pub(super) mod cuts;
mod generation;
mod manifest;
mod restore;
mod vault;
mod view;

use std::path::{Path, PathBuf};

pub use self::{
    generation::{Added, Generation},
    manifest::{Entry, Header, ManifestError},
    restore::{Restore, RestoreError},
    vault::{Vault, VaultError},
    view::CutView,
};

/// In the folder of uploads: what backups that are being taken set aside, a folder each.
pub(super) const CUTS: &str = ".backup";
/// The snapshot of the catalog, in the folder of a cut.
const CUT_CATALOG: &str = "catalog.db";
/// In the folder of uploads: a restore has begun and has not ended.
pub(super) const RESTORING: &str = ".restore";

/// Where the snapshot of the catalog is that belongs to a cut in this folder of uploads.
#[must_use]
pub fn cut_catalog(incomplete: &Path, id: &str) -> PathBuf {
    incomplete.join(CUTS).join(id).join(CUT_CATALOG)
}
