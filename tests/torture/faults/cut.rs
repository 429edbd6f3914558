//! Requests that are cut off at any byte of head and body, in order (FIN) or by force (RST):
//! nothing is left of them, and their chunks are taken when they come again.

use async_trait::async_trait;
use futures_util::future::try_join_all;

use super::Fault;
use crate::{
    audit,
    client::{post, probe},
    failure::Failure,
    ledger::FileId,
    plan::Plan,
    report::Kind,
    round::Round,
    server::{Server, until},
    wire::Connection,
};

/// Places of the quick version, for each way to cut.
const SAMPLE: usize = 25;
/// A chunk: its request is short, and has bytes of a file all the same.
const CHUNK: u64 = 23;

pub(crate) struct Cut;

/// How a connection ends.
#[derive(Debug, Clone, Copy)]
enum Way {
    Fin,
    Rst,
}

#[async_trait]
impl Fault for Cut {
    fn name(&self) -> &'static str {
        "cut"
    }

    fn about(&self) -> &'static str {
        "requests that are cut off at every byte, by FIN and by RST"
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        let server = round.setup.start().await?;
        let mut files = Vec::new();
        for octet in [false, true] {
            for way in [Way::Fin, Way::Rst] {
                files.push((add(round, octet), way));
            }
        }
        let places: Vec<_> = files.iter().map(|(file, _)| places(round, *file)).collect();
        let work = || files.iter().zip(&places);
        let all: &Round = round;
        try_join_all(work().map(|((file, way), at)| leave(all, &server, *file, *way, at))).await?;
        untouched(all, &server).await?;
        try_join_all(work().map(|((file, way), at)| resend(all, &server, *file, *way, at))).await?;
        audit::conclude(round, server).await
    }
}

/// A file with a chunk for each place at which its request is cut.
fn add(round: &mut Round, octet: bool) -> FileId {
    let name = format!("{}.bin", round.ledger.files().len());
    let (seed, force) = (round.rng.u64(..), true);
    let mut plan = Plan { name, seed, total: 0, chunk_size: CHUNK, force, octet };
    // The longest request that there may be, so that there is a chunk for its every byte.
    plan.total = CHUNK * 9999;
    let len = post(&plan, plan.count()).len();
    let chunks = if round.thorough { len } else { SAMPLE };
    plan.total = CHUNK * u64::try_from(chunks).expect("few");
    round.ledger.add(plan)
}

/// Where the request of each chunk is cut: before its last byte at the latest.
fn places(round: &mut Round, file: FileId) -> Vec<usize> {
    let plan = round.ledger.plan(file);
    let len = |number| post(&plan, number).len();
    let place = |number: u64| {
        let index = usize::try_from(number - 1).expect("few");
        let at = if round.thorough { index } else { round.rng.usize(..len(number)) };
        at.min(len(number) - 1)
    };
    (1..=plan.count()).map(place).collect()
}

/// Begins to send a chunk, and is gone.
async fn cut(
    round: &Round,
    server: &Server,
    (file, number): (FileId, u64),
    way: Way,
    at: usize,
) -> Result<(), Failure> {
    let plan = round.ledger.plan(file);
    let mut connection = Connection::open(server.address()).await?;
    connection.send(&post(&plan, number)[..at]).await?;
    round.tally.hit();
    match way {
        Way::Rst => connection.reset()?,
        Way::Fin => {
            connection.finish().await?;
            let answer = connection.rest().await.unwrap_or_default();
            if answer.starts_with(b"HTTP/1.1 2") {
                let detail = format!("{}: a part of chunk {number}, {at} bytes: taken", plan.name);
                round.tally.broken(Kind::Lied, detail);
            }
        }
    }
    Ok(())
}

/// Cuts every request once. No probe has any of them.
async fn leave(
    round: &Round,
    server: &Server,
    file: FileId,
    way: Way,
    places: &[usize],
) -> Result<(), Failure> {
    let plan = round.ledger.plan(file);
    let mut connection = Connection::open(server.address()).await?;
    for (number, at) in (1..).zip(places) {
        cut(round, server, (file, number), way, *at).await?;
        let before = round.ledger.promised(file, number);
        let answer = connection.ask(&probe(&plan, number)).await?;
        match answer.status {
            204 => round.ledger.denied(file, number, before),
            200 => round.ledger.affirmed(file, number, &answer.json()),
            _ => {
                let detail = format!("{}, probe of chunk {number}: {}", plan.name, answer.told());
                round.tally.broken(Kind::Other, detail);
            }
        }
    }
    Ok(())
}

/// No upload was begun, and no file.
async fn untouched(round: &Round, server: &Server) -> Result<(), Failure> {
    until("requests that were cut leave nothing", || async {
        let answer = server.ask("GET", "/uploads").await?;
        let parts = crate::disk::names(&round.setup.data().join("incomplete"))?.len();
        Ok(answer.json()["uploads"].as_array().is_some_and(Vec::is_empty) && parts == 0)
    })
    .await
}

/// Cuts every request again, and at once sends it whole.
async fn resend(
    round: &Round,
    server: &Server,
    file: FileId,
    way: Way,
    places: &[usize],
) -> Result<(), Failure> {
    let plan = round.ledger.plan(file);
    for (number, at) in (1..).zip(places) {
        cut(round, server, (file, number), way, *at).await?;
        round.ledger.sends(file, number);
        let answer = Connection::open(server.address()).await?.ask(&post(&plan, number)).await?;
        if matches!(answer.status, 200 | 201) {
            round.ledger.stored(file, number, &answer.json());
        } else {
            let cut = format!("chunk {number} after a cut at byte {at} ({way:?})");
            let detail = format!("{}: {cut}: {}", plan.name, answer.told());
            round.tally.broken(Kind::Other, detail);
        }
    }
    Ok(())
}
