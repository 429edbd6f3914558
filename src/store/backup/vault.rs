//! The folder that a backup is written to, and read from.
//!
//! ```text
//! manifest.jsonl            what is in it; replaced in one step, last
//! catalog-<id>.db           the snapshot of the catalog
//! parts-<id>/<upload>.part  bytes of uploads that were running
//! completed/<name>          finished files, which never change and so are shared by all backups
//! unfinished                in place of a manifest: the first backup was interrupted
//! ```
//!
//! Until the new manifest is in its place, the old one is true, and all that it names is there.

use std::{
    fs::File,
    io::{self, BufReader},
    path::{Path, PathBuf},
};

use super::{
    Generation,
    manifest::{Entry, Header, ManifestError, Reader},
};
use crate::store::{durable::Folder, name::Name};

pub(super) const MANIFEST: &str = "manifest.jsonl";
pub(super) const UNFINISHED: &str = "unfinished";
pub(super) const FINISHED: &str = "completed";

/// Why a folder cannot be used for a backup.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// It cannot be made, opened, read or written.
    #[error("cannot use the folder {} for a backup", path.display())]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Something else is in it.
    #[error(
        "{} is not empty and holds no backup of flowstitch: name an empty folder, or a new one",
        path.display()
    )]
    Foreign {
        /// Which folder.
        path: PathBuf,
    },
    /// A backup of other data is in it.
    #[error(
        "{} holds a backup of another deployment: name a folder of its own for each",
        path.display()
    )]
    OtherDeployment {
        /// Which folder.
        path: PathBuf,
    },
    /// Another tool works there.
    #[error("another backup or restore is using {}: wait until it has ended", path.display())]
    InUse {
        /// Which folder.
        path: PathBuf,
    },
    /// No backup is in it.
    #[error("{} holds no backup: the folder has no {MANIFEST}", path.display())]
    NoBackup {
        /// Which folder.
        path: PathBuf,
    },
    /// A backup was begun and not finished.
    #[error(
        "the backup in {} was interrupted and is not whole: run `flowstitch backup` again, which \
         goes on where it stopped",
        path.display()
    )]
    Unfinished {
        /// Which folder.
        path: PathBuf,
    },
    /// What it says of itself is not to be believed.
    #[error("cannot believe the backup in {}", path.display())]
    Manifest {
        /// Which folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: ManifestError,
    },
}

/// A folder of backups, locked.
#[derive(Debug)]
pub struct Vault {
    pub(super) root: Folder,
    pub(super) path: PathBuf,
}

impl Vault {
    /// Opens a folder to write a backup to, and makes it if it is not there.
    pub fn open_to_write(path: &Path) -> Result<Self, VaultError> {
        let unusable = |source| VaultError::Folder { path: path.into(), source };
        let root = Folder::open(path).map_err(unusable)?;
        let vault = Self::lock(root, path)?;
        let has = |name: &str| vault.root.len(&Name::of_entry(name)).map_err(unusable);
        if has(MANIFEST)?.is_none() && has(UNFINISHED)?.is_none() {
            if !vault.root.is_empty().map_err(unusable)? {
                return Err(VaultError::Foreign { path: path.into() });
            }
            let mark = || {
                vault.root.create(&Name::of_entry(UNFINISHED), 0)?;
                vault.root.sync(vault.root.failures())
            };
            mark().map_err(unusable)?;
        }
        Ok(vault)
    }

    /// Opens a folder to restore from.
    pub fn open_to_read(path: &Path) -> Result<Self, VaultError> {
        let unusable = |source| VaultError::Folder { path: path.into(), source };
        let vault = Self::lock(Folder::open_existing(path).map_err(unusable)?, path)?;
        if vault.root.len(&Name::of_entry(MANIFEST)).map_err(unusable)?.is_some() {
            return Ok(vault);
        }
        let begun = vault.root.len(&Name::of_entry(UNFINISHED)).map_err(unusable)?.is_some();
        let path = path.into();
        Err(if begun { VaultError::Unfinished { path } } else { VaultError::NoBackup { path } })
    }

    fn lock(root: Folder, path: &Path) -> Result<Self, VaultError> {
        match root.try_lock() {
            Ok(true) => Ok(Self { root, path: path.into() }),
            Ok(false) => Err(VaultError::InUse { path: path.into() }),
            Err(source) => Err(VaultError::Folder { path: path.into(), source }),
        }
    }

    /// Reads the manifest: what it is of, and then what is in it.
    pub fn manifest(
        &self,
    ) -> Result<(Header, impl Iterator<Item = Result<Entry, VaultError>> + use<'_>), VaultError>
    {
        let broken = |source| VaultError::Manifest { path: self.path.clone(), source };
        let file = self.root.open_to_read(&Name::of_entry(MANIFEST));
        let file = file.map_err(|error| broken(error.into()))?;
        let reader = Reader::begin(BufReader::new(file)).map_err(broken)?;
        Ok((reader.header.clone(), reader.map(move |entry| entry.map_err(broken))))
    }

    /// Begins a backup. What is there already and still true is not copied again.
    ///
    /// Errors: [`VaultError::OtherDeployment`].
    pub fn begin(&self, header: &Header) -> Result<Generation<'_>, VaultError> {
        let unusable = |source| VaultError::Folder { path: self.path.clone(), source };
        let is_first = self.root.len(&Name::of_entry(MANIFEST)).map_err(unusable)?.is_none();
        if !is_first && self.manifest()?.0.deployment != header.deployment {
            return Err(VaultError::OtherDeployment { path: self.path.clone() });
        }
        Generation::begin(self, header).map_err(unusable)
    }

    /// Where a file of the backup is, by its place in the manifest.
    #[must_use]
    pub fn path_of(&self, place: &str) -> PathBuf {
        self.path.join(place)
    }

    /// A file of the backup, by its place in the manifest.
    pub(super) fn file(&self, place: &str) -> io::Result<Option<(File, Folder, Name)>> {
        let (folder, name) = match place.split_once('/') {
            Some((folder, name)) => (self.root.within(&Name::of_entry(folder))?, name),
            None => (self.root.within(&Name::of_entry("."))?, place),
        };
        let Some(folder) = folder else { return Ok(None) };
        let name = Name::of_entry(name);
        match folder.open_to_read(&name) {
            Ok(file) => Ok(Some((file, folder, name))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
