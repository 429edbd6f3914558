//! A disk that is too small for what is sent: some files fit, the others wait until there is room.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::{MissedTickBehavior, interval};

use super::{Fault, held_up::held_up};
use crate::{
    audit,
    client::{Client, Ended, Style},
    failure::Failure,
    ledger::{Entry, Ledger},
    plan::Plan,
    report::{Kind, Tally},
    room::{Ballast, MIB, space},
    round::Round,
    server::{Server, Start, in_time, until},
    volume::{Format, Volume},
};

/// What uploads find free above the reserve.
const ROOM: u64 = 4 * MIB;
/// What is deleted when all who fit have come to their end.
const FILLER_LEN: u64 = 3 * MIB / 2;
/// Files, which together need more than there is.
const FILES: usize = 7;
/// Most of a disk that the file system may need for itself: where the blocks of files are.
const METADATA_PART: u64 = 100;
/// Requests that are refused before a full disk has room again.
const REFUSED: u64 = 3;
/// The time between two looks at the room.
const LOOK: Duration = Duration::from_millis(3);

/// Files that cannot all fit.
pub(crate) struct Full {
    name: &'static str,
    about: &'static str,
    format: Format,
}

impl Full {
    pub(crate) const ALL: [Self; 3] = [
        Self {
            name: "full-ext4",
            about: "uploads that cannot all fit, on ext4",
            format: Format::Ext4,
        },
        Self {
            name: "full-xfs",
            about: "uploads that cannot all fit, on xfs",
            format: Format::Xfs,
        },
        Self {
            name: "full-ext2",
            about: "uploads that cannot all fit, on a file system that cannot reserve",
            format: Format::Ext2,
        },
    ];
}

#[async_trait]
impl Fault for Full {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        let volume = round.volume(self.format)?;
        let mut server = round.setup.clone().start().await?;
        let reserve = reserve(&volume)?;
        let ballast = Ballast::all_but(volume.point(), reserve + ROOM)?;
        let guard = Guard::watch(volume.point(), reserve, round.tally.clone());
        let filler = filler(round, &server).await?;

        round.add_large_files(FILES, 3 * MIB / 4..=5 * MIB / 4);
        let mut crew = round.send_all(&server, &Style::FLOW_JS);
        if round.rng.bool() {
            crew.answers(round.rng.u64(10..40)).await;
            (server, crew) = audit::crash(round, server, crew).await?;
        }
        let settled = round.ledger.until(has_settled);
        in_time("uploads of which some fit", settled).await?;
        round.tally.hit();
        if round.rng.bool() {
            (server, crew) = audit::crash(round, server, crew).await?;
        }
        // A creative goes, and another file fits.
        let complete = count_complete(&round.ledger.snapshot().0);
        server.ask("DELETE", &format!("/creatives/{filler}")).await?;
        let next = round.ledger.until(|entries| complete < count_complete(entries));
        in_time("an upload that fits now", next).await?;
        guard.end().await;
        ballast.release()?;
        let ended = in_time("uploads that all fit", crew.finished()).await?;
        round.note_refusals(ended);
        audit::conclude(round, server).await
    }
}

/// Whether all files that fit are there, and the others were told that they do not.
fn has_settled(entries: &[Entry]) -> bool {
    let told = |entry: &Entry| entry.refusals.contains_key(&507);
    let settled = |entry: &Entry| entry.is_complete() || told(entry);
    entries.iter().all(settled) && 0 < count_complete(entries) && entries.iter().any(told)
}

fn count_complete(entries: &[Entry]) -> usize {
    entries.iter().filter(|entry| entry.is_complete()).count()
}

/// What the server leaves free by itself.
fn reserve(volume: &Volume) -> Result<u64, Failure> {
    Ok((space(volume.point())?.total / 20).min(1 << 30))
}

