//! Carries out the steps of a run, and tells the reference what became of them.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io::ErrorKind,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use flowstitch::store::{ChunkStore, StoreOp};
use futures_util::{FutureExt, future::join_all, stream};
use http::Method;
use serde_json::Value;

use super::{
    DAYS, FILES,
    plan::{Call, Deed, Fault, How, Step, Strike},
    reference::File,
};
use crate::support::{CatalogOp, FlowFile, Gate, Machine, Reply, TestApp, cut, idle, sha256_hex};

/// A machine, its clients, and what they may rely on.
pub(super) struct World {
    machine: Machine,
    files: Vec<File>,
    /// Seconds since the beginning, by the wall clock.
    now: i64,
    /// Where a process comes to its end; at the second the power goes, too.
    kill: Gate,
    cut: Gate,
    /// What is to break is counted here when it is planned.
    planned: usize,
    /// Whether a flush has failed that nobody was told of yet.
    flush_failed: Arc<AtomicBool>,
    /// Whether something has broken in this process, so that it may refuse.
    excused: bool,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It was killed, or stopped, or could not start.
    Process,
    /// It was killed by loss of power.
    Power,
}

/// A request and the thing it is about, if it had to be looked up.
type Wish = (Deed, Option<(String, String)>);

/// What a request came to.
enum Answer {
    Reply(Reply),
    Swept(bool),
}

impl World {
    pub(super) fn new(durability: &str) -> Self {
        let relaxed = durability == "relaxed";
        let file = |(name, content, count)| File::new(name, content, count, relaxed);
        Self {
            machine: Machine::new().flag(&format!("--durability={durability}")),
            files: FILES.map(file).into(),
            now: 0,
            kill: Gate::closed(),
            cut: Gate::closed(),
            planned: 0,
            flush_failed: Arc::default(),
            excused: false,
        }
    }

    /// All of a run.
    pub(super) fn run(mut self, steps: Vec<Step>) {
        let mut steps = VecDeque::from(steps);
        while !steps.is_empty() {
            self.excused = false;
            let end = Machine::paused(self.process(&mut steps));
            if end == End::Power {
                self.machine.lose_power();
                self.files.iter_mut().for_each(File::power_went);
            }
        }
        self.machine.store.calm();
        self.machine.catalog.calm();
        (self.planned, self.excused) = (0, false);
        Machine::paused(self.resume());
        Machine::paused(self.tidy());
    }

    /// One process, to its end.
    async fn process(&mut self, steps: &mut VecDeque<Step>) -> End {
        let (kill, cut) = (self.kill.clone(), self.cut.clone());
        let died = died(&kill, &cut);
        tokio::select! {
            biased;
            end = died => end,
            end = self.live(steps) => end,
        }
    }

    async fn live(&mut self, steps: &mut VecDeque<Step>) -> End {
        let Some(app) = unless_broken(Box::pin(self.machine.try_start())).await else {
            self.check_excused("a start");
            return End::Process;
        };
        while let Some(step) = steps.pop_front() {
            match step {
                Step::Together(deeds) => {
                    if self.together(&app, deeds).await.is_break() {
                        return End::Process;
                    }
                }
                Step::Name { file, day } => self.files[file].day = day,
                Step::Break(fault) => self.plan(fault),
                Step::WriteOut { facts } => self.write_out(facts).await,
                Step::Clock(seconds) => self.advance(seconds),
                Step::Stop => {
                    if unless_broken(app.app().engine().stop()).await.is_none() {
                        self.check_excused("a stop");
                    }
                    return End::Process;
                }
                Step::Kill { power } => return if power { End::Power } else { End::Process },
            }
        }
        End::Process
    }

    fn advance(&mut self, seconds: i64) {
        self.machine.advance_seconds(seconds);
        self.now += seconds;
        self.files.iter_mut().for_each(|file| file.time_is(self.now));
    }

    /// What the kernel does by itself, sooner or later.
    async fn write_out(&self, facts: bool) {
        if facts {
            self.machine.write_out_facts().await;
        } else {
            let uploads = self.machine.disk.uploads().await.expect("a list");
            self.machine.disk.sync(&uploads).await;
        }
    }

    fn plan(&mut self, fault: Fault) {
        let Fault { call, skip, strike } = fault;
        match call {
            Call::Store(op) => self.plan_in_store(op, skip, strike),
            Call::Catalog(op) => self.plan_in_catalog(op, skip, strike),
        }
        self.planned = self.staged();
    }

