//! Questions that come before bytes: probes and lookups, exact ones and those by hand.
//!
//! Where a file is not known, the question is refused for what its first chunk would be refused
//! for, as far as that can be known: the client then need not send it to find out.

use std::sync::Arc;

use super::{
    Engine, Intent, Shared, Snapshot, UploadError, admit::Terms, admit::Verdict, live::Live,
    registry::Use,
};
use crate::{
    catalog::Resemblance,
    upload::{ByteRange, Day, FileName, Permit, Principal, Sha256Digest, Timestamp, UploadState},
};

/// What a question says of a file that is to be sent. What is `None` it leaves open.
#[derive(Debug, Clone, Copy)]
pub struct Announced<'a> {
    /// Whose file it is.
    pub principal: &'a Principal,
    /// What it is called.
    pub filename: Option<&'a FileName>,
    /// Its size, in bytes.
    pub len: Option<u64>,
    /// The day it is scheduled for.
    pub scheduled: Option<Day>,
    /// What it hashes to.
    pub sha256: Option<Sha256Digest>,
    /// What the ticket allows that the question came with.
    pub permit: Option<&'a Permit>,
}

/// The uploads that agree with what a question by hand names.
enum Resembling {
    /// There are none.
    None,
    /// One of them has not got the piece that was asked for.
    Lacking,
    /// All have it, and this is the newest.
    Newest(Use),
}

impl Intent {
    fn announced(&self) -> Announced<'_> {
        Announced {
            principal: self.identity.principal(),
            filename: Some(&self.filename),
            len: Some(self.identity.plan().total()),
            scheduled: self.scheduled,
            sha256: self.sha256,
            permit: self.permit.as_deref(),
        }
    }
}

impl Announced<'_> {
    fn terms(&self) -> Terms {
        Terms { day: self.scheduled, sha256: self.sha256 }
    }
}

impl Engine {
    /// Whether this range is safely here, or the whole upload complete; and how it stands then.
    ///
    /// A fresh start always asks before it sends: asking frees an identity whose last upload ended
    /// without a file. Never gives an upload that has not got the range.
    ///
    /// Errors: the file, if it were sent, would be refused for its kind, its size or a quota, or it
    /// is another one than the one that is on its way.
    pub async fn probe(
        &self,
        intent: &Intent,
        range: ByteRange,
    ) -> Result<Option<Snapshot>, UploadError> {
        let Some(live) = self.look(intent).await? else {
            self.shared.check_announced(&intent.announced()).await?;
            return Ok(None);
        };
        Shared::verify_range(&self.shared, &live, range).await?;
        let is_here = || {
            let state = live.lock();
            let stored = state.record.state.is_running() && state.is_verified(range);
            stored || state.record.state == UploadState::Complete
        };
        if live.has_evidence() {
            let is_in_it = self.shared.is_in_finished_file(&live, range).await?;
            return Ok(is_in_it.then(|| self.shared.snapshot(&live)));
        }
        if !is_here() {
            intent.permit.as_ref().map_or(Ok(()), |permit| Shared::check_kind(permit, &live))?;
            return Ok(None);
        }
        if live.lock().record.trouble.is_some() {
            // What holds it up is told at once: every chunk of it may be asked for, one by one.
            return Ok(Some(self.shared.snapshot(&live)));
        }
        // Asked again: while the stitch is waited for, the upload may be cancelled or lose a range.
        let settled = self.settled(&live).await;
        Ok(is_here().then_some(settled))
    }

    /// How the upload of this identity stands, if it runs or is complete, with the pieces that are
    /// missing, from the one with the index `from` on. Frees an identity, and is refused, as
    /// [`Self::probe`].
    pub async fn lookup(
        &self,
        intent: &Intent,
        from: u64,
    ) -> Result<Option<Snapshot>, UploadError> {
        let Some(live) = self.look(intent).await? else {
            self.shared.check_announced(&intent.announced()).await?;
            return Ok(None);
        };
        Ok(Some(self.shared.listing(&live, from)))
    }

    /// Frees this identity as [`Self::probe`] does, for a question by hand after which it is sent.
    pub async fn free(&self, intent: &Intent) -> Result<(), UploadError> {
        self.look(intent).await.map(drop)
    }

