//! The sweep against those who resume: uploads expire in milliseconds, while their clients come and
//! go. What ends too early begins anew; nothing is mixed, doubled, or left.

use async_trait::async_trait;
use tokio::time::timeout;

use super::Fault;
use crate::{
    audit,
    client::{Ended, Style},
    failure::Failure,
    ledger::{Fate, FileId},
    report::Kind,
    round::Round,
    server::{Setup, in_time},
    wire::PATIENCE,
};

pub(crate) struct Expiry;

#[async_trait]
impl Fault for Expiry {
    fn name(&self) -> &'static str {
        "expiry"
    }

    fn about(&self) -> &'static str {
        "the sweep takes uploads that clients are about to resume"
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        let ttl = round.rng.u64(1..=30);
        let hasty = round
            .setup
            .flag(format!("--upload-ttl={ttl}ms"))
            .flag(format!("--sweep-interval={}ms", round.rng.u64(1..=10)))
            .flag("--cancel-grace=0s");
        let files = round.add_files(6, 2..=12);
        for file in &files {
            // What has expired is forgotten, and that is as it should be.
            round.ledger.set_fate(*file, Fate::Either);
        }
        race(round, &hasty, &files).await?;
        let (kept, left) = files.split_at(files.len() / 2);
        abandon(round, &hasty, left).await?;
        for file in kept {
            round.ledger.set_fate(*file, Fate::Published);
        }
        let server = round.setup.start().await?;
        audit::conclude(round, server).await
    }
}

/// Clients come and go, slower and faster than the sweep.
async fn race(round: &mut Round, hasty: &Setup, files: &[FileId]) -> Result<(), Failure> {
    let server = hasty.start().await?;
    for _ in 0..if round.thorough { 12 } else { 4 } {
        let style = Style { connections: round.rng.usize(1..=3), copies: 1..=2, probes: true };
        let mut crew = round.send(files, &server, &style);
        crew.answers(round.rng.u64(10..60)).await;
        let ended = crew.stopped().await;
        round.tally.hit();
        for (file, ended) in ended {
            let Ended::Refused(why) = ended else { continue };
            // An upload that expired while its client was away refuses what comes late.
            if !why.starts_with("415") {
                let name = &round.ledger.plan(file).name;
                round.tally.broken(Kind::Other, format!("{name} was refused: {why}"));
            }
        }
    }
    server.kill().await
}

/// What nobody resumes is swept, file and all.
async fn abandon(round: &Round, hasty: &Setup, files: &[FileId]) -> Result<(), Failure> {
    let server = hasty.start().await?;
    let swept = async {
        loop {
            let answer = server.ask("GET", "/uploads?state=receiving").await?;
            let list = answer.json();
            let Some(uploads) = list["uploads"].as_array() else {
                return Err(Failure::broken(format!("no list of uploads: {}", answer.told())));
            };
            let parts = crate::disk::names(&round.setup.data().join("incomplete"))?.len();
            if uploads.is_empty() && parts == 0 {
                return Ok(());
            }
        }
    };
    if timeout(PATIENCE, swept).await.is_err() {
        round.tally.broken(Kind::Leftover, "the sweep does not remove what has expired");
    }
    // Some were published, and of those some without anybody who heard of it.
    for file in files.iter().filter(|file| round.ledger.is_complete(**file)) {
        round.ledger.set_fate(*file, Fate::Published);
    }
    round.ledger.release_chunks();
    in_time("a stop", server.stop()).await??;
    Ok(())
}
