//! Whether what was promised is so: after a restart, and in the end.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    client::{Ended, Style, probe},
    compare, disk,
    failure::Failure,
    ledger::{Entry, Fate, FileId, Snapshot},
    report::Kind,
    round::{Crew, Round},
    server::Server,
    wire::Connection,
};

/// Asks for everything that had been promised, before any client goes on.
pub(crate) async fn promises(
    round: &Round,
    server: &Server,
    before: &Snapshot,
) -> Result<(), Failure> {
    let mut connection = Connection::open(server.address()).await?;
    for (file, entry) in before.0.iter().enumerate() {
        if entry.fate != Fate::Published {
            continue;
        }
        for number in entry.promised() {
            promised(round, &mut connection, (file, number), entry).await?;
        }
    }
    Ok(())
}

/// A chunk that was promised is there; and if the file was complete, it is so still.
async fn promised(
    round: &Round,
    connection: &mut Connection,
    (file, number): (FileId, u64),
    entry: &Entry,
) -> Result<(), Failure> {
    let before = round.ledger.promised(file, number);
    let answer = connection.ask(&probe(&entry.plan, number)).await?;
    match answer.status {
        200 => round.ledger.affirmed(file, number, &answer.json()),
        204 => round.ledger.denied(file, number, before),
        _ => {
            let detail = format!("{}, probe of chunk {number}: {}", entry.plan.name, answer.told());
            round.tally.broken(Kind::Other, detail);
        }
    }
    if !entry.creatives.is_empty() && answer.json()["complete"] != true {
        let detail = format!("{} was complete, and is so no more", entry.plan.name);
        round.tally.broken(Kind::Lost, detail);
    }
    Ok(())
}

/// Kills a server in the middle of everything. The next one has what was promised, and the clients
/// go on with it.
pub(crate) async fn crash(
    round: &mut Round,
    server: Server,
    crew: Crew,
) -> Result<(Server, Crew), Failure> {
    server.kill().await?;
    let ended = crew.stopped().await;
    round.note_refusals(&ended);
    let before = round.ledger.snapshot();
    let server = round.setup.start().await?;
    promises(round, &server, &before).await?;
    let crew = round.send_all(&server, &Style::FLOW_JS);
    Ok((server, crew))
}

/// Fetches every file that had been told to be complete.
pub(crate) async fn completions(
    round: &Round,
    server: &Server,
    before: &Snapshot,
) -> Result<(), Failure> {
    for entry in &before.0 {
        for creative in entry.creatives.values() {
            content(round, server, (entry, &before.0), creative).await?;
        }
    }
    Ok(())
}

/// The end of a round: lets the clients finish, and compares what is there with what was sent.
pub(crate) async fn conclude(round: &mut Round, server: Server) -> Result<(), Failure> {
    finish(round, &server).await;
    published(round, &server).await?;
    let status = server.stop().await?;
    if !status.success() {
        round.tally.broken(Kind::Other, format!("it did not stop in order: {status}"));
    }
    disk::compare(round)
}

/// Lets clients finish every file that is to be published.
pub(crate) async fn finish(round: &mut Round, server: &Server) {
    let mut crew = round.send_all(server, &Style::FLOW_JS);
    crew.finished().await;
    let ended = crew.stopped().await;
    round.note_refusals(&ended);
    for (id, entry) in round.ledger.snapshot().0.into_iter().enumerate() {
        let is_noted = ended.iter().any(|(file, how)| *file == id && *how == Ended::Stuck);
        if entry.fate == Fate::Published && entry.creatives.is_empty() && !is_noted {
            round.tally.broken(Kind::Stuck, format!("{} never got complete", entry.plan.name));
        }
    }
}

/// Compares the list of creatives and their content with the ledger.
async fn published(round: &Round, server: &Server) -> Result<(), Failure> {
    let mut by_name: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for creative in creatives(server).await? {
        let name = creative["filename"].as_str().unwrap_or_default().to_owned();
        by_name.entry(name).or_default().push(creative);
    }
    let entries = round.ledger.snapshot().0;
    for entry in &entries {
        let found = by_name.remove(&entry.plan.name).unwrap_or_default();
        recorded(round, entry, &found);
        for creative in &found {
            content(round, server, (entry, &entries), creative).await?;
        }
    }
    for name in by_name.keys() {
        round.tally.broken(Kind::Foreign, format!("a creative {name:?} that nobody sent"));
    }
    Ok(())
}

/// One upload, one creative: the one that was told.
fn recorded(round: &Round, entry: &Entry, found: &[Value]) {
    let name = &entry.plan.name;
    let broken = |kind, what: String| round.tally.broken(kind, format!("{name}: {what}"));
    let is_there = |id: &String| found.iter().any(|creative| creative["id"] == id.as_str());
    for id in entry.creatives.keys().filter(|id| !is_there(id)) {
        broken(Kind::Lost, format!("creative {id} was told, and is not there"));
    }
    if 1 < found.len() || 1 < entry.creatives.len() {
        let told: Vec<_> = entry.creatives.keys().collect();
        broken(Kind::Doubled, format!("creatives {found:?}, and told were {told:?}"));
    }
    if entry.fate == Fate::Gone && !found.is_empty() {
        broken(Kind::Other, format!("it was ended without a file, and became {found:?}"));
    }
}

/// The content as a browser gets it.
async fn content(
    round: &Round,
    server: &Server,
    (entry, entries): (&Entry, &[Entry]),
    creative: &Value,
) -> Result<(), Failure> {
    let path = creative["creative_url"].as_str().unwrap_or_default();
    let told = match server.ask("GET", path).await {
        Ok(answer) if answer.status == 200 => {
            compare::content(&round.tally, entry, entries, &answer.body);
            None
        }
        Ok(answer) => Some(answer.told()),
        // The server notices when it reads what is not there, and cuts the answer off.
        Err(error) => Some(error.to_string()),
    };
    if let Some(told) = told {
        let detail = format!("{}: {path}: {told}", entry.plan.name);
        round.tally.broken(Kind::CreativeOnly, detail);
    }
    if creative["sha256"] != entry.plan.sha256().as_str() {
        let detail = format!("{}: recorded with SHA-256 {}", entry.plan.name, creative["sha256"]);
        round.tally.broken(Kind::Inexact, detail);
    }
    Ok(())
}

/// All creatives, page by page.
async fn creatives(server: &Server) -> Result<Vec<Value>, Failure> {
    let mut all = Vec::new();
    let mut path = String::from("/creatives?limit=1000");
    loop {
        let answer = server.ask("GET", &path).await?;
        let page = answer.json();
        let Some(creatives) = page["creatives"].as_array() else {
            return Err(Failure::broken(format!("no list of creatives: {}", answer.told())));
        };
        all.extend(creatives.iter().cloned());
        let Some(cursor) = page["next_cursor"].as_str() else { return Ok(all) };
        path = format!("/creatives?limit=1000&cursor={cursor}");
    }
}
