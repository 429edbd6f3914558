//! Puts a backup into folders that are empty: files first, the catalog last.
//!
//! While it goes on, a mark in the folder of uploads says so: a server does not start on what is
//! half restored, and the same restore may be run again and goes on where it stopped.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{
    RESTORING, Vault, VaultError,
    copy::{self, Tell, Wish},
    manifest::Entry,
};
use crate::{
    store::{
        Folders, OpenError, StoreError,
        durable::{Folder, sync_bytes},
        name::Name,
        place::Place,
    },
    upload::{DigestKinds, Mark, limits::READ_LEN_MAX},
};

/// Why a backup cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The folders that it is to go to.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Something is there already.
    #[error(
        "{} is not empty: a backup is restored into empty folders only; move what is there \
         elsewhere, or name another data_dir",
        path.display()
    )]
    NotEmpty {
        /// Where.
        path: PathBuf,
    },
    /// A file of the backup is not what the manifest says.
    #[error("{file} of the backup {problem}: this backup cannot be restored whole, use another")]
    Damaged {
        /// Which file.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// A file cannot be copied.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where a backup goes to.
#[derive(Debug)]
pub struct Restore<'a> {
    vault: &'a Vault,
    incomplete: Folder,
    completed: Folder,
    trash: Folder,
    /// The folder of the database, and its name there.
    beside: Folder,
    database: Name,
}

impl<'a> Restore<'a> {
    /// Opens the folders, makes them if they are not there, and marks them.
    ///
    /// Errors: [`RestoreError::NotEmpty`], unless they hold what an earlier try of the same restore
    /// has left.
    pub fn begin(
        vault: &'a Vault,
        (folders, database): (Folders<'_>, &Path),
    ) -> Result<Self, RestoreError> {
        let Folders { incomplete, completed, trash } = folders;
        let (uploads, finished) = (Place::open(incomplete)?, Place::open(completed)?);
        let bin = Place::open(trash)?;
        uploads.check_differs_from(&finished)?;
        uploads.check_differs_from(&bin)?;
        finished.check_differs_from(&bin)?;
        for place in [&uploads, &finished, &bin] {
            place.lock()?;
        }
        uploads.check_moves_to(&finished)?;
        finished.check_moves_to(&bin)?;
        let parent = match database.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let unusable = |source| OpenError::Folder { path: parent.into(), source };
        let beside = Folder::open(parent).map_err(unusable)?;
        let name = database.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let database_name = Name::of_entry(name);
        let restore = Self {
            vault,
            incomplete: uploads.folder,
            completed: finished.folder,
            trash: bin.folder,
            beside,
            database: database_name,
        };
        let id = vault.manifest()?.0.id;
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Folder { path, source }
        };
        if restore.is_begun(&id).map_err(unreadable(incomplete))? {
            return Ok(restore);
        }
        let all = [
            (&restore.incomplete, incomplete),
            (&restore.completed, completed),
            (&restore.trash, trash),
        ];
        for (folder, path) in all {
            if !folder.is_empty().map_err(unreadable(path))? {
                return Err(RestoreError::NotEmpty { path: path.into() });
            }
        }
        for suffix in ["", "-wal", "-shm"] {
            let name = Name(format!("{}{suffix}", restore.database.0));
            if restore.beside.len(&name).map_err(unusable)?.is_some() {
                return Err(RestoreError::NotEmpty { path: database.into() });
            }
        }
        restore.mark(&id).map_err(unreadable(incomplete))?;
        Ok(restore)
    }

