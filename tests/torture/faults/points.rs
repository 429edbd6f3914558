//! `kill -9` at named points: right before the k-th call of a kind, for k from 1 until the server
//! is no longer hit. strace delivers the signal at the entry of a call, which then does not happen.
//!
//! The calls are counted for each thread by itself; so a point is hit after different numbers of
//! calls of the whole process, as the machine schedules them.

use async_trait::async_trait;

use super::Fault;
use crate::{
    audit,
    client::Style,
    failure::Failure,
    ledger::FileId,
    report::Kind,
    round::Round,
    server::Server,
    strace::{self, Calls},
};

/// Sessions of the quick version, and most of one round.
const QUICK_SESSIONS: u64 = 2;
const SESSIONS_MAX: u64 = 40;

/// A call before which the server dies.
pub(crate) struct Point {
    name: &'static str,
    about: &'static str,
    calls: Calls<'static>,
}

const WAL: &str = "flowstitch.db-wal";

/// The points, in the order in which a chunk passes them.
pub(crate) const POINTS: [Point; 9] = [
    point("kill-place", "kill -9 before the place of a file is made", "fallocate", None),
    point("kill-write", "kill -9 before a chunk's bytes are written", "pwritev", None),
    point("kill-written", "kill -9 after the write, before the fsync", "fdatasync", None),
    point("kill-synced", "kill -9 after the fsync, before the record", "pwrite64", Some(WAL)),
    point("kill-recorded", "kill -9 in the commit of the catalog", "fsync", Some(WAL)),
    point("kill-answer", "kill -9 after the commit, before the answer", "writev", None),
    point("kill-stitch", "kill -9 while the stitch reads", "pread64", None),
    point("kill-publish", "kill -9 before the rename", "renameat2", None),
    point("kill-published", "kill -9 between rename and record", "fsync", Some("completed")),
];

const fn point(
    name: &'static str,
    about: &'static str,
    names: &'static str,
    path: Option<&'static str>,
) -> Point {
    Point { name, about, calls: Calls { names, path } }
}

#[async_trait]
impl Fault for Point {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        strace::available().await?;
        let durability = ["strict", "relaxed"][round.rng.usize(..2)];
        let setup = round.setup.flag(format!("--durability={durability}"));
        let mut server = setup.start().await?;
        // A round is the work on one point: the later sessions find what the earlier ones left.
        for session in 1..=SESSIONS_MAX {
            let when =
                if round.thorough { session } else { (session - 1) * round.rng.u64(1..=5) + 1 };
            let files = round.add_files(3, 1..=8);
            let hit = self.session(round, server, when, &files).await?;
            if when == 1 && !hit {
                round.tally.broken(Kind::Other, "the server never came to this point");
            }
            let before = round.ledger.snapshot();
            server = setup.start().await?;
            audit::promises(round, &server, &before).await?;
            if (round.thorough && !hit) || (!round.thorough && session == QUICK_SESSIONS) {
                break;
            }
        }
        audit::conclude(round, server).await
    }
}

impl Point {
    /// Uploads until the server is hit, or nothing is left to do. Returns whether it was hit.
    async fn session(
        &self,
        round: &mut Round,
        mut server: Server,
        when: u64,
        files: &[FileId],
    ) -> Result<bool, Failure> {
        let what = format!("signal=KILL:when={when}");
        let data = round.setup.data().to_owned();
        let mut strace = strace::attach(self.calls, &what, &server, &data).await?;
        let style = Style { connections: 2, copies: 1..=1, probes: true };
        let mut crew = round.send(files, &server, &style);
        let hit = tokio::select! {
            ended = server.died() => { ended?; true }
            _ = crew.finished() => false,
        };
        if hit {
            round.tally.hit();
        }
        server.kill().await?;
        let ended = crew.stopped().await;
        round.note_refusals(&ended);
        strace.wait().await?;
        Ok(hit)
    }
}
