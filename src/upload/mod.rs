//! The vocabulary of an upload: pure values, valid by construction.
//!
//! Invariant: nothing here does I/O, waits, reads a clock or knows HTTP. A value of one of these
//! types is the proof that it was checked; the layers above never check it again.

mod accept;
mod audit;
mod code;
mod coverage;
mod day;
mod deployment;
mod digest;
mod durability;
mod hashing;
mod id;
mod identity;
pub mod limits;
mod media;
mod name;
mod permit;
mod plan;
mod principal;
mod quota;
mod range;
mod record;
mod reserve;
mod share;
mod state;
mod trash;
mod user;
mod visitor;

pub use accept::{Accept, InvalidPattern, Pattern};
pub use audit::{AuditEntry, By, Deed, Means};
pub use code::CodeRecord;
pub use coverage::Coverage;
pub use day::{Day, InvalidDay};
pub use deployment::{AccessState, DeploymentId, InvalidMark, Mark};
pub use digest::{
    Blake3Digest, DeclaredDigest, DigestKind, DigestKinds, FileDigest, Sha256Digest, Sha512Digest,
};
pub use durability::Durability;
pub use hashing::{Checking, Hashing};
pub use id::{CreativeId, InvalidId, TokenId, TrashId, UploadId};
pub use identity::{Identity, IdentityKey, InvalidIdentity};
pub use media::{can_be_shown, media_type};
pub use name::{FileName, InvalidName, escaped};
pub use permit::{Allowance, NotPermitted, Permit, TicketKey};
pub use plan::{InvalidPlan, Plan};
pub use principal::{InvalidPrincipal, KnownName, Principal};
pub use quota::{OverQuota, Quotas, Usage};
pub use range::{ByteRange, InvalidRange};
pub use record::{
    Amount, Checksum, Creative, EndReason, StoredRange, Timestamp, Trouble, UploadRecord,
};
pub use reserve::Reserve;
pub use share::Share;
pub use state::UploadState;
pub use trash::{TrashNote, TrashReason};
pub use user::{Scope, Scopes, TokenKind, TokenRecord, UnknownScope, User};
pub use visitor::Visitor;
