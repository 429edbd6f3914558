//! One round of a fault: its ground, its server, its files, its ledger. Whatever a fault draws, it
//! draws from the round's own numbers, so that the round can be repeated.

use std::{fs, net::SocketAddr, ops::RangeInclusive, path::Path, sync::Arc};

use fastrand::Rng;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    client::{Client, Ended, Style},
    failure::Failure,
    ground::Ground,
    ledger::{Fate, FileId, Ledger},
    plan::Plan,
    report::{Kind, Tally},
    server::{Server, Setup},
    syncs::Syncs,
    volume::{Format, Volume},
};

/// What a fault works with.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) rng: Rng,
    pub(crate) ground: Ground,
    /// How the server is started; a fault adds its settings.
    pub(crate) setup: Setup,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) tally: Arc<Tally>,
    /// Whether there is time: not the quick version that runs with all other tests.
    pub(crate) thorough: bool,
    /// Syncs that are not carried out, where power is lost.
    pub(crate) without: Option<Syncs>,
}

impl Round {
    pub(crate) fn new(binary: &Path, seed: u64, thorough: bool) -> Result<Self, Failure> {
        let (ground, tally) = (Ground::plain()?, Arc::new(Tally::default()));
        let log = ground.scratch().join("server.log");
        let setup = Setup::new(binary, &log, tally.clone())?.on(ground.data());
        let ledger = Arc::new(Ledger::new(tally.clone()));
        let rng = Rng::with_seed(seed);
        Ok(Self { rng, ground, setup, ledger, tally, thorough, without: None })
    }

    /// A round inside this one, which counts for itself.
    pub(crate) fn inner(&mut self) -> Result<Self, Failure> {
        Self::new(self.setup.binary(), self.rng.u64(..), self.thorough)
    }

    /// Adds files of so many chunks to what is to be uploaded.
    pub(crate) fn add_files(&mut self, count: usize, chunks: RangeInclusive<u64>) -> Vec<FileId> {
        let add = |_| {
            let chunks = self.rng.u64(chunks.clone());
            let ending = ["bin", "png", "tar.gz", "mp4"][self.rng.usize(..4)];
            let name = format!("{}.{ending}", self.ledger.files().len());
            self.ledger.add(Plan::any(name, chunks, &mut self.rng))
        };
        (0..count).map(add).collect()
    }

    /// Adds files of so many bytes, in chunks that it takes some of to fill anything.
    pub(crate) fn add_large_files(
        &mut self,
        count: usize,
        len: RangeInclusive<u64>,
    ) -> Vec<FileId> {
        let add = |_| {
            let name = format!("{}.bin", self.ledger.files().len());
            let mut plan = Plan::any(name, 1, &mut self.rng);
            plan.chunk_size = [1 << 16, 200_000, 1 << 18][self.rng.usize(..3)];
            plan.total = self.rng.u64(len.clone());
            self.ledger.add(plan)
        };
        (0..count).map(add).collect()
    }

    /// Moves to a file system of its own.
    pub(crate) fn volume(&mut self, format: Format) -> Result<Volume, Failure> {
        let scratch = self.ground.scratch();
        let volume = Volume::make(format, "disk", scratch, scratch)?;
        let data = volume.point().join("data");
        fs::create_dir(&data)?;
        self.setup = self.setup.on(&data);
        Ok(volume)
    }

    /// Sets a client to work on each of the files.
    pub(crate) fn send(&mut self, files: &[FileId], server: &Server, style: &Style) -> Crew {
        self.send_to(files, server.address(), style)
    }

    /// Sets a client to work on each of the files: perhaps not straight with the server.
    pub(crate) fn send_to(&mut self, files: &[FileId], to: SocketAddr, style: &Style) -> Crew {
        let stop = CancellationToken::new();
        let mut clients = JoinSet::new();
        for file in files.iter().copied() {
            let client = Client::new(to, self.ledger.clone());
            let client = Client { stop: stop.clone(), ..client };
            let (style, mut rng) = (style.clone(), self.rng.fork());
            clients.spawn(async move { (file, client.upload(file, &style, &mut rng).await) });
        }
        Crew { clients, stop, ended: Vec::new(), ledger: self.ledger.clone() }
    }

    /// Sets a client to work on each file that is to be published.
    pub(crate) fn send_all(&mut self, server: &Server, style: &Style) -> Crew {
        let entries = self.ledger.snapshot().0;
        let published = |file: &FileId| entries[*file].fate == Fate::Published;
        let files: Vec<FileId> = self.ledger.files().into_iter().filter(published).collect();
        self.send(&files, server, style)
    }

    /// Ends a server in the middle of uploads, in order or by force, and its clients with it.
    pub(crate) async fn part(&mut self, server: Server, crew: Crew) -> Result<(), Failure> {
        if self.rng.bool() {
            server.kill().await?;
        } else {
            server.stop().await?;
        }
        let ended = crew.stopped().await;
        self.note_refusals(&ended);
        Ok(())
    }

    /// Notes refusals that nothing explains, and uploads that never ended.
    pub(crate) fn note_refusals(&self, ended: &[(FileId, Ended)]) {
        for (file, ended) in ended {
            let name = &self.ledger.plan(*file).name;
            match ended {
                Ended::Refused(why) => {
                    self.tally.broken(Kind::Other, format!("{name} was refused: {why}"));
                }
                Ended::Stuck => self.tally.broken(Kind::Stuck, format!("{name} never ended")),
                // What has vanished was noted when it was asked for.
                Ended::Complete | Ended::Stopped | Ended::Vanished => {}
            }
        }
    }
}

/// Clients at work.
#[derive(Debug)]
pub(crate) struct Crew {
    clients: JoinSet<(FileId, Ended)>,
    stop: CancellationToken,
    ended: Vec<(FileId, Ended)>,
    ledger: Arc<Ledger>,
}

impl Crew {
    /// Waits until every client has come to its end. May be dropped and called again.
    pub(crate) async fn finished(&mut self) -> &[(FileId, Ended)] {
        while let Some(client) = self.clients.join_next().await {
            self.ended.push(client.expect("a client does not panic"));
        }
        &self.ended
    }

    /// Waits until so many answers more have come, or every client has come to its end.
    pub(crate) async fn answers(&mut self, more: u64) {
        let ledger = self.ledger.clone();
        tokio::select! {
            () = ledger.answers(more) => {}
            _ = self.finished() => {}
        }
    }

    /// Waits until one file more is complete, or every client has come to its end.
    pub(crate) async fn completion(&mut self) {
        let before = self.ledger.complete();
        while !self.is_finished() && self.ledger.complete() == before {
            self.answers(1).await;
        }
    }

    /// Whether every client has come to its end.
    pub(crate) fn is_finished(&mut self) -> bool {
        while let Some(client) = self.clients.try_join_next() {
            self.ended.push(client.expect("a client does not panic"));
        }
        self.clients.is_empty()
    }

    /// Sends all clients away, in the middle of whatever they do.
    pub(crate) async fn stopped(mut self) -> Vec<(FileId, Ended)> {
        self.stop.cancel();
        self.finished().await;
        self.ended
    }
}
