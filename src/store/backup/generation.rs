//! Writes a backup into a [`Vault`], beside the one that is there.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, BufWriter, Write},
};

use super::{
    CutView, Vault, VaultError,
    copy::{self, How, PARTIAL, Tell, Wish},
    manifest::{Entry, Header, Writer},
    vault::{FINISHED, MANIFEST, UNFINISHED},
};
use crate::{
    store::{
        PublishedName, StoreError,
        durable::{Folder, sync_bytes},
        name::Name,
    },
    upload::{DigestKinds, FileDigest, UploadId},
};

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It was copied, so many bytes of it.
    Copied,
    /// It takes no room: it shares its blocks with the original, or is the original.
    Shared,
    /// It was there already.
    Unchanged,
    /// The service has lost it.
    Missing,
    /// It is not so long as the catalog says.
    WrongSize,
}

/// A backup that is being written.
#[derive(Debug)]
pub struct Generation<'a> {
    vault: &'a Vault,
    id: String,
    manifest: ManifestFile,
    finished: Folder,
    parts: Folder,
    /// Folders with the parts of backups before this one.
    earlier: Vec<Folder>,
    /// Whether files can share blocks, until it turns out that they cannot.
    can_clone: bool,
}

/// The manifest, before it is in its place.
struct ManifestFile(Writer<BufWriter<File>>);

impl std::fmt::Debug for ManifestFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ManifestFile").finish_non_exhaustive()
    }
}

impl<'a> Generation<'a> {
    pub(super) fn begin(vault: &'a Vault, header: &Header) -> io::Result<Self> {
        let root = &vault.root;
        let partial = Name(format!("{MANIFEST}{PARTIAL}"));
        let manifest = BufWriter::new(root.create(&partial, 0)?);
        let manifest = ManifestFile(Writer::begin(manifest, header)?);
        let earlier = root.folders()?;
        let earlier = earlier.iter().filter(|name| name.starts_with("parts-"));
        let earlier = earlier.filter_map(|name| root.within(&Name::of_entry(name)).transpose());
        let earlier = earlier.collect::<io::Result<_>>()?;
        let parts = root.make_within(&Name(format!("parts-{}", header.id)))?;
        let finished = root.make_within(&Name::of_entry(FINISHED))?;
        Ok(Self {
            vault,
            id: header.id.clone(),
            manifest,
            finished,
            parts,
            earlier,
            can_clone: true,
        })
    }

