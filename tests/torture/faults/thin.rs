//! A disk that is smaller than it says: it takes writes, and loses them later. Who syncs is told,
//! once, that there is no room (ENOSPC) or that there was an error (EIO).
//!
//! With a journal, so that the file system itself loses nothing that it said it had: what it cannot
//! write there ends it, read-only. Without one it says once that a block of its own is lost, and
//! from then on that all is well; nothing can be promised on such a disk, of which we saw whole
//! catalogs vanish.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    process::Command,
};

use async_trait::async_trait;

use super::Fault;
use crate::{
    audit,
    client::Style,
    failure::Failure,
    room::MIB,
    round::Round,
    server::in_time,
    tools::{Lent, run},
    volume::{Format, Volume},
};

/// What it can hold, beside what the file system itself has written when it is made.
const ROOM: u64 = 3 * MIB;
/// Requests that are refused before there is room again.
const REFUSED: u64 = 8;
/// Requests that are refused after that, which means that it is of no use.
const MORE_REFUSED: u64 = 100;

/// Syncs that write all over a journal of 16 MiB, which is what an image of this size gets: each of
/// them three blocks at the least.
const SYNCS: u64 = 1500;

pub(crate) struct Thin;

#[async_trait]
impl Fault for Thin {
    fn name(&self) -> &'static str {
        "thin"
    }

    fn about(&self) -> &'static str {
        "a disk that is smaller than it says: writes are lost, and a sync says so, once"
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        let holder = Holder::new(round.ground.scratch().join("holder"))?;
        let mut volume = Volume::make(Format::Ext4, "disk", &holder.0, round.ground.scratch())?;
        let blocks = write_block_by_block(&volume)?;
        let data = volume.point().join("data");
        fs::create_dir(&data)?;
        round.setup = round.setup.on(&data);
        let server = round.setup.start().await?;
        wear(&volume)?;
        holder.holds(fs::metadata(volume.image())?.blocks() * 512 + ROOM)?;
        round.add_large_files(4, MIB..=2 * MIB);
        round.add_files(3, 1..=20);
        let mut crew = round.send_all(&server, &Style::FLOW_JS);
        in_time("syncs that fail", round.ledger.refusals(REFUSED)).await?;
        round.tally.hit();
        let refused = round.ledger.count_refusals();
        holder.holds(1 << 30)?;
        if 0 < round.rng.u8(..4) {
            // Whatever was lost was said to be: those who were refused send it again, to their end
            // or to that of the file system.
            let ledger = round.ledger.clone();
            let goes_on = async {
                tokio::select! {
                    () = ledger.refusals(refused + MORE_REFUSED) => {}
                    _ = crew.finished() => {}
                }
            };
            in_time("an end of what goes on", goes_on).await?;
        }
        server.kill().await?;
        let ended = crew.stopped().await;
        round.note_refusals(&ended);
        // What was only in memory goes.
        drop(blocks);
        volume.mend()?;
        let before = round.ledger.snapshot();
        let server = round.setup.start().await?;
        audit::promises(round, &server, &before).await?;
        audit::conclude(round, server).await
    }
}

/// Has the file system write all over its journal, so that there is room for all of it: what has no
/// room later are files, for the most part, and the file system lives on.
fn wear(volume: &Volume) -> io::Result<()> {
    let file = File::create(volume.point().join("worn"))?;
    for len in 0..SYNCS {
        file.set_len(len)?;
        file.sync_all()?;
    }
    Ok(())
}

/// What holds the image, and is smaller than it.
struct Holder(PathBuf);

impl Holder {
    fn new(place: PathBuf) -> Result<Self, Failure> {
        fs::create_dir(&place)?;
        run(Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&place))
            .map_err(|error| Failure::not_run(error.to_string()))?;
        Ok(Self(place))
    }

    fn holds(&self, bytes: u64) -> Result<(), Failure> {
        run(Command::new("mount").args(["-o", &format!("remount,size={bytes}")]).arg(&self.0))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // The image on it may be unmounted a moment later.
        run(Command::new("umount").arg("--lazy").arg(&self.0)).ok();
    }
}

/// A loop device takes a write of which its file took a part for a success, and the rest is lost
/// without a word: no server can keep what such a disk drops. Of a block there is no part.
fn write_block_by_block(volume: &Volume) -> Result<Lent, Failure> {
    let path = format!("/sys/dev/block/{}/queue/max_sectors_kb", volume.device()?);
    // Another image may be on the same device later.
    let before = fs::read_to_string(&path)?;
    Ok(Lent::set(path.as_ref(), "4", before)?)
}
