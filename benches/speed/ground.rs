//! The disk on which servers are measured: a fresh folder for each, and quiet between them.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use rustix::fs::{statvfs, syncfs};
use tempfile::TempDir;

/// Where servers have their folders.
pub(crate) struct Ground {
    top: PathBuf,
}

impl Ground {
    /// A ground at `top`, which is made if it is not there.
    pub(crate) fn new(top: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&top)?;
        Ok(Self { top })
    }

    /// An empty folder, once nothing is left to be written from before: the writing back of one
    /// server's bytes must not be paid for by the next. It goes with what is returned.
    pub(crate) fn fresh(&self) -> io::Result<TempDir> {
        let folder = tempfile::Builder::new().prefix("speed-").tempdir_in(&self.top)?;
        self.settle()?;
        Ok(folder)
    }

    /// Sees that the page cache can take so many bytes at once. A virtual machine may give free
    /// memory back to its host, and to get it again costs ten times what it costs to fill it: who
    /// comes first would pay for that. What a file just had is given to the next one.
    pub(crate) fn warm(&self, bytes: u64) -> io::Result<()> {
        let mut file = tempfile::tempfile_in(&self.top)?;
        let piece = vec![1; 1 << 20];
        for _ in 0..bytes.div_ceil(piece.len() as u64) {
            file.write_all(&piece)?;
        }
        drop(file);
        self.settle()
    }

    /// Waits until the file system has nothing to write.
    pub(crate) fn settle(&self) -> io::Result<()> {
        Ok(syncfs(File::open(&self.top)?)?)
    }

    /// Bytes that are free.
    pub(crate) fn room(&self) -> io::Result<u64> {
        let system = statvfs(&self.top)?;
        Ok(system.f_bavail * system.f_frsize)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.top
    }
}
