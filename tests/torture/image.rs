//! File systems of a round's own: images mounted on loop devices, which can be filled, broken and
//! taken away without harm to anybody else.
//!
//! Only what was mounted here is ever unmounted; at the latest when it is dropped.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::failure::Failure;

/// The unit of sizes, in bytes.
pub(crate) const MIB: u64 = 1 << 20;

/// What is on an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Ext4,
    /// ext4 as it was before extents: it cannot reserve room.
    Ext2,
    Xfs,
    Btrfs,
}

/// Something that is mounted. Unmounted when it is dropped, whoever still uses it.
#[derive(Debug)]
pub(crate) struct Mount {
    point: PathBuf,
    mounted: bool,
}

/// An image with a file system on it.
#[derive(Debug)]
pub(crate) struct Image {
    format: Format,
    file: PathBuf,
    point: PathBuf,
    mount: Option<Mount>,
    /// Settings of its device, which outlive it: the next image may be on the same device.
    lent: Vec<Lent>,
}

/// A setting of the system, which is as it was before once this is dropped.
#[derive(Debug)]
struct Lent {
    path: PathBuf,
    before: String,
}

/// Room on a file system, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Space {
    pub(crate) free: u64,
    pub(crate) total: u64,
}

/// What takes the room away from the server: a file that is none of its own.
#[derive(Debug)]
pub(crate) struct Ballast(Vec<PathBuf>);

impl Format {
    /// The least size at which it works.
    pub(crate) fn len_min(self) -> u64 {
        match self {
            Self::Ext4 | Self::Ext2 => 64 * MIB,
            Self::Btrfs => 192 * MIB,
            Self::Xfs => 304 * MIB,
        }
    }

    fn make(self) -> &'static [&'static str] {
        match self {
            // In blocks of the size that a larger disk has.
            Self::Ext4 => &["mkfs.ext4", "-q", "-F", "-m0", "-b4096"],
            Self::Ext2 => &["mkfs.ext4", "-q", "-F", "-m0", "-b4096", "-O^extent,^64bit"],
            Self::Xfs => &["mkfs.xfs", "-q", "-f"],
            Self::Btrfs => &["mkfs.btrfs", "-q", "-f"],
        }
    }
}

impl Mount {
    /// Mounts, on a folder that is made for it, what these arguments of `mount` say.
    pub(crate) fn new(arguments: &[&str], source: &OsStr, point: &Path) -> Result<Self, Failure> {
        if !rustix::process::geteuid().is_root() {
            return Err(Failure::not_run("only root may mount"));
        }
        fs::create_dir_all(point)?;
        let words = [OsStr::new("mount")].into_iter().chain(arguments.iter().map(OsStr::new));
        match run(words.chain([source, point.as_os_str()])) {
            Ok(()) => Ok(Self { point: point.into(), mounted: true }),
            // That this machine lets nobody mount says nothing about the server.
            Err(Failure::Broken(why)) => Err(Failure::not_run(why)),
            Err(failure) => Err(failure),
        }
    }

    /// Mounts it anew with other options.
    pub(crate) fn change(&self, options: &str) -> Result<(), Failure> {
        let options = format!("remount,{options}");
        run([OsStr::new("mount"), "-o".as_ref(), options.as_ref(), self.point.as_os_str()])
    }

    /// Unmounts it. Nobody must use it.
    pub(crate) fn end(mut self) -> Result<(), Failure> {
        run([OsStr::new("umount"), self.point.as_os_str()])?;
        self.mounted = false;
        Ok(())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.mounted {
            // Lazily: the round may have failed with a server on it, which is killed about now.
            run([OsStr::new("umount"), "-l".as_ref(), self.point.as_os_str()]).ok();
        }
    }
}

