//! A disk that is smaller than it says: it takes writes, and loses them later. Who syncs is told,
//! once, that there is no room (ENOSPC) or that there was an error (EIO).
//!
//! With a journal, so that the file system itself loses nothing that it said it had: what it cannot
//! write there ends it, read-only. Without one it says once that a block of its own is lost, and
//! from then on that all is well; nothing can be promised on such a disk, of which we saw whole
//! catalogs vanish.

use std::{ffi::OsStr, path::Path};

use async_trait::async_trait;

use super::Fault;
use crate::{
    audit,
    client::Style,
    failure::Failure,
    image::{Format, Image, MIB, Mount},
    round::Round,
    server::in_time,
};

/// What the image says it holds.
const SAID_LEN: u64 = 128 * MIB;
/// What it can hold, beside what the file system itself has written when it is made.
const ROOM: u64 = 3 * MIB;
/// Requests that are refused before there is room again.
const REFUSED: u64 = 8;
/// Requests that are refused after that, which means that it is of no use.
const MORE_REFUSED: u64 = 100;

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
        let place = round.ground.scratch().join("thin");
        let holder = Mount::new(&["-t", "tmpfs"], OsStr::new("none"), &place)?;
        let mut image = Image::new(&place, Format::Ext4, SAID_LEN)?;
        image.write_blocks()?;
        round.setup = round.setup.on(&image.data());
        let setup = round.setup.clone();
        let server = setup.start().await?;
        holder.change(&format!("size={}", occupied(image.file())? + ROOM))?;
        round.add_large_files(4, MIB..=2 * MIB);
        round.add_files(3, 1..=20);
        let mut crew = round.send_all(&server, &Style::FLOW_JS);
        in_time("syncs that fail", round.ledger.refusals(REFUSED)).await?;
        round.tally.hit();
        let refused = round.ledger.count_refusals();
        holder.change("size=1G")?;
        if round.rng.bool() {
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
        image.unmount()?;
        image.mend()?;
        image.mount()?;
        let before = round.ledger.snapshot();
        let server = setup.start().await?;
        audit::promises(round, &server, &before).await?;
        let concluded = audit::conclude(round, server).await;
        drop((image, holder));
        concluded
    }
}

/// How much room a file takes, holes left out.
fn occupied(file: &Path) -> Result<u64, Failure> {
    use std::os::unix::fs::MetadataExt;
    Ok(std::fs::metadata(file)?.blocks() * 512)
}
