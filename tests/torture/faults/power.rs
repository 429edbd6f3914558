//! Loss of power, while files are uploaded to a file system of the round's own.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;

use super::Fault;
use crate::{
    audit,
    client::Style,
    failure::Failure,
    ledger::{Ledger, Snapshot},
    report::Kind,
    round::{Crew, Round},
    server::{Server, Setup, Start, in_time},
    volume::{Format, Volume},
};

/// The file in each data folder that says which database it belongs to.
const MARK: &str = ".flowstitch-deployment";
/// Files that are uploaded at a time.
const FILES: usize = 4;

/// When power is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// After so many answers.
    Answers(u64),
    /// Just after a file was said to be complete.
    Completion,
    /// Just after a file has got its name in `completed/`.
    Publication,
}

/// What is put where, and what happens to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene {
    format: Format,
    pub(super) strict: bool,
    /// The catalog is on a file system of its own.
    pub(super) apart: bool,
    pub(super) moment: Moment,
    /// The server is stopped in order and started again before power is lost.
    pub(super) restarts: bool,
}

/// The file systems of a scene.
struct Disks(Vec<Volume>);

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
        Scene::any(round).play(round).await
    }
}

impl Scene {
    pub(super) fn any(round: &mut Round) -> Self {
        let rng = &mut round.rng;
        let moment = match rng.u8(..3) {
            0 => Moment::Completion,
            1 => Moment::Publication,
            _ => Moment::Answers(rng.u64(1..40)),
        };
        let format = Format::any(rng);
        Self { format, strict: rng.bool(), apart: rng.bool(), moment, restarts: rng.bool() }
    }

    /// Loses power again and again, until something is broken or there is time no more.
    pub(super) async fn play(&self, round: &mut Round) -> Result<(), Failure> {
        let mut disks = Disks::make(self, round)?;
        let setup = setup(round, self.strict)?;
        round.add_files(FILES, 0..=30);
        let mut server = setup.start().await?;
        let losses = round.rng.u64(2..=if round.thorough { 6 } else { 3 });
        for _ in 0..losses {
            let Some(begun) = self.restart(round, server, (&setup, &mut disks)).await? else {
                return Ok(());
            };
            server = begun;
            let style = Style { connections: round.rng.usize(1..=4), copies: 1..=2, probes: true };
            let mut crew = round.send_all(&server, &style);
            in_time("the moment to lose power", self.moment.come(round, &mut crew)).await??;
            let before = round.ledger.snapshot();
            let marks = Marks::to_spare(round)?;
            disks.cut_power()?;
            server.kill().await?;
            // Refusals, too: a dying disk is a cause.
            crew.stopped().await;
            disks.remount()?;
            marks.put_back()?;
            let Some(begun) = start_again(round, &setup).await? else { return Ok(()) };
            server = begun;
            judge(round, &server, &before, self.strict).await?;
            if !round.tally.violations().is_empty() {
                return Ok(());
            }
        }
        audit::conclude(round, server).await
    }

    /// Stops the server in order in the middle of uploads, if it is to, and starts it again. What
    /// it said before then survives that power is lost, even if it is relaxed. Nothing if it does
    /// not start any more.
    async fn restart(
        &self,
        round: &mut Round,
        server: Server,
        (setup, disks): (&Setup, &mut Disks),
    ) -> Result<Option<Server>, Failure> {
        if !self.restarts {
            return Ok(Some(server));
        }
        let mut crew = round.send_all(&server, &Style::FLOW_JS);
        crew.answers(round.rng.u64(1..20)).await;
        let stopped = server.stop().await?;
        if !stopped.success() {
            round.tally.broken(Kind::Other, format!("it did not stop in order: {stopped}"));
        }
        // Whoever comes while it stops is refused.
        crew.stopped().await;
        let before = round.ledger.snapshot();
        if round.rng.bool() {
            let marks = Marks::to_spare(round)?;
            disks.cut_power()?;
            disks.remount()?;
            marks.put_back()?;
        }
        let Some(server) = start_again(round, setup).await? else { return Ok(None) };
        judge(round, &server, &before, true).await?;
        Ok(Some(server))
    }
}

/// The marker files of the data folders. A server whose syncs were taken out is spared the loss of
/// them: it would refuse to start, and what else was lost would never be asked for.
#[derive(Default)]
struct Marks(Vec<(PathBuf, Vec<u8>)>);

