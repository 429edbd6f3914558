//! Lost answers: the server takes a chunk and says so, and the client never hears it. Whoever asks
//! again is told the same; a file that is complete stays so, and becomes no second creative.

use async_trait::async_trait;
use serde_json::Value;

use super::Fault;
use crate::{
    audit,
    client::{post, probe},
    failure::Failure,
    ledger::FileId,
    proxy::{Proxy, Weather},
    report::Kind,
    round::Round,
    server::Server,
    wire::{Answer, Connection},
};

pub(crate) struct Lost;

#[async_trait]
impl Fault for Lost {
    fn name(&self) -> &'static str {
        "lost-answers"
    }

    fn about(&self) -> &'static str {
        "connections that are cut when the server has answered"
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        let server = round.setup.start().await?;
        let files = round.add_files(if round.thorough { 20 } else { 6 }, 0..=4);
        for file in files {
            let weather = Weather { reset: round.rng.bool(), ..Weather::DEAF };
            let deaf = Proxy::open(server.address(), round.rng.fork(), move |_| weather).await?;
            for number in 1..=round.ledger.plan(file).count() {
                unheard(round, &deaf, (file, number)).await?;
                let answers = again(round, &server, (file, number)).await?;
                agree(round, (file, number), &answers);
            }
        }
        audit::conclude(round, server).await
    }
}

/// Sends a chunk whose answer does not come.
async fn unheard(
    round: &Round,
    deaf: &Proxy,
    (file, number): (FileId, u64),
) -> Result<(), Failure> {
    let plan = round.ledger.plan(file);
    round.ledger.sends(file, number);
    let heard = Connection::open(deaf.address()).await?.ask(&post(&plan, number)).await;
    round.tally.hit();
    match heard {
        Err(_) => Ok(()),
        Ok(answer) => Err(Failure::broken(format!("a lost answer came: {}", answer.told()))),
    }
}

/// Asks for the chunk, and sends it again.
async fn again(
    round: &Round,
    server: &Server,
    (file, number): (FileId, u64),
) -> Result<Vec<Answer>, Failure> {
    let plan = round.ledger.plan(file);
    let mut connection = Connection::open(server.address()).await?;
    let mut requests = vec![probe(&plan, number), post(&plan, number)];
    // Whoever does not ask first is told the same.
    if number % 2 == 0 {
        requests.reverse();
    }
    let mut answers = Vec::new();
    for request in requests {
        answers.push(connection.ask(&request).await?);
    }
    Ok(answers)
}

/// The server had answered, so it has the chunk; with the last one it has the file.
fn agree(round: &Round, (file, number): (FileId, u64), answers: &[Answer]) {
    let plan = round.ledger.plan(file);
    let is_last = number == plan.count();
    for answer in answers {
        let status = answer.json();
        let is_well = answer.status == 200 && (status["complete"] == Value::Bool(is_last));
        if is_well {
            round.ledger.stored(file, number, &status);
        } else {
            let detail = format!("{}, chunk {number}, again: {}", plan.name, answer.told());
            round.tally.broken(Kind::Other, detail);
        }
    }
}
