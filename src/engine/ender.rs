//! Who wants to end an upload: a stitch that runs lets go of its claim for them.

use tokio::sync::watch;

/// A wish to end an upload, counted until it is dropped.
pub(super) struct Ender<'a>(&'a watch::Sender<usize>);

impl<'a> Ender<'a> {
    pub(super) fn new(enders: &'a watch::Sender<usize>) -> Self {
        enders.send_modify(|enders| *enders += 1);
        Self(enders)
    }
}

impl Drop for Ender<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|enders| *enders -= 1);
    }
}
