//! Files that are not wanted: refused by their names before anything is stored, by their first
//! bytes before the rest is sent, and once more before they are published.

use std::sync::Arc;

use bytes::Bytes;

use super::{Engine, Piece, Refused, Shared, UploadError, live::Live};
use crate::upload::{EndReason, FileName, UploadState, limits::HEAD_LEN};

impl Engine {
    /// Whether a file of this name may be sent. For those who would store something of it before
    /// it is an upload. Errors: it is not of a kind that is taken.
    pub fn check_name(&self, name: &FileName) -> Result<(), UploadError> {
        self.shared.check_name(name)
    }
}

impl Shared {
    pub(super) fn check_name(&self, name: &FileName) -> Result<(), UploadError> {
        if self.options.accept.takes_name(name) {
            return Ok(());
        }
        Err(self.unwanted("files with such a name are not taken"))
    }

    /// Errors: a file of this name that begins so is not of a kind that is taken.
    pub(super) fn check_head(&self, name: &FileName, head: &[u8]) -> Result<(), UploadError> {
        if self.options.accept.takes(name, head) {
            return Ok(());
        }
        Err(self.unwanted("its content is not what files with such a name are, or are taken for"))
    }

    fn unwanted(&self, why: &str) -> UploadError {
        let accept = &self.options.accept;
        let reason = format!("{why}; by name and by content, these are taken: {accept}");
        UploadError::Refused(Refused::Type, EndReason(reason))
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

/// Gathers the beginning of a file as it comes in.
pub(super) struct Head {
    bytes: Vec<u8>,
    len: usize,
}

impl Head {
    /// For a range that has the beginning, all of it; else the stitch looks.
    pub(super) fn of(shared: &Shared, live: &Live, piece: Piece) -> Option<Self> {
        let len = live.plan.total().min(HEAD_LEN as u64);
        let whole = piece.range.offset() == 0 && len <= piece.range.len();
        let asked = whole && 0 < len && !shared.options.accept.is_everything();
        asked.then(|| Self { bytes: Vec::new(), len: usize::try_from(len).expect("it is short") })
    }

    /// The beginning, once all of it is here.
    pub(super) fn take(&mut self, frame: &Bytes) -> Option<&[u8]> {
        let missing = self.len - self.bytes.len();
        self.bytes.extend_from_slice(&frame[..missing.min(frame.len())]);
        (self.bytes.len() == self.len).then_some(&self.bytes)
    }
}