    fn plan_in_store(&self, op: StoreOp, skip: usize, strike: Strike) {
        let (store, disk) = (&self.machine.store, self.machine.disk.clone());
        let flush_failed = self.flush_failed.clone();
        match strike {
            Strike::Fails(kind) => {
                store.before_nth(op, skip, move || {
                    flush_failed.fetch_or(op == StoreOp::Sync, Ordering::SeqCst);
                    disk.fail_next(op, kind);
                });
            }
            Strike::FailsHalfway => {
                store.before_nth(op, skip, move || {
                    flush_failed.fetch_or(op == StoreOp::Sync, Ordering::SeqCst);
                    disk.fail_halfway_next(op, ErrorKind::Other);
                });
            }
            Strike::FailsAfter => {
                store.before_nth(op, skip, move || {
                    flush_failed.fetch_or(op == StoreOp::Sync, Ordering::SeqCst);
                    disk.fail_after_next(op, ErrorKind::Other);
                });
            }
            Strike::Panics => store.before_nth(op, skip, || panic!("on purpose")),
            Strike::Kills { after: false, power } => store.hold_nth(op, skip, self.end_at(power)),
            Strike::Kills { after: true, power } => {
                store.hold_nth_after(op, skip, self.end_at(power));
            }
        }
    }

    fn plan_in_catalog(&self, op: CatalogOp, skip: usize, strike: Strike) {
        let catalog = &self.machine.catalog;
        match strike {
            Strike::Fails(_) | Strike::FailsHalfway | Strike::Panics => catalog.fail_nth(op, skip),
            Strike::FailsAfter => catalog.fail_nth_after(op, skip),
            Strike::Kills { after: false, power } => catalog.hold_nth(op, skip, self.end_at(power)),
            Strike::Kills { after: true, power } => {
                catalog.hold_nth_after(op, skip, self.end_at(power));
            }
        }
    }

    fn end_at(&self, power: bool) -> &Gate {
        if power { &self.cut } else { &self.kill }
    }

    fn staged(&self) -> usize {
        self.machine.store.staged() + self.machine.catalog.staged()
    }

    /// Something failed: then something was broken.
    fn check_excused(&mut self, what: &str) {
        self.excused |= self.staged() < self.planned;
        self.planned = self.staged();
        assert!(self.excused, "{what} failed, and nothing was broken");
    }

    /// Sends requests at the same time. Breaks if the process must end.
    async fn together(&mut self, app: &TestApp, deeds: Vec<Deed>) -> std::ops::ControlFlow<()> {
        let mut wishes = Vec::new();
        for deed in deeds {
            wishes.extend(self.wish(app, deed).await);
        }
        let flush_failed = self.flush_failed.swap(false, Ordering::SeqCst);
        self.doubt(flush_failed);
        self.files.iter_mut().for_each(|file| file.mark(self.now));
        // Twice: what one of them makes possible another may need.
        for (deed, about) in wishes.iter().chain(&wishes) {
            self.expect(deed, about.as_ref());
        }
        self.files.iter_mut().for_each(File::sent);
        let answers: Vec<RefCell<Option<Answer>>> =
            wishes.iter().map(|_| RefCell::default()).collect();
        let requests = wishes.iter().zip(&answers).map(async |((deed, about), answer)| {
            let got = self.ask(app, deed, about.as_ref()).await;
            *answer.borrow_mut() = Some(got);
        });
        let failed = tokio::select! {
            biased;
            () = app.app().engine().failed() => true,
            _ = join_all(requests) => false,
        };
        let alone = wishes.len() == 1;
        let answers = wishes.into_iter().zip(answers);
        let mut answers: Vec<(Wish, Answer)> =
            answers.filter_map(|(wish, answer)| Some((wish, answer.into_inner()?))).collect();
        answers.sort_by_key(|((deed, _), answer)| rank(deed, answer));
        // It may have been before or after what was acknowledged.
        let flush_failed = self.flush_failed.swap(false, Ordering::SeqCst);
        self.doubt(flush_failed);
        for ((deed, about), answer) in answers {
            self.judge(&deed, about, answer, alone);
        }
        self.doubt(flush_failed);
        if failed {
            self.check_excused("a task of the engine");
            return std::ops::ControlFlow::Break(());
        }
        std::ops::ControlFlow::Continue(())
    }

    fn doubt(&mut self, flush_failed: bool) {
        if flush_failed {
            self.files.iter_mut().for_each(File::flush_failed);
        }
    }

    /// Looks up what a deed is about; nothing if there is no such thing.
    async fn wish(&mut self, app: &TestApp, deed: Deed) -> Option<Wish> {
        match &deed {
            Deed::Cancel { file } => {
                let id = self.files[*file].id.clone()?;
                Some((deed, Some((id.clone(), id))))
            }
            Deed::Delete { file } => {
                let list = app.get("/creatives?limit=1000").await;
                if list.status != 200 {
                    self.check_excused("a list");
                    return None;
                }
                let list = list.json();
                let list = list["creatives"].as_array().expect("a list");
                let of_file = |c: &&Value| c["filename"] == self.files[*file].name;
                let creative = list.iter().filter(of_file).max_by_key(|c| c["id"].to_string())?;
                let text = |name: &str| creative[name].as_str().expect("text").to_owned();
                Some((deed, Some((text("id"), text("upload_id")))))
            }
            _ => Some((deed, None)),
        }
    }

