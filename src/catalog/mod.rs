//! Where facts live: the [`Catalog`] and its implementations.
//!
//! The catalog is the truth. What is not in it did not happen: a range whose bytes are on the disk
//! but whose fact is not here is a range that was never received.

#[cfg(any(test, feature = "testing"))]
pub mod contract;
mod deployment;
mod directory;
mod doomed;
mod error;
#[cfg(any(test, feature = "testing"))]
mod memory;
mod query;
mod sqlite;
mod trail;

use std::fmt;

use async_trait::async_trait;

pub use self::deployment::{Advanced, Deployment, Seen};
pub use self::directory::{Directory, EmailChange};
pub use self::doomed::Doomed;
pub use self::error::CatalogError;
#[cfg(any(test, feature = "testing"))]
pub use self::memory::MemoryCatalog;
pub use self::query::{CreativeQuery, Resemblance, UploadQuery};
pub use self::sqlite::{
    Access, CatalogSnapshot, CatalogSurvey, CatalogView, DatabaseLock, Migration, Received,
    SqliteCatalog, cannot_map_when_full, migrations,
};
pub use self::trail::{AuditQuery, Trail};
use crate::upload::{
    Allowance, Amount, By, ByteRange, Creative, CreativeId, Day, Deed, Durability, EndReason,
    Identity, IdentityKey, Principal, Sha256Digest, StoredRange, Timestamp, Trouble, UploadId,
    UploadRecord, UploadState, Usage,
};

/// One thing that happened to an upload. Facts are committed in batches, each batch as a whole.
///
/// A fact about an upload that is not running has no effect: what came late for one upload is no
/// reason to refuse what came in the same batch for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// The upload is to be begun with a ticket that allows only so many: one more is counted. If
    /// it allows no more, no later fact of the batch about this upload has any effect. To be
    /// written before [`Fact::Opened`].
    Spent {
        /// Which upload.
        upload: UploadId,
        /// What its ticket allows.
        allowance: Allowance,
    },
    /// The upload exists. Written together with its first range, so that a first chunk that was
    /// cut off leaves nothing behind. At most one running upload may hold an identity. No effect if
    /// its principal is a user who is not in the directory.
    Opened(Box<UploadRecord>),
    /// By whom it was opened, for the audit trail. To be written after [`Fact::Opened`]; no effect
    /// if that had none.
    OpenedBy {
        /// Which upload.
        upload: UploadId,
        /// Whose request opened it.
        by: Box<By>,
    },
    /// A range is safely stored. `at` becomes the upload's `touched_at`. Replaces what was said
    /// before of a range at the same offset.
    Stored {
        /// Whose range.
        upload: UploadId,
        /// Which bytes, with their checksum.
        stored: StoredRange,
        /// When.
        at: Timestamp,
    },
    /// The client named this day.
    Scheduled {
        /// Which upload.
        upload: UploadId,
        /// The day.
        day: Day,
    },
    /// The client said what the whole file must hash to.
    Declared {
        /// Which upload.
        upload: UploadId,
        /// The SHA-256 of the whole file.
        sha256: Sha256Digest,
    },
    /// Every range is here: `receiving` becomes `stitching`, once. No effect in any other state.
    Full {
        /// Which upload.
        upload: UploadId,
    },
}

impl Fact {
    /// The upload that it is about.
    #[must_use]
    pub fn upload(&self) -> UploadId {
        match self {
            Self::Opened(record) => record.id,
            Self::Spent { upload, .. }
            | Self::OpenedBy { upload, .. }
            | Self::Stored { upload, .. }
            | Self::Scheduled { upload, .. }
            | Self::Declared { upload, .. }
            | Self::Full { upload } => *upload,
        }
    }
}

/// What a batch of facts came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Committed {
    /// The uploads whose [`Fact::Full`] made them `stitching`.
    pub filled: Vec<UploadId>,
    /// The uploads whose ranges were not written, because they are not running: nobody may be told
    /// that those ranges are here.
    pub ended: Vec<UploadId>,
    /// The uploads whose ticket allows no more: nothing of them was written.
    pub refused: Vec<UploadId>,
}

