//! All facts of the model, and what each call makes of them.

use std::collections::{BTreeMap, BTreeSet};

use super::sessions::Session;
use crate::{
    catalog::{CatalogError, Committed, Doomed, Fact, Resemblance},
    upload::{
        AccessState, Allowance, AuditEntry, By, ByteRange, CodeRecord, Creative, CreativeId, Deed,
        DeploymentId, EndReason, IdentityKey, Mark, Principal, StoredRange, TicketKey, Timestamp,
        TokenId, TokenRecord, TrashNote, TrashReason, Trouble, UploadId, UploadRecord, UploadState,
        User, limits::FEW_RANGES,
    },
};

#[derive(Debug, Default, Clone)]
pub(super) struct Facts {
    pub(super) uploads: BTreeMap<UploadId, UploadRecord>,
    /// In the order in which they were opened.
    opened: Vec<UploadId>,
    /// By upload, then by offset.
    pub(super) ranges: BTreeMap<UploadId, BTreeMap<u64, StoredRange>>,
    /// Offsets of ranges that must be read back before they are believed.
    pub(super) unverified: BTreeMap<UploadId, BTreeSet<u64>>,
    pub(super) creatives: BTreeMap<CreativeId, Creative>,
    pub(super) doomed: BTreeMap<CreativeId, Doomed>,
    pub(super) session: Option<Session>,
    pub(super) mark: OwnMark,
    pub(super) access: Option<AccessState>,
    pub(super) users: BTreeMap<Principal, User>,
    pub(super) tokens: BTreeMap<TokenId, TokenRecord>,
    pub(super) codes: BTreeMap<Principal, CodeRecord>,
    /// How many uploads were begun with each, and until when that matters.
    pub(super) tickets: BTreeMap<TicketKey, (u32, Timestamp)>,
    /// The audit trail, the oldest line first.
    pub(super) trail: Vec<AuditEntry>,
}

/// What the catalog knows of its deployment: a new one, by default.
#[derive(Debug, Clone)]
pub(super) struct OwnMark(pub(super) Mark);

impl Default for OwnMark {
    fn default() -> Self {
        Self(Mark { deployment: DeploymentId::new(), generation: 0 })
    }
}

impl Facts {
    /// See [`crate::catalog::Deployment::set_access`].
    pub(super) fn decide_access(&mut self, state: AccessState) {
        if self.access != Some(AccessState::Users) {
            self.access = Some(state);
        }
    }

    /// What can go wrong is looked for first, so that a batch is written as a whole or not at all.
    pub(super) fn commit(&mut self, facts: Vec<Fact>) -> Result<Committed, CatalogError> {
        self.check(&facts)?;
        let mut committed = Committed::default();
        for fact in facts {
            self.write(fact, &mut committed);
        }
        Ok(committed)
    }

    fn check(&self, facts: &[Fact]) -> Result<(), CatalogError> {
        let mut known: Vec<&UploadRecord> = self.uploads.values().collect();
        for fact in facts {
            let Fact::Opened(new) = fact else { continue };
            let rival = |old: &&UploadRecord| {
                old.state.is_running() && new.state.is_running() && old.identity == new.identity
            };
            if known.iter().any(rival) {
                return Err(CatalogError::Taken);
            }
            if known.iter().any(|old| old.id == new.id) {
                return Err(CatalogError::Corrupt("two uploads with one id".into()));
            }
            known.push(new);
        }
        Ok(())
    }

