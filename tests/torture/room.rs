//! Room on a disk: how much there is, and who takes it away.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// The unit of sizes, in bytes.
pub(crate) const MIB: u64 = 1 << 20;

/// Room on a file system, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Space {
    pub(crate) free: u64,
    pub(crate) total: u64,
}

/// The room around a folder, as the system counts it.
pub(crate) fn space(folder: &Path) -> io::Result<Space> {
    let stat = rustix::fs::statvfs(folder)?;
    Ok(Space { free: stat.f_bavail * stat.f_frsize, total: stat.f_blocks * stat.f_frsize })
}

/// What takes the room away from the server: files that are none of its own.
#[derive(Debug)]
pub(crate) struct Ballast(Vec<PathBuf>);

impl Ballast {
    /// Takes all room but this, or a little more than that.
    pub(crate) fn all_but(folder: &Path, left: u64) -> io::Result<Self> {
        let mut ballast = Self(Vec::new());
        let mut step = space(folder)?.free.saturating_sub(left);
        while step != 0 {
            let taken = ballast.take(folder, step);
            // What does not fit at once may fit in parts.
            step = if taken.is_ok() { step } else { step / 2 };
            step = step.min(space(folder)?.free.saturating_sub(left));
        }
        Ok(ballast)
    }

    /// Takes all room there is.
    pub(crate) fn all(folder: &Path) -> io::Result<Self> {
        Self::all_but(folder, 0)
    }

    /// Takes so many bytes of it.
    fn take(&mut self, folder: &Path, len: u64) -> io::Result<()> {
        let path = folder.join(format!("ballast-{}", self.0.len()));
        let mut file = File::create(&path)?;
        self.0.push(path);
        let flags = rustix::fs::FallocateFlags::empty();
        match rustix::fs::fallocate(&file, flags, 0, len) {
            Err(rustix::io::Errno::OPNOTSUPP) => {
                io::copy(&mut io::Read::take(io::repeat(1), len), &mut file)?;
                file.sync_all()
            }
            result => Ok(result?),
        }
    }

    /// Gives it back.
    pub(crate) fn release(self) -> io::Result<()> {
        self.0.iter().try_for_each(fs::remove_file)
    }
}
