//! Which upload a request belongs to, and whether it may still come in.

use std::{sync::Arc, time::Duration};

use super::{
    Engine, Intent, Options, Refused, Shared, UploadError, live::Live, registry::Registry,
    registry::Use,
};
use crate::upload::{
    Accept, Allowance, Creative, CreativeId, Day, EndReason, IdentityKey, NotPermitted, Permit,
    Sha256Digest, Timestamp, UploadId, UploadRecord, UploadState,
};

/// What a request is to do with the upload that ended under its identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The upload answers for the request: it is complete.
    Answers,
    /// The request comes too late.
    Refuses,
    /// The identity is free.
    Free,
}

/// What a request says of its file besides its identity.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) day: Option<Day>,
    pub(super) sha256: Option<Sha256Digest>,
}

/// Decides about an upload that has ended.
fn verdict(
    record: &UploadRecord,
    creative: Option<&Creative>,
    terms: Terms,
    now: Timestamp,
    options: &Options,
) -> Verdict {
    let ended = record.ended_at.unwrap_or(record.touched_at);
    // A clock that was set back must neither free an identity early nor hold it for ever.
    let within = |span: Duration| ended.duration_since(now).unsigned_abs() < span;
    match record.state {
        UploadState::Complete => match creative {
            Some(creative) if within(options.result_ttl) => {
                let asked = record.scheduled.unwrap_or(creative.scheduled);
                // Another day is another creative: the user wants the file on both.
                let same_day =
                    terms.day.is_none_or(|day| day == asked || day == creative.scheduled);
                let known = creative.digest.sha256.or(record.declared_sha256);
                // A file of which nobody knows that it is the same is another one.
                let same_file = terms.sha256.is_none_or(|sha256| known == Some(sha256));
                if same_day && same_file { Verdict::Answers } else { Verdict::Free }
            }
            Some(_) | None => Verdict::Free,
        },
        UploadState::Failed | UploadState::Cancelled | UploadState::Expired => {
            let held = !record.released && within(options.cancel_grace);
            if held { Verdict::Refuses } else { Verdict::Free }
        }
        UploadState::Receiving | UploadState::Stitching => {
            unreachable!("only uploads that have ended are judged")
        }
    }
}

impl Shared {
    pub(super) fn judge(&self, live: &Live, terms: Terms) -> Verdict {
        let state = live.lock();
        verdict(&state.record, state.creative.as_ref(), terms, self.clock.now(), &self.options)
    }

    /// Errors: an upload has ended without a file, and refuses this request.
    pub(super) fn check_wanted(&self, live: &Live, intent: &Intent) -> Result<(), UploadError> {
        let state = live.upload_state();
        let refuses = !state.is_running() && self.judge(live, intent.terms()) == Verdict::Refuses;
        if refuses { Err(UploadError::Gone(state)) } else { Ok(()) }
    }

    /// The newest upload of this identity, if there is one.
    pub(super) async fn find(
        shared: &Arc<Self>,
        intent: &Intent,
    ) -> Result<Option<Use>, UploadError> {
        Self::inherit(shared, intent).await?;
        let key = intent.identity.key();
        if let Some(live) = Registry::by_key(shared, &key) {
            shared.make_sure(&live).await?;
            return Ok(Some(live));
        }
        if shared.registry.is_absent(&key) {
            return Ok(None);
        }
        let _gate = shared.registry.gate(&key).lock().await;
        Self::find_under_gate(shared, key).await
    }

    /// The newest upload of this identity. The caller holds its gate.
    pub(super) async fn find_under_gate(
        shared: &Arc<Self>,
        key: IdentityKey,
    ) -> Result<Option<Use>, UploadError> {
        if let Some(live) = Registry::by_key(shared, &key) {
            shared.make_sure(&live).await?;
            return Ok(Some(live));
        }
        if shared.registry.is_absent(&key) {
            return Ok(None);
        }
        let Some(record) = shared.catalog.current(&key).await? else {
            shared.registry.note_absent(key);
            return Ok(None);
        };
        Ok(Some(Self::load(shared, record, Some(key)).await?))
    }

    /// The upload that this request belongs to; a new one if there is none. It may be complete:
    /// then it answers for the request.
    pub(super) async fn admit(shared: &Arc<Self>, intent: &Intent) -> Result<Use, UploadError> {
        Self::inherit(shared, intent).await?;
        let live = Self::admit_visitor(shared, intent).await?;
        intent.note_offer(&live);
        Ok(live)
    }

