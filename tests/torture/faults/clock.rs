//! The clock is set, forward and back, while files are uploaded: nothing expires early, and what
//! has ended is remembered for neither shorter nor for ever.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::try_join_all;
use jiff::SignedDuration;

use super::Fault;
use crate::{
    audit,
    client::{Cancelled, Client, Style, post, probe},
    failure::Failure,
    ledger::{Fate, FileId},
    report::Kind,
    round::Round,
    server::{Server, Setup, until},
    wall::Wall,
    wire::{Answer, Connection, request},
};

/// How long uploads are kept here. Nothing expires for so long after a start, or after a jump.
const TTL: Duration = Duration::from_secs(3);
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// The clock jumps while uploads run.
pub(crate) struct Jumps;

#[async_trait]
impl Fault for Jumps {
    fn name(&self) -> &'static str {
        "clock-jumps"
    }

    fn about(&self) -> &'static str {
        "the clock is set forward and back during uploads, and nothing expires early"
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        let wall = Wall::new(round).await?;
        let setup = wall.before(&round.setup).flag("--sweep-interval=20ms");
        let setup = setup.flag(format!("--upload-ttl={}s", TTL.as_secs()));
        // What is complete stays known however far the clock goes.
        let setup = setup.flag("--result-ttl=3650days").flag("--tombstone-ttl=3650days");
        let server = setup.start().await?;
        let canary = round.add_files(1, 2..=2)[0];
        expire(round, &server, canary).await?;
        let mut off = SignedDuration::ZERO;
        for _ in 0..if round.thorough { 6 } else { 2 } {
            let files = round.add_files(4, 2..=9);
            let begun = Instant::now();
            try_join_all(files.iter().map(|file| begin(round, &server, *file))).await?;
            for _ in 0..3 {
                let days = round.rng.i32(1..=100);
                off = if round.rng.bool() { off + DAY * days } else { off - DAY * days };
                wall.jump(off).await?;
                round.tally.hit();
            }
            let missing = missing(round, &server, &files).await?;
            if begun.elapsed() < TTL {
                for name in missing {
                    let detail = format!("{name} expired when the clock was set");
                    round.tally.broken(Kind::Lost, detail);
                }
            }
            // On a machine as slow as that, whoever goes on may really have come too late.
            if TTL <= begun.elapsed() {
                round.ledger.release_chunks();
            }
            let mut crew = round.send(&files, &server, &Style::FLOW_JS);
            crew.finished().await;
            let ended = crew.stopped().await;
            round.note_refusals(&ended);
        }
        audit::conclude(round, server).await
    }
}

/// Sends half of a file.
async fn begin(round: &Round, server: &Server, file: FileId) -> Result<(), Failure> {
    let plan = round.ledger.plan(file);
    let mut connection = Connection::open(server.address()).await?;
    for number in 1..=plan.count() / 2 {
        round.ledger.sends(file, number);
        let answer = connection.ask(&post(&plan, number)).await?;
        if answer.status != 200 {
            let detail = format!("{}, chunk {number}: {}", plan.name, answer.told());
            return Err(Failure::broken(detail));
        }
        round.ledger.stored(file, number, &answer.json());
    }
    Ok(())
}

/// The files of which the server has forgotten a chunk.
async fn missing(round: &Round, server: &Server, files: &[FileId]) -> Result<Vec<String>, Failure> {
    let mut connection = Connection::open(server.address()).await?;
    let mut missing = Vec::new();
    for file in files {
        let plan = round.ledger.plan(*file);
        for number in 1..=plan.count() / 2 {
            let answer = connection.ask(&probe(&plan, number)).await?;
            round.ledger.answered();
            if answer.status != 200 {
                missing.push(format!("{}, chunk {number}: {}", plan.name, answer.told()));
            }
        }
    }
    Ok(missing)
}

/// What nobody goes on with expires: from then on the server believes its clock.
async fn expire(round: &Round, server: &Server, file: FileId) -> Result<(), Failure> {
    round.ledger.set_fate(file, Fate::Gone);
    begin(round, server, file).await?;
    until("an upload that expires", || async { Ok(state(round, server, file).await? == "expired") })
        .await
}

async fn state(round: &Round, server: &Server, file: FileId) -> Result<String, Failure> {
    let answer = server.ask("GET", &format!("/uploads/{}", upload(round, file))).await?;
    let state = answer.json()["upload"]["state"].as_str().map(str::to_owned);
    Ok(state.unwrap_or_else(|| answer.told()))
}

/// The upload as which the server knows a file.
fn upload(round: &Round, file: FileId) -> String {
    round.ledger.snapshot().0[file].uploads.first().cloned().unwrap_or_default()
}

