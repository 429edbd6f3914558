//! The disk on which servers are measured: a fresh folder for each, and quiet between them.

use std::{
    fs::{self, File},
    hint::black_box,
    io,
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

    /// Sees that so much memory is at hand, if the machine has it: a virtual one may give what is
    /// free back to its host, and to get it again costs more than to fill it. Whoever happens to
    /// come first would pay for that.
    pub(crate) fn warm(bytes: u64) {
        let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let available = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
        let kib = available.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        let most = kib.unwrap_or_default() * 1024 / 2;
        let len = usize::try_from(bytes.min(most)).expect("memory can be addressed");
        // A page is given when it is written to.
        drop(black_box(vec![1_u8; len]));
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
