//! Valid forms in packets of every kind: cut in two at every byte, cut in three anywhere, and large
//! ones in many, over many connections. None of them is ever refused.

use async_trait::async_trait;
use fastrand::Rng;
use futures_util::future::try_join_all;

use super::Fault;
use crate::{
    audit,
    client::post,
    failure::Failure,
    ledger::FileId,
    plan::Plan,
    report::Kind,
    round::Round,
    server::Server,
    wire::{Connection, body_at, request},
};

/// Places of the quick version.
const SAMPLE: usize = 60;
/// Connections over which large forms come.
const CONNECTIONS: usize = 8;

pub(crate) struct Split;

#[async_trait]
impl Fault for Split {
    fn name(&self) -> &'static str {
        "split-forms"
    }

    fn about(&self) -> &'static str {
        "valid forms in two packets, split at every byte, in three and in many"
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        let server = round.setup.start().await?;
        let (small, large) = (small(round), large(round));
        let rngs: Vec<Rng> = large.iter().map(|_| round.rng.fork()).collect();
        let round_of = &*round;
        let many = large.iter().zip(rngs).map(|(file, rng)| many(round_of, &server, *file, rng));
        try_join_all(many).await?;
        few(round, &server, small).await?;
        audit::conclude(round, server).await
    }
}

/// A file with a chunk for each byte of its form: its content looks like boundaries here and there.
fn small(round: &mut Round) -> FileId {
    let (seed, name) = (round.rng.u64(..), format!("{}.bin", round.ledger.files().len()));
    let mut plan = Plan { name, seed, total: 0, chunk_size: 31, force: true, octet: false };
    plan.total = 31 * 9999;
    let whole = post(&plan, plan.count());
    let body = whole.len() - body_at(&whole);
    plan.total = 31 * u64::try_from(if round.thorough { body } else { SAMPLE }).expect("few");
    round.ledger.add(plan)
}

/// Files whose chunks are streamed, each for a connection of its own.
fn large(round: &mut Round) -> Vec<FileId> {
    let mut files = Vec::new();
    let most = if round.thorough { 2_000_000 } else { 300_000 };
    for _ in 0..CONNECTIONS {
        let (seed, name) = (round.rng.u64(..), format!("{}.bin", round.ledger.files().len()));
        let chunk_size = round.rng.u64(1000..most);
        let total = chunk_size * if round.thorough { 6 } else { 3 };
        let plan = Plan { name, seed, total, chunk_size, force: round.rng.bool(), octet: false };
        files.push(round.ledger.add(plan));
    }
    files
}

/// Every form in two packets, and in three.
async fn few(round: &mut Round, server: &Server, file: FileId) -> Result<(), Failure> {
    let plan = round.ledger.plan(file);
    let mut connection = Connection::open(server.address()).await?;
    let mut other = Connection::open(server.address()).await?;
    let check = request("GET", "/healthz", &[], b"");
    for number in 1..=plan.count() {
        let whole = post(&plan, number);
        let body = body_at(&whole);
        let index = usize::try_from(number - 1).expect("few");
        let at = if round.thorough { body + index } else { round.rng.usize(body..whole.len()) };
        let mut cuts = vec![at.min(whole.len())];
        if round.rng.bool() {
            cuts.push(round.rng.usize(body..whole.len()));
            cuts.sort_unstable();
        }
        let mut from = 0;
        for to in &cuts {
            connection.send(&whole[from..*to]).await?;
            // While it answers this, it reads that.
            other.ask(&check).await?;
            from = *to;
        }
        round.tally.hit();
        send(round, &mut connection, (file, number), &whole[from..], &cuts).await?;
    }
    Ok(())
}

/// A form in as many packets as the network makes of it.
async fn many(round: &Round, server: &Server, file: FileId, mut rng: Rng) -> Result<(), Failure> {
    let plan = round.ledger.plan(file);
    let mut connection = Connection::open(server.address()).await?;
    for number in 1..=plan.count() {
        let whole = post(&plan, number);
        let mut rest = &whole[..];
        let mut cuts = Vec::new();
        // Small packets at the edges, where the form's own bytes are.
        for _ in 0..rng.usize(1..=12) {
            let most = [3, 100, 2000, 300_000][rng.usize(..4)].min(rest.len());
            let packet = rest.split_off(..rng.usize(..=most)).unwrap_or_default();
            connection.send(packet).await?;
            cuts.push(whole.len() - rest.len());
        }
        let edge = rest.len().saturating_sub(rng.usize(..70));
        connection.send(&rest[..edge]).await?;
        cuts.push(whole.len() - rest.len() + edge);
        round.tally.hit();
        send(round, &mut connection, (file, number), &rest[edge..], &cuts).await?;
    }
    Ok(())
}

/// Sends the last packet. The form is taken.
async fn send(
    round: &Round,
    connection: &mut Connection,
    (file, number): (FileId, u64),
    last: &[u8],
    cuts: &[usize],
) -> Result<(), Failure> {
    round.ledger.sends(file, number);
    let answer = connection.ask(last).await?;
    if matches!(answer.status, 200 | 201) {
        round.ledger.stored(file, number, &answer.json());
    } else {
        let name = &round.ledger.plan(file).name;
        let detail = format!("{name}, chunk {number}, cut at {cuts:?}: {}", answer.told());
        round.tally.broken(Kind::Other, detail);
    }
    Ok(())
}