    /// What a probe by hand is answered: how the newest upload stands that agrees with all it
    /// names, if there is one and all of them have the piece with this index. Errors: as
    /// [`Self::probe`], of a file that no upload agrees with.
    pub async fn probe_resembling(
        &self,
        query: &Resemblance,
        index: u64,
        file: &Announced<'_>,
    ) -> Result<Option<Snapshot>, UploadError> {
        match self.find_resembling(query, Some(index), file).await? {
            Resembling::Newest(live) => Ok(Some(self.shared.snapshot(&live))),
            Resembling::Lacking => Ok(None),
            Resembling::None => {
                self.shared.check_announced(file).await?;
                Ok(None)
            }
        }
    }

    /// What a lookup by hand is answered: how the newest upload stands that agrees with all it
    /// names, with the pieces that are missing, from the one with the index `from` on. Errors: as
    /// [`Self::probe_resembling`].
    pub async fn lookup_resembling(
        &self,
        query: &Resemblance,
        from: u64,
        file: &Announced<'_>,
    ) -> Result<Option<Snapshot>, UploadError> {
        match self.find_resembling(query, None, file).await? {
            Resembling::Newest(live) => Ok(Some(self.shared.listing(&live, from))),
            Resembling::Lacking | Resembling::None => {
                self.shared.check_announced(file).await?;
                Ok(None)
            }
        }
    }

    async fn find_resembling(
        &self,
        query: &Resemblance,
        index: Option<u64>,
        file: &Announced<'_>,
    ) -> Result<Resembling, UploadError> {
        let shared = &self.shared;
        let since = shared.clock.now().saturating_sub(shared.options.result_ttl);
        let mut found = Resembling::None;
        for record in shared.catalog.resembling(query, since.unwrap_or(Timestamp::MIN)).await? {
            let Some(live) = Shared::by_id(shared, record.id).await? else { continue };
            if !shared.agrees(&live, file.terms()) {
                continue;
            }
            Shared::attend(shared, &live).await?;
            if let Some(index) = index
                && !has_piece(shared, &live, index).await?
            {
                return Ok(Resembling::Lacking);
            }
            if matches!(found, Resembling::None) {
                found = Resembling::Newest(live);
            }
        }
        Ok(found)
    }

    async fn look(&self, intent: &Intent) -> Result<Option<Use>, UploadError> {
        if let Some((arrived, _)) = intent.arrived() {
            self.shared.registry.close_handed_over(&intent.identity.key(), arrived);
        }
        let Some(live) = Shared::find(&self.shared, intent).await? else { return Ok(None) };
        if live.has_evidence() {
            // As a rule the finished file is examined before the answer is due.
            drop(self.settled(&live).await);
        }
        if live.upload_state().is_running() {
            Shared::attend(&self.shared, &live).await?;
            // Chunks of another file are not here, whatever is.
            live.check_sha256(intent.sha256).map_err(UploadError::Conflict)?;
            return Ok(Some(live));
        }
        match self.shared.judge(&live, intent.terms()) {
            Verdict::Answers => Ok(Some(live)),
            Verdict::Refuses => {
                self.shared.catalog.release(live.id).await?;
                live.lock().record.released = true;
                Ok(None)
            }
            Verdict::Free => Ok(None),
        }
    }
}

impl Shared {
    /// Whether an upload may be of the file of which a question says this.
    fn agrees(&self, live: &Live, terms: Terms) -> bool {
        if live.upload_state().is_running() {
            return live.check_sha256(terms.sha256).is_ok();
        }
        self.judge(live, terms) == Verdict::Answers
    }

    /// Errors: a file of which this is known could not be begun.
    async fn check_announced(&self, file: &Announced<'_>) -> Result<(), UploadError> {
        if let Some(name) = file.filename {
            self.check_name(name, &file.permit.map(|it| it.accept.clone()).unwrap_or_default())?;
        }
        if let Some(len) = file.len {
            self.check_len(len, file.permit)?;
        }
        self.check_may_begin(file.principal, file.len.unwrap_or(0)).await
    }
}

async fn has_piece(shared: &Arc<Shared>, live: &Use, index: u64) -> Result<bool, UploadError> {
    let Some(range) = live.plan.piece(index) else { return Ok(false) };
    Shared::verify_range(shared, live, range).await?;
    let state = live.lock();
    Ok(state.record.state == UploadState::Complete || state.is_verified(range))
}