impl Marks {
    fn to_spare(round: &Round) -> Result<Self, Failure> {
        if round.without.is_none() {
            return Ok(Self::default());
        }
        let folders = ["incomplete", "completed", "trash"].into_iter();
        let marks = folders.map(|folder| round.setup.data().join(folder).join(MARK));
        let read = |mark: PathBuf| std::fs::read(&mark).map(|text| (mark, text));
        Ok(Self(marks.map(read).collect::<std::io::Result<_>>()?))
    }

    /// A folder that is gone stays so: that is a loss of its own.
    fn put_back(self) -> Result<(), Failure> {
        for (mark, text) in self.0 {
            if mark.parent().is_some_and(Path::is_dir) {
                std::fs::write(mark, text)?;
            }
        }
        Ok(())
    }
}

/// Starts a server on what is left. If it refuses to start, all is lost: a violation, and nothing.
///
/// One whose syncs were taken out is told to go on with folders and a database that do not belong
/// together any more, so that it is asked for what it lost.
async fn start_again(round: &Round, setup: &Setup) -> Result<Option<Server>, Failure> {
    let setup = match round.without {
        Some(_) => setup.flag("--adopt"),
        None => setup.clone(),
    };
    match setup.launch().await? {
        Start::Serving(server) => Ok(Some(*server)),
        Start::Ended(status, log) => {
            let detail = format!("it does not start any more: {status}\n{log}");
            round.tally.broken(Kind::Lost, detail);
            Ok(None)
        }
    }
}

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let apart = if self.apart { ", catalog apart" } else { "" };
        write!(f, "on {}{apart}", self.format)
    }
}

impl Moment {
    async fn come(self, round: &Round, crew: &mut Crew) -> Result<(), Failure> {
        match self {
            Self::Answers(more) => crew.answers(more).await,
            Self::Completion => crew.completion().await,
            Self::Publication => {
                let completed = round.setup.data().join("completed");
                let before = std::fs::read_dir(&completed)?.count();
                while !crew.is_finished() && std::fs::read_dir(&completed)?.count() == before {
                    tokio::task::yield_now().await;
                }
            }
        }
        Ok(())
    }
}

impl Disks {
    /// Makes them, and puts the round on them.
    fn make(scene: &Scene, round: &mut Round) -> Result<Self, Failure> {
        let scratch = round.ground.scratch();
        let mut disks = vec![Volume::make(scene.format, "disk", scratch, scratch)?];
        if scene.apart {
            disks.push(Volume::make(scene.format, "catalog", scratch, scratch)?);
        }
        let catalog = disks.last().map(|disk| disk.point().join("flowstitch.db"));
        lie_on(round, &disks[0]);
        round.setup = round.setup.with_database(catalog.expect("one disk at least"));
        Ok(Self(disks))
    }

    /// First that of the files: what cannot be published any more is not recorded either.
    fn cut_power(&self) -> Result<(), Failure> {
        self.0.iter().try_for_each(Volume::cut_power)
    }

    fn remount(&mut self) -> Result<(), Failure> {
        self.0.iter_mut().try_for_each(Volume::remount)
    }
}

/// The disk is copied at many instants of one run, and a server is started on each copy.
pub(crate) struct Image;

/// A disk as it was at one instant, and what had been promised just before.
struct Copy {
    image: PathBuf,
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
        let strict = round.rng.bool();
        lie_on(round, &volume);
        let setup = setup(round, strict)?;
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
            lie_on(round, &volume);
            round.ledger = Arc::new(Ledger::at(&copy.before, &original.snapshot(), &round.tally));
            let server = self::setup(round, strict)?.start().await?;
            judge(round, &server, &copy.before, strict).await?;
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
    server: &Server,
    (outer, volume): (&Volume, &Volume),
) -> Result<Vec<Copy>, Failure> {
    let style = Style { connections: round.rng.usize(1..=4), copies: 1..=2, probes: true };
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
fn lie_on(round: &mut Round, volume: &Volume) {
    round.setup = round.setup.on(volume.point());
}

/// How the server is started here.
fn setup(round: &Round, strict: bool) -> Result<Setup, Failure> {
    let durability = if strict { "strict" } else { "relaxed" };
    let setup = round.setup.flag(format!("--durability={durability}"));
    round.without.map_or_else(|| Ok(setup.clone()), |syncs| syncs.out_of(&setup))
}

/// Asks for what had been promised before power was lost. What was said later proves nothing.
async fn judge(
    round: &Round,
    server: &Server,
    before: &Snapshot,
    strict: bool,
) -> Result<(), Failure> {
    round.ledger.rewind(before);
    if !strict {
        round.ledger.release_chunks();
    }
    audit::promises(round, server, before).await?;
    audit::completions(round, server, before).await
}
