//! `kill -9` at any instant, many times while the same files are uploaded.

use async_trait::async_trait;

use super::Fault;
use crate::{audit, client::Style, failure::Failure, round::Round};

/// Files that are uploaded at a time.
const FILES: usize = 5;

/// The server dies; the machine does not.
pub(crate) struct Kill {
    name: &'static str,
    durability: &'static str,
}

impl Kill {
    pub(crate) const STRICT: Self = Self { name: "kill-strict", durability: "strict" };
    pub(crate) const RELAXED: Self = Self { name: "kill-relaxed", durability: "relaxed" };
}

#[async_trait]
impl Fault for Kill {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        "kill -9 at random instants, many times during the same uploads"
    }

    fn quick_rounds(&self) -> u64 {
        3
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        let setup = round.setup.flag(format!("--durability={}", self.durability));
        round.add_files(FILES, 0..=30);
        let mut server = setup.start().await?;
        let kills = round.rng.u64(2..=if round.thorough { 10 } else { 5 });
        for _ in 0..kills {
            let style = Style { connections: round.rng.usize(1..=4), copies: 1..=2, probes: true };
            let mut crew = round.send_all(&server, &style);
            crew.answers(round.rng.u64(0..40)).await;
            server.kill().await?;
            round.tally.hit();
            let ended = crew.stopped().await;
            round.note_refusals(&ended);
            let before = round.ledger.snapshot();
            server = setup.start().await?;
            audit::promises(round, &server, &before).await?;
        }
        audit::conclude(round, server).await
    }
}