/// A creative that only takes room. Returns its id.
async fn filler(round: &mut Round, server: &Server) -> Result<String, Failure> {
    let ledger = Arc::new(Ledger::new(round.tally.clone()));
    let plan = Plan::any("filler", 1, &mut round.rng);
    let file = ledger.add(Plan { total: FILLER_LEN, chunk_size: 1 << 18, ..plan });
    let client = Client::new(server.address(), ledger.clone());
    let uploaded = client.upload(file, &Style::FLOW_JS, &mut round.rng);
    let ended = in_time("an upload that fits", uploaded).await?;
    let ids = ledger.snapshot().0.remove(file).creatives.into_keys().next();
    ids.filter(|_| ended == Ended::Complete)
        .ok_or_else(|| Failure::broken(format!("an upload that fits: {ended:?}")))
}

/// Looks all the time whether the server keeps away from what is to stay free.
struct Guard(tokio::task::JoinHandle<()>);

impl Guard {
    fn watch(root: &Path, reserve: u64, tally: Arc<Tally>) -> Self {
        let root = root.to_owned();
        Self(tokio::spawn(async move {
            let mut looks = interval(LOOK);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                looks.tick().await;
                let Ok(space) = space(&root) else { return };
                // The reserve is there for the catalog, and for the file system itself.
                let others = catalog_len(&root.join("data")) + space.total / METADATA_PART;
                if space.free + others < reserve {
                    let detail = format!("{} bytes are free of the {reserve} to keep", space.free);
                    return tally.broken(Kind::Other, detail);
                }
            }
        }))
    }

    async fn end(self) {
        self.0.abort();
        self.0.await.ok();
    }
}

/// How much room the catalog takes.
fn catalog_len(data: &Path) -> u64 {
    let files = ["flowstitch.db", "flowstitch.db-wal", "flowstitch.db-shm"];
    let len = |path: PathBuf| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    files.iter().map(|name| len(data.join(name))).sum()
}

/// Another program that fills the disk in mid-upload, the reserve included.
pub(crate) struct Filled;

#[async_trait]
impl Fault for Filled {
    fn name(&self) -> &'static str {
        "filled-up"
    }

    fn about(&self) -> &'static str {
        "another program fills the disk during uploads, to the last byte"
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        let formats = [Format::Ext4, Format::Xfs, Format::Ext2];
        let format = formats[round.rng.usize(..formats.len())];
        let volume = round.volume(format)?;
        let mut server = round.setup.clone().start().await?;
        round.add_large_files(3, MIB..=2 * MIB);
        round.add_files(4, 1..=30);
        let mut crew = round.send_all(&server, &Style::FLOW_JS);
        crew.answers(round.rng.u64(10..60)).await;
        let ballast = Ballast::all(volume.point())?;
        // Until it has met the end of the disk, or everything was done before.
        let ledger = round.ledger.clone();
        let met = tokio::select! {
            met = in_time("the end of a disk", ledger.refusals(REFUSED)) => { met?; true }
            met = until("what is held up", async || Ok(0 < held_up(&server).await?)) => {
                met?;
                true
            }
            _ = crew.finished() => false,
        };
        if met {
            round.tally.hit();
        }
        // What is here is here, and can be asked for.
        audit::promises(round, &server, &round.ledger.snapshot()).await?;
        if round.rng.bool() {
            server.kill().await?;
            let ended = crew.stopped().await;
            round.note_refusals(&ended);
            let before = round.ledger.snapshot();
            server = started_on_a_full_disk(round, ballast).await?;
            audit::promises(round, &server, &before).await?;
            crew = round.send_all(&server, &Style::FLOW_JS);
        } else {
            ballast.release()?;
        }
        let ended = in_time("uploads that have room again", crew.finished()).await?;
        round.note_refusals(ended);
        audit::conclude(round, server).await
    }
}

/// A start on a disk that has not a byte left comes about, or says why not and comes about when
/// there is room.
async fn started_on_a_full_disk(round: &Round, ballast: Ballast) -> Result<Server, Failure> {
    let setup = round.setup.clone();
    match setup.launch().await? {
        Start::Serving(server) => {
            ballast.release()?;
            Ok(*server)
        }
        Start::Ended(status, log) => {
            let says_why = ["No space left", "no space left"].iter().any(|why| log.contains(why));
            if !says_why {
                round.tally.broken(Kind::Other, format!("a start on a full disk: {status} {log}"));
            }
            ballast.release()?;
            setup.start().await
        }
    }
}
