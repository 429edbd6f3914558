//! Backups are taken while uploads run, the server or the tool is killed in the middle, and in the
//! end the last backup is restored into another folder, where the uploads go on.
//!
//! What was acknowledged before the last backup was begun is there after it was restored.

use std::{collections::BTreeSet, ffi::OsString, path::Path, process::Stdio};

use async_trait::async_trait;
use tokio::process::{Child, Command};

use super::Fault;
use crate::{
    audit,
    client::Style,
    failure::Failure,
    report::Kind,
    round::Round,
    server::{Server, Setup, Start, in_time, until},
    trace::{Event, Step, events, tracer},
};

pub(crate) struct Backup;

#[async_trait]
impl Fault for Backup {
    fn name(&self) -> &'static str {
        "backup"
    }

    fn about(&self) -> &'static str {
        "backups under load, with the server or the tool killed, and the last one restored"
    }

    fn quick_rounds(&self) -> u64 {
        2
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        let setup = round.setup.clone();
        let to = round.ground.scratch().join("backup");
        round.add_files(5, 1..=30);
        let mut server = setup.start().await?;
        for _ in 0..round.rng.u64(2..=4) {
            server = killed(round, &setup, server, &to).await?;
        }
        // One that comes to its end, while the clients go on.
        let mut crew = round.send_all(&server, &Style::FLOW_JS);
        crew.answers(round.rng.u64(1..30)).await;
        let before = round.ledger.snapshot();
        traced(round, &setup, &["backup"], &to, &to).await?;
        let ended = crew.stopped().await;
        round.note_refusals(&ended);
        server.stop().await?;

        let data = round.ground.scratch().join("restored");
        std::fs::create_dir(&data)?;
        round.setup = setup.on(&data);
        interrupted_restore(round, &to).await?;
        traced(round, &round.setup, &["restore", "--verify"], &to, &data).await?;
        succeed(tool(&round.setup, &["verify"], None, &[])?).await?;
        round.tally.hit();
        // What came after the backup is not in it: its clients send it again.
        round.ledger.rewind(&before);
        let server = round.setup.start().await?;
        audit::promises(round, &server, &before).await?;
        audit::conclude(round, server).await
    }
}

/// A backup under load in which the server or the tool dies. Returns a server that runs.
async fn killed(
    round: &mut Round,
    setup: &Setup,
    server: Server,
    to: &Path,
) -> Result<Server, Failure> {
    let mut crew = round.send_all(&server, &Style::FLOW_JS);
    crew.answers(round.rng.u64(0..20)).await;
    let mut tool = tool(setup, &["backup"], Some(to), &[])?;
    crew.answers(round.rng.u64(0..20)).await;
    let server = if round.rng.bool() {
        server.kill().await?;
        None
    } else {
        // It may have ended.
        tool.start_kill().ok();
        Some(server)
    };
    round.tally.hit();
    // Without a server it goes on, or says that none answers; killed it says nothing.
    in_time("a backup that was disturbed", tool.wait()).await??;
    let ended = crew.stopped().await;
    round.note_refusals(&ended);
    match server {
        Some(server) => Ok(server),
        None => setup.start().await,
    }
}

/// Restores that are killed, or come to their end. Until one has, no server starts.
async fn interrupted_restore(round: &Round, from: &Path) -> Result<(), Failure> {
    let mut tool = tool(&round.setup, &["restore"], Some(from), &[])?;
    let mark = round.setup.data().join("incomplete/.restore");
    until("a restore that has begun", || {
        let is_over = tool.try_wait().map(|status| status.is_some());
        let has_begun = mark.exists();
        async move { Ok(is_over? || has_begun) }
    })
    .await?;
    tool.start_kill().ok();
    in_time("a restore that is killed", tool.wait()).await??;
    if mark.exists() {
        match round.setup.launch().await? {
            Start::Ended(..) => {}
            Start::Serving(_) => {
                round.tally.broken(Kind::Other, "a server started on half a restore".to_owned());
            }
        }
    } else {
        // It was faster: what it did is to be done again.
        std::fs::remove_dir_all(round.setup.data())?;
        std::fs::create_dir(round.setup.data())?;
    }
    Ok(())
}

/// Runs a tool to its end, and holds what it wrote below a folder against what it synced.
async fn traced(
    round: &Round,
    setup: &Setup,
    words: &[&str],
    backup: &Path,
    written: &Path,
) -> Result<(), Failure> {
    let trace = round.ground.scratch().join("tool.trace");
    // Without strace it is only run.
    let wrapper = tracer(&trace).unwrap_or_default();
    succeed(tool(setup, words, Some(backup), &wrapper)?).await?;
    if !wrapper.is_empty() {
        let events = events(&std::fs::read_to_string(&trace)?, 0);
        for breach in unsynced(&events, &written.display().to_string()) {
            round.tally.broken(Kind::Lost, format!("{words:?} may lose power: {breach}"));
        }
    }
    Ok(())
}

/// What loss of power could take from files below a folder, though a name promises that all is
/// there: the manifest of a backup, and the database that was restored.
fn unsynced(events: &[Event], root: &str) -> Vec<String> {
    let folder = |path: &str| path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
    // Not what only tries the disk, by a name of its own or as a file without one.
    let is_trial = |path: &str| path.contains("/#") || path.ends_with("/.probe");
    let within = |path: &str| path.starts_with(&format!("{root}/")) && !is_trial(path);
    let (mut breaches, mut bytes, mut names) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for Event { ended, step, .. } in events {
        match step {
            Step::Write(path) | Step::Cut(path) if within(path) => {
                bytes.insert(path.clone());
            }
            // What is written to a stream, the manifest, is not in the trace.
            Step::Name(path) if within(path) && path.ends_with(".partial") => {
                bytes.insert(path.clone());
            }
            Step::Name(path) if within(path) => {
                names.insert(folder(path));
            }
            Step::Remove(path) => {
                bytes.remove(path);
            }
            Step::Sync(path) => {
                bytes.remove(path);
                names.remove(path);
            }
            Step::Move(from, to) if within(to) => {
                if bytes.remove(from) {
                    breaches.push(format!("line {ended}: {to} has its name before its bytes"));
                }
                if to.ends_with("/manifest.jsonl") || to.ends_with("/flowstitch.db") {
                    let unsafe_names = names.iter();
                    breaches.extend(
                        unsafe_names.map(|name| format!("line {ended}: {to} before {name}")),
                    );
                }
                names.insert(folder(to));
            }
            _ => {}
        }
    }
    breaches.extend(bytes.iter().chain(&names).map(|path| format!("{path} is never synced")));
    breaches
}

fn tool(
    setup: &Setup,
    words: &[&str],
    folder: Option<&Path>,
    wrapper: &[OsString],
) -> Result<Child, Failure> {
    let binary = setup.binary().as_os_str().to_owned();
    let mut program = wrapper.iter().cloned().chain([binary]);
    let mut command = Command::new(program.next().expect("the binary at least"));
    command.args(program).args(words).arg("--data-dir").arg(setup.data());
    command.current_dir(setup.data()).args(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    Ok(command.spawn()?)
}

async fn succeed(tool: Child) -> Result<(), Failure> {
    let output = in_time("a tool", tool.wait_with_output()).await??;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::broken(format!("the tool: {}: {}", output.status, said.trim())))
}