impl Image {
    /// Makes and mounts one of this many bytes, in this folder.
    pub(crate) fn new(folder: &Path, format: Format, len: u64) -> Result<Self, Failure> {
        let (file, point) = (folder.join("image"), folder.join("mounted"));
        File::create(&file)?.set_len(len.max(format.len_min()))?;
        run(format.make().iter().map(OsStr::new).chain([file.as_os_str()]))?;
        let mut image = Self { format, file, point, mount: None, lent: Vec::new() };
        image.mount()?;
        fs::create_dir(image.data())?;
        Ok(image)
    }

    /// The file that holds it.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// The root of what is on it.
    pub(crate) fn root(&self) -> &Path {
        &self.point
    }

    /// A folder on it for the data of a server.
    pub(crate) fn data(&self) -> PathBuf {
        self.point.join("data")
    }

    pub(crate) fn mount(&mut self) -> Result<(), Failure> {
        self.mount = Some(Mount::new(&["-o", "loop"], self.file.as_os_str(), &self.point)?);
        Ok(())
    }

    pub(crate) fn unmount(&mut self) -> Result<(), Failure> {
        self.lent.clear();
        self.mount.take().map_or(Ok(()), Mount::end)
    }

    /// Mounts it anew with other options, under whoever uses it.
    pub(crate) fn change(&self, options: &str) -> Result<(), Failure> {
        self.mount.as_ref().map_or(Ok(()), |mount| mount.change(options))
    }

    /// Has an unmounted file system of the ext family checked and mended, as a start of a machine
    /// does. The others mend themselves when they are mounted.
    pub(crate) fn mend(&self) -> Result<(), Failure> {
        if matches!(self.format, Format::Xfs | Format::Btrfs) {
            return Ok(());
        }
        let mut command = command([OsStr::new("e2fsck"), "-fy".as_ref(), self.file.as_os_str()]);
        let output = command.output()?;
        // 1: errors were mended.
        match output.status.code() {
            Some(0 | 1) => Ok(()),
            _ => Err(Failure::broken(String::from_utf8_lossy(&output.stdout))),
        }
    }

    /// How much room there is, as the system counts it.
    pub(crate) fn space(&self) -> io::Result<Space> {
        space(&self.point)
    }

    /// From now on, until it is unmounted, it writes block by block. A loop device takes a write of
    /// which its file took a part for a success, and the rest is lost without a word: no server can
    /// keep what such a disk drops. A block is written or it is not.
    pub(crate) fn write_blocks(&mut self) -> io::Result<()> {
        let setting = format!("/sys/dev/block/{}/queue/max_sectors_kb", self.device()?);
        self.lent.push(Lent::set(setting.into(), "4")?);
        Ok(())
    }

    /// The number of its device, as control groups want it.
    pub(crate) fn device(&self) -> io::Result<String> {
        let device = fs::metadata(&self.point)?.dev();
        Ok(format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device)))
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // While the device is still its own.
        self.lent.clear();
    }
}

impl Lent {
    fn set(path: PathBuf, value: &str) -> io::Result<Self> {
        let before = fs::read_to_string(&path)?;
        fs::write(&path, value)?;
        Ok(Self { path, before })
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        fs::write(&self.path, &self.before).ok();
    }
}

/// The room around a folder.
pub(crate) fn space(folder: &Path) -> io::Result<Space> {
    let stat = rustix::fs::statvfs(folder)?;
    Ok(Space { free: stat.f_bavail * stat.f_frsize, total: stat.f_blocks * stat.f_frsize })
}

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

/// Runs a command to its end; what it complains about is the failure.
pub(crate) fn run(words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<(), Failure> {
    let words: Vec<_> = words.into_iter().map(|word| word.as_ref().to_owned()).collect();
    let name = words.first().map(|name| name.display().to_string()).unwrap_or_default();
    match command(&words).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(Failure::broken(format!("{name}: {why}")))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Failure::not_run(format!("{name} is missing")))
        }
        Err(error) => Err(error.into()),
    }
}

fn command(words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut words = words.into_iter();
    let mut command = Command::new(words.next().expect("the name of a command"));
    command.args(words).stdin(Stdio::null()).env("LC_ALL", "C");
    command
}
