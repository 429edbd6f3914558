//! File systems of a round's own: images, mounted by way of loop devices.
//!
//! Nothing of them may outlive the round, whatever becomes of it. They are unmounted when they are
//! dropped, and the whole program runs in a mount namespace of its own, which the kernel takes down
//! with it; a loop device detaches itself from an image that is mounted no more.

use std::{
    fmt,
    fs::{self, File},
    io,
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

use fastrand::Rng;

use crate::{failure::Failure, tools::run};

/// The file systems that are put to the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Ext4,
    /// ext4 without extents: it cannot reserve room.
    Ext2,
    Xfs,
    Btrfs,
}

impl Format {
    /// Those whose power can be cut.
    pub(crate) const ALL: [Self; 2] = [Self::Ext4, Self::Xfs];

    pub(crate) fn any(rng: &mut Rng) -> Self {
        Self::ALL[rng.usize(..Self::ALL.len())]
    }

    /// Bytes of an image, of which only those that are written take room.
    fn image_len(self) -> u64 {
        match self {
            // `mkfs.xfs` makes none that is smaller than 300 MiB.
            Self::Ext4 | Self::Xfs | Self::Btrfs => 512 << 20,
            // To fill it means to write all of it.
            Self::Ext2 => 64 << 20,
        }
    }

    fn make(self, image: &Path) -> Result<(), Failure> {
        let mut command = Command::new(format!("mkfs.{self}"));
        match self {
            // Nothing is kept for root, who would not find the disk full; blocks of the size that
            // large disks have.
            Self::Ext4 => command.args(["-m0", "-b4096"]),
            Self::Ext2 => command.args(["-m0", "-b4096", "-O^extent,^64bit"]),
            Self::Xfs | Self::Btrfs => &mut command,
        };
        run(command.arg("-q").arg(image))
    }

    /// How it is mounted: a copy of an XFS is refused while the original is mounted, unless it is
    /// told to ignore that they call themselves alike.
    fn options(self) -> &'static str {
        match self {
            Self::Ext4 | Self::Ext2 | Self::Btrfs => "loop",
            Self::Xfs => "loop,nouuid",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ext4 | Self::Ext2 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        })
    }
}

/// A mounted image.
#[derive(Debug)]
pub(crate) struct Volume {
    format: Format,
    image: PathBuf,
    point: PathBuf,
    mounted: bool,
}

impl Volume {
    /// A new file system: its image in this folder, its mount point in that one.
    pub(crate) fn make(
        format: Format,
        name: &str,
        images: &Path,
        points: &Path,
    ) -> Result<Self, Failure> {
        check_able()?;
        let image = images.join(format!("{name}.img"));
        File::create_new(&image)?.set_len(format.image_len())?;
        format.make(&image)?;
        let made = Self::open(format, image, points.join(name));
        made.map_err(|error| Failure::not_run(format!("cannot mount an image: {error}")))
    }

    /// An image that is there.
    pub(crate) fn open(format: Format, image: PathBuf, point: PathBuf) -> Result<Self, Failure> {
        fs::create_dir(&point)?;
        let mut volume = Self { format, image, point, mounted: false };
        volume.mount()?;
        Ok(volume)
    }

    /// Where it is mounted.
    pub(crate) fn point(&self) -> &Path {
        &self.point
    }

    /// Copies the image as it is at one instant, while it is written to. The copy must lie on the
    /// same file system, of a format that lets files share their blocks.
    pub(crate) fn copy(&self, to: &Path) -> io::Result<()> {
        let (from, to) = (File::open(&self.image)?, File::create_new(to)?);
        Ok(rustix::fs::ioctl_ficlone(to, from)?)
    }

    /// What the file system has not written yet never gets written: neither bytes nor its journal.
    /// It is of no use any more before it is mounted anew, which replays the journal.
    pub(crate) fn cut_power(&self) -> Result<(), Failure> {
        run(Command::new("xfs_io").args(["-x", "-c", "shutdown"]).arg(&self.point))
    }

    /// The file that holds it.
    pub(crate) fn image(&self) -> &Path {
        &self.image
    }

    /// The number of its device, as control groups want it.
    pub(crate) fn device(&self) -> io::Result<String> {
        let device = fs::metadata(&self.point)?.dev();
        Ok(format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device)))
    }

    /// Gives it up after an error of the disk: from now on it can be read, and not written.
    pub(crate) fn abort(&self) -> Result<(), Failure> {
        run(Command::new("mount").args(["-o", "remount,abort"]).arg(&self.point))
    }

    /// Mounts it anew. Whoever used it must be gone.
    pub(crate) fn remount(&mut self) -> Result<(), Failure> {
        self.unmount()?;
        self.mount()
    }

    /// Mounts it anew, checked and mended as the start of a machine does it. Of the ext family:
    /// the others mend themselves.
    pub(crate) fn mend(&mut self) -> Result<(), Failure> {
        self.unmount()?;
        let output = Command::new("e2fsck").arg("-fy").arg(&self.image).output()?;
        // 1: there was something to mend, and it is.
        if !matches!(output.status.code(), Some(0 | 1)) {
            return Err(Failure::broken(String::from_utf8_lossy(&output.stdout)));
        }
        self.mount()
    }

    fn unmount(&mut self) -> Result<(), Failure> {
        run(Command::new("umount").arg(&self.point))?;
        self.mounted = false;
        Ok(())
    }

    fn mount(&mut self) -> Result<(), Failure> {
        let options =
            ["-t", &self.format.to_string(), "-o", self.format.options()].map(String::from);
        run(Command::new("mount").args(options).arg(&self.image).arg(&self.point))?;
        self.mounted = true;
        Ok(())
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if self.mounted && run(Command::new("umount").arg(&self.point)).is_err() {
            // Somebody still uses it: it goes with the last of them. What fails now, the end of
            // the program sets right.
            run(Command::new("umount").arg("--lazy").arg(&self.point)).ok();
        }
    }
}

/// Starts this program over in a mount namespace of its own, if that can be done. Returns if it
/// cannot, with nothing changed.
pub(crate) fn enclose(marker: &str) {
    let alone = ["--mount", "--propagation", "private"];
    let Ok(program) = std::env::current_exe() else { return };
    if check_able().is_ok() && run(Command::new("unshare").args(alone).arg("true")).is_ok() {
        let arguments = std::env::args_os().skip(1);
        // If it returns, it failed: faults that mount say so.
        let _ = Command::new("unshare").args(alone).arg(program).arg(marker).args(arguments).exec();
    }
}

/// Only root mounts.
fn check_able() -> Result<(), Failure> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(Failure::not_run("only root mounts file systems"))
}