    /// Tells the reference what is about to be done.
    fn expect(&mut self, deed: &Deed, about: Option<&(String, String)>) {
        match deed {
            Deed::Post { file, chunk, .. } => {
                let chunk = chunk % FILES[*file].2;
                self.files[*file].may_receive(chunk, is_right(deed), self.now);
            }
            Deed::Cancel { file } => self.files[*file].may_cancel(),
            Deed::Delete { file } => {
                let (creative, upload) = about.expect("it was looked up");
                self.files[*file].may_delete(creative, upload);
            }
            Deed::Probe { file, .. } | Deed::Lookup { file } => self.files[*file].may_be_asked(),
            Deed::Sweep => {}
        }
    }

    async fn ask(&self, app: &TestApp, deed: &Deed, about: Option<&(String, String)>) -> Answer {
        Answer::Reply(match deed {
            Deed::Post { file, chunk, how } => {
                post(&self.flow(app, *file), chunk % FILES[*file].2 + 1, *how).await
            }
            Deed::Probe { file, chunk } => {
                self.flow(app, *file).probe(chunk % FILES[*file].2 + 1).await
            }
            Deed::Lookup { file } => self.flow(app, *file).lookup().await,
            Deed::Cancel { .. } => {
                let (id, _) = about.expect("it was looked up");
                app.delete(&format!("/uploads/{id}")).await
            }
            Deed::Delete { .. } => {
                let (id, _) = about.expect("it was looked up");
                app.delete(&format!("/creatives/{id}")).await
            }
            Deed::Sweep => {
                return Answer::Swept(unless_broken(app.app().engine().sweep()).await.is_some());
            }
        })
    }

    fn flow<'a>(&self, app: &'a TestApp, file: usize) -> FlowFile<'a> {
        let it = &self.files[file];
        let flow = app.flow(it.content).name(it.name);
        match it.day {
            Some(day) => flow.with("scheduled_at", DAYS[day]),
            None => flow,
        }
    }

    /// Tells the reference what was answered.
    fn judge(&mut self, deed: &Deed, about: Option<(String, String)>, answer: Answer, alone: bool) {
        let reply = match answer {
            Answer::Swept(true) => return,
            Answer::Swept(false) => return self.check_excused("a sweep"),
            Answer::Reply(reply) => reply,
        };
        let status = reply.status.as_u16();
        if matches!(status, 500 | 503 | 507) {
            self.check_excused(&format!("{deed:?}: {reply:?}"));
            // It may have taken effect all the same, and after whatever else was answered.
            return self.expect(deed, about.as_ref());
        }
        let (now, (id, _)) = (self.now, about.unwrap_or_default());
        match (deed, status) {
            (Deed::Post { file, .. }, 415) => self.files[*file].is_refused(&reply),
            (Deed::Post { file, chunk, .. }, 200 | 201) if is_right(deed) => {
                self.files[*file].received(chunk % FILES[*file].2, &reply, now);
            }
            (Deed::Probe { file, chunk }, 200) => {
                self.files[*file].is_probed(chunk % FILES[*file].2, &reply, now);
            }
            (Deed::Probe { file, chunk }, 204) => {
                self.files[*file].is_missing(Some(chunk % FILES[*file].2), alone);
            }
            (Deed::Lookup { file }, 200) => self.files[*file].stands(&reply, now),
            (Deed::Lookup { file }, 404) => self.files[*file].is_missing(None, alone),
            (Deed::Cancel { file }, 204) => self.files[*file].is_cancelled(&id, now),
            (Deed::Cancel { file }, 404) => self.files[*file].is_unknown(&id),
            (Deed::Cancel { file }, 409) => self.files[*file].is_complete(&id),
            (Deed::Delete { file }, 204) => self.files[*file].is_deleted(&id),
            // It is gone already; or what was sent is refused for what it is.
            (Deed::Delete { .. }, 404) | (Deed::Post { .. }, 400 | 409) if !is_right(deed) => {}
            (deed, _) => panic!("{deed:?} is answered with {reply:?}"),
        }
    }

    /// The clients come back, as flow.js does: ask for each chunk, and send what is missing.
    async fn resume(&mut self) {
        let app = self.machine.start().await;
        self.sweep(&app).await;
        let running = self.files.iter().filter(|file| file.may_run()).count();
        let unpublished = self.machine.files().await.0;
        assert!(unpublished <= running, "{unpublished} unpublished files, {running} may run");
        for (file, (_, _, count)) in FILES.into_iter().enumerate() {
            for _ in 0..3 {
                for chunk in 0..count {
                    self.insist(&app, Deed::Probe { file, chunk }).await;
                }
            }
            let last = self.flow(&app, file).lookup().await;
            let body = last.assert_status(200).json();
            if body["complete"] != true {
                assert_eq!(app.ended(&last.upload_id()).await.state.as_str(), "complete");
            }
            let reply = self.flow(&app, file).lookup().await;
            self.files[file].mark(self.now);
            self.files[file].stands(&reply, self.now);
            assert_eq!(reply.json()["complete"], true, "{reply:?}");
        }
        self.audit(&app).await;
    }

    /// Asks for a chunk, and sends it if it is not there.
    async fn insist(&mut self, app: &TestApp, probe: Deed) {
        let Deed::Probe { file, chunk } = probe else { return };
        let reply = self.flow(app, file).probe(chunk + 1).await;
        let missing = reply.status == 204;
        self.files[file].mark(self.now);
        self.judge(&probe, None, Answer::Reply(reply), true);
        if missing {
            let post = Deed::Post { file, chunk, how: How::Form };
            assert!(self.together(app, vec![post]).await.is_continue());
        }
    }

    /// A last start finds nothing left to do.
    async fn tidy(&mut self) {
        let app = self.machine.start().await;
        self.sweep(&app).await;
        self.audit(&app).await;
        let creatives = app.creatives().await.len();
        assert_eq!(self.machine.files().await, (0, creatives), "what is left on the disk");
    }

    async fn sweep(&self, app: &TestApp) {
        idle().await;
        app.app().engine().sweep().await.expect("nothing is broken");
        idle().await;
    }

    /// Every creative is one that may be there, and has its file, bit by bit.
    async fn audit(&mut self, app: &TestApp) {
        let creatives = app.creatives().await;
        for file in &mut self.files {
            let own: Vec<&Value> =
                creatives.iter().filter(|c| c["filename"] == file.name).collect();
            file.are_there(&own);
            for creative in own {
                assert_eq!(app.content(creative).await, file.content.as_bytes(), "{creative}");
            }
        }
    }
}

