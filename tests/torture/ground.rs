//! Where a round's data lies: a folder of its own, or a file system of its own.

use std::{
    io,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

/// The place of one round. What is in it goes when it is dropped, unless it is kept.
#[derive(Debug)]
pub(crate) struct Ground {
    scratch: TempDir,
    data: PathBuf,
}

impl Ground {
    /// A folder on the file system that holds temporary files.
    pub(crate) fn plain() -> io::Result<Self> {
        let scratch = tempfile::Builder::new().prefix("flowstitch-torture-").tempdir()?;
        let data = scratch.path().join("data");
        std::fs::create_dir(&data)?;
        Ok(Self { scratch, data })
    }

    /// The data directory of the server.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// A folder for what the round needs besides: the log of its servers, images.
    pub(crate) fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Leaves everything where it is, and says where.
    pub(crate) fn keep(self) -> PathBuf {
        self.scratch.keep()
    }
}
