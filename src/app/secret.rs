//! Files that nobody but the service may read: keys and passwords.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

/// What others, and the group, may do with a file.
const OTHERS: u32 = 0o007;
const GROUP: u32 = 0o070;
const GROUP_READS: u32 = 0o040;

/// Reads a file with a secret.
///
/// Errors: others than its owner may read or change it. The group may read it if the file is
/// root's: so an administrator gives a secret to a service without letting the service change it.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    let (mode, owner) = (metadata.mode(), metadata.uid());
    if metadata.is_file() && is_too_open(mode, owner) {
        let fix = if owner == 0 && mode & GROUP != 0 { "640" } else { "600" };
        return Err(io::Error::other(format!(
            "its mode is {:04o}: others can read or change the secret; run `chmod {fix} {}`",
            mode & 0o7777,
            path.display()
        )));
    }
    fs::read(path)
}

fn is_too_open(mode: u32, owner: u32) -> bool {
    let allowed = if owner == 0 { GROUP_READS } else { 0 };
    mode & (OTHERS | GROUP) & !allowed != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_its_owners_and_a_group_reads_only_what_is_roots() {
        for (mode, owner, expected) in [
            (0o600, 1000, false),
            (0o400, 0, false),
            (0o640, 0, false),
            (0o640, 1000, true),
            (0o660, 0, true),
            (0o604, 0, true),
            (0o602, 1000, true),
            (0o644, 0, true),
        ] {
            assert_eq!(is_too_open(0o100_000 | mode, owner), expected, "{mode:o} of {owner}");
        }
    }
}
