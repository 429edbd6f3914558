//! Whether catalog and folders belong together: asked before anything is written.
//!
//! That something is not there is never taken for consent. A catalog that is missing may lie on a
//! disk that is not mounted, and then a new one in its place would give up every unfinished upload
//! and let everybody in.

use std::path::{Path, PathBuf};

use super::{StartError, catalog};
use crate::{
    catalog::{CatalogSurvey, DatabaseLock},
    config::Config,
    store::FolderSurvey,
    upload::Mark,
};

/// Why catalog and folders must not be used together. Names paths: it is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum Mismatch {
    /// The catalog is new, and a folder is not.
    #[error(
        "the database {} is new, but the folder {} is not: it has files or the mark of an earlier \
         database. Nothing was changed. Check the settings data_dir and database, and that all \
         disks are mounted. If the earlier database is lost, restore it from a backup, or start \
         once with --adopt: then what the new database does not know is given up",
        database.display(), folder.display()
    )]
    NewCatalog {
        /// The database.
        database: PathBuf,
        /// The folder.
        folder: PathBuf,
    },
    /// Both are of a deployment, and not of the same.
    #[error(
        "the folder {} is foreign to the database {}: they belong to two different services. \
         Nothing was changed. Check the settings data_dir, database, incomplete_dir and \
         completed_dir. If they are to be used together all the same, start once with --adopt",
        folder.display(), database.display()
    )]
    Foreign {
        /// The database.
        database: PathBuf,
        /// The folder.
        folder: PathBuf,
    },
    /// The catalog was last used by a version of this program that did not mark folders yet.
    #[error(
        "the database {} is older than the folder {}: the version of this program that wrote it \
         did not mark its folders, and this folder is marked. Most likely the database is a backup \
         from before an upgrade. Nothing was changed. To go on with the folder as it is, put the \
         newer database back in its place, or check the setting database. To go back to the time \
         of the backup, restore the folders that were saved with it. If there are none, start once \
         with --adopt: then every unfinished upload is read back before it is believed, and what \
         the database does not know is given up",
        database.display(), folder.display()
    )]
    OlderCatalog {
        /// The database.
        database: PathBuf,
        /// The folder.
        folder: PathBuf,
    },
    /// The catalog is in use, and a folder is new.
    #[error(
        "the database {} is in use, but the folder {} is {state}: it may lie on a disk that is not \
         mounted. Nothing was changed. Check the mounts and the settings incomplete_dir and \
         completed_dir. If the files were moved there without the file .flowstitch-deployment, or \
         are lost, start once with --adopt",
        database.display(), folder.display()
    )]
    NewFolder {
        /// The database.
        database: PathBuf,
        /// The folder.
        folder: PathBuf,
        /// What is wrong with the folder.
        state: &'static str,
    },
}

/// A folder as the guard sees it.
#[derive(Debug)]
struct Folder<'a> {
    path: &'a Path,
    survey: FolderSurvey,
    /// Whether the catalog knows files that should be in it.
    has_known: bool,
}

/// What was found before anything was written.
#[derive(Debug)]
pub(super) struct Passed {
    /// What the catalog says; nothing if it is new.
    pub(super) catalog: Option<CatalogSurvey>,
    lock: Option<DatabaseLock>,
}

impl Passed {
    /// Locks the database, which is made if it is not there yet.
    pub(super) fn lock(self, database: &Path) -> Result<DatabaseLock, StartError> {
        let made = self.lock.map_or_else(|| DatabaseLock::of(database), Ok);
        made.map_err(StartError::of(database))
    }
}

/// Whether catalog and folders belong together. Makes nothing and changes nothing. Blocks.
///
/// The database is locked meanwhile, if it is there: nobody else changes it.
pub(super) fn check(config: &Config) -> Result<Passed, StartError> {
    let (database, of_it) = (&config.database, StartError::of(&config.database));
    let incomplete = FolderSurvey::of_incomplete(&config.incomplete_dir)?;
    let completed = FolderSurvey::of_completed(&config.completed_dir)?;
    let trash = FolderSurvey::of_trash(&config.trash_dir)?;
    let lock = DatabaseLock::of_existing(database).map_err(&of_it)?;
    let catalog = CatalogSurvey::of(database, catalog::access(config)).map_err(&of_it)?;
    let known = catalog.unwrap_or_default();
    let folder = |path, survey, has_known| Folder { path, survey, has_known };
    let folders = [
        folder(&config.incomplete_dir, incomplete, known.has_running),
        folder(&config.completed_dir, completed, known.has_creatives),
        // What is in it is noted in it: the catalog does not say what should be there.
        folder(&config.trash_dir, trash, false),
    ];
    match judge(database, known, &folders) {
        Err(mismatch) if config.adopt => {
            tracing::warn!(error = &mismatch as &dyn std::error::Error, "Overruled by --adopt");
        }
        judged => judged?,
    }
    Ok(Passed { catalog: catalog.filter(|catalog| catalog.is_used), lock })
}

