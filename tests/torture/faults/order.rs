//! The order in which the server writes, syncs and answers, held against the strictest disk; and
//! that this notices each sync that is taken out.

use std::path::PathBuf;

use async_trait::async_trait;

use super::Fault;
use crate::{
    client::post,
    failure::Failure,
    order::{Places, Point, Run, breaches},
    plan::Plan,
    report::Kind,
    round::Round,
    server::{Server, Setup},
    trace::{events, tracer},
    wire::Connection,
};

/// Bytes of a chunk.
const CHUNK_LEN: u64 = 4096;

/// What the server does, as strace sees it.
pub(crate) struct Order;

#[async_trait]
impl Fault for Order {
    fn name(&self) -> &'static str {
        "power-order"
    }

    fn about(&self) -> &'static str {
        "nothing is answered before it is synced; each sync is taken out of the record and missed"
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        // Apart from each other, so that no folder is synced for the other's sake.
        let database = round.ground.scratch().join("catalog/flowstitch.db");
        std::fs::create_dir(round.ground.scratch().join("catalog"))?;
        let setup = round.setup.with_database(database.clone());
        let runs = record(round, &setup).await?;
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let data = text(round.ground.data().to_owned());
        let places = Places { data, database: text(database) };
        for breach in breaches(&places, &runs, None) {
            round.tally.broken(Kind::Other, breach);
        }
        for (point, what) in Point::ALL {
            match breaches(&places, &runs, Some(point)).first() {
                Some(breach) if round.thorough => {
                    crate::say(&format!("without the sync of {what}: {breach}"));
                }
                Some(_) => {}
                None => {
                    let detail = format!("it would not be missed if nobody synced {what}");
                    round.tally.broken(Kind::Other, detail);
                }
            }
        }
        Ok(())
    }
}

/// Lets servers do everything that syncs, one thing after the other, and writes down what they do.
async fn record(round: &Round, setup: &Setup) -> Result<Vec<Run>, Failure> {
    let mut tracing = Tracing { round, setup, runs: Vec::new(), line: 0 };
    let [first, second, third] = [2, 1, 3].map(plan);

    let server = tracing.start("strict").await?;
    send(round, &server, &first, 1, 200).await?;
    let creative = send(round, &server, &first, 2, 201).await?;
    let gone = server.ask("DELETE", &format!("/creatives/{creative}")).await?;
    expect(204, gone.status, gone.told())?;
    server.stop().await?;
    tracing.read("strict")?;

    // A relaxed server that dies leaves names that nobody has synced.
    let server = tracing.start("relaxed").await?;
    send(round, &server, &second, 1, 201).await?;
    send(round, &server, &third, 1, 200).await?;
    server.kill().await?;
    tracing.read("relaxed")?;

    let server = tracing.start("strict").await?;
    send(round, &server, &third, 2, 200).await?;
    send(round, &server, &third, 3, 201).await?;
    server.stop().await?;
    tracing.read("strict")?;
    Ok(tracing.runs)
}

/// What is written down.
struct Tracing<'a> {
    round: &'a Round,
    setup: &'a Setup,
    runs: Vec<Run>,
    line: usize,
}

impl Tracing<'_> {
    fn file(&self) -> PathBuf {
        self.round.ground.scratch().join(format!("trace-{}", self.runs.len()))
    }

    async fn start(&self, durability: &str) -> Result<Server, Failure> {
        let setup = self.setup.under(tracer(&self.file())?);
        setup.flag(format!("--durability={durability}")).start().await
    }

    /// Reads what the server did that has ended.
    fn read(&mut self, durability: &str) -> Result<(), Failure> {
        let trace = std::fs::read_to_string(self.file())?;
        let events = events(&trace, self.line);
        self.line += trace.lines().count();
        self.runs.push(Run { strict: durability == "strict", events });
        Ok(())
    }
}

fn plan(chunks: u64) -> Plan {
    let (total, chunk_size) = (chunks * CHUNK_LEN, CHUNK_LEN);
    let name = format!("{chunks}.bin");
    Plan { name, seed: chunks, total, chunk_size, force: true, octet: true }
}

/// Sends a chunk, and returns the creative that the file has become, if it has.
async fn send(
    round: &Round,
    server: &Server,
    plan: &Plan,
    number: u64,
    status: u16,
) -> Result<String, Failure> {
    let mut connection = Connection::open(server.address()).await?;
    let answer = connection.ask(&post(plan, number)).await?;
    round.tally.answered();
    expect(status, answer.status, answer.told())?;
    Ok(answer.json()["creative"]["id"].as_str().unwrap_or_default().to_owned())
}

fn expect(expected: u16, came: u16, told: String) -> Result<(), Failure> {
    if came == expected { Ok(()) } else { Err(Failure::broken(told)) }
}
