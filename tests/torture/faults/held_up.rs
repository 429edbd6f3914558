//! A completion that finds the disk full: the file is whole and cannot be published yet. Its status
//! says so, and it completes by itself when there is room.

use async_trait::async_trait;

use super::{Fault, io::Trace};
use crate::{
    audit,
    client::Style,
    failure::Failure,
    report::Kind,
    round::Round,
    server::{Server, in_time, until},
    strace::{self, Calls},
};

/// The step that puts a finished file in its place.
const PUBLISH: Calls<'static> = Calls { names: "renameat2", path: None };

pub(crate) struct HeldUp;

#[async_trait]
impl Fault for HeldUp {
    fn name(&self) -> &'static str {
        "held-up"
    }

    fn about(&self) -> &'static str {
        "no room to publish whole files: the status says why, and they complete by themselves"
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        strace::available().await?;
        let setup = round.setup.flag("--completion-wait=0s");
        let mut server = setup.start().await?;
        round.add_files(3, 1..=4);
        let trace = Trace::attach(round, &server, PUBLISH, "error=ENOSPC").await?;
        let mut crew = round.send_all(&server, &Style::FLOW_JS);
        let all = round.ledger.files().len();
        until("reasons", async || Ok(held_up(&server).await? == all)).await?;
        if !trace.end(round).await? {
            round.tally.broken(Kind::Other, "the server never came to publish");
        }
        if round.rng.bool() {
            round.setup = setup;
            (server, crew) = audit::crash(round, server, crew).await?;
        }
        // Nobody sends anything any more.
        let ended = in_time("completions", crew.finished()).await?.to_vec();
        round.note_refusals(&ended);
        audit::conclude(round, server).await
    }
}

/// How many uploads say that they are full and why they are not complete.
pub(super) async fn held_up(server: &Server) -> Result<usize, Failure> {
    let list = server.ask("GET", "/uploads?state=stitching").await?.json();
    let statuses = list["uploads"].as_array().cloned().unwrap_or_default();
    let reason = |status: &serde_json::Value| {
        let error = status["upload"]["error"].as_str().unwrap_or_default().to_owned();
        error.contains("no space left")
    };
    Ok(statuses.iter().filter(|status| reason(status)).count())
}
