//! One at a time for each file that may be moved to the trash or back.
//!
//! Whoever moves such a file asks the catalog first whether it may. Both happen under the lock of
//! that file: otherwise the answer could be out of date when the file is moved.

use tokio::sync::{Mutex, MutexGuard};

use crate::{store::Origin, upload::CreativeId};

/// How many locks all files share.
const LOCKS: usize = 64;

/// The locks. Whoever holds one waits for no upload in memory, and for no second one of these.
#[derive(Debug)]
pub(super) struct Places([Mutex<()>; LOCKS]);

impl Places {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }

    /// The lock of the finished file of a creative.
    pub(super) async fn of_creative(&self, id: CreativeId) -> MutexGuard<'_, ()> {
        self.lock(id.as_bytes()).await
    }

    /// The lock of a file by the place that it has outside the trash.
    pub(super) async fn of(&self, origin: &Origin) -> MutexGuard<'_, ()> {
        match origin {
            Origin::Incomplete(upload) => self.lock(upload.as_bytes()).await,
            Origin::Completed(name) => self.of_creative(name.id()).await,
        }
    }

    async fn lock(&self, id: &[u8]) -> MutexGuard<'_, ()> {
        // The end of an id is random, its beginning is a time.
        let last = id.last().copied().unwrap_or_default();
        self.0[usize::from(last) % LOCKS].lock().await
    }
}
