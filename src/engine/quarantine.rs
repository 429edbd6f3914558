//! The check by somebody else that a file must pass before it is published.
//!
//! It may take minutes, and holds no stitch worker meanwhile: it runs in a task of its own, leaves
//! what came of it with the upload, and hints at that.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::{FutureExt, StreamExt, stream};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use super::{
    Refused, Shared, UploadError,
    live::Live,
    load::{Source, slices},
    quota::{SHARDS, shard_of},
    registry::{Registry, Use},
};
use crate::{
    scan::{ScanError, Scanner, Verdict},
    upload::{
        ByteRange, EndReason, FileDigest, Principal, UploadState, escaped,
        limits::{SCAN_REASON_LEN_MAX, SCANS_PER_WORKER},
    },
};

/// What came of the check.
pub(super) enum Checked {
    /// The file may be published.
    Passed,
    /// It may not.
    Refused(Refused, EndReason),
    /// It is being checked; the end of that is hinted at.
    Asked,
    /// The engine stops: nobody knows.
    Interrupted,
}

/// What a file was when it was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    digest: FileDigest,
    /// See [`super::live::LiveState::rewinds`].
    rewinds: u64,
}

impl Version {
    /// Whether it is known that the content is the same: none of it was forgotten in between, or it
    /// came anew and hashes to the same. A file of which no digest is taken may be checked twice.
    fn is_still(self, other: Self) -> bool {
        self.rewinds == other.rewinds || self.digest.matches(&other.digest)
    }
}

/// How many files are checked at once. One principal has half of that at most: files that take too
/// long must not keep those of others from being published.
#[derive(Debug)]
pub(super) struct Scans {
    all: Semaphore,
    shares: [Semaphore; SHARDS],
}

/// How far a file is with the check before it is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Check {
    /// Nobody was asked.
    NotBegun,
    /// It waits for its turn, or is being checked.
    Running,
    /// Nobody could tell; it is to be checked again.
    Undecided,
    /// It passed, as it was then.
    Passed(Version),
    /// It did not, as it was then, for this reason.
    Refused(Version, EndReason),
}

impl Scans {
    pub(super) fn new(stitch_workers: usize) -> Self {
        let all = stitch_workers.max(1) * SCANS_PER_WORKER;
        let shares = std::array::from_fn(|_| Semaphore::new(all.div_ceil(2)));
        Self { all: Semaphore::new(all), shares }
    }

    /// A turn, held until what is returned is dropped.
    async fn turn(&self, principal: &Principal) -> [SemaphorePermit<'_>; 2] {
        let share = self.shares[shard_of(principal)].acquire().await;
        let one = self.all.acquire().await;
        [share, one].map(|permit| permit.expect("a semaphore that is never closed"))
    }
}

impl Shared {
    /// What the scanners say of a whole file, if there are any; they are asked if they were not.
    /// What they said once of a file counts while it is known that the file is the same.
    pub(super) fn quarantine(shared: &Arc<Self>, live: &Arc<Live>, digest: FileDigest) -> Checked {
        if shared.options.scanners.is_empty() {
            return Checked::Passed;
        }
        let Some(used) = Registry::by_id(shared, live.id).filter(|_| !shared.stop.is_cancelled())
        else {
            return Checked::Interrupted;
        };
        let version = {
            let mut state = live.lock();
            let version = Version { digest, rewinds: state.rewinds };
            match &state.check {
                Check::Passed(known) if known.is_still(version) => return Checked::Passed,
                Check::Refused(known, reason) if known.is_still(version) => {
                    return Checked::Refused(Refused::Scan, reason.clone());
                }
                Check::Running => return Checked::Asked,
                Check::Passed(_) | Check::Refused(..) | Check::Undecided | Check::NotBegun => {}
            }
            state.check = Check::Running;
            version
        };
        live.announce();
        shared.background.spawn(Self::check_file(shared.clone(), used, version));
        Checked::Asked
    }

    /// One attempt to learn whether a file may be published.
    async fn check_file(shared: Arc<Self>, live: Use, version: Version) {
        let rewinds = version.rewinds;
        let asked = AssertUnwindSafe(shared.ask_while_wanted(&live, rewinds)).catch_unwind().await;
        let asked = asked.unwrap_or_else(|_| {
            tracing::error!(upload.id = %live.id, "The check of a file panicked");
            Some(Err(UploadError::unavailable("an internal error, see the log of the server")))
        });
        let check = match asked.filter(|_| is_wanted(&live, rewinds)) {
            None => Check::NotBegun,
            Some(Ok(Verdict::Clean)) => Check::Passed(version),
            Some(Ok(Verdict::Refused(words))) => Check::Refused(version, reason(&words)),
            Some(Err(error)) => {
                shared.postpone_for(&live, &error).await;
                Check::Undecided
            }
        };
        live.lock().check = check;
        live.announce();
        Self::hint(&shared, &live);
    }

    /// Nothing if the upload has ended, or is not whole any more, or the engine stops: the question
    /// is dropped then.
    async fn ask_while_wanted(
        &self,
        live: &Live,
        rewinds: u64,
    ) -> Option<Result<Verdict, UploadError>> {
        let mut changes = live.watch();
        tokio::select! {
            biased;
            _ = changes.wait_for(|_| !is_wanted(live, rewinds)) => None,
            () = self.stop.cancelled() => None,
            verdict = self.ask_all(live) => Some(verdict),
        }
    }

    async fn ask_all(&self, live: &Live) -> Result<Verdict, UploadError> {
        let principal = live.lock().record.identity.principal().clone();
        let _turn = self.scans.turn(&principal).await;
        let Some(source) = self.source(live.id, &live.published_name()).await? else {
            return Err(UploadError::unavailable("the bytes of the upload are gone"));
        };
        for scanner in &self.options.scanners {
            let verdict = self.ask(scanner.as_ref(), live, &source).await;
            let verdict = verdict.map_err(|error| UploadError::Unavailable(error.into()))?;
            if verdict != Verdict::Clean {
                return Ok(verdict);
            }
        }
        Ok(Verdict::Clean)
    }

    async fn ask(
        &self,
        scanner: &dyn Scanner,
        live: &Live,
        source: &Source,
    ) -> Result<Verdict, ScanError> {
        let whole = ByteRange::new(0, live.plan.total()).expect("the plan was checked");
        let read = async |slice| self.read(source, slice).await.map_err(Into::into);
        let content = stream::iter(slices(whole)).then(read).boxed();
        let asked = timeout(self.options.scan_timeout, scanner.scan(content));
        asked.await.unwrap_or(Err(ScanError::TimedOut))
    }
}

/// Whether a file is still the whole one of which somebody was asked.
fn is_wanted(live: &Live, rewinds: u64) -> bool {
    let state = live.lock();
    state.record.state == UploadState::Stitching && state.rewinds == rewinds
}

/// The words of a stranger for another stranger: few, and none that does anything.
fn reason(words: &str) -> EndReason {
    let words: String = escaped(words).chars().take(SCAN_REASON_LEN_MAX).collect();
    let words = if words.is_empty() { "it gave no reason" } else { &words };
    EndReason(format!("the check before publishing does not let it pass: {words}"))
}