    fn write(&mut self, fact: Fact, committed: &mut Committed) {
        if committed.refused.contains(&fact.upload()) {
            return;
        }
        match fact {
            Fact::Spent { upload, allowance } => {
                let Allowance { ticket, uploads, expires_at } = allowance;
                let (begun, _) = self.tickets.get(&ticket).copied().unwrap_or((0, expires_at));
                if begun < uploads {
                    self.tickets.insert(ticket, (begun + 1, to_millis(expires_at)));
                } else {
                    committed.refused.push(upload);
                }
            }
            Fact::Opened(record) if !self.may_own(record.identity.principal()) => {}
            Fact::Opened(mut record) => {
                record.suspect = false;
                record.created_at = to_millis(record.created_at);
                record.touched_at = to_millis(record.touched_at);
                record.ended_at = record.ended_at.map(to_millis);
                self.opened.push(record.id);
                self.uploads.insert(record.id, *record);
            }
            Fact::OpenedBy { upload, by } => {
                let record = self.uploads.get(&upload);
                let name = record.map(|record| record.filename.as_str().to_owned());
                self.note_upload(upload, Deed::UploadOpened, &by, name);
            }
            Fact::Stored { upload, stored, at } => {
                if let Some(record) = self.running(upload) {
                    record.touched_at = to_millis(at);
                    let ranges = self.ranges.entry(upload).or_default();
                    ranges.insert(stored.range.offset(), stored);
                    self.verified(upload, &[stored.range]);
                } else if !committed.ended.contains(&upload) {
                    committed.ended.push(upload);
                }
            }
            Fact::Scheduled { upload, day } => {
                if let Some(record) = self.running(upload) {
                    record.scheduled = Some(day);
                }
            }
            Fact::Declared { upload, sha256 } => {
                if let Some(record) = self.running(upload) {
                    record.declared_sha256 = Some(sha256);
                }
            }
            Fact::Full { upload } => {
                if self.advance(upload, UploadState::Stitching).is_some() {
                    committed.filled.push(upload);
                }
            }
        }
    }

    fn may_own(&self, principal: &Principal) -> bool {
        principal.is_anonymous() || self.users.contains_key(principal)
    }

    pub(super) fn running(&mut self, upload: UploadId) -> Option<&mut UploadRecord> {
        self.uploads.get_mut(&upload).filter(|record| record.state.is_running())
    }

    /// The upload in its new state, or nothing if there is no way there from the present one.
    pub(super) fn advance(
        &mut self,
        upload: UploadId,
        next: UploadState,
    ) -> Option<&mut UploadRecord> {
        let record = self.uploads.get_mut(&upload)?;
        if !record.state.may_become(next) {
            return None;
        }
        record.state = next;
        record.trouble = None;
        record.suspect &= next.is_running();
        Some(record)
    }

    pub(super) fn end(
        &mut self,
        upload: UploadId,
        (state, deed): (UploadState, Deed),
        reason: Option<EndReason>,
        by: &By,
    ) -> bool {
        let was_full = self.uploads.get(&upload).is_some_and(|u| u.state == UploadState::Stitching);
        let Some(record) = self.advance(upload, state) else { return false };
        record.reason.clone_from(&reason);
        record.ended_at = Some(to_millis(by.at));
        let (id, filename) = (record.creative_id, record.filename.clone());
        let note = Some(TrashNote::of_upload(record, TrashReason::Ended).to_json());
        if was_full {
            self.doomed.insert(id, Doomed { id, filename, note });
        }
        self.note_upload(upload, deed, by, reason.map(|reason| reason.0));
        true
    }

    /// Not for a user who is disabled or gone.
    pub(super) fn complete(&mut self, creative: &Creative) -> bool {
        self.complete_as(creative, Deed::UploadCompleted)
    }

    /// The same for an upload whose finished file was found.
    pub(super) fn recover(&mut self, creative: &Creative) -> bool {
        let before = self.clone();
        let _was_full = self.advance(creative.upload_id, UploadState::Stitching).is_none();
        let recovered = self.complete_as(creative, Deed::UploadRecovered);
        if !recovered {
            *self = before;
        }
        recovered
    }

    fn may_add(&self, principal: &Principal) -> bool {
        let user = self.users.get(principal);
        principal.is_anonymous() || user.is_some_and(|user| user.disabled_at.is_none())
    }

    /// Writes a record again whose file was brought back.
    pub(super) fn restore(&mut self, creative: &Creative, by: &By) -> bool {
        let same = |it: &Creative| it.id == creative.id || it.upload_id == creative.upload_id;
        if self.creatives.values().any(same) || !self.may_add(&creative.principal) {
            return false;
        }
        let created_at = to_millis(creative.created_at);
        let creative = Creative { created_at, ..creative.clone() };
        self.doomed.remove(&creative.id);
        self.note_creative(&creative, Deed::FileRestored, by, creative.filename.as_str());
        self.creatives.insert(creative.id, creative);
        true
    }

    fn complete_as(&mut self, creative: &Creative, deed: Deed) -> bool {
        if !self.may_add(&creative.principal) {
            return false;
        }
        let creative = Creative { created_at: to_millis(creative.created_at), ..creative.clone() };
        let Some(record) = self.advance(creative.upload_id, UploadState::Complete) else {
            return false;
        };
        record.ended_at = Some(creative.created_at);
        let (by, id) = (By::server(creative.created_at), creative.id.to_string());
        self.note_upload(creative.upload_id, deed, &by, Some(id));
        if self.ranges.get(&creative.upload_id).is_some_and(|it| it.len() <= FEW_RANGES as usize) {
            self.ranges.remove(&creative.upload_id);
        }
        self.creatives.insert(creative.id, creative);
        true
    }

