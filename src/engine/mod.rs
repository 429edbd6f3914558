//! Receives ranges, commits them, notices that an upload is full, stitches, recovers, sweeps.
//!
//! Knows no HTTP and no chunk numbers. The catalog is the truth; what is in memory is a view of it
//! that only this process changes, and everything here can be lost at any moment without losing
//! what was acknowledged.
//!
//! The way of a range: [`Engine::receive`] → claim → store → group commit (`commit`) → coverage →
//! full? → hint → stitch worker (`stitch`) → publish → creative (`publish`).

mod accept;
mod admit;
mod ask;
mod budget;
mod claim;
mod clock;
mod cold;
mod commit;
mod compare;
mod creatives;
mod discard;
mod end;
mod ender;
mod error;
mod evidence;
mod facts;
mod incoming;
mod live;
mod load;
mod operator;
mod options;
mod places;
mod progress;
mod publish;
mod quarantine;
mod quota;
mod receive;
mod reclaim;
mod recover;
mod registry;
mod restore;
mod room;
mod share;
mod sights;
mod sink;
mod snapshot;
mod spool;
mod stitch;
mod sweep;
mod trash;
mod uploads;
mod verify;
mod visit;
mod wanted;
mod warm;
mod watch;

use std::sync::{Arc, atomic::AtomicBool};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::{
    ask::Announced,
    budget::{Allowance, Lease},
    clock::Clock,
    error::{BodyError, Class, Refused, UploadError},
    operator::{Expiring, SweepPlan},
    options::Options,
    quota::Charge,
    receive::Received,
    restore::{Emptied, Restored},
    snapshot::{Missing, Snapshot, Verifying},
    spool::{Keeping, Spooled},
    uploads::Cancelled,
    visit::{Cookie, HandedOut, Visit},
    watch::Watch,
};
use self::{
    budget::Budget, commit::Pending, live::Live, places::Places, quarantine::Scans, quota::Begun,
    registry::Registry, sights::Sights, snapshot::Lifetimes, verify::Verifications,
};
pub use crate::catalog::{CreativeQuery, Resemblance, UploadQuery};
use crate::{
    catalog::Catalog,
    metrics::Metrics,
    store::ChunkStore,
    upload::{
        By, ByteRange, Day, DeclaredDigest, FileName, Identity, Permit, Sha256Digest, UploadId,
        limits,
    },
};

/// A body as the engine reads it.
pub type Body = BoxStream<'static, Result<Bytes, BodyError>>;

/// What the engine is built from.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Where bytes live.
    pub store: Arc<dyn ChunkStore>,
    /// Where facts live.
    pub catalog: Arc<dyn Catalog>,
    /// What time it is.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What the operator decided.
    pub options: Options,
}

/// Which upload a request is about, and on what terms.
#[derive(Debug, Clone)]
pub struct Intent {
    /// What requests must share to belong to one upload.
    pub identity: Identity,
    /// Which of the callers without credentials sends it, if it is one of them.
    pub visit: Option<Visit>,
    /// The client's name for the file.
    pub filename: FileName,
    /// The day it names, if it names one.
    pub scheduled: Option<Day>,
    /// What it says the whole file hashes to.
    pub sha256: Option<Sha256Digest>,
    /// What its sender's ticket allows, if it came with one.
    pub permit: Option<Arc<Permit>>,
    /// Whose request it is, for the audit trail.
    pub by: By,
    /// What the file is counted as already, if it was kept before anybody knew its size.
    pub kept: Option<Arc<Charge>>,
}

/// The one range that a request brings.
#[derive(Debug, Clone, Copy)]
pub struct Piece {
    /// Where it belongs.
    pub range: ByteRange,
    /// What its sender says it hashes to.
    pub digest: DeclaredDigest,
}

/// The engine: one for each data directory.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
    /// The ticks of stitch and sweep, the workers, and the group commit.
    background: TaskTracker,
    /// The group commit, to be asked whether it is well.
    committer: tokio::task::JoinHandle<()>,
}

/// What every part of the engine can reach.
#[derive(Debug)]
struct Shared {
    store: Arc<dyn ChunkStore>,
    catalog: Arc<dyn Catalog>,
    clock: Clock,
    metrics: Arc<Metrics>,
    options: Options,
    registry: Registry,
    begun: Begun,
    scans: Scans,
    verifications: Verifications,
    /// Turns to read and hash.
    passes: Semaphore,
    /// Whether an upload may have warm bytes.
    anything_warm: AtomicBool,
    budget: Budget,
    /// The part of the memory that bodies may keep while they wait for something else.
    keep_budget: Budget,
    /// Memory for the heads of requests and the fields of forms.
    allowance: Allowance,
    commits: mpsc::Sender<Pending>,
    /// Uploads that can be stitched further. Only hints: the catalog is the truth.
    hints: mpsc::Sender<UploadId>,
    /// Held by whoever moves a file to the trash or back, on the word of the catalog.
    places: Places,
    /// What was seen in the trash.
    sights: Sights,
    /// Held by whoever takes room: between asking how much there is and taking it.
    room: tokio::sync::Mutex<()>,
    /// Held by whoever changes what catalog and coverage say of uploads: the two change together.
    ledger: tokio::sync::Mutex<()>,
    /// What the engine does by itself.
    background: TaskTracker,
    /// Requests, and clean-up that requests left behind.
    requests: TaskTracker,
    /// Cancelled when requests are not to wait for stitches any more.
    hurry: CancellationToken,
    /// Cancelled when the engine is to stop.
    stop: CancellationToken,
    /// Cancelled when one of the engine's own tasks has panicked.
    failed: CancellationToken,
}

