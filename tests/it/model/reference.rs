//! What a client may rely on, and nothing else: the contract of the design as a value.
//!
//! The reference does not predict what the service does. It knows what *may* have become of a file
//! after all that was sent, answered, broken and killed. Whatever may happen widens it; each answer
//! must be one that it allows, and narrows it again. It stands for one file, one identity.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{CANCEL_GRACE, DAYS, RESULT_TTL, UPLOAD_TTL};
use crate::support::{Reply, sha256_hex};

/// What the newest upload of the identity may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    /// There is none that counts: the next chunk begins one.
    Fresh,
    /// It takes chunks, or is being stitched.
    Running,
    /// Its creative answers for it.
    Complete,
    /// It was cancelled or has expired: late chunks are refused, a question frees the identity.
    Gone,
}

/// What is known of a chunk of the running upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Here {
    /// Never sent: it must not be there.
    Never,
    /// Sent, and nothing was promised: it may be there or not.
    Maybe,
    /// Acknowledged, by the answer to it or to a probe: it must be there.
    Surely,
}

/// What is known of a creative that somebody was told of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    upload: String,
    /// None if its deletion was asked for, and the answer did not come.
    there: Option<bool>,
}

/// One file as its client and the reference know it.
#[derive(Debug)]
pub(super) struct File {
    pub(super) name: &'static str,
    pub(super) content: &'static str,
    /// The day that the client names from now on, if it names one.
    pub(super) day: Option<usize>,
    /// Whether answers promise no more than the death of the process takes.
    relaxed: bool,
    fates: BTreeSet<Fate>,
    /// What they were when the requests under way were sent, with all that these make possible.
    possible: BTreeSet<Fate>,
    /// The upload that answers spoke of last.
    pub(super) id: Option<String>,
    chunks: Vec<Here>,
    /// As they were when the requests under way were sent.
    before: Vec<Here>,
    /// The days that it may be scheduled for, and those that were ever named for it.
    days: BTreeSet<Option<usize>>,
    named: BTreeSet<Option<usize>>,
    /// When its last byte came, at the earliest; when it may have ended, from and to. In seconds.
    touched: i64,
    ended: (i64, i64),
    /// By id.
    creatives: BTreeMap<String, Told>,
}

/// What an answer that tells how an upload stands says.
struct Status {
    id: String,
    /// How many chunks are there.
    received: usize,
    /// Which are not, where the answer lists them.
    missing: Option<Vec<usize>>,
    /// Whether some are still being read back after loss of power.
    verifying: bool,
    creative: Option<(String, Value)>,
}

impl Status {
    fn of(reply: &Reply) -> Self {
        let body = reply.json();
        let state = body["upload"]["state"].as_str().expect("a state");
        assert!(["receiving", "stitching", "complete"].contains(&state), "it answers: {body}");
        assert_eq!(body["complete"], state == "complete", "{body}");
        assert_eq!(body["complete"], body["creative"].is_object(), "{body}");
        let number = |value: &Value| value.as_u64().and_then(|n| usize::try_from(n).ok());
        let pair = |pair: &Value| number(&pair[0]).zip(number(&pair[1])).expect("a pair");
        let pairs = body["upload"]["missing_chunks"].as_array();
        let missing =
            pairs.map(|it| it.iter().map(pair).flat_map(|(from, to)| from..=to).collect());
        let received = number(&body["upload"]["received_chunks"]).expect("a count");
        let creative = body["creative"]["id"].as_str();
        let creative = creative.map(|id| (id.to_owned(), body["creative"].clone()));
        let verifying = body["upload"]["verifying"].is_object();
        Self { id: reply.upload_id(), received, missing, verifying, creative }
    }
}

impl File {
    pub(super) fn new(
        name: &'static str,
        content: &'static str,
        count: usize,
        relaxed: bool,
    ) -> Self {
        Self {
            name,
            content,
            day: None,
            relaxed,
            fates: [Fate::Fresh].into(),
            possible: BTreeSet::new(),
            id: None,
            chunks: vec![Here::Never; count],
            before: Vec::new(),
            days: [None].into(),
            named: [None].into(),
            touched: 0,
            ended: (0, 0),
            creatives: BTreeMap::new(),
        }
    }

