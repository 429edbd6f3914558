//! Files that are not wanted: refused by their names before anything is stored, by their first
//! bytes before the rest is sent, and once more before they are published.

use std::sync::Arc;

use bytes::Bytes;

use super::{Engine, Piece, Refused, Shared, UploadError, live::Live};
use crate::upload::{Accept, EndReason, FileName, Permit, UploadState, limits::HEAD_LEN};

impl Engine {
    /// Whether a file of this name may be sent, with this ticket if there is one. For those who
    /// would store something of it before it is an upload. Errors: it is not of a kind that is
    /// taken.
    pub fn check_name(&self, name: &FileName, permit: Option<&Permit>) -> Result<(), UploadError> {
        self.shared.check_name(name, permit.map_or(&Accept::default(), |permit| &permit.accept))
    }
}

impl Shared {
    /// Errors: files of this name are not taken, or not with the ticket that takes these.
    pub(super) fn check_name(&self, name: &FileName, ticket: &Accept) -> Result<(), UploadError> {
        let why = "files with such a name are not taken";
        self.check(ticket, why, |accept| accept.takes_name(name))
    }

    /// Errors: a file of this name that begins so is not of a kind that is taken, or not with the
    /// ticket that takes these.
    pub(super) fn check_head(
        &self,
        name: &FileName,
        ticket: &Accept,
        head: &[u8],
    ) -> Result<(), UploadError> {
        let why = "its content is not what files with such a name are, or are taken for";
        self.check(ticket, why, |accept| accept.takes(name, head))
    }

    /// Errors: no file may be as large as this one, or none that comes with this ticket.
    pub(super) fn check_len(&self, len: u64, permit: Option<&Permit>) -> Result<(), UploadError> {
        let most = self.options.max_file_size;
        let max = permit.map_or(most, |permit| permit.at_most(most));
        if max < len { Err(UploadError::TooLarge { len, max }) } else { Ok(()) }
    }

    fn check(
        &self,
        ticket: &Accept,
        why: &str,
        takes: impl Fn(&Accept) -> bool,
    ) -> Result<(), UploadError> {
        let Some(accept) = [&self.options.accept, ticket].into_iter().find(|it| !takes(it)) else {
            return Ok(());
        };
        let reason = format!("{why}; by name and by content, these are taken: {accept}");
        Err(UploadError::Refused(Refused::Type, EndReason(reason)))
    }

    /// What becomes of an upload whose beginning was refused as it came in: it has no future, and
    /// what is still on its way for it is told so. One that is all in this one request, and that
    /// nobody knows of, leaves nothing to be told of.
    pub(super) async fn give_up(&self, live: &Arc<Live>, error: UploadError) -> UploadError {
        let UploadError::Refused(why, reason) = &error else { return error };
        if live.plan.count() == 1 && !live.lock().persisted {
            return error;
        }
        let _wish = live.wants_to_end();
        let _progress = live.progress.lock().await;
        live.lock().refused = Some(*why);
        let ended = self.end(live, UploadState::Failed, Some(reason.clone()), None).await;
        ended.map_or_else(|error| error, |_| error)
    }
}

impl Live {
    /// What its name says of its file, and which kinds its ticket takes.
    pub(super) fn kind(&self) -> (FileName, Accept) {
        let state = self.lock();
        (state.record.filename.clone(), state.record.accept.clone())
    }

    /// How many bytes of its beginning tell what it is.
    pub(super) fn head_len(&self) -> usize {
        usize::try_from(self.plan.total()).map_or(HEAD_LEN, |total| total.min(HEAD_LEN))
    }
}

/// Gathers the beginning of a file as it comes in.
pub(super) struct Head {
    bytes: Vec<u8>,
    len: usize,
}

impl Head {
    /// For a range that has the beginning, all of it; else the stitch looks.
    pub(super) fn of(shared: &Shared, live: &Live, piece: Piece) -> Option<Self> {
        let len = live.head_len();
        let whole = piece.range.offset() == 0 && len as u64 <= piece.range.len();
        let accepts =
            [shared.options.accept.is_everything(), live.lock().record.accept.is_everything()];
        let asked = whole && 0 < len && accepts != [true, true];
        asked.then(|| Self { bytes: Vec::new(), len })
    }

    /// The beginning, once all of it is here.
    pub(super) fn take(&mut self, frame: &Bytes) -> Option<&[u8]> {
        let missing = self.len - self.bytes.len();
        self.bytes.extend_from_slice(&frame[..missing.min(frame.len())]);
        (self.bytes.len() == self.len).then_some(&self.bytes)
    }
}
