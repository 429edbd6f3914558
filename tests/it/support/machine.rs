//! A machine in memory: its disk outlives the processes that run on it, and they can be killed.

use std::{cell::Cell, sync::Arc, time::Duration};

use bytes::Bytes;
use flowstitch::{
    app::StartError,
    catalog::{Catalog, MemoryCatalog},
    engine::{Clock, Snapshot},
    store::{ChunkStore, MemoryStore},
    upload::{Durability, Principal, Timestamp, UploadId},
};
use jiff::tz::TimeZone;
use serde_json::Value;

use super::{NOW, Reply, StagedCatalog, StagedStore, TestApp, TestAppBuilder};

/// A machine with one data directory.
pub(crate) struct Machine {
    /// The disk, for faults and loss of power.
    pub(crate) disk: Arc<MemoryStore>,
    /// What the processes see of it.
    pub(crate) store: Arc<StagedStore>,
    /// The facts, for whoever looks behind the service.
    pub(crate) facts: MemoryCatalog,
    /// What the processes see of them.
    pub(crate) catalog: StagedCatalog,
    clock: Clock,
    /// Starts a process with no settings.
    bare: TestAppBuilder,
    builder: TestAppBuilder,
    boots: Cell<u32>,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self::with_disk(MemoryStore::new())
    }

    pub(crate) fn with_disk(disk: MemoryStore) -> Self {
        let disk = Arc::new(disk);
        let store = Arc::new(StagedStore::new(disk.clone()));
        let facts = MemoryCatalog::new();
        let catalog = StagedCatalog::new(Arc::new(facts.reopened()));
        let now: Timestamp = NOW.parse().expect("a timestamp");
        let clock = Clock::manual(TimeZone::UTC, now);
        let bare = TestApp::builder().store(store.clone()).clock(clock.clone());
        let (builder, boots) = (bare.clone(), Cell::new(0));
        Self { disk, store, facts, catalog, clock, bare, builder, boots }
    }

    /// A setting of the processes from now on.
    pub(crate) fn flag(mut self, flag: &str) -> Self {
        self.builder = self.builder.flag(flag);
        self
    }

    /// The processes have no other setting than this from now on.
    pub(crate) fn reconfigured(mut self, flag: &str) -> Self {
        self.builder = self.bare.clone().flag(flag);
        self
    }

    /// Starts a process, and kills it when `session` has ended, whatever it is at. Time is paused:
    /// nothing waits in vain.
    pub(crate) fn process<T>(&self, session: impl AsyncFnOnce(&TestApp) -> T) -> T {
        Self::paused(async { session(&self.start().await).await })
    }

    /// Runs in a runtime of its own, under paused time, and kills what is left.
    pub(crate) fn paused<T>(run: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            // What waits for ever fails the test and does not hang it; the hour passes at once.
            let ended = tokio::time::timeout(Duration::from_hours(1), run).await;
            ended.expect("the session comes to its end")
        })
    }

    /// Starts a process in the runtime of the caller.
    pub(crate) async fn start(&self) -> TestApp {
        self.try_start().await.expect("the application starts")
    }

    /// As [`Self::start`]. Errors: the store or the catalog failed.
    pub(crate) async fn try_start(&self) -> Result<TestApp, StartError> {
        let epoch = format!("boot {}", self.boots.get());
        let catalog = self.catalog.booted(Arc::new(self.facts.reopened()), epoch);
        self.builder.clone().catalog(Arc::new(catalog)).try_start().await
    }

    /// Whatever was not synced is gone, and the machine boots.
    pub(crate) fn lose_power(&self) {
        self.disk.lose_power();
        self.facts.lose_power();
        self.boots.set(self.boots.get() + 1);
    }

    /// The facts that a relaxed server did not flush are flushed all the same, as the kernel does
    /// by itself, sooner or later.
    pub(crate) async fn write_out_facts(&self) {
        self.facts.commit(Vec::new(), Durability::Strict).await.expect("it is open");
    }

    /// Moves the wall clock, either way.
    pub(crate) fn advance_seconds(&self, seconds: i64) {
        self.clock.advance(seconds * 1000);
    }

    /// How many unpublished and published files are on the disk.
    pub(crate) async fn files(&self) -> (usize, usize) {
        let unpublished = self.disk.uploads().await.expect("a list");
        (unpublished.len(), self.disk.published().await.expect("a list").len())
    }

    /// How many uploads the catalog knows, whatever became of them.
    pub(crate) async fn uploads(&self) -> u64 {
        let counts = self.facts.count_uploads().await.expect("counts");
        counts.into_iter().map(|(_, count)| count).sum()
    }
}

/// Waits until nothing is left to run: paused time moves only then.
pub(crate) async fn idle() {
    pass(Duration::from_millis(1)).await;
}

/// Lets paused time pass, with all that happens in it.
pub(crate) async fn pass(time: Duration) {
    let never = std::future::pending::<()>();
    assert!(tokio::time::timeout(time, never).await.is_err());
}

impl TestApp {
    /// Waits until the upload has ended: how it stands then.
    pub(crate) async fn ended(&self, id: &str) -> Snapshot {
        let id: UploadId = id.parse().expect("an id");
        let watch = self.app().engine().watch(&Principal::anonymous(), id).await;
        let mut watch = watch.expect("the catalog answers").expect("the upload is known");
        while watch.next(|_| Bytes::new()).await.is_some() {}
        watch.now()
    }

    /// What the service gives out for this creative.
    pub(crate) async fn content(&self, creative: &Value) -> Vec<u8> {
        let url = creative["creative_url"].as_str().expect("a URL");
        self.get(url).await.assert_status(200).body.to_vec()
    }

    /// Asserts that there is one creative, and that its file is this, by its bytes and its digest.
    pub(crate) async fn assert_one_creative(&self, content: &[u8]) -> Value {
        let creatives = self.creatives().await;
        let [creative] = &creatives[..] else { panic!("{} creatives", creatives.len()) };
        assert_eq!(creative["sha256"], super::sha256_hex(content));
        assert!(self.content(creative).await == content, "the file is not what was sent");
        creative.clone()
    }
}

impl Reply {
    /// The id of the upload that the answer is about.
    pub(crate) fn upload_id(&self) -> String {
        self.json()["upload"]["id"].as_str().expect("an id").to_owned()
    }
}