fn judge(database: &Path, catalog: CatalogSurvey, folders: &[Folder<'_>]) -> Result<(), Mismatch> {
    folders.iter().try_for_each(|it| {
        let (database, folder) = (|| database.to_owned(), || it.path.to_owned());
        let FolderSurvey { mark, has_files } = it.survey;
        let own = catalog.mark.map(|mark| mark.deployment);
        match mark {
            _ if !catalog.is_used && (has_files || mark.is_some()) => {
                Err(Mismatch::NewCatalog { database: database(), folder: folder() })
            }
            Some(_) if own.is_none() => {
                Err(Mismatch::OlderCatalog { database: database(), folder: folder() })
            }
            Some(Mark { deployment, .. }) if Some(deployment) != own => {
                Err(Mismatch::Foreign { database: database(), folder: folder() })
            }
            None if it.has_known && !has_files => {
                Err(Mismatch::NewFolder { database: database(), folder: folder(), state: "empty" })
            }
            // Until the folders are marked for the first time. A crash may come in between.
            None if is_marked(catalog) && (it.has_known || has_files) => Err(Mismatch::NewFolder {
                database: database(),
                folder: folder(),
                state: "not marked as the folder of this database",
            }),
            _ => Ok(()),
        }
    })
}

/// Whether the folders of this catalog were marked once: see
/// [`crate::catalog::Deployment::advance`].
fn is_marked(catalog: CatalogSurvey) -> bool {
    catalog.mark.is_some_and(|mark| 1 < mark.generation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upload::DeploymentId;

    const NEW: CatalogSurvey = CatalogSurvey {
        mark: None,
        is_used: false,
        has_running: false,
        has_creatives: false,
        has_users: false,
        access: None,
    };

    fn mark(generation: u64) -> Mark {
        Mark { deployment: DeploymentId::from_bytes([7; 16]), generation }
    }

    fn used(generation: Option<u64>) -> CatalogSurvey {
        let mark = generation.map(mark);
        CatalogSurvey { mark, is_used: true, has_running: true, has_creatives: true, ..NEW }
    }

    /// The word for what is wrong, with two folders that are found like this.
    fn judged(catalog: CatalogSurvey, mark: Option<Mark>, has_files: bool) -> &'static str {
        let path = Path::new("a");
        let survey = FolderSurvey { mark, has_files };
        let has_known = catalog.has_running;
        match judge(path, catalog, &[Folder { path, survey, has_known }]) {
            Ok(()) => "right",
            Err(Mismatch::NewCatalog { .. }) => "new catalog",
            Err(Mismatch::OlderCatalog { .. }) => "older catalog",
            Err(Mismatch::Foreign { .. }) => "foreign",
            Err(Mismatch::NewFolder { state, .. }) => state,
        }
    }

    #[test]
    fn catalog_and_folders_are_used_only_if_they_know_each_other() {
        let other = Some(Mark { deployment: DeploymentId::from_bytes([8; 16]), generation: 9 });
        let unmarked = "not marked as the folder of this database";
        let idle = CatalogSurvey { has_running: false, has_creatives: false, ..used(Some(9)) };
        for (catalog, mark, has_files, expected) in [
            (NEW, None, false, "right"),
            (NEW, None, true, "new catalog"),
            (NEW, other, false, "new catalog"),
            (used(Some(9)), Some(mark(9)), true, "right"),
            (used(Some(9)), Some(mark(9)), false, "right"),
            (used(Some(2)), Some(mark(9)), true, "right"),
            (used(Some(9)), other, true, "foreign"),
            // What was saved before an upgrade is old, and not another service's.
            (used(None), other, true, "older catalog"),
            (used(None), Some(mark(1)), false, "older catalog"),
            (used(Some(9)), None, false, "empty"),
            (used(Some(9)), None, true, unmarked),
            (idle, None, true, unmarked),
            (idle, None, false, "right"),
            // The first start of this version, and one that was cut short before the marks.
            (used(None), None, true, "right"),
            (used(Some(1)), None, true, "right"),
            (used(None), None, false, "empty"),
        ] {
            assert_eq!(
                judged(catalog, mark, has_files),
                expected,
                "{catalog:?} {mark:?} {has_files}"
            );
        }
    }
}
