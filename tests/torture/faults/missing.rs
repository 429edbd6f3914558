//! The database is not where it was: its disk is not mounted, or its path is mistyped. No server
//! starts in its place, and nothing is touched. Once it is back, everything is there.

use std::{collections::BTreeMap, fs, path::Path};

use async_trait::async_trait;

use super::Fault;
use crate::{
    audit,
    client::Style,
    failure::Failure,
    report::Kind,
    round::Round,
    server::{Setup, Start},
};

pub(crate) struct Missing;

#[async_trait]
impl Fault for Missing {
    fn name(&self) -> &'static str {
        "missing-database"
    }

    fn about(&self) -> &'static str {
        "a server is started without the database of its folders, which comes back later"
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        let setup = round.setup.clone();
        let files = round.add_files(if round.thorough { 8 } else { 4 }, 6..=40);
        let server = setup.start().await?;
        let mut crew = round.send(&files, &server, &Style::FLOW_JS);
        // Something is begun: folders and database in which there is nothing may be parted.
        crew.answers(round.rng.u64(3..60)).await;
        round.part(server, crew).await?;
        let before = round.ledger.snapshot();

        let aside = round.ground.scratch().join("aside");
        if round.rng.bool() {
            move_database(&setup.database(), &aside)?;
            refused(round, &setup).await?;
            move_database(&aside, &setup.database())?;
        } else {
            refused(round, &setup.with_database(aside)).await?;
        }
        round.tally.hit();
        let server = setup.start().await?;
        audit::promises(round, &server, &before).await?;
        audit::conclude(round, server).await
    }
}

/// It does not start, makes no database, and leaves every file as long as it was.
async fn refused(round: &Round, setup: &Setup) -> Result<(), Failure> {
    let before = files(setup.data())?;
    match setup.launch().await? {
        Start::Serving(server) => {
            round.tally.broken(Kind::Other, "a server starts without its database");
            server.kill().await?;
        }
        Start::Ended(status, log) if status.success() || !log.contains("is new") => {
            round.tally.broken(Kind::Other, format!("it ends in another way: {status}\n{log}"));
        }
        Start::Ended(..) => {}
    }
    if files(setup.data())? != before || setup.database().exists() {
        round.tally.broken(Kind::Other, "a start that was refused changed something");
    }
    Ok(())
}

/// With its journal.
fn move_database(from: &Path, to: &Path) -> Result<(), Failure> {
    for end in ["", "-wal", "-shm"] {
        let named = |path: &Path| format!("{}{end}", path.display());
        if Path::new(&named(from)).exists() {
            fs::rename(named(from), named(to))?;
        }
    }
    Ok(())
}

/// Every file below a folder, with its length.
fn files(folder: &Path) -> Result<BTreeMap<String, u64>, Failure> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            all.extend(files(&path)?);
        } else {
            all.insert(path.display().to_string(), fs::symlink_metadata(&path)?.len());
        }
    }
    Ok(all)
}
