//! Every chunk several times at once, by several clients of one file: two tabs, a browser that
//! sends again by itself, retry timers. One upload, one file, one creative.

use async_trait::async_trait;

use super::Fault;
use crate::{audit, client::Style, failure::Failure, report::Kind, round::Round};

pub(crate) struct Duplicates;

#[async_trait]
impl Fault for Duplicates {
    fn name(&self) -> &'static str {
        "duplicates"
    }

    fn about(&self) -> &'static str {
        "each chunk 1 to 5 times at once, last chunks together, by several clients of one file"
    }

    fn quick_rounds(&self) -> u64 {
        3
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        let server = round.setup.start().await?;
        // Few chunks: then the first is among the last.
        let files = round.add_files(if round.thorough { 12 } else { 4 }, 1..=6);
        round.tally.hit();
        let tabs = round.rng.usize(1..=3);
        let clients: Vec<_> = files.iter().flat_map(|file| vec![*file; tabs]).collect();
        let mut crew =
            round.send(&clients, &server, &Style { connections: 5, copies: 1..=5, probes: true });
        crew.finished().await;
        let ended = crew.stopped().await;
        round.note_refusals(&ended);
        // All of it once more: what is complete answers for itself.
        let mut crew =
            round.send(&clients, &server, &Style { connections: 2, copies: 2..=2, probes: true });
        crew.finished().await;
        round.note_refusals(&crew.stopped().await);
        for entry in round.ledger.snapshot().0 {
            if 1 < entry.uploads.len() {
                let detail = format!("{} became uploads {:?}", entry.plan.name, entry.uploads);
                round.tally.broken(Kind::Doubled, detail);
            }
        }
        audit::conclude(round, server).await
    }
}
