//! Epochs: while one lasts, nothing that was written is lost.

use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

/// The kernel's name for it; rustix has none yet.
const STATX_MNT_ID_UNIQUE: u32 = 0x4000;

/// A text that changes when the machine restarts or the file system of this folder is mounted anew:
/// only then may bytes be lost that were written.
pub(super) fn disk_epoch(folder: &Path) -> String {
    format!("{} {}", machine_epoch(), mount(folder).map_or_else(String::new, |id| id.to_string()))
}

/// What tells the mount of a folder from others. Since Linux 6.8 no later mount has the same.
fn mount(folder: &Path) -> Option<u64> {
    let unique = StatxFlags::from_bits_retain(STATX_MNT_ID_UNIQUE);
    let ask = |flags| statx(CWD, folder, AtFlags::empty(), flags).ok();
    let told = ask(unique).filter(|stat| stat.stx_mask & STATX_MNT_ID_UNIQUE != 0);
    told.or_else(|| ask(StatxFlags::MNT_ID)).map(|stat| stat.stx_mnt_id)
}

/// A text that changes when the machine restarts.
pub(super) fn machine_epoch() -> String {
    let id = std::fs::read_to_string(Path::new("/proc/sys/kernel/random/boot_id"));
    // Where it cannot be told, every unclean end is taken for a restart: slower, never wrong.
    id.map_or_else(|_| uuid::Uuid::new_v4().to_string(), |id| id.trim().to_owned())
}