    fn may_be(&self, fate: Fate) -> bool {
        self.fates.contains(&fate)
    }

    fn is_surely(&self, fate: Fate) -> bool {
        self.fates == [fate].into()
    }

    /// Whether it may have bytes that wait for more.
    pub(super) fn may_run(&self) -> bool {
        self.may_be(Fate::Running)
    }

    // What may happen, before it is known whether it did.

    /// A request that names the right bytes, or none, is about to be sent; `chunk` from 0.
    pub(super) fn may_receive(&mut self, chunk: usize, right: bool, now: i64) {
        if self.is_surely(Fate::Fresh) {
            (self.touched, self.ended) = (now, (now, now));
        }
        let other_day = self.may_be(Fate::Complete) && !self.must_answer();
        if other_day && self.is_surely(Fate::Complete) {
            // A file for another day: nothing of it is here.
            self.chunks.fill(Here::Never);
            self.named = [None].into();
            self.days.insert(None);
        }
        if self.may_be(Fate::Fresh) && self.may_run() {
            // What was acknowledged may be of an upload that is no more.
            self.doubt_chunks();
        }
        if self.may_be(Fate::Fresh) {
            self.days.insert(None);
        }
        if other_day || self.may_be(Fate::Fresh) {
            self.fates.insert(Fate::Running);
        }
        if self.day.is_some() {
            self.days.insert(self.day);
            self.named.insert(self.day);
        }
        if right && self.chunks[chunk] == Here::Never {
            self.chunks[chunk] = Here::Maybe;
        }
        self.touched = self.touched.min(now);
        self.may_complete();
    }

    fn may_complete(&mut self) {
        if self.may_be(Fate::Running) && !self.chunks.contains(&Here::Never) {
            self.fates.insert(Fate::Complete);
        }
    }

    /// It is about to be asked for.
    pub(super) fn may_be_asked(&mut self) {
        if self.may_be(Fate::Gone) {
            self.fates.insert(Fate::Fresh);
        }
    }

    /// Its upload is about to be cancelled.
    pub(super) fn may_cancel(&mut self) {
        if self.may_be(Fate::Running) {
            self.fates.insert(Fate::Gone);
        }
    }

    /// This creative is about to be deleted.
    pub(super) fn may_delete(&mut self, creative: &str, upload: &str) {
        let told = Told { upload: upload.to_owned(), there: Some(true) };
        let told = self.creatives.entry(creative.to_owned()).or_insert(told);
        if told.there == Some(true) {
            told.there = None;
        }
        if self.may_be(Fate::Complete) {
            self.fates.insert(Fate::Fresh);
        }
    }

    /// Requests are about to be sent together.
    pub(super) fn mark(&mut self, now: i64) {
        self.time_is(now);
        self.before.clone_from(&self.chunks);
        self.sent();
    }

    /// Everything has been said that the requests under way make possible.
    pub(super) fn sent(&mut self) {
        self.possible.clone_from(&self.fates);
    }

    /// The clock stands elsewhere: what has a time limit may have passed it, and may not.
    pub(super) fn time_is(&mut self, now: i64) {
        let (from, to) = self.ended;
        let furthest = (now - from).abs().max((now - to).abs());
        if self.may_be(Fate::Complete) && RESULT_TTL <= furthest {
            self.fates.insert(Fate::Fresh);
        }
        if self.may_be(Fate::Running) && UPLOAD_TTL <= now - self.touched {
            self.fates.extend([Fate::Gone, Fate::Fresh]);
        }
        if self.may_be(Fate::Gone) && CANCEL_GRACE <= furthest {
            self.fates.insert(Fate::Fresh);
        }
        if self.may_run() || 1 < self.fates.len() {
            self.ended = (from.min(now), to.max(now));
        }
    }

    /// The power went. What is relaxed may be gone, and then a probe says so.
    pub(super) fn power_went(&mut self) {
        if !self.relaxed {
            return;
        }
        self.doubt_chunks();
        if self.may_run() {
            self.days.clone_from(&self.named);
            // If it is gone, the one before it counts again, if its time is not over.
            self.fates.extend([Fate::Fresh, Fate::Gone]);
            if self.creatives.values().any(|told| told.there != Some(false)) {
                self.fates.insert(Fate::Complete);
            }
        }
    }