/// The facts about uploads, their ranges, and creatives.
///
/// Contract (held by `catalog::contract` for every implementation):
///
/// * Every call is one transaction: all of it, or none and an error.
/// * A call that takes no [`Durability`] survives loss of power once it has returned.
/// * State changes are conditional on the state that they leave ([`UploadState::may_become`]), so
///   that of several callers that race for one transition exactly one is told that it was the one.
/// * A call that has returned is seen by every call that begins later.
/// * Times are kept to the millisecond.
///
/// Cancel safety: a call whose future is dropped may still take effect.
#[async_trait]
pub trait Catalog: fmt::Debug + Send + Sync + 'static {
    /// Begins a session on the machine that is in its `epoch` (a text that changes when the
    /// machine restarts). If the former session did not [`Self::close`] and was in another epoch,
    /// all running uploads become suspect, and all their ranges unverified; that takes no longer
    /// the more there are. Returns whether the former session was closed; true if there was none.
    async fn open_session(&self, epoch: &str) -> Result<bool, CatalogError>;

    /// Ends the session: everything is flushed and the journal folded in. Every call that comes
    /// later is [`CatalogError::Unavailable`].
    async fn close(&self) -> Result<(), CatalogError>;

    /// Which deployment it is, and whether it is open.
    fn deployment(&self) -> &dyn Deployment;

    /// Who may use the service: kept in the same place, because uploads refer to it.
    fn directory(&self) -> &dyn Directory;

    /// Who did what: kept in the same place, because it tells of no more and no less than happened.
    fn trail(&self) -> &dyn Trail;

    /// Whether the catalog answers.
    async fn ping(&self) -> Result<(), CatalogError>;

    /// Writes a batch of facts, in order.
    ///
    /// Errors: [`CatalogError::Taken`] if an `Opened` would be the second running upload of one
    /// identity; nothing of the batch is written then.
    async fn commit(
        &self,
        facts: Vec<Fact>,
        durability: Durability,
    ) -> Result<Committed, CatalogError>;

    /// `stitching` becomes `complete`, and the creative exists: both or neither. The ranges are
    /// forgotten with that if there are at most [`crate::upload::limits::FEW_RANGES`] of them.
    /// Returns false, and writes nothing, if the upload is in any other state, or if its principal
    /// is a user who is disabled or gone.
    async fn complete(&self, creative: &Creative) -> Result<bool, CatalogError>;

    /// As [`Self::complete`], and of an upload that is `receiving`, too, whatever ranges are
    /// missing: its finished file was found, so it was complete once.
    async fn recover(&self, creative: &Creative) -> Result<bool, CatalogError>;

    /// A running upload ends without a file, at the time that `by` says. Returns false, and writes
    /// nothing, if it had ended before, or is `stitching` and would expire. `state` is one of
    /// `Failed`, `Cancelled`, `Expired`; any other is a mistake of the caller, and a panic.
    ///
    /// A file that may have been published for it, and then not recorded, is doomed with it.
    async fn end(
        &self,
        upload: UploadId,
        state: UploadState,
        reason: Option<EndReason>,
        by: &By,
    ) -> Result<bool, CatalogError>;

    /// Takes back ranges of a running upload whose bytes are not what they were, and makes it
    /// `receiving` if any range was taken back and it was `stitching`.
    async fn forget(&self, upload: UploadId, ranges: &[ByteRange]) -> Result<(), CatalogError>;

    /// The ranges of a suspect upload that must be read back before they are believed, by offset:
    /// those that were neither stored nor verified since it became suspect. None of any other.
    async fn unverified(&self, id: UploadId) -> Result<Vec<StoredRange>, CatalogError>;

    /// These ranges of a running upload were read back, and their bytes are what they were.
    ///
    /// Survives the death of the process, and need not survive loss of power: after that nothing is
    /// believed.
    async fn verified(&self, upload: UploadId, ranges: &[ByteRange]) -> Result<(), CatalogError>;

    /// No range of a running upload is unverified any more: it is not suspect. As durable as
    /// [`Self::verified`].
    async fn trust(&self, upload: UploadId) -> Result<(), CatalogError>;

    /// Writes down what holds up the completion of an upload that is `stitching`. No effect in any
    /// other state; with the next state it is forgotten.
    async fn hold_up(&self, upload: UploadId, trouble: &Trouble) -> Result<(), CatalogError>;

    /// Gives an upload to another visitor, whatever its state: the identity with the key `from`
    /// becomes `to`, which differs from it in the visitor only. Returns whether the upload has the
    /// identity `to` now; false if it had neither, or if another running upload has that.
    async fn hand_over(
        &self,
        upload: UploadId,
        from: &IdentityKey,
        to: &Identity,
    ) -> Result<bool, CatalogError>;

    /// Marks an upload that ended without a file as `released`.
    async fn release(&self, upload: UploadId) -> Result<(), CatalogError>;

    /// The running upload with this identity, or else the one that was opened last, whatever the
    /// clock said. A complete one counts only while its creative exists; once that is deleted,
    /// older ones do not count either.
    async fn current(&self, key: &IdentityKey) -> Result<Option<UploadRecord>, CatalogError>;

    /// The upload with this id.
    async fn upload(&self, id: UploadId) -> Result<Option<UploadRecord>, CatalogError>;

    /// The ranges of an upload that are here, by offset. Those of a complete one may be gone.
    async fn ranges(&self, id: UploadId) -> Result<Vec<StoredRange>, CatalogError>;

    /// How much of an upload is here, read without its ranges. Nothing of one that has ended.
    async fn amount(&self, id: UploadId) -> Result<Amount, CatalogError>;

    /// Uploads of one principal, newest first.
    async fn uploads(&self, query: &UploadQuery) -> Result<Vec<UploadRecord>, CatalogError>;

    /// Running uploads, and complete ones that still have their creative and ended at or after
    /// `complete_since`, that agree with all that is named, newest first, at most
    /// [`crate::upload::limits::RESEMBLING_MAX`]. They are looked for among those that have the
    /// identifier, or else the name, that is given: in each state among the newest
    /// [`crate::upload::limits::RESEMBLING_CANDIDATES_MAX`]; older ones need not be found.
    async fn resembling(
        &self,
        query: &Resemblance,
        complete_since: Timestamp,
    ) -> Result<Vec<UploadRecord>, CatalogError>;

    /// Those of these uploads that are running: neither ended nor unknown.
    async fn running(&self, among: &[UploadId]) -> Result<Vec<UploadId>, CatalogError>;

    /// Up to `limit` uploads that are `stitching`, by id, those after `after`.
    async fn stitching(
        &self,
        after: Option<UploadId>,
        limit: usize,
    ) -> Result<Vec<UploadId>, CatalogError>;

    /// Up to `limit` uploads that are `receiving` and were last touched before `before`, the
    /// longest idle first.
    async fn idle(&self, before: Timestamp, limit: usize) -> Result<Vec<UploadId>, CatalogError>;

    /// Forgets up to `limit` uploads that ended before `before`, the oldest first, with their
    /// ranges. Their creatives stay. Returns how many went.
    async fn purge(&self, before: Timestamp, limit: usize) -> Result<usize, CatalogError>;

    /// How many uploads ended before `before`: those that [`Self::purge`] would forget.
    async fn purgeable(&self, before: Timestamp) -> Result<u64, CatalogError>;

    /// Forgets the ranges of an upload that has ended.
    async fn drop_ranges(&self, upload: UploadId) -> Result<(), CatalogError>;

    /// How many uploads are in each state; states with none may be left out.
    async fn count_uploads(&self) -> Result<Vec<(UploadState, u64)>, CatalogError>;

    /// What a principal has, besides what these uploads are, or have become. Whatever somebody has,
    /// it takes no longer.
    async fn usage(&self, of: &Principal, besides: &[UploadId]) -> Result<Usage, CatalogError>;

    /// The creative with this id.
    async fn creative(&self, id: CreativeId) -> Result<Option<Creative>, CatalogError>;

    /// Creatives of one principal by scheduled day, then by id.
    async fn creatives(&self, query: &CreativeQuery) -> Result<Vec<Creative>, CatalogError>;

    /// Schedules a creative for another day. Nothing if it is not there.
    async fn reschedule(
        &self,
        id: CreativeId,
        day: Day,
        by: &By,
    ) -> Result<Option<Creative>, CatalogError>;

    /// Forgets a creative and remembers, in the same transaction, that its file is to go
    /// ([`Self::doomed`]): for good, unless the operator does it. Returns what was forgotten.
    async fn delete_creative(
        &self,
        id: CreativeId,
        by: &By,
    ) -> Result<Option<Creative>, CatalogError>;

    /// Writes the record of a file that was brought back from the trash. Returns false, and writes
    /// nothing, if its principal is a user who is disabled or gone, or if there is a creative of
    /// this id or upload.
    async fn restore_creative(&self, creative: &Creative, by: &By) -> Result<bool, CatalogError>;

    /// Gives a creative to a user. Its upload is forgotten with that: the former owner gets no
    /// answer for it any more, and the identity is free. Returns what the creative is now; nothing,
    /// and changes nothing, if it is not there, or there is no such user.
    async fn give_creative(
        &self,
        id: CreativeId,
        to: &Principal,
        by: &By,
    ) -> Result<Option<Creative>, CatalogError>;

    /// The files whose creatives were deleted and that are not known to be gone.
    async fn doomed(&self) -> Result<Vec<Doomed>, CatalogError>;

    /// The same for one deleted creative; nothing if its file is not to go (any more).
    async fn doomed_by_id(&self, id: CreativeId) -> Result<Option<Doomed>, CatalogError>;

    /// The file of this deleted creative is gone.
    async fn buried(&self, id: CreativeId) -> Result<(), CatalogError>;
}

/// What the audit trail calls the end of an upload.
fn deed_of(state: UploadState) -> Deed {
    match state {
        UploadState::Failed => Deed::UploadFailed,
        UploadState::Cancelled => Deed::UploadCancelled,
        UploadState::Expired => Deed::UploadExpired,
        UploadState::Receiving | UploadState::Stitching | UploadState::Complete => {
            panic!("no upload ends without a file as {}", state.as_str())
        }
    }
}
