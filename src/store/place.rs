//! The folders of the store, as their operator named them, and whether they will do.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{backup::cuts::Cuts, durable::Folder, name::Name};

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
    /// Two of the folders are one.
    #[error(
        "{} and {} are the same folder: give each its own",
        one.display(), other.display()
    )]
    SameFolder {
        /// What it is in one setting.
        one: PathBuf,
        /// What it is in another.
        other: PathBuf,
    },
    /// A file could not be moved from one folder to the other in one step.
    #[error(
        "{} and {} are on different file systems or mounts, but a file must move from one to the \
         other in a single step: put both on the same one",
        from.display(), to.display()
    )]
    DifferentFileSystems {
        /// Where files are.
        from: PathBuf,
        /// Where they are to go.
        to: PathBuf,
    },
    /// A restore was begun and did not end.
    #[error(
        "a restore into {} was interrupted: run `flowstitch restore` again, which goes on where it \
         stopped, or empty the data folders",
        path.display()
    )]
    HalfRestored {
        /// Which folder.
        path: PathBuf,
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

/// The folders of a store.
#[derive(Debug, Clone, Copy)]
pub struct Folders<'a> {
    /// Where uploads are while they come in.
    pub incomplete: &'a Path,
    /// Where finished files are.
    pub completed: &'a Path,
    /// Where files are that were set aside.
    pub trash: &'a Path,
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
            let (one, other) = (self.path.into(), other.path.into());
            return Err(OpenError::SameFolder { one, other });
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
            io::ErrorKind::CrossesDevices => {
                OpenError::DifferentFileSystems { from: self.path.into(), to: other.path.into() }
            }
            _ => other.not_writable(source),
        })?;
        other.folder.remove(&probe).map_err(|source| other.not_writable(source))
    }

    /// What is kept for a backup that is being taken; what others have left is removed.
    pub(super) fn cuts(&self) -> Result<Cuts, OpenError> {
        Cuts::adopt(&self.folder).map_err(|source| self.not_writable(source))
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