    /// Whether an earlier try of the same restore has begun.
    fn is_begun(&self, id: &str) -> io::Result<bool> {
        let mark = Name::of_entry(RESTORING);
        let mut text = String::new();
        match self.incomplete.open_to_read(&mark) {
            Ok(file) => file.take(READ_LEN_MAX as u64).read_to_string(&mut text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        // Where the mark was cut short, nothing else had been done.
        Ok(id.starts_with(&text))
    }

    fn mark(&self, id: &str) -> io::Result<()> {
        let mut file = self.incomplete.create(&Name::of_entry(RESTORING), 0)?;
        file.write_all(id.as_bytes())?;
        sync_bytes(&file)?;
        self.incomplete.sync(self.incomplete.failures())
    }

    /// Restores a file of the backup but for the catalog, which [`Self::finish`] restores. With
    /// `linked`, a finished file becomes the one of the backup under a second name.
    pub fn add(&self, entry: &Entry, linked: bool, tell: Tell<'_>) -> Result<(), RestoreError> {
        let (place, size) = entry.place();
        let (to, reserved) = match entry {
            Entry::Catalog { .. } => return Ok(()),
            Entry::Finished { .. } => (&self.completed, false),
            Entry::Part { .. } => (&self.incomplete, true),
        };
        let (file, folder, name) = self.vault.whole(place, size)?;
        let mut add = || {
            if to.len(&name)? == Some(size) {
                tell(size);
                return Ok(());
            }
            to.remove(&name)?;
            // One of another owner the server could not open.
            let linked =
                linked && matches!(entry, Entry::Finished { .. }) && to.has_owner_of(&file)?;
            if linked && copy::link((&folder, &name), (to, &name))?.is_some() {
                tell(size);
                return Ok(());
            }
            copy::copy(&file, (to, &name), Wish { len: size, reserved }, tell).map(drop)
        };
        Ok(add().map_err(|source| StoreError::from_io("restore a file", source))?)
    }

    /// Marks the folders as those of the catalog, and puts the catalog in its place: from then on a
    /// server may start.
    pub fn finish(
        self,
        (place, size): (&str, u64),
        mark: Option<Mark>,
    ) -> Result<(), RestoreError> {
        let (file, ..) = self.vault.whole(place, size)?;
        let finish = || {
            for folder in [&self.incomplete, &self.completed, &self.trash] {
                mark.map_or(Ok(()), |mark| folder.set_mark(mark))?;
                folder.sync(folder.failures())?;
            }
            // An earlier try may have come so far: no server starts before the mark is gone.
            if self.beside.len(&self.database)? != Some(size) {
                let to = (&self.beside, &self.database);
                copy::copy(&file, to, Wish::default(), &mut |_| {})?;
            }
            self.beside.sync(self.beside.failures())?;
            self.incomplete.remove(&Name::of_entry(RESTORING))?;
            self.incomplete.sync(self.incomplete.failures())
        };
        Ok(finish().map_err(|source| StoreError::from_io("restore the catalog", source))?)
    }
}

impl Folder {
    /// Whether nothing is in it, but for what keeps an empty folder in a repository and what every
    /// ext4 file system has.
    pub(super) fn is_empty(&self) -> io::Result<bool> {
        const NOTHING: [&[u8]; 4] = [b".", b"..", b".gitkeep", b"lost+found"];
        for entry in self.entries()? {
            if !NOTHING.contains(&entry?.name.as_bytes()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a file belongs to the owner of this folder.
    fn has_owner_of(&self, file: &File) -> io::Result<bool> {
        let folder = rustix::fs::fstat(self.handle())?;
        Ok(folder.st_uid == file.metadata()?.uid())
    }
}

impl Vault {
    /// A file of the backup, if it is as long as it should be.
    fn whole(&self, place: &str, size: u64) -> Result<(File, Folder, Name), RestoreError> {
        let damaged = |problem| RestoreError::Damaged { file: place.to_owned(), problem };
        let unreadable = |source| StoreError::from_io("read a file of the backup", source);
        let found = self.file(place).map_err(unreadable)?;
        let (file, folder, name) = found.ok_or_else(|| damaged("is not there".into()))?;
        let len = file.metadata().map_err(unreadable)?.len();
        if len != size {
            return Err(damaged(format!("has {len} bytes and should have {size}")));
        }
        Ok((file, folder, name))
    }

    /// Checks a file of the backup: its length, and with `hashed` its digests, too.
    pub fn check(&self, entry: &Entry, hashed: bool, tell: Tell<'_>) -> Result<(), RestoreError> {
        let (place, size) = entry.place();
        let (file, ..) = self.whole(place, size)?;
        let (sha256, blake3) = entry.digests();
        if !hashed || (sha256.is_none() && blake3.is_none()) {
            return Ok(());
        }
        let kinds = DigestKinds { sha256: sha256.is_some(), blake3: blake3.is_some() };
        let found = copy::hash(&file, kinds, tell);
        let found = found.map_err(|it| StoreError::from_io("read a file of the backup", it))?;
        let found = (found.sha256.map(|it| it.to_string()), found.blake3.map(|it| it.to_string()));
        if (found.0.as_deref(), found.1.as_deref()) != (sha256, blake3) {
            let problem = "does not hash to what the manifest says".into();
            return Err(RestoreError::Damaged { file: place.to_owned(), problem });
        }
        Ok(())
    }
}
