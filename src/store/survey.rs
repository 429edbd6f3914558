//! What a start must know of the data folders before anything is written.

use std::{io, path::Path};

use super::{
    OpenError, PublishedName,
    backup::RESTORING,
    durable::{Entry, Folder},
    name::Name,
};
use crate::upload::Mark;

/// What is known of one data folder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FolderSurvey {
    /// Which deployment it belongs to, if a service has ever started on it.
    pub mark: Option<Mark>,
    /// Whether files of ours are in it.
    pub has_files: bool,
}

impl FolderSurvey {
    /// Looks at a folder of unfinished uploads. One that is not there is empty. Blocks.
    ///
    /// Errors: [`OpenError::InUse`] if another server has it.
    pub fn of_incomplete(path: &Path) -> Result<Self, OpenError> {
        Self::of(path, |entry, name| entry.is_regular && Name::to_upload(name).is_some())
    }

    /// Looks at a folder of finished files.
    pub fn of_completed(path: &Path) -> Result<Self, OpenError> {
        Self::of(path, |entry, name| entry.is_regular && PublishedName::parse(name).is_some())
    }

    /// Looks at a trash folder, which has a folder for each day.
    pub fn of_trash(path: &Path) -> Result<Self, OpenError> {
        Self::of(path, |entry, name| !entry.is_regular && !name.starts_with('.'))
    }

    fn of(path: &Path, is_ours: impl Fn(&Entry, &str) -> bool) -> Result<Self, OpenError> {
        let unusable = |source| OpenError::Folder { path: path.into(), source };
        let folder = match Folder::open_existing(path) {
            Ok(folder) => folder,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(unusable(source)),
        };
        if !folder.try_lock().map_err(unusable)? {
            return Err(OpenError::InUse { path: path.into() });
        }
        // What is half restored is no data yet.
        if folder.len(&Name::of_entry(RESTORING)).map_err(unusable)?.is_some() {
            return Err(OpenError::HalfRestored { path: path.into() });
        }
        let mark = folder.mark().map_err(|source| OpenError::Mark { path: path.into(), source })?;
        for entry in folder.entries().map_err(unusable)? {
            let entry = entry.map_err(unusable)?;
            if entry.name.to_str().is_ok_and(|name| is_ours(&entry, name)) {
                return Ok(Self { mark, has_files: true });
            }
        }
        Ok(Self { mark, has_files: false })
    }
}