    /// Bytes could not be flushed, and the server knows it.
    pub(super) fn flush_failed(&mut self) {
        if self.relaxed {
            self.doubt_chunks();
        }
    }

    fn doubt_chunks(&mut self) {
        let all = self.chunks.iter_mut().chain(&mut self.before);
        for chunk in all.filter(|chunk| **chunk == Here::Surely) {
            *chunk = Here::Maybe;
        }
    }

    // What was answered.

    /// 200 or 201 to a chunk with the right bytes.
    pub(super) fn received(&mut self, chunk: usize, reply: &Reply, now: i64) {
        self.stands(reply, now);
        assert!(reply.status == 200 || reply.json()["complete"] == true, "{reply:?}");
        self.is_here(chunk, now);
        if let Some(day) = self.day {
            self.days = [Some(day)].into();
        }
    }

    fn is_here(&mut self, chunk: usize, now: i64) {
        if self.before.get(chunk) == Some(&Here::Never) {
            self.touched = now;
        }
        self.chunks[chunk] = Here::Surely;
    }

    /// 200 to a probe.
    pub(super) fn is_probed(&mut self, chunk: usize, reply: &Reply, now: i64) {
        assert_ne!(self.chunks[chunk], Here::Never, "a probe lies: {self:?}");
        self.stands(reply, now);
        self.chunks[chunk] = Here::Surely;
    }

    /// 204 to a probe, or 404 to a lookup (which is about no chunk). What was asked while other
    /// requests were under way says nothing of what they came to.
    pub(super) fn is_missing(&mut self, chunk: Option<usize>, alone: bool) {
        let mut left = self.possible.clone();
        if self.must_answer() {
            left.remove(&Fate::Complete);
        }
        if chunk.is_none_or(|chunk| self.before[chunk] == Here::Surely) {
            left.remove(&Fate::Running);
        }
        // Whoever asks begins anew.
        if left.remove(&Fate::Gone) {
            left.insert(Fate::Fresh);
        }
        assert!(!left.is_empty(), "what was acknowledged is denied: {self:?}");
        if alone {
            self.fates = left;
            self.settle();
        }
    }

    /// Any answer that tells how the upload stands.
    pub(super) fn stands(&mut self, reply: &Reply, now: i64) {
        let status = Status::of(reply);
        let fate = if status.creative.is_some() { Fate::Complete } else { Fate::Running };
        assert!(self.possible.contains(&fate), "it cannot be {fate:?}: {reply:?}\n{self:?}");
        self.meet(&status.id);
        self.fates = [fate].into();
        self.may_complete();
        if let Some((id, creative)) = status.creative {
            assert!(!self.chunks.contains(&Here::Never), "not all of it was sent: {self:?}");
            self.ended = (self.ended.0.min(now), now);
            self.is_told(id, &creative, true);
            return;
        }
        let surely = self.before.iter().filter(|was| **was == Here::Surely).count();
        let perhaps = self.chunks.iter().filter(|is| **is != Here::Never).count();
        let possible = if status.verifying { 0 } else { surely }..=perhaps;
        assert!(possible.contains(&status.received), "{possible:?}: {reply:?}\n{self:?}");
        let Some(missing) = status.missing else { return };
        let known = status.received + missing.len();
        let tiles =
            if status.verifying { known < self.chunks.len() } else { known == self.chunks.len() };
        assert!(tiles, "{reply:?}");
        for (chunk, (was, is)) in self.before.iter().zip(&self.chunks).enumerate() {
            let missing = missing.contains(&(chunk + 1));
            assert!(!(missing && *was == Here::Surely), "{chunk} was here: {reply:?}\n{self:?}");
            assert!(missing || *is != Here::Never, "{chunk} was not sent: {reply:?}\n{self:?}");
        }
    }

    /// An answer speaks of this upload.
    fn meet(&mut self, id: &str) {
        if self.id.as_deref().is_some_and(|known| known != id) {
            let free = self.possible.contains(&Fate::Fresh)
                || self.possible.contains(&Fate::Complete) && !self.must_answer();
            assert!(free, "a second upload for one identity: {id}\n{self:?}");
            self.doubt_chunks();
        }
        self.id = Some(id.to_owned());
    }

