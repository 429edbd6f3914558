//! Connections that fall silent in the middle of a request, and are not closed. A fresh request for
//! the same chunk waits for them no longer than a second.
//!
//! That second is measured on a machine that does other things besides: as long as the slowest
//! request took beside which nothing stalled, a fresh one may take more. The quick version does not
//! look at the time at all, only at that the fresh one is answered while the other is still open,
//! and long before the server would have given that one up.

use std::{
    future::pending,
    io,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures_util::future::try_join_all;
use tokio::time::interval;

use super::Fault;
use crate::{
    audit,
    client::{post, probe},
    failure::Failure,
    ledger::FileId,
    plan::Plan,
    report::Kind,
    round::Round,
    server::Server,
    wire::{Answer, Connection, body_at},
};

/// Between two bytes of a trickle.
const PAUSE: Duration = Duration::from_secs(1);
/// What is promised.
const WAIT_MAX: Duration = Duration::from_secs(1);

pub(crate) struct Stall;

/// Where a request falls silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In its head.
    Head,
    /// Behind its head.
    Body,
    /// In the middle of its body.
    Middle,
    /// Before its last byte.
    Last,
    /// From the middle of its body on it brings a byte a second.
    Trickle,
}

const PLACES: [Place; 5] = [Place::Head, Place::Body, Place::Middle, Place::Last, Place::Trickle];

#[async_trait]
impl Fault for Stall {
    fn name(&self) -> &'static str {
        "stall"
    }

    fn about(&self) -> &'static str {
        "half-open connections that fall silent, and fresh requests for the same chunks"
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        // Nothing but a fresh request ends what stalls.
        let server = round.setup.flag("--body-idle-timeout=1h").start().await?;
        let files = add(round);
        work(round, &server, files).await?;
        audit::conclude(round, server).await
    }
}

/// Everything stalls once.
async fn work(round: &Round, server: &Server, files: Vec<FileId>) -> Result<(), Failure> {
    let alone = try_join_all(files.iter().map(|file| alone(round, server, *file))).await?;
    let alone = alone.into_iter().max().unwrap_or_default();
    for file in files {
        let stalled = PLACES
            .iter()
            .zip(2..)
            .map(|(place, number)| beside(round, server, (file, number), *place, alone));
        try_join_all(stalled).await?;
    }
    Ok(())
}

/// Forms and plain bytes, small ones that are kept until they are whole, and large ones that are
/// written as they come.
fn add(round: &mut Round) -> Vec<FileId> {
    let mut files = Vec::new();
    for octet in [false, true] {
        for chunk_size in [100, 10_000, 200_000] {
            let name = format!("{}.bin", round.ledger.files().len());
            let (seed, total) = (round.rng.u64(..), 7 * chunk_size);
            files.push(round.ledger.add(Plan {
                name,
                seed,
                total,
                chunk_size,
                force: true,
                octet,
            }));
        }
    }
    files
}

/// How long the first chunk takes, beside which nothing stalls.
async fn alone(round: &Round, server: &Server, file: FileId) -> Result<Duration, Failure> {
    let mut connection = Connection::open(server.address()).await?;
    let began = Instant::now();
    round.ledger.sends(file, 1);
    let answer = connection.ask(&post(&round.ledger.plan(file), 1)).await?;
    let took = began.elapsed();
    taken(round, (file, 1), "beside nothing", &answer);
    Ok(took)
}

/// Lets one request stall, and sends a fresh one for its chunk.
async fn beside(
    round: &Round,
    server: &Server,
    (file, number): (FileId, u64),
    place: Place,
    alone: Duration,
) -> Result<(), Failure> {
    let plan = round.ledger.plan(file);
    let whole = post(&plan, number);
    let mut at = place.of(&whole);
    let mut stalled = Connection::open(server.address()).await?;
    stalled.send(&whole[..at]).await?;
    round.ledger.sends(file, number);
    round.tally.hit();
    let mut fresh = Connection::open(server.address()).await?;
    // While it answers this, it takes up what stalls; of which a probe has nothing.
    for _ in 0..3 {
        let before = round.ledger.promised(file, number);
        let answer = fresh.ask(&probe(&plan, number)).await?;
        if answer.status == 204 {
            round.ledger.denied(file, number, before);
        } else {
            let detail = format!("{}, half of chunk {number}: {}", plan.name, answer.told());
            round.tally.broken(Kind::Lied, detail);
        }
    }
    let began = Instant::now();
    let answer = tokio::select! {
        answer = fresh.ask(&whole) => answer?,
        never = trickle(&mut stalled, &whole, &mut at), if place == Place::Trickle => never?,
    };
    let waited = began.elapsed();
    round.tally.waited(waited);
    taken(round, (file, number), "beside one that stalls", &answer);
    if round.thorough && WAIT_MAX + alone < waited {
        let times = format!("{waited:?}, and {alone:?} beside nothing");
        let detail = format!("{}, chunk {number}, stalled at {place:?}: {times}", plan.name);
        round.tally.broken(Kind::Stuck, detail);
    }
    if (number + u64::from(plan.octet)) % 2 == 0 {
        // It wakes up: what it brings is here already.
        let answer = stalled.ask(&whole[at..]).await?;
        taken(round, (file, number), "after a stall", &answer);
    }
    Ok(())
}

/// Brings one byte and then another, but never the last.
async fn trickle(stalled: &mut Connection, whole: &[u8], at: &mut usize) -> io::Result<Answer> {
    let mut ticks = interval(PAUSE);
    while *at < whole.len() - 1 {
        ticks.tick().await;
        stalled.send(&whole[*at..=*at]).await?;
        *at += 1;
    }
    pending().await
}

fn taken(round: &Round, (file, number): (FileId, u64), how: &str, answer: &Answer) {
    if matches!(answer.status, 200 | 201) {
        round.ledger.stored(file, number, &answer.json());
    } else {
        let name = &round.ledger.plan(file).name;
        let detail = format!("{name}, chunk {number}, {how}: {}", answer.told());
        round.tally.broken(Kind::Other, detail);
    }
}

impl Place {
    fn of(self, request: &[u8]) -> usize {
        let body = body_at(request);
        match self {
            Self::Head => body - 2,
            Self::Body => body,
            Self::Middle | Self::Trickle => body.midpoint(request.len()),
            Self::Last => request.len() - 1,
        }
    }
}