    async fn admit_visitor(shared: &Arc<Self>, intent: &Intent) -> Result<Use, UploadError> {
        let key = intent.identity.key();
        let handed_over = Self::handed_over(shared, intent);
        if let Some(live) = handed_over.or_else(|| Registry::by_key(shared, &key)) {
            shared.make_sure(&live).await?;
            if live.upload_state().is_running() {
                return shared.join(live, intent);
            }
        }
        let _gate = shared.registry.gate(&key).lock().await;
        let found = match Self::handed_over(shared, intent) {
            Some(live) => Some(live),
            None => Self::find_under_gate(shared, key).await?,
        };
        let Some(live) = found else { return Self::open(shared, intent).await };
        let state = live.upload_state();
        if state.is_running() {
            return shared.join(live, intent);
        }
        match shared.judge(&live, intent.terms()) {
            Verdict::Answers => Ok(live),
            Verdict::Refuses => Err(UploadError::Gone(state)),
            Verdict::Free => Self::open(shared, intent).await,
        }
    }

    /// A request for an upload that runs: it may change the terms.
    fn join(&self, live: Use, intent: &Intent) -> Result<Use, UploadError> {
        if let Some(permit) = &intent.permit {
            permit.check_day(intent.scheduled)?;
            Self::check_ticket(permit, &live)?;
        }
        let known = live.lock().record.scheduled;
        if intent.scheduled != known {
            // A day that was accepted once stays good past midnight.
            self.check_day(intent.scheduled)?;
        }
        live.take_terms(intent.scheduled, intent.sha256).map_err(UploadError::Conflict)?;
        Ok(live)
    }

    /// Whether a ticket would allow the file of an upload that runs: it need not be the one with
    /// which that was begun. How many may be begun is another matter.
    fn check_ticket(permit: &Permit, live: &Live) -> Result<(), UploadError> {
        permit.check_name(&live.kind().0)?;
        Self::check_kind(permit, live)
    }

    /// As [`Self::check_ticket`], of what is final for every client: size and kind.
    pub(super) fn check_kind(permit: &Permit, live: &Live) -> Result<(), UploadError> {
        let (len, filename) = (live.plan.total(), live.kind().0);
        let max = permit.at_most(u64::MAX);
        if max < len {
            return Err(UploadError::TooLarge { len, max });
        }
        if permit.accept.takes_name(&filename) {
            return Ok(());
        }
        let reason = format!("the ticket takes no files with such a name, only: {}", permit.accept);
        Err(UploadError::Refused(Refused::Type, EndReason(reason)))
    }

    async fn open(shared: &Arc<Self>, intent: &Intent) -> Result<Use, UploadError> {
        let permit = intent.permit.as_deref();
        let accept = permit.map_or_else(Accept::default, |permit| permit.accept.clone());
        shared.check_name(&intent.filename, &accept)?;
        shared.check_len(intent.identity.plan().total(), permit)?;
        if shared.options.schedule_required && intent.scheduled.is_none() {
            return Err(UploadError::ScheduleMissing);
        }
        shared.check_day(intent.scheduled)?;
        let allowance = shared.check_permit(intent).await?;
        let now = shared.clock.now();
        let record = UploadRecord {
            id: UploadId::new(),
            identity: intent.identity.clone(),
            filename: intent.filename.clone(),
            scheduled: intent.scheduled,
            declared_sha256: intent.sha256,
            accept,
            creative_id: CreativeId::new(),
            state: UploadState::Receiving,
            reason: None,
            trouble: None,
            suspect: false,
            released: false,
            // When the request came, where that decides whose cookie is older.
            created_at: intent.arrived().map_or(now, |(_, at)| at),
            touched_at: now,
            ended_at: None,
        };
        let live = Live::opened(record, allowance, &intent.by);
        Self::begin(shared, live, intent.identity.key(), intent.kept.as_deref()).await
    }

    /// Whether the ticket that an upload is begun with allows it. How many may be begun is decided
    /// when it is recorded: here only those are stopped early that are too many already.
    async fn check_permit(&self, intent: &Intent) -> Result<Option<Allowance>, UploadError> {
        let Some(permit) = &intent.permit else { return Ok(None) };
        permit.check_name(&intent.filename)?;
        permit.check_day(intent.scheduled)?;
        if let Some(Allowance { ticket, uploads, .. }) = permit.allowance
            && uploads <= self.catalog.directory().begun_with(ticket).await?
        {
            return Err(NotPermitted::Uploads(uploads).into());
        }
        Ok(permit.allowance)
    }

    pub(super) fn check_day(&self, day: Option<Day>) -> Result<(), UploadError> {
        let today = self.clock.today();
        match day {
            Some(day) if day < today => Err(UploadError::SchedulePast { day, today }),
            Some(_) | None => Ok(()),
        }
    }
}

impl Intent {
    pub(super) fn terms(&self) -> Terms {
        Terms { day: self.scheduled, sha256: self.sha256 }
    }
}

impl Engine {
    /// Whether a range that is sent now would begin an upload. Another request may do so first.
    pub async fn would_begin(&self, intent: &Intent) -> Result<bool, UploadError> {
        let Some(live) = Shared::find(&self.shared, intent).await? else { return Ok(true) };
        let has_ended = !live.upload_state().is_running();
        Ok(has_ended && self.shared.judge(&live, intent.terms()) == Verdict::Free)
    }
}
