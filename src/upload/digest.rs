//! Digests of whole files: which of them is taken, and what is known of a file by them.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which digest of the whole file is taken while it is stitched: the setting `digest`. A SHA-256
/// that the client names is taken in any case.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum DigestKind {
    /// The SHA-256, which everybody can check.
    #[default]
    Sha256,
    /// The BLAKE3: as good against forgery, for much less of the processor.
    Blake3,
    /// None: what is known of the file are its length and, while it is uploaded, the CRC-32 of
    /// each range.
    None,
}

/// A set of digests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DigestKinds {
    /// Whether the SHA-256 is among them.
    pub sha256: bool,
    /// Whether the BLAKE3 is.
    pub blake3: bool,
}

impl DigestKinds {
    /// What is taken of a file by this setting, and `declared`: that its client named a SHA-256.
    #[must_use]
    pub fn of(setting: DigestKind, declared: bool) -> Self {
        Self {
            sha256: setting == DigestKind::Sha256 || declared,
            blake3: setting == DigestKind::Blake3,
        }
    }
}

/// What a whole file hashes to: as much of it as was taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct FileDigest {
    /// Its SHA-256.
    pub sha256: Option<Sha256Digest>,
    /// Its BLAKE3.
    pub blake3: Option<Blake3Digest>,
}

impl FileDigest {
    /// Which digests it has.
    #[must_use]
    pub fn kinds(&self) -> DigestKinds {
        DigestKinds { sha256: self.sha256.is_some(), blake3: self.blake3.is_some() }
    }

    /// Whether both are of one content: they have a digest in common, and it is the same.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        (self.sha256.is_some() && self.sha256 == other.sha256)
            || (self.blake3.is_some() && self.blake3 == other.blake3)
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Names what there is: "SHA-256 …, BLAKE3 …".
impl fmt::Display for FileDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.sha256, self.blake3) {
            (Some(sha256), Some(blake3)) => write!(f, "SHA-256 {sha256}, BLAKE3 {blake3}"),
            (Some(sha256), None) => write!(f, "SHA-256 {sha256}"),
            (None, Some(blake3)) => write!(f, "BLAKE3 {blake3}"),
            (None, None) => f.write_str("no digest"),
        }
    }
}

/// What the sender of some bytes says that they hash to. All that it names must be right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeclaredDigest {
    /// Their SHA-256.
    pub sha256: Option<Sha256Digest>,
    /// Their SHA-512.
    pub sha512: Option<Sha512Digest>,
}

impl DeclaredDigest {
    /// Whether nothing is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A digest of so many bytes, read and written as twice as many hexadecimal digits.
macro_rules! digest {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name(pub [u8; $len]);

        impl FromStr for $name {
            type Err = hex::FromHexError;

            /// Hexadecimal digits, two for each byte, in either case.
            fn from_str(text: &str) -> Result<Self, hex::FromHexError> {
                let mut digest = [0; $len];
                hex::decode_to_slice(text, &mut digest)?;
                Ok(Self(digest))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

digest! {
    /// A SHA-256.
    Sha256Digest, 32
}
digest! {
    /// A BLAKE3, of the usual length of 32 bytes.
    Blake3Digest, 32
}
digest! {
    /// A SHA-512.
    Sha512Digest, 64
}
