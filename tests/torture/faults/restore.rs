//! A backup of the database is restored that is older than the files beside it, and then the newer
//! one again.
//!
//! What was complete is so after either; what was begun after the backup survives the time with the
//! older database.

use std::{fs, path::Path};

use async_trait::async_trait;
use rusqlite::Connection;

use super::Fault;
use crate::{
    audit,
    client::{Style, probe},
    failure::Failure,
    ledger::FileId,
    report::Kind,
    round::Round,
    server::{Server, Setup},
    wire,
};

pub(crate) struct Restore;

#[async_trait]
impl Fault for Restore {
    fn name(&self) -> &'static str {
        "restore"
    }

    fn about(&self) -> &'static str {
        "a database is restored that was saved while uploads ran, and then a newer one"
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        let setup = round.setup.clone();
        let folder = round.ground.scratch().to_owned();
        let (older, newer) = (folder.join("older.db"), folder.join("newer.db"));

        let early = round.add_files(if round.thorough { 8 } else { 4 }, 6..=40);
        let server = setup.start().await?;
        let mut crew = round.send(&early, &server, &Style::FLOW_JS);
        let begun = early.clone();
        let has_begun = |entries: &[crate::ledger::Entry]| {
            begun.iter().all(|file| !entries[*file].promised().is_empty())
        };
        tokio::select! {
            () = round.ledger.until(has_begun) => {}
            _ = crew.finished() => {}
        }
        save(&setup, &older)?;
        crew.finished().await;
        let ended = crew.stopped().await;
        round.note_refusals(&ended);

        // What the older database knows nothing of.
        let late = round.add_files(3, 6..=40);
        let mut crew = round.send(&late, &server, &Style::FLOW_JS);
        crew.answers(round.rng.u64(3..30)).await;
        round.part(server, crew).await?;
        let before = round.ledger.snapshot();
        save(&setup, &newer)?;

        restore(&setup, &older)?;
        if round.rng.bool() {
            copy_folder(&setup.data().join("completed"))?;
        }
        round.tally.hit();
        let server = setup.start().await?;
        assert_complete(round, &server, &early).await?;
        server.stop().await?;

        restore(&setup, &newer)?;
        let server = setup.start().await?;
        audit::promises(round, &server, &before).await?;
        audit::conclude(round, server).await
    }
}

/// One probe of each file, as a client that comes back sends it first.
async fn assert_complete(round: &Round, server: &Server, files: &[FileId]) -> Result<(), Failure> {
    let mut connection = wire::Connection::open(server.address()).await?;
    for file in files.iter().filter(|file| round.ledger.is_complete(**file)) {
        let plan = round.ledger.plan(*file);
        let answer = connection.ask(&probe(&plan, 1)).await?;
        if answer.status != 200 || answer.json()["complete"] != true {
            let detail = format!("{} was complete: {}", plan.name, answer.told());
            round.tally.broken(Kind::Lost, detail);
        }
    }
    Ok(())
}

/// As `.backup` does: while the server writes, or of what it left however it ended.
fn save(setup: &Setup, to: &Path) -> Result<(), Failure> {
    let live = Connection::open(setup.database())?;
    live.execute("VACUUM INTO ?1", [to.display().to_string()])?;
    Ok(())
}

fn restore(setup: &Setup, from: &Path) -> Result<(), Failure> {
    let database = setup.database();
    for end in ["-wal", "-shm"] {
        fs::remove_file(format!("{}{end}", database.display())).ok();
    }
    fs::copy(from, database)?;
    Ok(())
}

/// Puts a copy of a folder in its place, as a backup of it would be.
fn copy_folder(folder: &Path) -> Result<(), Failure> {
    let aside = folder.with_extension("aside");
    fs::rename(folder, &aside)?;
    fs::create_dir(folder)?;
    for entry in fs::read_dir(&aside)? {
        let entry = entry?;
        fs::copy(entry.path(), folder.join(entry.file_name()))?;
    }
    fs::remove_dir_all(&aside)?;
    Ok(())
}
