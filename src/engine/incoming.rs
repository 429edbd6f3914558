//! The body of a request on its way into an upload.
//!
//! Whatever a request waits for, it stops waiting when its upload ends without a file, and when its
//! body breaks: the client has left, is too slow, or the server stops.

use std::{pin::pin, sync::Arc};

use bytes::Bytes;
use futures_util::StreamExt;

use super::{Body, BodyError, Class, Shared, UploadError, live::Live};
use crate::upload::{UploadState, limits::SOCKET_READ_LEN_MAX};

/// The body of a request that belongs to this upload.
pub(super) struct Incoming {
    live: Arc<Live>,
    body: Body,
    /// What the body brought while the request waited for something else.
    ahead: Option<Ahead>,
}

enum Ahead {
    Frame(Bytes),
    End,
}

impl Incoming {
    pub(super) fn new(live: Arc<Live>, body: Body) -> Self {
        Self { live, body, ahead: None }
    }

    /// The next bytes; nothing at the end of the body.
    ///
    /// Errors: the body breaks, or the upload has ended without a file. Cancel safety: may be
    /// dropped, and no bytes are lost.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, UploadError> {
        if self.live.is_gone() {
            return Err(self.live.gone().await);
        }
        match self.ahead.take() {
            Some(Ahead::Frame(frame)) => return Ok(Some(frame)),
            Some(Ahead::End) => return Ok(None),
            None => {}
        }
        tokio::select! {
            biased;
            gone = self.live.gone() => Err(gone),
            frame = self.body.next() => Ok(frame.transpose()?),
        }
    }

    /// Waits for something else than bytes. To hear of a client that leaves meanwhile, the body is
    /// read ahead by one frame, if there is memory for that which nobody waits for.
    ///
    /// Errors: as of [`Self::next`]. Cancel safety: as that of `wait`; no bytes are lost.
    pub(super) async fn until<T>(
        &mut self,
        shared: &Shared,
        wait: impl Future<Output = T>,
    ) -> Result<T, UploadError> {
        let mut wait = pin!(wait);
        let len = usize::try_from(SOCKET_READ_LEN_MAX).unwrap_or(usize::MAX);
        let memory = if self.ahead.is_none() { shared.keep_budget.try_lease(len) } else { None };
        loop {
            let may_read = memory.is_some() && self.ahead.is_none();
            tokio::select! {
                biased;
                gone = self.live.gone() => return Err(gone),
                done = &mut wait => return Ok(done),
                frame = self.body.next(), if may_read => self.ahead = Some(Ahead::new(frame)?),
            }
        }
    }
}

impl Live {
    /// It has ended without a file: requests that still bring something for it end now.
    pub(super) fn dismiss(&self) {
        self.gone.cancel();
    }

    /// Whether it ended without a file while it was in memory.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.is_cancelled()
    }

    /// Ends when the upload has ended without a file; gives the answer to requests for it.
    ///
    /// Cancel safety: may be dropped.
    pub(super) async fn gone(&self) -> UploadError {
        self.gone.cancelled().await;
        UploadError::Gone(self.upload_state())
    }

    /// What a fault of the store means: bytes of an upload that ended meanwhile came too late.
    pub(super) fn explain(&self, error: UploadError) -> UploadError {
        match self.upload_state() {
            state @ (UploadState::Failed | UploadState::Cancelled | UploadState::Expired)
                if error.class() == Class::Unavailable =>
            {
                UploadError::Gone(state)
            }
            _ => error,
        }
    }
}

impl Ahead {
    fn new(frame: Option<Result<Bytes, BodyError>>) -> Result<Self, BodyError> {
        Ok(frame.transpose()?.map_or(Self::End, Self::Frame))
    }
}
