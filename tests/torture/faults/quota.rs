//! A quota: the disk has room, and still there is none for this folder.

use std::{path::Path, process::Command};

use async_trait::async_trait;

use super::Fault;
use crate::{
    audit, client::Style, failure::Failure, room::MIB, round::Round, server::in_time, tools::run,
    volume::Format,
};

/// Most that the folder may take.
const LIMIT: &str = "5M";
/// How often a limit that cannot be taken away is tried again.
const ATTEMPTS: u32 = 20;

/// Requests that are refused before there is room again.
const REFUSED: u64 = 5;

pub(crate) struct Quota;

#[async_trait]
impl Fault for Quota {
    fn name(&self) -> &'static str {
        "quota"
    }

    fn about(&self) -> &'static str {
        "a quota ends in mid-upload (EDQUOT), on btrfs"
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        let volume = round.volume(Format::Btrfs)?;
        let (root, folder) = (volume.point(), volume.point().join("limited"));
        btrfs(&["quota", "enable"], root)?;
        btrfs(&["subvolume", "create"], &folder)?;
        btrfs(&["qgroup", "limit", LIMIT], &folder)?;
        // The index of the journal must not be mapped from where no room is left for it: SIGBUS.
        round.setup = round.setup.on(&folder).flag("--database-exclusive");
        let mut server = round.setup.clone().start().await?;
        round.add_large_files(5, MIB..=2 * MIB);
        round.add_files(3, 1..=20);
        let mut crew = round.send_all(&server, &Style::FLOW_JS);
        in_time("the end of a quota", round.ledger.refusals(REFUSED)).await?;
        round.tally.hit();
        lift(&folder)?;
        if round.rng.bool() {
            (server, crew) = audit::crash(round, server, crew).await?;
        }
        let ended = in_time("uploads that have room again", crew.finished()).await?;
        round.note_refusals(ended);
        audit::conclude(round, server).await
    }
}

/// Takes the limit away. That needs room itself, which is there once what was written is flushed.
fn lift(folder: &Path) -> Result<(), Failure> {
    for _ in 1..ATTEMPTS {
        if btrfs(&["qgroup", "limit", "none"], folder).is_ok() {
            return Ok(());
        }
        btrfs(&["filesystem", "sync"], folder)?;
    }
    btrfs(&["qgroup", "limit", "none"], folder)
}

fn btrfs(words: &[&str], place: &Path) -> Result<(), Failure> {
    run(Command::new("btrfs").args(words).arg(place))
}
