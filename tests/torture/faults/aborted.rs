//! A file system that gives up in mid-run: ext4 turns itself read-only after an error of the disk.

use async_trait::async_trait;

use super::Fault;
use crate::{
    audit, client::Style, failure::Failure, room::MIB, round::Round, server::in_time,
    volume::Format,
};

/// Requests that are refused before the server is ended.
const REFUSED: u64 = 5;

pub(crate) struct Aborted;

#[async_trait]
impl Fault for Aborted {
    fn name(&self) -> &'static str {
        "remount-abort"
    }

    fn about(&self) -> &'static str {
        "the file system turns read-only during uploads"
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        let mut volume = round.volume(Format::Ext4)?;
        let setup = round.setup.clone();
        let server = setup.start().await?;
        round.add_large_files(2, MIB..=2 * MIB);
        round.add_files(4, 1..=40);
        let mut crew = round.send_all(&server, &Style::FLOW_JS);
        crew.answers(round.rng.u64(5..80)).await;
        volume.abort()?;
        let ledger = round.ledger.clone();
        let met = tokio::select! {
            met = in_time("refusals", ledger.refusals(REFUSED)) => { met?; true }
            _ = crew.finished() => false,
        };
        if met {
            round.tally.hit();
        }
        // It is read-only, so it can be read.
        audit::promises(round, &server, &round.ledger.snapshot()).await?;
        server.kill().await?;
        let ended = crew.stopped().await;
        round.note_refusals(&ended);
        volume.mend()?;
        // An answer after the fault counts as well: whatever could not be stored was refused.
        let before = round.ledger.snapshot();
        let server = setup.start().await?;
        audit::promises(round, &server, &before).await?;
        audit::conclude(round, server).await
    }
}