    /// Adds the snapshot of the catalog.
    pub fn add_catalog(&mut self, cut: &CutView, tell: Tell<'_>) -> Result<(), StoreError> {
        let add = |this: &mut Self, tell: Tell<'_>| {
            let file = format!("catalog-{}.db", this.id);
            let from = cut.catalog()?;
            copy::copy(&from, (&this.vault.root, &Name(file.clone())), Wish::default(), tell)?;
            let size = from.metadata()?.len();
            let found =
                copy::hash(&from, DigestKinds { sha256: false, blake3: true }, &mut |_| {})?;
            let blake3 = found.blake3.map(|it| it.to_string());
            this.manifest.0.add(Entry::Catalog { file, size, blake3 })
        };
        add(self, tell).map_err(|source| StoreError::from_io("copy the catalog", source))
    }

    /// Adds a finished file.
    pub fn add_finished(
        &mut self,
        cut: &CutView,
        (name, size, digest): (&PublishedName, u64, FileDigest),
        tell: Tell<'_>,
    ) -> Result<Added, StoreError> {
        let added = self.copy_finished(cut, (name, size), tell).and_then(|added| {
            if !matches!(added, Added::Missing | Added::WrongSize) {
                let file = format!("{FINISHED}/{name}");
                let sha256 = digest.sha256.map(|it| it.to_string());
                let blake3 = digest.blake3.map(|it| it.to_string());
                self.manifest.0.add(Entry::Finished { file, size, sha256, blake3 })?;
            }
            Ok(added)
        });
        added.map_err(|source| StoreError::from_io("copy a finished file", source))
    }

    fn copy_finished(
        &mut self,
        cut: &CutView,
        (published, size): (&PublishedName, u64),
        tell: Tell<'_>,
    ) -> io::Result<Added> {
        let name = Name::of_published(published);
        if self.finished.len(&name)? == Some(size) {
            tell(size);
            return Ok(Added::Unchanged);
        }
        let Some((file, folder)) = cut.finished(published)? else { return Ok(Added::Missing) };
        if file.metadata()?.len() != size {
            return Ok(Added::WrongSize);
        }
        // One of another length was left by somebody who changed it.
        self.finished.remove(&name)?;
        let to = (&self.finished, &name);
        if self.can_clone {
            if copy::clone(&file, to)?.is_some() {
                tell(size);
                return Ok(Added::Shared);
            }
            self.can_clone = false;
        }
        let how = match copy::link((folder, &name), to) {
            Ok(Some(how)) => {
                tell(size);
                how
            }
            // It was moved a moment ago; it is open all the same.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => copy::copy(&file, to, Wish::default(), tell)?,
        };
        Ok(if how == How::Copied { Added::Copied } else { Added::Shared })
    }

    /// Adds the bytes of a running upload of `total` bytes. A copy never shares the file that the
    /// server writes to.
    pub fn add_part(
        &mut self,
        cut: &CutView,
        (upload, published, total): (UploadId, &PublishedName, u64),
        tell: Tell<'_>,
    ) -> Result<Added, StoreError> {
        let mut add = || {
            let Some(from) = cut.part(upload, published)? else { return Ok(Added::Missing) };
            let name = Name::of_upload(upload);
            let added = if self.has_current(&from, &name)? {
                tell(from.metadata()?.len());
                Added::Unchanged
            } else {
                let wish = Wish { len: total, reserved: false };
                let how = copy::copy(&from, (&self.parts, &name), wish, tell)?;
                if how == How::Copied { Added::Copied } else { Added::Shared }
            };
            let size = self.parts.len(&name)?.unwrap_or_default();
            let file = format!("parts-{}/{}", self.id, name.0);
            self.manifest.0.add(Entry::Part { file, size })?;
            Ok(added)
        };
        add().map_err(|source| StoreError::from_io("copy an upload", source))
    }

    /// Takes over the copy of a backup before this one, if the file has not changed since.
    fn has_current(&self, from: &File, name: &Name) -> io::Result<bool> {
        for folder in &self.earlier {
            let copy = match folder.open_to_read(name) {
                Ok(copy) => copy,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if copy::is_current(&copy, from)?
                && copy::link((folder, name), (&self.parts, name))?.is_some()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Makes it the backup that the folder holds, and removes what is no part of it.
    pub fn finish(self) -> Result<(), StoreError> {
        let root = &self.vault.root;
        let finish = || {
            self.finished.sync(self.finished.failures())?;
            self.parts.sync(self.parts.failures())?;
            let mut manifest = self.manifest.0.end()?;
            manifest.flush()?;
            sync_bytes(manifest.get_ref())?;
            root.sync(root.failures())?;
            let (partial, name) = (format!("{MANIFEST}{PARTIAL}"), Name::of_entry(MANIFEST));
            root.replace(&Name(partial), &name)?;
            root.sync(root.failures())?;
            root.remove(&Name::of_entry(UNFINISHED))
        };
        finish().map_err(|source| StoreError::from_io("finish the backup", source))?;
        // The backup is whole: what stays of others costs room, and the next one removes it.
        self.vault.prune().map_err(|error| StoreError::Io {
            op: "remove what is no part of the backup",
            source: io::Error::other(error),
        })
    }
}

impl Vault {
    /// Removes what the manifest does not name.
    fn prune(&self) -> Result<(), VaultError> {
        let mut named = HashSet::new();
        for entry in self.manifest()?.1 {
            named.insert(entry?.place().0.to_owned());
        }
        self.remove_all_but(&named)
            .map_err(|source| VaultError::Folder { path: self.path.clone(), source })
    }

    fn remove_all_but(&self, named: &HashSet<String>) -> io::Result<()> {
        let root = &self.root;
        for name in root.list()? {
            if name.starts_with("catalog-") && !named.contains(&name) {
                root.remove(&Name::of_entry(&name))?;
            }
        }
        let ours = |name: &String| name == FINISHED || name.starts_with("parts-");
        for folder_name in root.folders()?.into_iter().filter(ours) {
            let Some(folder) = root.within(&Name::of_entry(&folder_name))? else { continue };
            for name in folder.list()? {
                if !named.contains(&format!("{folder_name}/{name}")) {
                    folder.remove(&Name::of_entry(&name))?;
                }
            }
            if folder_name != FINISHED {
                root.remove_within(&Name(folder_name))?;
            }
        }
        Ok(())
    }
}
