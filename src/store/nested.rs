//! Folders inside a folder: the days of the trash, the cuts of backups.

use std::{io, os::fd::OwnedFd};

use rustix::{
    fs::{AtFlags, Mode, OFlags, ResolveFlags},
    io::{Errno, retry_on_intr},
};

use super::{
    durable::Folder,
    made::{FOLDER_MODE, set_mode},
    name::Name,
};
use crate::owner::give_to_owner_of;

impl Folder {
    /// Opens a folder inside this one; nothing if there is none of that name.
    pub(super) fn within(&self, name: &Name) -> io::Result<Option<Self>> {
        match self.open_within(name) {
            Ok(handle) => Ok(Some(Self::over(handle))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// As [`Self::within`]; makes the folder, durably, if it is not there.
    pub(super) fn make_within(&self, name: &Name) -> io::Result<Self> {
        let since = self.failures();
        match rustix::fs::mkdirat(self.handle(), &name.0, FOLDER_MODE) {
            Ok(()) => {
                let made = self.open_within(name)?;
                set_mode(&made, FOLDER_MODE)?;
                give_to_owner_of(self.handle(), &made)?;
                self.sync(since)?;
            }
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        self.within(name)?.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Removes a folder inside this one if nothing is in it.
    pub(super) fn remove_within(&self, name: &Name) -> io::Result<()> {
        match rustix::fs::unlinkat(self.handle(), &name.0, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The names of the folders in it, and of whatever else is no file.
    pub(super) fn folders(&self) -> io::Result<Vec<String>> {
        let mut folders = Vec::new();
        for entry in self.entries()? {
            let entry = entry?;
            let name = entry.name.into_string().ok().filter(|_| !entry.is_regular);
            folders.extend(name.filter(|name| ![".", ".."].contains(&name.as_str())));
        }
        Ok(folders)
    }

    fn open_within(&self, name: &Name) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let handle = self.handle();
        retry_on_intr(|| {
            match rustix::fs::openat2(handle, &name.0, flags, Mode::empty(), inside) {
                // As in `Folder::open_with`: an old kernel, or a sandbox.
                Err(Errno::NOSYS | Errno::PERM) => {
                    rustix::fs::openat(handle, &name.0, flags, Mode::empty())
                }
                opened => opened,
            }
        })
    }
}
