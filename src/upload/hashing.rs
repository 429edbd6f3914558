//! Running hashes of bytes that are read from their beginning to their end.

use sha2::{Digest, Sha256, Sha512};

use super::{Blake3Digest, DeclaredDigest, DigestKinds, FileDigest, Sha256Digest, Sha512Digest};

/// Takes a set of digests in one pass. A copy of it is as far as the original was; the default one
/// takes none.
#[derive(Debug, Clone, Default)]
pub struct Hashing {
    sha256: Option<Sha256>,
    /// In a box: it is large (some 2 KiB), and most files have none.
    blake3: Option<Box<blake3::Hasher>>,
}

impl Hashing {
    /// At the beginning of a file.
    #[must_use]
    pub fn new(kinds: DigestKinds) -> Self {
        Self { sha256: kinds.sha256.then(Sha256::new), blake3: kinds.blake3.then(Box::default) }
    }

    /// Which digests it takes.
    #[must_use]
    pub fn kinds(&self) -> DigestKinds {
        DigestKinds { sha256: self.sha256.is_some(), blake3: self.blake3.is_some() }
    }

    /// The bytes that are next.
    pub fn update(&mut self, bytes: &[u8]) {
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(bytes);
        }
        if let Some(blake3) = &mut self.blake3 {
            blake3.update(bytes);
        }
    }

    /// What all that came hashes to.
    #[must_use]
    pub fn finish(self) -> FileDigest {
        let blake3 = |hasher: Box<blake3::Hasher>| Blake3Digest(hasher.finalize().into());
        FileDigest {
            sha256: self.sha256.map(|hasher| Sha256Digest(hasher.finalize().into())),
            blake3: self.blake3.map(blake3),
        }
    }
}

/// Compares bytes on their way with what their sender says that they hash to.
#[derive(Debug)]
pub struct Checking {
    declared: DeclaredDigest,
    sha256: Option<Sha256>,
    /// In a box: it is large, and few senders name one.
    sha512: Option<Box<Sha512>>,
}

impl Checking {
    /// At the first byte. What is not declared costs nothing.
    #[must_use]
    pub fn new(declared: DeclaredDigest) -> Self {
        let sha256 = declared.sha256.map(|_| Sha256::new());
        let sha512 = declared.sha512.map(|_| Box::default());
        Self { declared, sha256, sha512 }
    }

    /// The bytes that are next.
    pub fn update(&mut self, bytes: &[u8]) {
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(bytes);
        }
        if let Some(sha512) = &mut self.sha512 {
            sha512.update(bytes);
        }
    }

    /// Whether all that came hashes to what was declared.
    #[must_use]
    pub fn is_right(self) -> bool {
        let sha512 = |hasher: Box<Sha512>| Sha512Digest((*hasher).finalize().into());
        self.declared
            == DeclaredDigest {
                sha256: self.sha256.map(|hasher| Sha256Digest(hasher.finalize().into())),
                sha512: self.sha512.map(sha512),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upload::DigestKind;

    /// Of "abc", as published with the algorithms.
    const SHA256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const BLAKE3: &str = "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85";

    #[test]
    fn each_set_is_taken_and_no_more() {
        for (setting, declared, sha256, blake3) in [
            (DigestKind::Sha256, false, true, false),
            (DigestKind::Sha256, true, true, false),
            (DigestKind::Blake3, false, false, true),
            (DigestKind::Blake3, true, true, true),
            (DigestKind::None, false, false, false),
            (DigestKind::None, true, true, false),
        ] {
            let kinds = DigestKinds::of(setting, declared);
            let mut hashing = Hashing::new(kinds);
            assert_eq!(hashing.kinds(), kinds);
            hashing.update(b"a");
            let mut copy = hashing.clone();
            copy.update(b"bc");
            hashing.update(b"b");
            hashing.update(b"c");
            let digest = copy.finish();
            assert_eq!((digest, digest.kinds()), (hashing.finish(), kinds), "{setting:?}");
            assert_eq!(digest.is_empty(), !sha256 && !blake3);
            assert_eq!(digest.sha256, sha256.then(|| SHA256.parse().expect("a digest")));
            assert_eq!(digest.blake3, blake3.then(|| BLAKE3.parse().expect("a digest")));
        }
    }

    #[test]
    fn bytes_must_hash_to_all_that_is_declared() {
        const SHA512: &str = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                              2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
        let (sha256, sha512) = (SHA256.parse().ok(), SHA512.parse().ok());
        let other = Some(Sha256Digest([0; 32]));
        for (sha256, sha512, expected) in [
            (None, None, true),
            (sha256, None, true),
            (None, sha512, true),
            (sha256, sha512, true),
            (other, None, false),
            (other, sha512, false),
            (sha256, Some(Sha512Digest([0; 64])), false),
        ] {
            let mut checking = Checking::new(DeclaredDigest { sha256, sha512 });
            checking.update(b"a");
            checking.update(b"bc");
            assert_eq!(checking.is_right(), expected, "{sha256:?} {sha512:?}");
        }
    }
}