impl Engine {
    /// Recovers what the last session left, and starts the workers.
    ///
    /// `epoch` is a text that changes when the machine restarts: after an unclean end of another
    /// epoch every range is read back before it is believed. Errors: store or catalog fail.
    pub async fn start(parts: Parts, epoch: &str) -> Result<Self, UploadError> {
        let (commits, commit_queue) = commit::queue();
        let (hints, hint_queue) = mpsc::channel(parts.options.stitch_queue.max(1));
        let budget = &parts.metrics.memory_budget_bytes;
        budget.set(i64::try_from(parts.options.memory_budget).unwrap_or(i64::MAX));
        let kept = parts.options.memory_budget / limits::MEMORY_KEPT_PART;
        let used = parts.metrics.memory_used_bytes.clone();
        let background = TaskTracker::new();
        let shared = Arc::new(Shared {
            budget: Budget::new(parts.options.memory_budget - kept, used.clone()),
            keep_budget: Budget::new(kept, used.clone()),
            allowance: Allowance::counted(limits::REQUESTS_MEMORY, used),
            store: parts.store,
            catalog: parts.catalog,
            clock: parts.clock,
            metrics: parts.metrics,
            registry: Registry::new(),
            begun: Begun::default(),
            scans: Scans::new(parts.options.stitch_workers),
            verifications: Verifications::new(),
            passes: Semaphore::new(parts.options.stitch_workers.max(1)),
            anything_warm: AtomicBool::new(false),
            background: background.clone(),
            commits,
            hints,
            places: Places::new(),
            sights: Sights::default(),
            room: tokio::sync::Mutex::default(),
            ledger: tokio::sync::Mutex::default(),
            requests: TaskTracker::new(),
            hurry: CancellationToken::new(),
            stop: CancellationToken::new(),
            failed: CancellationToken::new(),
            options: parts.options,
        });
        recover::at_start(&shared, epoch, &background).await?;
        stitch::spawn_workers(&shared, hint_queue, &background);
        background.spawn(shared.vital(stitch::tick(shared.clone())));
        background.spawn(shared.vital(sweep::run(shared.clone())));
        let committer = background.spawn(shared.vital(commit::run(shared.clone(), commit_queue)));
        Ok(Self { shared, background, committer })
    }

    /// Runs a request to its end, whether or not anybody still waits for its answer: a client that
    /// leaves cannot cancel a commit that has begun (invariant 11). Gives nothing if it panicked.
    pub async fn detach<F>(&self, request: F) -> Option<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.shared.requests.spawn(request).await.ok()
    }

    /// Waits until one of the engine's own tasks has panicked; for ever if all is well. The engine
    /// would go on in part, and nobody would know: it is to be stopped and started anew.
    pub async fn failed(&self) {
        self.shared.failed.cancelled().await;
    }

    /// From now on requests are answered without waiting for stitches. To be called before
    /// [`Self::stop`] runs out of time.
    pub fn hurry(&self) {
        self.shared.hurry.cancel();
    }

    /// Stops in order: requests end, commits drain, stitches that run end, the catalog is closed.
    /// The caller has stopped bringing requests, and bounds the time this may take.
    ///
    /// Errors: the catalog could not be closed. All that is acknowledged is safe all the same.
    pub async fn stop(&self) -> Result<(), UploadError> {
        // Requests wait for verifications, which may take long.
        self.shared.verifications.stop();
        self.shared.requests.close();
        self.shared.requests.wait().await;
        self.shared.stop.cancel();
        self.background.close();
        self.background.wait().await;
        self.sync_everything().await?;
        recover::at_stop(&self.shared).await?;
        Ok(self.shared.catalog.close().await?)
    }

    /// A session that was closed is believed at the next start. So what was acknowledged without
    /// having been synced, by this session or by a relaxed one that died before it, must be synced
    /// first; if it cannot be, the session is not closed.
    async fn sync_everything(&self) -> Result<(), UploadError> {
        for uploads in self.shared.store.uploads().await?.chunks(limits::COMMIT_BATCH_LEN_MAX) {
            for synced in self.shared.store.sync(uploads).await {
                synced?;
            }
        }
        Ok(())
    }

    /// The operator's choices.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.shared.options
    }

    /// What time it is here.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }
}

impl Shared {
    /// A task of the engine's own: if it panics, [`Engine::failed`] knows.
    fn vital<F: Future<Output = ()>>(&self, task: F) -> impl Future<Output = ()> + use<F> {
        let alarm = self.failed.clone().drop_guard();
        async move {
            task.await;
            alarm.disarm();
        }
    }

    fn lifetimes(&self) -> Lifetimes {
        Lifetimes { upload_ttl: self.options.upload_ttl, tombstone_ttl: self.options.tombstone_ttl }
    }

    fn snapshot(&self, live: &Live) -> Snapshot {
        Snapshot::of(live, self.lifetimes())
    }

    fn listing(&self, live: &Live, from: u64) -> Snapshot {
        Snapshot::listing(live, self.lifetimes(), from)
    }

    /// Tells the workers that there may be something to stitch. A full queue is no loss: the tick
    /// finds the upload again.
    fn hint(shared: &Arc<Self>, live: &Live) {
        if live.has_stitch_work(limits::STITCH_AHEAD_LEN, tokio::time::Instant::now()) {
            let _lost = shared.hints.try_send(live.id).is_err();
        }
    }
}
