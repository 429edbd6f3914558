//! What the engine cannot do, and what kind of trouble that is.

use std::error::Error as StdError;

use crate::{
    catalog::CatalogError,
    scan::ScanError,
    store::StoreError,
    upload::{EndReason, NotPermitted, OverQuota, UploadState},
};

/// A body that stopped before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The client left, or sent what cannot be a body.
    #[error("the body ended early")]
    Broken(#[source] Box<dyn StdError + Send + Sync>),
    /// Nothing came for too long.
    #[error("the body brought nothing for too long")]
    TimedOut,
    /// The server stops, and does not wait for a body that comes too slowly.
    #[error("the server is stopping")]
    Stopping,
    /// Its sender may not send it any more.
    #[error("you are not allowed to upload any more")]
    NotPermitted,
    /// Nobody can be asked whether its sender may still send it.
    #[error("the server cannot check your credentials at the moment; try again")]
    Unconfirmed,
    /// There is no memory to read it into.
    #[error("there is no memory for the fields of the form at the moment")]
    NoMemory,
}

/// How many bytes came. What is too long is not read to its end: how much of it was depends on the
/// network, and the number would be wrong.
fn came(expected: u64, got: u64) -> String {
    if expected < got { "more".into() } else { got.to_string() }
}

/// Why an upload request was not carried out. The engine promises that it left nothing behind.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// The body is not as long as its range.
    #[error("the chunk must be {expected} bytes long, but {} came", came(*.expected, *.got))]
    WrongLength {
        /// The length of the range, in bytes.
        expected: u64,
        /// How many bytes came, or at least came.
        got: u64,
    },
    /// The body does not hash to what its sender said.
    #[error("the bytes that came do not match the checksum that came with them")]
    ChecksumMismatch,
    /// No day was named though the server wants one.
    #[error("name the day it is scheduled for in `scheduled_at`, as YYYY-MM-DD")]
    ScheduleMissing,
    /// The day is over.
    #[error("{day} is in the past; today is {today}: name that day or a later one")]
    SchedulePast {
        /// The day that was named.
        day: crate::upload::Day,
        /// The day it is here.
        today: crate::upload::Day,
    },
    /// Other bytes, or another whole-file checksum, than what this upload has.
    #[error("{0}")]
    Conflict(&'static str),
    /// The file is larger than the server takes.
    #[error("the file is {len} bytes long; at most {max} are taken")]
    TooLarge {
        /// The size of the file, in bytes.
        len: u64,
        /// The setting `max_file_size`, in bytes.
        max: u64,
    },
    /// The ticket with which it came does not allow it.
    #[error(transparent)]
    NotPermitted(#[from] NotPermitted),
    /// Its principal has as much as it may have.
    #[error(transparent)]
    OverQuota(#[from] OverQuota),
    /// Its principal has reserved as much of the disk as it may.
    #[error(
        "this file would need {len} bytes of the disk, of which nothing has arrived yet; your \
         unfinished uploads keep {reserved} more, and one user may keep {most} in all at the \
         moment (max_reserved_share): finish or cancel some uploads, or send a smaller file"
    )]
    OverShare {
        /// The size of the file, in bytes.
        len: u64,
        /// What the other uploads have reserved and not sent, in bytes.
        reserved: u64,
        /// How much that may be in all, in bytes.
        most: u64,
    },
    /// The upload has ended without a file, and this request was meant for it.
    #[error(
        "the upload is {}: probe or look up the file, then send it from its first chunk",
        .0.as_str()
    )]
    Gone(UploadState),
    /// The whole file was refused.
    #[error("the file was refused: {}", .1.0)]
    Refused(Refused, EndReason),
    /// The server stops, and the body came too slowly to be waited for.
    #[error("the server is stopping: send this again in a moment")]
    Stopping,
    /// The body ended early.
    #[error("the chunk did not arrive whole")]
    Body(#[source] BodyError),
    /// The disk or a quota is full.
    #[error("no space left on the server")]
    NoSpace(#[source] Box<dyn StdError + Send + Sync>),
    /// The store or the catalog does not answer as it should.
    #[error("the server cannot store anything at the moment; try again")]
    Unavailable(#[source] Box<dyn StdError + Send + Sync>),
}

/// Why a file is not wanted, whichever way it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It is not what its client said that it hashes to.
    Checksum,
    /// Files of its kind are not taken.
    Type,
    /// The check before publishing does not let it pass.
    Scan,
    /// Its principal has no more room, now that it is all here.
    Quota,
    /// Its principal may not upload any more.
    Principal,
}

/// What kind of trouble an [`UploadError`] is: all that a dialect needs to choose an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The request contradicts itself.
    Malformed,
    /// The bytes were damaged on the way.
    Damaged,
    /// The day is not one.
    Schedule,
    /// It contradicts what is here.
    Conflict,
    /// It will never fit.
    TooLarge,
    /// The caller may not.
    Forbidden,
    /// Its principal has no more room.
    OverQuota,
    /// It comes too late.
    Gone,
    /// The file is not wanted.
    Refused(Refused),
    /// The body stopped.
    Interrupted,
    /// The body stalled.
    TimedOut,
    /// There is no room.
    NoSpace,
    /// It may work later.
    Unavailable,
}

