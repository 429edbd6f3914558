//! Two servers on one data directory: the second refuses, the first does not notice, and a crash
//! frees the directory.

use async_trait::async_trait;

use super::Fault;
use crate::{audit, client::Style, failure::Failure, report::Kind, round::Round, server::Start};

pub(crate) struct Rivals;

#[async_trait]
impl Fault for Rivals {
    fn name(&self) -> &'static str {
        "rivals"
    }

    fn about(&self) -> &'static str {
        "two servers are started on one data directory"
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        let setup = round.setup.clone();
        round.add_files(4, 4..=20);
        let mut server = setup.start().await?;
        for _ in 0..3 {
            let mut crew = round.send_all(&server, &Style::FLOW_JS);
            crew.answers(round.rng.u64(0..20)).await;
            match setup.launch().await? {
                Start::Ended(status, log) if !status.success() && log.contains(REFUSAL) => {}
                Start::Ended(status, log) => {
                    let detail = format!("the second server ended with {status}:\n{log}");
                    round.tally.broken(Kind::Other, detail);
                }
                Start::Serving(_) => {
                    round.tally.broken(Kind::Other, "two servers serve one directory");
                }
            }
            round.tally.hit();
            // The first goes on as if nothing had been.
            crew.answers(round.rng.u64(1..20)).await;
            server.kill().await?;
            let ended = crew.stopped().await;
            round.note_refusals(&ended);
            let before = round.ledger.snapshot();
            server = setup.start().await?;
            audit::promises(round, &server, &before).await?;
        }
        audit::conclude(round, server).await
    }
}

/// What the second one says.
const REFUSAL: &str = "another server is using the folder";
