//! Cancels that race the last chunk, and cancels that a crash cuts off: in the end there is either
//! a published file with its creative, or nothing, and never a mixture.

use async_trait::async_trait;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Fault;
use crate::{
    audit,
    client::{Cancelled, Client, Ended, Style, post},
    failure::Failure,
    ledger::{Fate, FileId},
    report::Kind,
    round::Round,
    server::Server,
    strace::{self, Calls},
    wire::Connection,
};

/// The cancel comes while the last chunks are on their way.
pub(crate) struct Cancel;

#[async_trait]
impl Fault for Cancel {
    fn name(&self) -> &'static str {
        "cancel"
    }

    fn about(&self) -> &'static str {
        "a cancel races the last chunks of its upload"
    }

    fn quick_rounds(&self) -> u64 {
        3
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        let server = round.setup.start().await?;
        let files = round.add_files(8, 2..=6);
        begin(round, &server, &files).await?;
        let style = Style { connections: 4, copies: 1..=3, probes: false };
        let mut crew = round.send(&files, &server, &style);
        let mut cancels = JoinSet::new();
        // Some come before the end, some after it, and some together with it.
        let over = CancellationToken::new();
        for file in files {
            let client = Client::new(server.address(), round.ledger.clone());
            let (upload, hesitates) = (upload(round, file), round.rng.u64(0..70));
            let (ledger, over) = (round.ledger.clone(), over.clone());
            cancels.spawn(async move {
                over.run_until_cancelled(ledger.answers(hesitates)).await;
                (file, client.cancel(&upload).await)
            });
        }
        crew.finished().await;
        over.cancel();
        let mut cancelled = Vec::new();
        while let Some(cancel) = cancels.join_next().await {
            cancelled.push(cancel.expect("a cancel does not panic"));
        }
        let sent = crew.stopped().await;
        for (file, cancelled) in cancelled {
            round.tally.hit();
            let ended = sent.iter().find(|(sent, _)| *sent == file).map(|(_, ended)| ended);
            judge(round, file, &cancelled, ended);
            // Whoever saw it vanish has probed, which opens the identity anew.
            if matches!(ended, Some(Ended::Refused(_))) {
                late(round, &server, file).await?;
            }
        }
        audit::conclude(round, server).await
    }
}

/// Sends the first chunk of each file. From here on it may be cancelled.
async fn begin(round: &Round, server: &Server, files: &[FileId]) -> Result<(), Failure> {
    let mut connection = Connection::open(server.address()).await?;
    for file in files {
        round.ledger.set_fate(*file, Fate::Either);
        round.ledger.sends(*file, 1);
        let answer = connection.ask(&post(&round.ledger.plan(*file), 1)).await?;
        if answer.status != 200 {
            return Err(Failure::broken(format!("the first chunk: {}", answer.told())));
        }
        round.ledger.stored(*file, 1, &answer.json());
    }
    Ok(())
}

/// The upload as which the server knows a file.
fn upload(round: &Round, file: FileId) -> String {
    let entries = round.ledger.snapshot().0;
    entries[file].uploads.first().cloned().unwrap_or_default()
}

/// Both sides were told the same.
fn judge(round: &Round, file: FileId, cancelled: &Cancelled, sent: Option<&Ended>) {
    let name = &round.ledger.plan(file).name;
    let fate = match (cancelled, sent) {
        // It had every chunk, and the cancel still came before the file.
        (Cancelled::Gone, Some(Ended::Vanished)) => Fate::Gone,
        // The one answer that a sender may get to a chunk of what is gone.
        (Cancelled::Gone, Some(Ended::Refused(why))) if why.starts_with("415") => Fate::Gone,
        (Cancelled::Published, Some(Ended::Complete)) => Fate::Published,
        _ => {
            let detail = format!("{name}: the cancel said {cancelled:?}, the sender got {sent:?}");
            round.tally.broken(Kind::Other, detail);
            return;
        }
    };
    round.ledger.set_fate(file, fate);
}

/// A late chunk of what was cancelled is refused for good, and does not raise it.
async fn late(round: &Round, server: &Server, file: FileId) -> Result<(), Failure> {
    let plan = round.ledger.plan(file);
    let answer = Connection::open(server.address()).await?.ask(&post(&plan, 1)).await?;
    round.ledger.answered();
    if answer.status != 415 {
        let detail = format!("{}: a late chunk of it: {}", plan.name, answer.told());
        round.tally.broken(Kind::Other, detail);
    }
    Ok(())
}

/// The server dies while the bytes of what was cancelled go.
pub(crate) struct Removal;

#[async_trait]
impl Fault for Removal {
    fn name(&self) -> &'static str {
        "kill-removal"
    }

    fn quick_rounds(&self) -> u64 {
        2
    }

    fn about(&self) -> &'static str {
        "kill -9 before the bytes of a cancelled upload are removed"
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        strace::available().await?;
        let mut server = round.setup.start().await?;
        let files = round.add_files(4, 2..=6);
        begin(round, &server, &files).await?;
        let names = ["unlinkat", "pwrite64", "fsync"][round.rng.usize(..3)];
        let what = format!("signal=KILL:when={}", round.rng.u64(1..=2));
        let data = round.setup.data().to_owned();
        let calls = Calls { names, path: None };
        let mut strace = strace::attach(calls, &what, &server, &data).await?;
        let mut told = Vec::new();
        for file in &files {
            let client = Client::new(server.address(), round.ledger.clone());
            told.push(client.cancel(&upload(round, *file)).await);
        }
        if told.contains(&Cancelled::Unknown) {
            round.tally.hit();
        }
        server.kill().await?;
        strace.wait().await?;
        server = round.setup.start().await?;
        for (file, told) in files.into_iter().zip(told) {
            cancel_again(round, &server, file, &told).await;
        }
        audit::conclude(round, server).await
    }
}

/// What was cancelled is so still; what was perhaps cancelled is now.
async fn cancel_again(round: &Round, server: &Server, file: FileId, told: &Cancelled) {
    let client = Client::new(server.address(), round.ledger.clone());
    let state = server.ask("GET", &format!("/uploads/{}", upload(round, file))).await;
    let state = state.map(|answer| answer.json()["upload"]["state"].clone());
    let is_cancelled = matches!(&state, Ok(state) if state == "cancelled");
    let again = client.cancel(&upload(round, file)).await;
    if (*told == Cancelled::Gone && !is_cancelled) || again != Cancelled::Gone {
        let name = &round.ledger.plan(file).name;
        let detail = format!("{name}: cancelled ({told:?}), then {state:?}, again {again:?}");
        round.tally.broken(Kind::Other, detail);
    }
    round.ledger.set_fate(file, Fate::Gone);
}