impl UploadError {
    /// What kind of trouble this is.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::WrongLength { .. } => Class::Malformed,
            Self::ChecksumMismatch => Class::Damaged,
            Self::ScheduleMissing | Self::SchedulePast { .. } => Class::Schedule,
            Self::Conflict(_) => Class::Conflict,
            Self::TooLarge { .. } => Class::TooLarge,
            Self::NotPermitted(_) | Self::Body(BodyError::NotPermitted) => Class::Forbidden,
            Self::OverQuota(_) => Class::OverQuota,
            Self::Gone(_) => Class::Gone,
            Self::Refused(why, _) => Class::Refused(*why),
            Self::Body(BodyError::TimedOut) => Class::TimedOut,
            Self::Body(BodyError::Broken(_)) => Class::Interrupted,
            Self::NoSpace(_) | Self::OverShare { .. } => Class::NoSpace,
            Self::Unavailable(_)
            | Self::Stopping
            | Self::Body(BodyError::NoMemory | BodyError::Stopping | BodyError::Unconfirmed) => {
                Class::Unavailable
            }
        }
    }

    /// The same trouble once more, for each of those who share one: the cause was logged once.
    pub(super) fn repeated(&self) -> Self {
        match self {
            Self::NoSpace(_) => Self::NoSpace(self.to_string().into()),
            Self::NotPermitted(why) => Self::NotPermitted(why.clone()),
            _ => Self::Unavailable(self.to_string().into()),
        }
    }

    /// The error and what caused it, in one line.
    pub(super) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = self.source();
        while let Some(error) = next {
            text.push_str(": ");
            text.push_str(&error.to_string());
            next = error.source();
        }
        text
    }

    /// What may be told of it to everybody: what could not be done, without what the system said.
    pub(super) fn public(&self) -> String {
        let source = self.source();
        if let Some(store) = source.and_then(|source| source.downcast_ref::<StoreError>()) {
            return store.to_string();
        }
        if let Some(scan) = source.and_then(|source| source.downcast_ref::<ScanError>()) {
            return scan.to_string();
        }
        let catalog = source.and_then(|source| source.downcast_ref());
        // The rest tells of columns and of files.
        if let Some(it @ (CatalogError::Unavailable(_) | CatalogError::NoSpace(_))) = catalog {
            return it.to_string();
        }
        self.to_string()
    }

    /// For a fault that has no cause of its own to show.
    pub(super) fn unavailable(why: &'static str) -> Self {
        Self::Unavailable(why.into())
    }
}

impl From<BodyError> for UploadError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Stopping => Self::Stopping,
            error => Self::Body(error),
        }
    }
}

impl From<StoreError> for UploadError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NoSpace { .. } => Self::NoSpace(error.into()),
            StoreError::NotFound { .. } | StoreError::Exists { .. } | StoreError::Io { .. } => {
                Self::Unavailable(error.into())
            }
        }
    }
}

impl From<CatalogError> for UploadError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::NoSpace(_) => Self::NoSpace(error.into()),
            CatalogError::Taken
            | CatalogError::InUse
            | CatalogError::Unavailable(_)
            | CatalogError::Corrupt(_) => Self::Unavailable(error.into()),
        }
    }
}
