//! Operations on the disk that fail: the k-th of a kind, for k from 1 until none is left to fail.
//! strace makes them fail at their entry, so that they do not happen.
//!
//! The server goes on through all of it: whoever is refused tries again, and nothing that was
//! acknowledged before or after is lost.

use std::{fs, io, path::Path, time::Duration};

use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::timeout;

use super::Fault;
use crate::{
    audit,
    client::Style,
    failure::Failure,
    report::Kind,
    round::Round,
    server::{Server, Start, in_time},
    strace::{self, Calls},
};

const DATABASE: &str = "flowstitch.db";
const JOURNAL: &str = "flowstitch.db-wal";

/// What fails, and how: the calls of a server that uploads, but for those that read. What cannot be
/// read however often it is tried counts as lost, which is another matter.
const TARGETS: [(Calls<'static>, &[&str]); 16] = [
    (on("pwritev", None), &["EIO", "ENOSPC"]),
    (on("fdatasync", None), &["EIO", "ENOSPC"]),
    (on("fallocate", None), &["EIO", "ENOSPC", "EDQUOT"]),
    (on("openat,openat2", None), &["EIO", "ENOSPC", "EMFILE"]),
    (on("newfstatat", None), &["EIO"]),
    (on("renameat2", None), &["EIO", "ENOSPC", "EROFS"]),
    (on("unlinkat", None), &["EIO", "EROFS"]),
    (on("close", None), &["EIO"]),
    (on("fsync", Some("incomplete")), &["EIO", "ENOSPC"]),
    (on("fsync", Some("completed")), &["EIO", "ENOSPC"]),
    (on("fsync", Some(JOURNAL)), &["EIO", "ENOSPC"]),
    (on("pwrite64", Some(JOURNAL)), &["EIO", "ENOSPC"]),
    (on("pread64", Some(JOURNAL)), &["EIO"]),
    (on("ftruncate", Some(JOURNAL)), &["EIO", "ENOSPC"]),
    (on("pwrite64,fsync", Some(DATABASE)), &["EIO", "ENOSPC"]),
    (on("pread64", Some(DATABASE)), &["EIO"]),
];

/// Every call by which a start reads or changes what is there.
const START: Calls<'static> = Calls {
    names: "openat,openat2,pwrite64,pwritev,fsync,fdatasync,ftruncate,fallocate,renameat2,unlink,\
            unlinkat,pread64,flock,getdents64,newfstatat,mkdir",
    path: None,
};

/// Sessions of the quick version, and most of one round.
const QUICK_SESSIONS: u64 = 3;
const SESSIONS_MAX: u64 = 40;
/// Requests that are refused while every operation fails.
const REFUSED: u64 = 5;
/// How long a disk stays ill of which nobody but those who wait for a completion hear.
const HELD_UP: Duration = Duration::from_secs(5);

const fn on(names: &'static str, path: Option<&'static str>) -> Calls<'static> {
    Calls { names, path }
}

/// One operation fails.
pub(crate) struct Once;

#[async_trait]
impl Fault for Once {
    fn name(&self) -> &'static str {
        "io-errors"
    }

    fn about(&self) -> &'static str {
        "the k-th operation of a kind fails: EIO, ENOSPC, EDQUOT, EMFILE, EROFS"
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        strace::available().await?;
        let mut server = round.setup.start().await?;
        let mut target = TARGETS[round.rng.usize(..TARGETS.len())];
        let mut when = 1;
        for session in 1..=SESSIONS_MAX {
            let what = format!("{}:when={when}", error(round, target.1));
            let hit = session_of(round, &server, target.0, &what).await?;
            if round.thorough && hit {
                when += 1;
            } else if round.thorough || session == QUICK_SESSIONS {
                break;
            } else {
                target = TARGETS[round.rng.usize(..TARGETS.len())];
                when = round.rng.u64(1..=4);
            }
        }
        let before = round.ledger.snapshot();
        audit::promises(round, &server, &before).await?;
        server.kill().await?;
        server = round.setup.start().await?;
        audit::promises(round, &server, &before).await?;
        audit::conclude(round, server).await
    }
}

/// Uploads while one operation fails. Returns whether one did.
async fn session_of(
    round: &mut Round,
    server: &Server,
    calls: Calls<'_>,
    what: &str,
) -> Result<bool, Failure> {
    let files = round.add_files(3, 1..=8);
    let trace = Trace::attach(round, server, calls, what).await?;
    let mut crew = round.send(&files, server, &Style::FLOW_JS);
    let waited = format!("uploads in spite of {calls:?} {what}");
    let ended = in_time(&waited, crew.finished()).await?.to_vec();
    round.note_refusals(&ended);
    trace.end(round).await
}