/// The clock is set when uploads have ended.
pub(crate) struct Ended;

#[async_trait]
impl Fault for Ended {
    fn name(&self) -> &'static str {
        "clock-ended"
    }

    fn about(&self) -> &'static str {
        "the clock is set, and the server restarted, when uploads were finished or cancelled"
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        let wall = Wall::new(round).await?;
        // A minute more or less must not matter on a busy machine.
        let spans = ["--result-ttl=1h", "--cancel-grace=1h", "--tombstone-ttl=100h"];
        let setup = spans.iter().fold(round.setup.clone(), |setup, span| setup.flag(*span));
        let setup = wall.before(&setup).flag("--sweep-interval=20ms");
        let mut server = setup.start().await?;
        let files = round.add_files(2, 2..=4);
        let (finished, cancelled) = (files[0], files[1]);
        round.send(&[finished], &server, &Style::FLOW_JS).finished().await;
        round.ledger.set_fate(cancelled, Fate::Gone);
        begin(round, &server, cancelled).await?;
        cancel(round, &server, cancelled).await?;
        for (off, remembered) in [
            (HOUR / -2, true),
            (HOUR / 2, true),
            (HOUR * -2, false),
            (HOUR * 2, false),
            (SignedDuration::ZERO, true),
        ] {
            wall.set_off(off)?;
            round.tally.hit();
            if round.rng.bool() {
                server.kill().await?;
                server = setup.start().await?;
            }
            is_remembered(round, &server, finished, remembered).await?;
            if remembered {
                is_refused(round, &server, cancelled).await?;
            }
        }
        again(round, &wall, &setup, server, cancelled).await
    }
}

async fn cancel(round: &Round, server: &Server, file: FileId) -> Result<(), Failure> {
    let client = Client::new(server.address(), round.ledger.clone());
    match client.cancel(&upload(round, file)).await {
        Cancelled::Gone => Ok(()),
        other => Err(Failure::broken(format!("a cancel: {other:?}"))),
    }
}

/// A finished upload answers for its identity, or no more. What is not meant as a promise is not
/// entered into the ledger.
async fn is_remembered(
    round: &Round,
    server: &Server,
    file: FileId,
    remembered: bool,
) -> Result<(), Failure> {
    let plan = round.ledger.plan(file);
    let mut connection = Connection::open(server.address()).await?;
    let answer = connection.ask(&probe(&plan, 1)).await?;
    round.ledger.answered();
    expect(round, &answer, if remembered { 200 } else { 204 }, "a probe of what is finished");
    if remembered {
        let answer = connection.ask(&post(&plan, plan.count())).await?;
        round.ledger.stored(file, plan.count(), &answer.json());
        expect(round, &answer, 200, "the last chunk of what is finished");
    }
    Ok(())
}

/// A late chunk of what was cancelled does not raise it.
async fn is_refused(round: &Round, server: &Server, file: FileId) -> Result<(), Failure> {
    let late = post(&round.ledger.plan(file), 1);
    let answer = Connection::open(server.address()).await?.ask(&late).await?;
    round.ledger.answered();
    expect(round, &answer, 415, "a late chunk of what was cancelled");
    Ok(())
}

/// The clock was ahead, is set right, and the same file is begun and cancelled anew: it is the new
/// cancel that counts, though the old one bears the later time, and after a restart as well.
async fn again(
    round: &mut Round,
    wall: &Wall,
    setup: &Setup,
    mut server: Server,
    file: FileId,
) -> Result<(), Failure> {
    for off in [DAY * -2, DAY * -4] {
        wall.set_off(off)?;
        server.kill().await?;
        server = setup.start().await?;
        let plan = round.ledger.plan(file);
        let answer = Connection::open(server.address()).await?.ask(&post(&plan, 1)).await?;
        round.ledger.answered();
        expect(round, &answer, 200, "what was cancelled on another day");
        let id = answer.json()["upload"]["id"].as_str().unwrap_or_default().to_owned();
        let delete = request("DELETE", &format!("/uploads/{id}"), &[], b"");
        let answer = Connection::open(server.address()).await?.ask(&delete).await?;
        expect(round, &answer, 204, "a cancel on another day");
        is_refused(round, &server, file).await?;
        server.kill().await?;
        server = setup.start().await?;
        is_refused(round, &server, file).await?;
    }
    wall.set_off(SignedDuration::ZERO)?;
    audit::conclude(round, server).await
}

fn expect(round: &Round, answer: &Answer, status: u16, what: &str) {
    if answer.status != status {
        let detail = format!("{what}: {status} is due, and came {}", answer.told());
        round.tally.broken(Kind::Other, detail);
    }
}
