//! The check by somebody else that a file must pass before it is published.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use tokio::time::timeout;

use super::{
    Refused, Shared, UploadError,
    live::{Live, Quarantine},
    load::{Source, slices},
};
use crate::{
    scan::{ScanError, Scanner, Verdict},
    upload::{ByteRange, EndReason, Sha256Digest, escaped, limits::SCAN_REASON_LEN_MAX},
};

/// What came of the check.
pub(super) enum Checked {
    /// The file may be published.
    Passed,
    /// It may not.
    Refused(Refused, EndReason),
    /// The engine stops, or somebody wants to end the upload: nobody knows.
    Interrupted,
}

impl Shared {
    /// Asks the scanners about a whole file, if there are any. What it passed once it is not
    /// asked again, while it is known that the file is the same.
    pub(super) async fn quarantine(
        &self,
        live: &Arc<Live>,
        sha256: Sha256Digest,
    ) -> Result<Checked, UploadError> {
        let passed = Quarantine::Passed(sha256);
        if self.options.scanners.is_empty() || live.lock().quarantine == passed {
            return Ok(Checked::Passed);
        }
        live.lock().quarantine = Quarantine::Asked;
        live.announce();
        let Some(source) = self.source(live.id, &live.published_name()).await? else {
            return Err(UploadError::unavailable("the bytes of the upload are gone"));
        };
        let verdict = tokio::select! {
            biased;
            () = live.is_to_end() => return Ok(Checked::Interrupted),
            () = self.stop.cancelled() => return Ok(Checked::Interrupted),
            verdict = self.ask_all(live, &source) => verdict,
        };
        match verdict.map_err(|error| UploadError::Unavailable(error.into()))? {
            Verdict::Clean => {
                live.lock().quarantine = passed;
                Ok(Checked::Passed)
            }
            Verdict::Refused(words) => Ok(Checked::Refused(Refused::Scan, reason(&words))),
        }
    }

    async fn ask_all(&self, live: &Live, source: &Source) -> Result<Verdict, ScanError> {
        for scanner in &self.options.scanners {
            let verdict = self.ask(scanner.as_ref(), live, source).await?;
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

/// The words of a stranger for another stranger: few, and none that does anything.
fn reason(words: &str) -> EndReason {
    let words: String = escaped(words).chars().take(SCAN_REASON_LEN_MAX).collect();
    let words = if words.is_empty() { "it gave no reason" } else { &words };
    EndReason(format!("the check before publishing does not let it pass: {words}"))
}
