//! Loss of power, while files are uploaded to a file system of the round's own.

use std::sync::Arc;

use async_trait::async_trait;

use super::Fault;
use crate::{
    audit,
    client::Style,
    failure::Failure,
    ledger::{Ledger, Snapshot},
    round::Round,
    server::Setup,
    volume::{Format, Volume},
};

/// Files that are uploaded at a time.
const FILES: usize = 4;

/// What is promised of chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Strict,
    Relaxed,
}

impl Mode {
    fn any(round: &mut Round) -> Self {
        if round.rng.bool() { Self::Strict } else { Self::Relaxed }
    }

    fn flag(self) -> &'static str {
        match self {
            Self::Strict => "--durability=strict",
            Self::Relaxed => "--durability=relaxed",
        }
    }
}

/// The file system is shut down under the running server and forgets what it has not written.
pub(crate) struct Shutdown;

#[async_trait]
impl Fault for Shutdown {
    fn name(&self) -> &'static str {
        "power-shutdown"
    }

    fn about(&self) -> &'static str {
        "power fails several times during the same uploads: ext4 or XFS is shut down, its log lost"
    }

    fn quick_rounds(&self) -> u64 {
        2
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        let format = Format::any(&mut round.rng);
        let scratch = round.ground.scratch();
        let mut volume = Volume::make(format, "disk", scratch, scratch)?;
        let mode = Mode::any(round);
        let setup = on(round, &volume, mode);
        round.add_files(FILES, 0..=30);
        let mut server = setup.start().await?;
        let losses = round.rng.u64(2..=if round.thorough { 6 } else { 3 });
        for _ in 0..losses {
            let style = Style { connections: round.rng.usize(1..=4), copies: 1..=2 };
            let mut crew = round.send_all(&server, &style);
            crew.answers(round.rng.u64(1..40)).await;
            let before = round.ledger.snapshot();
            volume.cut_power()?;
            server.kill().await?;
            // Refusals, too: a dying disk is a cause.
            crew.stopped().await;
            volume.remount()?;
            server = setup.start().await?;
            judge(round, &server, &before, mode).await?;
        }
        audit::conclude(round, server).await
    }
}

/// The disk is copied at many instants of one run, and a server is started on each copy.
pub(crate) struct Image;

/// A disk as it was at one instant, and what had been promised just before.
struct Copy {
    image: std::path::PathBuf,
    before: Snapshot,
}

#[async_trait]
impl Fault for Image {
    fn name(&self) -> &'static str {
        "power-image"
    }

    fn about(&self) -> &'static str {
        "power fails at many instants of one run: copies of the live disk, a server started on each"
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        let format = Format::any(&mut round.rng);
        let scratch = round.ground.scratch();
        let outer = Volume::make(Format::Xfs, "outer", scratch, scratch)?;
        let volume = Volume::make(format, "disk", outer.point(), scratch)?;
        let mode = Mode::any(round);
        let setup = on(round, &volume, mode);
        round.add_files(FILES, 0..=30);
        let server = setup.start().await?;
        let copies = copies(round, &server, (&outer, &volume)).await?;
        audit::conclude(round, server).await?;
        let original = round.ledger.clone();
        // Clients finish on some of the copies: on one at least.
        let chosen = round.rng.usize(..copies.len());
        for (index, copy) in copies.into_iter().enumerate() {
            let point = round.ground.scratch().join(format!("copy-{index}"));
            let volume = Volume::open(format, copy.image, point)?;
            let setup = on(round, &volume, mode);
            round.ledger = Arc::new(Ledger::at(&copy.before, &original.snapshot(), &round.tally));
            let server = setup.start().await?;
            judge(round, &server, &copy.before, mode).await?;
            if index == chosen || (round.thorough && round.rng.bool()) {
                audit::conclude(round, server).await?;
            } else {
                server.kill().await?;
            }
        }
        Ok(())
    }
}

/// Copies the disk again and again while clients upload.
async fn copies(
    round: &mut Round,
    server: &crate::server::Server,
    (outer, volume): (&Volume, &Volume),
) -> Result<Vec<Copy>, Failure> {
    let style = Style { connections: round.rng.usize(1..=4), copies: 1..=2 };
    let mut crew = round.send_all(server, &style);
    let mut copies = Vec::new();
    for index in 0..if round.thorough { 12 } else { 5 } {
        crew.answers(round.rng.u64(1..20)).await;
        let image = outer.point().join(format!("copy-{index}.img"));
        let before = round.ledger.snapshot();
        volume.copy(&image)?;
        copies.push(Copy { image, before });
    }
    let ended = crew.stopped().await;
    round.note_refusals(&ended);
    Ok(copies)
}

/// From now on the data of the round is on this volume.
fn on(round: &mut Round, volume: &Volume, mode: Mode) -> Setup {
    round.ground.lie_at(volume.point().to_owned());
    round.setup = round.setup.on(volume.point());
    round.setup.flag(mode.flag())
}

/// Asks for what had been promised before power was lost. What was said later proves nothing.
async fn judge(
    round: &Round,
    server: &crate::server::Server,
    before: &Snapshot,
    mode: Mode,
) -> Result<(), Failure> {
    round.ledger.rewind(before);
    if mode == Mode::Relaxed {
        round.ledger.release_chunks();
    }
    audit::promises(round, server, before).await
}