    pub(super) fn forget(&mut self, upload: UploadId, ranges: &[ByteRange]) {
        if self.running(upload).is_none() {
            return;
        }
        let stored = self.ranges.entry(upload).or_default();
        let count = stored.len();
        stored.retain(|_, stored| !ranges.contains(&stored.range));
        if stored.len() < count {
            self.advance(upload, UploadState::Receiving);
        }
    }

    pub(super) fn hold_up(&mut self, upload: UploadId, trouble: &Trouble) {
        let full = |record: &&mut UploadRecord| record.state == UploadState::Stitching;
        if let Some(record) = self.uploads.get_mut(&upload).filter(full) {
            record.trouble = Some(trouble.clone());
        }
    }

    pub(super) fn release(&mut self, upload: UploadId) {
        let without_file =
            |u: &&mut UploadRecord| !u.state.is_running() && u.state != UploadState::Complete;
        if let Some(record) = self.uploads.get_mut(&upload).filter(without_file) {
            record.released = true;
        }
    }

    pub(super) fn current(&self, key: &IdentityKey) -> Option<UploadRecord> {
        let opened = self.opened.iter().filter_map(|id| self.uploads.get(id));
        let same: Vec<_> = opened.filter(|upload| upload.identity.key() == *key).collect();
        let running = same.iter().find(|upload| upload.state.is_running());
        running.or(same.last()).filter(|upload| self.counts(upload)).copied().cloned()
    }

    /// Whether the upload is not a complete one whose creative was deleted.
    pub(super) fn counts(&self, upload: &UploadRecord) -> bool {
        upload.state != UploadState::Complete
            || self.creatives.values().any(|creative| creative.upload_id == upload.id)
    }

    /// Newest first.
    pub(super) fn select(
        &self,
        limit: usize,
        wanted: impl Fn(&UploadRecord) -> bool,
    ) -> Vec<UploadRecord> {
        self.uploads.values().rev().filter(|upload| wanted(upload)).take(limit).cloned().collect()
    }

    pub(super) fn give(&mut self, id: CreativeId, to: &Principal, by: &By) -> Option<Creative> {
        self.users.get(to)?;
        let former = self.creatives.get(&id)?.clone();
        let given = Creative { principal: to.clone(), ..former.clone() };
        self.creatives.insert(id, given.clone());
        self.forget_upload(given.upload_id);
        self.note_creative(&former, Deed::CreativeGiven, by, to.as_str());
        Some(given)
    }

    fn forget_upload(&mut self, upload: UploadId) {
        self.uploads.remove(&upload);
        self.opened.retain(|opened| *opened != upload);
        self.ranges.remove(&upload);
        self.unverified.remove(&upload);
    }

    pub(super) fn purge(&mut self, before: Timestamp, limit: usize) -> usize {
        let ended = |upload: &UploadRecord| Some((upload.ended_at?, upload.id));
        let mut ended: Vec<_> = self.uploads.values().filter_map(ended).collect();
        ended.retain(|(at, _)| *at < to_millis(before));
        ended.sort_unstable();
        ended.truncate(limit);
        for (_, upload) in &ended {
            self.forget_upload(*upload);
        }
        ended.len()
    }
}

pub(super) fn resembles(upload: &UploadRecord, query: &Resemblance) -> bool {
    fn agrees<T: PartialEq + Copy>(named: Option<T>, value: T) -> bool {
        named.is_none_or(|named| named == value)
    }
    let (identity, plan) = (&upload.identity, upload.identity.plan());
    *identity.principal() == query.principal
        && agrees(query.identifier.as_deref(), identity.identifier())
        && agrees(query.filename.as_deref(), upload.filename.as_str())
        && agrees(query.relative_path.as_deref(), identity.relative_path())
        && agrees(query.total, plan.total())
        // A plan keeps no stride past the largest offset.
        && agrees(query.stride.map(|stride| stride.min(i64::MAX as u64)), plan.stride())
        && agrees(query.count, plan.count())
}

/// What is kept of a time.
pub(super) fn to_millis(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).expect("it is near a time that there is")
}
