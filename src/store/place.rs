//! The folders of the store, as their operator named them, and whether they will do.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{durable::Folder, name::Name};

/// Why a server cannot keep its files where it was told to.
///
/// These name paths: they are for the operator, who wrote them into the settings.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A folder cannot be made, opened or locked.
    #[error(
        "cannot use the folder {}: it must be a folder of this user on a local disk",
        path.display()
    )]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The marker file of a folder cannot be read.
    #[error(
        "cannot read the file .flowstitch-deployment in {}, which says which database the folder \
         belongs to: restore it, or, if the database is the right one, remove it and start once \
         with --adopt",
        path.display()
    )]
    Mark {
        /// Which folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Nothing can be written into a folder.
    #[error(
        "cannot write to the folder {}: check its owner, its mode and the room on the disk",
        path.display()
    )]
    NotWritable {
        /// Which folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Uploads and finished files would lie in one folder.
    #[error(
        "{} and {} are the same folder: give each its own",
        incomplete.display(), completed.display()
    )]
    SameFolder {
        /// Where uploads were to be.
        incomplete: PathBuf,
        /// Where finished files were to be.
        completed: PathBuf,
    },
    /// A finished file could not be moved in one step.
    #[error(
        "{} and {} are on different file systems or mounts, but a finished file must move from one \
         to the other in a single step: put both on the same one",
        incomplete.display(), completed.display()
    )]
    DifferentFileSystems {
        /// Where uploads were to be.
        incomplete: PathBuf,
        /// Where finished files were to be.
        completed: PathBuf,
    },
    /// Two servers would write to the same uploads.
    #[error(
        "another server is using the folder {}: stop it, or give this one its own",
        path.display()
    )]
    InUse {
        /// Which folder.
        path: PathBuf,
    },
}

/// A folder, and what its operator calls it.
pub(super) struct Place<'a> {
    pub(super) folder: Folder,
    path: &'a Path,
}

impl<'a> Place<'a> {
    pub(super) fn open(path: &'a Path) -> Result<Self, OpenError> {
        match Folder::open(path) {
            Ok(folder) => Ok(Self { folder, path }),
            Err(source) => Err(OpenError::Folder { path: path.into(), source }),
        }
    }

    pub(super) fn check_differs_from(&self, other: &Self) -> Result<(), OpenError> {
        let identity = |it: &Self| it.folder.identity().map_err(|source| it.unusable(source));
        if identity(self)? == identity(other)? {
            let (incomplete, completed) = (self.path.into(), other.path.into());
            return Err(OpenError::SameFolder { incomplete, completed });
        }
        Ok(())
    }

    /// Takes the folder for this process. Each folder is locked: two servers must not share one of
    /// them either.
    pub(super) fn lock(&self) -> Result<(), OpenError> {
        match self.folder.try_lock() {
            Ok(true) => Ok(()),
            Ok(false) => Err(OpenError::InUse { path: self.path.into() }),
            Err(source) => Err(self.unusable(source)),
        }
    }

    /// Moves a probe as a finished file will be moved. Nothing less can tell: two mounts of one
    /// file system (two volumes of a container, say) have one device number, and yet no file moves
    /// from the one to the other. An empty probe: a full disk must not keep the server from
    /// starting, for it is the server that can make room.
    pub(super) fn check_moves_to(&self, other: &Self) -> Result<(), OpenError> {
        let probe = Name::of_probe();
        self.folder.create(&probe, 0).map_err(|source| self.not_writable(source))?;
        other.folder.remove(&probe).map_err(|source| other.not_writable(source))?;
        let moved = self.folder.rename(&probe, &other.folder, &probe);
        self.folder.remove(&probe).map_err(|source| self.not_writable(source))?;
        moved.map_err(|source| match source.kind() {
            io::ErrorKind::CrossesDevices => OpenError::DifferentFileSystems {
                incomplete: self.path.into(),
                completed: other.path.into(),
            },
            _ => other.not_writable(source),
        })?;
        other.folder.remove(&probe).map_err(|source| other.not_writable(source))
    }

    /// A server that was killed may have made or moved files whose names were not synced yet: from
    /// here on what is in the folder is there to stay.
    pub(super) fn make_durable(&self) -> Result<(), OpenError> {
        self.folder.sync(self.folder.failures()).map_err(|source| self.not_writable(source))
    }

    fn unusable(&self, source: io::Error) -> OpenError {
        OpenError::Folder { path: self.path.into(), source }
    }

    fn not_writable(&self, source: io::Error) -> OpenError {
        OpenError::NotWritable { path: self.path.into(), source }
    }
}