    fn is_told(&mut self, id: String, creative: &Value, there: bool) {
        assert_eq!(creative["sha256"], sha256_hex(self.content.as_bytes()), "{creative}");
        assert_eq!(creative["size"], self.content.len(), "{creative}");
        let upload = creative["upload_id"].as_str().expect("an id").to_owned();
        let of_upload = |(other, told): (&String, &Told)| *other != id && told.upload == upload;
        assert!(!self.creatives.iter().any(of_upload), "a second creative: {creative}\n{self:?}");
        if self.id.as_ref() == Some(&upload) {
            let day = DAYS.iter().position(|day| creative["scheduled_at"] == *day);
            assert!(self.days.contains(&day), "another day: {creative}\n{self:?}");
            self.days = [day].into();
        }
        let told = self.creatives.entry(id).or_insert(Told { upload, there: None });
        assert_ne!(told.there, Some(false), "it was deleted: {creative}");
        told.there = Some(there);
    }

    /// 415 to a chunk.
    pub(super) fn is_refused(&mut self, reply: &Reply) {
        assert!(self.possible.contains(&Fate::Gone), "flow.js gives up: {reply:?}\n{self:?}");
        // A question that seemed to fail may have freed the identity for the next process.
        self.fates.retain(|fate| *fate == Fate::Fresh);
        self.fates.insert(Fate::Gone);
        self.renew();
    }

    /// 204 to a cancellation of this upload.
    pub(super) fn is_cancelled(&mut self, id: &str, now: i64) {
        if self.id.as_deref() != Some(id) {
            return;
        }
        if self.may_be(Fate::Fresh) {
            self.fates.insert(Fate::Gone);
        } else {
            self.fates = [Fate::Gone].into();
            self.renew();
        }
        self.ended = (self.ended.0.min(now), now);
    }

    /// 404 to a cancellation of this upload.
    pub(super) fn is_unknown(&mut self, id: &str) {
        let known = self.id.as_deref() == Some(id);
        let may = self.may_be(Fate::Fresh) || self.may_be(Fate::Gone);
        assert!(!known || may, "it was acknowledged, and is not known: {self:?}");
    }

    /// 409 to a cancellation of this upload.
    pub(super) fn is_complete(&mut self, id: &str) {
        if self.id.as_deref() == Some(id) && self.may_be(Fate::Complete) {
            self.fates.remove(&Fate::Gone);
        }
    }

    /// 204 to the deletion of a creative.
    pub(super) fn is_deleted(&mut self, creative: &str) {
        let told = self.creatives.get_mut(creative).expect("it was to be deleted");
        told.there = Some(false);
        if self.id.as_ref() == Some(&told.upload) && self.may_be(Fate::Complete) {
            // What may run may be complete by now, and is another upload.
            if !self.may_run() {
                self.fates.remove(&Fate::Complete);
            }
            self.fates.insert(Fate::Fresh);
        }
        self.settle();
    }

    fn settle(&mut self) {
        if self.is_surely(Fate::Fresh) {
            self.renew();
        }
    }

    /// Nothing of what was sent counts any more.
    fn renew(&mut self) {
        self.chunks.fill(Here::Never);
        self.id = None;
        self.days = [None].into();
        self.named = [None].into();
    }

    /// Whether a complete upload must answer for what the client names: it is of the same day.
    fn must_answer(&self) -> bool {
        self.day.is_none() || self.days == [self.day].into()
    }

    /// These creatives of the file are there, and no other.
    pub(super) fn are_there(&mut self, creatives: &[&Value]) {
        let ids: Vec<&str> = creatives.iter().map(|c| c["id"].as_str().expect("an id")).collect();
        for (id, told) in &self.creatives {
            let there = ids.contains(&id.as_str());
            assert!(told.there.is_none_or(|told| told == there), "{id}: {there}\n{self:?}");
        }
        for (id, creative) in ids.into_iter().zip(creatives) {
            self.is_told(id.to_owned(), creative, true);
        }
    }
}