/// What it gives, unless it fails or panics.
async fn unless_broken<T, E>(call: impl Future<Output = Result<T, E>>) -> Option<T> {
    AssertUnwindSafe(call).catch_unwind().await.ok()?.ok()
}

async fn died(kill: &Gate, cut: &Gate) -> End {
    tokio::select! {
        () = kill.reached() => End::Process,
        () = cut.reached() => End::Power,
    }
}

/// Whether it sends a chunk as it is.
fn is_right(deed: &Deed) -> bool {
    matches!(deed, Deed::Post { how: How::Form | How::Octets, .. })
}

/// In which order answers of the same moment are told, so that what one says is not refuted by
/// another that is older.
fn rank(deed: &Deed, answer: &Answer) -> (u8, String, bool) {
    let Answer::Reply(reply) = answer else { return (9, String::new(), false) };
    let class = match (deed, reply.status.as_u16()) {
        (Deed::Probe { .. } | Deed::Lookup { .. }, 204 | 404) => 0,
        (Deed::Post { .. } | Deed::Probe { .. } | Deed::Lookup { .. }, 200 | 201) => {
            return (1, reply.upload_id(), reply.json()["complete"] == true);
        }
        (Deed::Cancel { .. }, _) => 3,
        (Deed::Delete { .. }, _) => 4,
        _ => 5,
    };
    (class, String::new(), false)
}

async fn post(flow: &FlowFile<'_>, number: usize, how: How) -> Reply {
    let right = flow.chunk(number).to_vec();
    let mut wrong = right.clone();
    let octets = |flow: &FlowFile<'_>, bytes: &[u8]| {
        flow.octet_request(Method::POST, number, flow.chunk(number)).map(|_| bytes.to_vec().into())
    };
    match how {
        How::Form => flow.post(number).await,
        How::Octets => flow.octet(number).await,
        How::Damaged => {
            wrong.fill(b'?');
            wrong.extend(right.is_empty().then_some(b'?'));
            let flow = flow.clone().with("chunk_sha256", sha256_hex(&right));
            flow.app().send(octets(&flow, &wrong)).await
        }
        How::OtherLength => {
            wrong.pop();
            wrong.extend(right.is_empty().then_some(b'?'));
            flow.app().send(octets(flow, &wrong)).await
        }
        How::Cut(at) => {
            let broken = stream::iter([Err("connection reset".into())]);
            flow.app().send_streaming(cut(octets(flow, &right), at.min(right.len()), broken)).await
        }
    }
}
