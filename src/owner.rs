//! Whom files belong to that root makes.
//!
//! A first token is often made by root, before the service of another user is started: that user
//! must be able to open what was made.

use std::{io, os::fd::AsFd};

use rustix::fs::{Gid, Uid};

/// Gives what root has made in the folder of somebody else to that one: as a rule the user of the
/// service, who could not open it otherwise. No effect if this process is not root's.
pub(crate) fn give_to_owner_of(folder: impl AsFd, what: impl AsFd) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let (owner, made) = (rustix::fs::fstat(folder)?, rustix::fs::fstat(&what)?);
    if (owner.st_uid, owner.st_gid) == (made.st_uid, made.st_gid) {
        return Ok(());
    }
    let (user, group) = (Uid::from_raw(owner.st_uid), Gid::from_raw(owner.st_gid));
    Ok(rustix::fs::fchown(what, Some(user), Some(group))?)
}