/// All operations of a kind fail, for a while.
pub(crate) struct Dead;

#[async_trait]
impl Fault for Dead {
    fn name(&self) -> &'static str {
        "io-dead"
    }

    fn about(&self) -> &'static str {
        "every operation of a kind fails from the k-th on, until the disk is well again"
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        strace::available().await?;
        let mut server = round.setup.start().await?;
        let (calls, errors) = TARGETS[round.rng.usize(..TARGETS.len())];
        let when = round.rng.u64(1..=4);
        let what = format!("{}:when={when}+", error(round, errors));
        round.add_files(4, 1..=12);
        let trace = Trace::attach(round, &server, calls, &what).await?;
        let mut crew = round.send_all(&server, &Style::FLOW_JS);
        let ledger = round.ledger.clone();
        tokio::select! {
            // Or nobody is refused, and it is only completions that are held up.
            _ = timeout(HELD_UP, ledger.refusals(REFUSED)) => {}
            // Or nothing of this kind is needed for what they do.
            _ = crew.finished() => {}
        }
        trace.end(round).await?;
        if round.rng.bool() {
            (server, crew) = audit::crash(round, server, crew).await?;
        }
        let waited = format!("uploads after {calls:?} {what}");
        let ended = in_time(&waited, crew.finished()).await?.to_vec();
        round.note_refusals(&ended);
        audit::conclude(round, server).await
    }
}

/// A start of which one operation fails: it serves, or says why not; the next one serves.
pub(crate) struct AtStart;

#[async_trait]
impl Fault for AtStart {
    fn name(&self) -> &'static str {
        "io-start"
    }

    fn about(&self) -> &'static str {
        "the k-th operation of a start fails, on what a crash left"
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        strace::available().await?;
        round.add_files(5, 1..=12);
        let server = round.setup.start().await?;
        let mut crew = round.send_all(&server, &Style::FLOW_JS);
        crew.answers(round.rng.u64(5..60)).await;
        server.kill().await?;
        let ended = crew.stopped().await;
        round.note_refusals(&ended);
        let before = round.ledger.snapshot();
        for _ in 0..if round.thorough { 20 } else { 4 } {
            // The loader needs the first few for itself.
            let what = format!("error=EIO:when={}", round.rng.u64(12..80));
            let wrapper = strace::around(START, &what, round.setup.data());
            match round.setup.under(wrapper).launch().await? {
                Start::Serving(server) => server.kill().await?,
                Start::Ended(status, log) => {
                    round.tally.hit();
                    check_reason(round, status.code(), &log);
                }
            }
        }
        let server = round.setup.start().await?;
        audit::promises(round, &server, &before).await?;
        audit::conclude(round, server).await
    }
}

/// A start that comes to nothing says so in one line, and does not crash.
fn check_reason(round: &Round, code: Option<i32>, log: &str) {
    let says_why = log.lines().any(|line| {
        line.starts_with("flowstitch: ") || line.contains("error while loading shared libraries")
    });
    if code.is_none_or(|code| code == 0) || !says_why || log.contains("panicked") {
        let detail = format!("a start that failed: exit status {code:?}, {log}");
        round.tally.broken(Kind::Other, detail);
    }
}

/// strace at work on a server.
pub(super) struct Trace {
    child: tokio::process::Child,
    log: std::path::PathBuf,
}

impl Trace {
    pub(super) async fn attach(
        round: &Round,
        server: &Server,
        calls: Calls<'_>,
        what: &str,
    ) -> Result<Self, Failure> {
        let log = round.ground.scratch().join("strace.log");
        let data = round.setup.data();
        let child = strace::attach_and_log(calls, what, server, data, &log).await?;
        Ok(Self { child, log })
    }

    /// Lets the server go on alone. Returns whether anything failed.
    pub(super) async fn end(mut self, round: &Round) -> Result<bool, Failure> {
        if let Some(id) = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) {
            // It lets go of whom it traces, and ends.
            kill_process(id, Signal::TERM).map_err(io::Error::from)?;
        }
        in_time("strace", self.child.wait()).await??;
        let hit = was_hit(&self.log)?;
        if hit {
            round.tally.hit();
        }
        Ok(hit)
    }
}

fn was_hit(log: &Path) -> io::Result<bool> {
    Ok(fs::read_to_string(log)?.contains("(INJECTED)"))
}

fn error(round: &mut Round, errors: &[&str]) -> String {
    format!("error={}", errors[round.rng.usize(..errors.len())])
}
