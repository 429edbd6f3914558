//! Bits that change where they lie: in an upload before it is read back, and in a finished file.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Output,
};

use async_trait::async_trait;
use serde_json::Value;
use tokio::process::Command;

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
    wire::{Connection, request},
};

pub(crate) struct Rot;

#[async_trait]
impl Fault for Rot {
    fn name(&self) -> &'static str {
        "rot"
    }

    fn about(&self) -> &'static str {
        "a bit flips in an upload or in a finished file, a file loses its end"
    }

    fn quick_rounds(&self) -> u64 {
        2
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        let mut server = round.setup.start().await?;
        let plan = Plan::any("rotten.bin", 1, &mut round.rng);
        let chunk_size = [1000, 4096, 65_536][round.rng.usize(..3)];
        let total = chunk_size * round.rng.u64(3..12);
        let file = round.ledger.add(Plan { total, chunk_size, ..plan });
        let count = round.ledger.plan(file).count();
        send(round, &server, file, 1..count).await?;
        let damaged = if round.rng.bool() {
            server.kill().await?;
            let damaged = damage(round, file)?;
            server = round.setup.start().await?;
            damaged
        } else {
            damage(round, file)?
        };
        round.tally.hit();
        mend(round, &server, file, &damaged).await?;
        finished_file(round).await?;
        audit::conclude(round, server).await
    }
}

/// The numbers of chunks that are not what they were.
type Damaged = Vec<u64>;

fn damage(round: &mut Round, file: FileId) -> Result<Damaged, Failure> {
    if round.rng.bool() { flip(round, file) } else { cut(round, file) }
}

/// Flips a bit of a chunk.
fn flip(round: &mut Round, file: FileId) -> Result<Damaged, Failure> {
    let plan = round.ledger.plan(file);
    let number = round.rng.u64(1..plan.count());
    let (start, len) = plan.range(number);
    flip_bit(&only(&round.setup.data().join("incomplete"))?, start + round.rng.u64(..len))?;
    round.ledger.damaged(file, number);
    Ok(vec![number])
}

/// Cuts the end off.
fn cut(round: &mut Round, file: FileId) -> Result<Damaged, Failure> {
    let plan = round.ledger.plan(file);
    let len = round.rng.u64(..plan.range(plan.count()).0);
    let path = only(&round.setup.data().join("incomplete"))?;
    File::options().write(true).open(path)?.set_len(len)?;
    let is_cut = |number: &u64| len < plan.range(*number).0 + plan.range(*number).1;
    let damaged: Damaged = (1..plan.count()).filter(is_cut).collect();
    for number in &damaged {
        round.ledger.damaged(file, *number);
    }
    Ok(damaged)
}

fn flip_bit(path: &Path, offset: u64) -> io::Result<()> {
    let file = File::options().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset)?;
    file.write_all_at(&[byte[0] ^ 0x10], offset)
}

/// The only file in a folder.
fn only(folder: &Path) -> Result<PathBuf, Failure> {
    let names = crate::disk::names(folder)?;
    let first = names.first().ok_or_else(|| Failure::broken("no file is there"))?;
    Ok(folder.join(first))
}

/// Sends some chunks as they are. What comes of them is for the next lookup to say.
async fn send(
    round: &Round,
    server: &Server,
    file: FileId,
    numbers: impl IntoIterator<Item = u64>,
) -> Result<(), Failure> {
    let plan = round.ledger.plan(file);
    for number in numbers {
        let mut connection = Connection::open(server.address()).await?;
        round.ledger.sends(file, number);
        let answer = connection.ask(&post(&plan, number)).await?;
        match answer.status {
            200 | 201 => round.ledger.stored(file, number, &answer.json()),
            503 => round.ledger.answered(),
            _ => round.tally.broken(Kind::Other, format!("chunk {number}: {}", answer.told())),
        }
    }
    Ok(())
}

/// Sends the last chunk, and then what the server finds damaged and asks for: nothing else.
async fn mend(
    round: &Round,
    server: &Server,
    file: FileId,
    damaged: &Damaged,
) -> Result<(), Failure> {
    let plan = round.ledger.plan(file);
    send(round, server, file, [plan.count()]).await?;
    // What the end of a file was cut off of is found chunk by chunk, as it is read.
    for _ in 0..=damaged.len() {
        let status = lookup(server, &plan).await?;
        if status["complete"] == true {
            return Ok(());
        }
        let missing = missing(&status);
        if missing.is_empty() || missing.iter().any(|number| !damaged.contains(number)) {
            let detail = format!("damaged are {damaged:?}, asked for are {missing:?}: {status}");
            round.tally.broken(Kind::Other, detail);
        }
        send(round, server, file, missing).await?;
    }
    Ok(())
}

async fn lookup(server: &Server, plan: &Plan) -> Result<Value, Failure> {
    let fields = plan.fields(1).into_iter().filter(|(name, _)| *name != "flowChunkNumber");
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let mut connection = Connection::open(server.address()).await?;
    let request = request("GET", &format!("/uploads/lookup?{query}"), &[], b"");
    Ok(connection.ask(&request).await?.json())
}

/// The numbers in a status body's pairs.
fn missing(status: &Value) -> Vec<u64> {
    let pairs = status["upload"]["missing_chunks"].as_array().cloned().unwrap_or_default();
    let pair = |pair: Value| Some((pair[0].as_u64()?, pair[1].as_u64()?));
    pairs.into_iter().filter_map(pair).flat_map(|(first, last)| first..=last).collect()
}

/// A bit flips in the finished file: `verify` finds it, beside the server that runs, and finds
/// nothing when it is as it was.
async fn finished_file(round: &mut Round) -> Result<(), Failure> {
    let path = only(&round.setup.data().join("completed"))?;
    let offset = round.rng.u64(..fs::metadata(&path)?.len());
    for expected in [1, 0] {
        flip_bit(&path, offset)?;
        let output = verify(round).await?;
        let said = String::from_utf8_lossy(&output.stdout);
        if output.status.code() != Some(expected) {
            let detail = format!("verify: {}, expected {expected}: {said}", output.status);
            round.tally.broken(Kind::Other, detail);
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        if expected == 1 && !said.contains(&*name) {
            round.tally.broken(Kind::Other, format!("verify does not name {name}: {said}"));
        }
    }
    Ok(())
}

async fn verify(round: &Round) -> io::Result<Output> {
    let mut command = Command::new(round.setup.binary());
    command.args(["verify", "--json", "--data-dir"]).arg(round.setup.data());
    command.output().await
}
