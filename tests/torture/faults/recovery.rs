//! `kill -9` inside recovery: a start is cut off before each of its calls, on what a crash left or
//! on an empty folder, where it makes the catalog.

use async_trait::async_trait;

use super::Fault;
use crate::{
    audit,
    client::Style,
    failure::Failure,
    round::Round,
    server::{Setup, Start},
    strace::{self, Calls},
};

/// Every call by which a start, and what follows it, changes or reads what is there.
const DISK: Calls<'static> = Calls {
    names: "pwrite64,pwritev,fsync,fdatasync,ftruncate,fallocate,renameat2,unlink,unlinkat,pread64",
    path: None,
};

pub(crate) struct Recovery;

#[async_trait]
impl Fault for Recovery {
    fn name(&self) -> &'static str {
        "kill-recovery"
    }

    fn about(&self) -> &'static str {
        "kill -9 inside a start, on what a crash left or on nothing"
    }

    fn quick_rounds(&self) -> u64 {
        2
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        strace::available().await?;
        let setup = round.setup.clone();
        if round.rng.bool() {
            crash(round, &setup).await?;
        }
        let mut when = round.rng.u64(1..=4);
        while cut_off(round, &setup, when).await? {
            when += if round.thorough { round.rng.u64(1..=4) } else { round.rng.u64(4..=30) };
        }
        let before = round.ledger.snapshot();
        let server = setup.start().await?;
        audit::promises(round, &server, &before).await?;
        if round.ledger.files().is_empty() {
            round.add_files(2, 1..=4);
        }
        audit::conclude(round, server).await
    }
}

/// Starts a server that dies before the k-th call of one of its threads; if it comes to serve,
/// clients work until then. Returns whether it died in its start.
async fn cut_off(round: &mut Round, setup: &Setup, when: u64) -> Result<bool, Failure> {
    let what = format!("signal=KILL:when={when}");
    let wrapper = strace::around(DISK, &what, setup.data());
    let Start::Serving(mut server) = setup.under(wrapper).launch().await? else {
        round.tally.hit();
        return Ok(true);
    };
    // It is served, but what a start does in the background may still go on.
    let mut crew = round.send_all(&server, &Style::FLOW_JS);
    tokio::select! {
        ended = server.died() => {
            ended?;
            round.tally.hit();
        }
        _ = crew.finished() => {}
    }
    server.kill().await?;
    let ended = crew.stopped().await;
    round.note_refusals(&ended);
    Ok(false)
}

/// Leaves what a crash leaves: chunks without a record, uploads in part, uploads that were full.
async fn crash(round: &mut Round, setup: &Setup) -> Result<(), Failure> {
    round.add_files(6, 1..=12);
    let server = setup.start().await?;
    let mut crew = round.send_all(&server, &Style { connections: 4, copies: 1..=2, probes: true });
    crew.answers(round.rng.u64(5..60)).await;
    server.kill().await?;
    let ended = crew.stopped().await;
    round.note_refusals(&ended);
    Ok(())
}
