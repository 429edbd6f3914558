//! One-time codes, with which users sign in to the page.

use super::{Principal, Sha256Digest, Timestamp};

/// What is kept of a code: never the code itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeRecord {
    /// Who signs in with it.
    pub user: Principal,
    /// What was hashed before its digits.
    pub salt: [u8; 16],
    /// The SHA-256 of both.
    pub hash: Sha256Digest,
    /// When it ends.
    pub expires_at: Timestamp,
    /// How often it may still be tried.
    pub tries_left: u32,
    /// Whether a mail server took it.
    pub sent: bool,
}
