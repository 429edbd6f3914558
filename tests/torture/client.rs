//! A flow.js client of our own: probes, sends, sends again, and notes every answer.
//!
//! As flow.js does, it believes a probe's 200 blindly and never sends that chunk: a probe that lies
//! shows in the finished file.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    ops::RangeInclusive,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use fastrand::Rng;
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    ledger::{FileId, Ledger},
    plan::Plan,
    wire::{Answer, Connection, PATIENCE, request},
};

/// How long a client waits before it asks again, if nobody tells it to stop.
const PAUSE: Duration = Duration::from_millis(20);
/// The longest pause, after each of which the next one is twice as long: whoever has no room does
/// not knock all the time.
const PAUSE_MAX: Duration = Duration::from_millis(640);
const BOUNDARY: &str = "----WebKitFormBoundaryQ7tTZ0o1FwHvkpYc";

/// How a client behaves.
#[derive(Debug, Clone)]
pub(crate) struct Style {
    /// Requests at a time.
    pub(crate) connections: usize,
    /// How often each chunk is sent. Copies go out together.
    pub(crate) copies: RangeInclusive<usize>,
    /// Whether it asks for a chunk before it sends it: flow.js's `testChunks`.
    pub(crate) probes: bool,
}

impl Style {
    /// As an unmodified flow.js.
    pub(crate) const FLOW_JS: Self = Self { connections: 3, copies: 1..=1, probes: true };
}

/// What a client works with.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    pub(crate) ledger: Arc<Ledger>,
    /// Tells it to drop everything at once, as a closed browser does.
    pub(crate) stop: CancellationToken,
}

/// How the work on a file ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The server said that the file is complete.
    Complete,
    /// It was told to stop.
    Stopped,
    /// The server refused, in a way that is final for flow.js.
    Refused(String),
    /// The server had every chunk, and has not got them all any more.
    Vanished,
    /// It never came to an end.
    Stuck,
}

/// What became of a cancel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cancelled {
    /// The upload has ended without a file.
    Gone,
    /// Too late: the file was published.
    Published,
    /// The server has not said.
    Unknown,
}

/// A chunk that has to be there.
#[derive(Debug, Clone, Copy)]
struct Job {
    number: u64,
    /// Whether it is asked for before it is sent.
    probe: bool,
}

/// What an answer tells a client to do with its job.
enum Next {
    Done,
    Send,
    Again,
    GiveUp(String),
}

impl Client {
    pub(crate) fn new(address: SocketAddr, ledger: Arc<Ledger>) -> Self {
        Self { address, ledger, stop: CancellationToken::new() }
    }

    /// Works on a file until it is complete, or it is clear that it never will be.
    pub(crate) async fn upload(&self, file: FileId, style: &Style, rng: &mut Rng) -> Ended {
        timeout(PATIENCE, self.work_together(file, style, rng)).await.unwrap_or(Ended::Stuck)
    }

    async fn work_together(&self, file: FileId, style: &Style, rng: &mut Rng) -> Ended {
        let jobs = Arc::new(Mutex::new(jobs(&self.ledger.plan(file), style, rng)));
        let mut workers = JoinSet::new();
        for _ in 0..style.connections {
            let (client, jobs) = (self.clone(), jobs.clone());
            workers.spawn(async move { client.work(file, &jobs).await });
        }
        // Those that still run are dropped with the set.
        while let Some(worker) = workers.join_next().await {
            if let Err(ended) = worker.expect("a worker does not panic") {
                return ended;
            }
        }
        self.completion(file).await
    }

    /// Gives an upload up, whatever is being sent meanwhile.
    pub(crate) async fn cancel(&self, upload: &str) -> Cancelled {
        let mut line = Line { address: self.address, connection: None };
        let request = request("DELETE", &format!("/uploads/{upload}"), &[], b"");
        let Ok(answer) = line.ask(&request).await else { return Cancelled::Unknown };
        self.ledger.answered();
        match answer.status {
            204 => Cancelled::Gone,
            409 => Cancelled::Published,
            _ => Cancelled::Unknown,
        }
    }

    /// One connection's share of the work.
    async fn work(&self, file: FileId, jobs: &Mutex<VecDeque<Job>>) -> Result<(), Ended> {
        let mut line = Line { address: self.address, connection: None };
        loop {
            let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(job) = job else { return Ok(()) };
            let done = self.stop.run_until_cancelled(self.deliver(file, job, &mut line)).await;
            done.unwrap_or(Err(Ended::Stopped))?;
        }
    }

    /// Brings one chunk to the server, however often it takes.
    async fn deliver(&self, file: FileId, mut job: Job, line: &mut Line) -> Result<(), Ended> {
        let mut pause = PAUSE;
        loop {
            match self.attempt(file, job, line).await {
                Next::Done => return Ok(()),
                Next::Send => job.probe = false,
                Next::Again => {
                    self.pause(pause).await;
                    pause = PAUSE_MAX.min(2 * pause);
                }
                Next::GiveUp(why) => return Err(Ended::Refused(why)),
            }
        }
    }

    async fn attempt(&self, file: FileId, job: Job, line: &mut Line) -> Next {
        let plan = self.ledger.plan(file);
        if job.probe {
            return self.probe(file, &plan, job.number, line).await;
        }
        self.ledger.sends(file, job.number);
        let answer = line.ask(&post(&plan, job.number)).await;
        self.posted(file, job.number, answer)
    }

    /// Asks for a chunk, and notes the answer.
    async fn probe(&self, file: FileId, plan: &Plan, number: u64, line: &mut Line) -> Next {
        let before = self.ledger.promised(file, number);
        let Ok(answer) = line.ask(&probe(plan, number)).await else { return Next::Again };
        match answer.status {
            200 => {
                self.ledger.affirmed(file, number, &answer.json());
                Next::Done
            }
            204 => {
                self.ledger.denied(file, number, before);
                Next::Send
            }
            _ => self.troubled(file, &answer),
        }
    }

    /// Notes the answer to a chunk.
    fn posted(&self, file: FileId, number: u64, answer: io::Result<Answer>) -> Next {
        let Ok(answer) = answer else { return Next::Again };
        match answer.status {
            200 | 201 => {
                self.ledger.stored(file, number, &answer.json());
                Next::Done
            }
            _ => self.troubled(file, &answer),
        }
    }

    fn troubled(&self, file: FileId, answer: &Answer) -> Next {
        self.ledger.refused(file, answer.status);
        let incomplete = answer.status == 400 && answer.json()["code"] == "incomplete_body";
        match answer.status {
            408 | 429 | 502..=504 | 507 => Next::Again,
            _ if incomplete => Next::Again,
            _ => Next::GiveUp(answer.told()),
        }
    }

    /// Waits until the server says that the file is complete. Every chunk of it was acknowledged: a
    /// server that lacks one again will not be sent it, and how that could be is for the audit.
    async fn completion(&self, file: FileId) -> Ended {
        let plan = self.ledger.plan(file);
        let mut line = Line { address: self.address, connection: None };
        let asking = async {
            while !self.ledger.is_complete(file) {
                self.pause(PAUSE).await;
                match self.probe(file, &plan, 1, &mut line).await {
                    Next::Done if self.ledger.lacks(file) => {
                        // Which of them, the ledger learns by asking for each.
                        for number in 1..=plan.count() {
                            self.probe(file, &plan, number, &mut line).await;
                        }
                        return Ended::Vanished;
                    }
                    Next::Done | Next::Again => {}
                    Next::Send => return Ended::Vanished,
                    Next::GiveUp(why) => return Ended::Refused(why),
                }
            }
            Ended::Complete
        };
        self.stop.run_until_cancelled(asking).await.unwrap_or(Ended::Stopped)
    }

    /// A moment, in which it may be told to stop.
    async fn pause(&self, pause: Duration) {
        timeout(pause, self.stop.cancelled()).await.ok();
    }
}

/// A connection that is made when it is needed.
struct Line {
    address: SocketAddr,
    connection: Option<Connection>,
}

impl Line {
    async fn ask(&mut self, request: &[u8]) -> io::Result<Answer> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.address).await?,
        };
        let answer = connection.ask(request).await?;
        let closes = answer.header("connection").is_some_and(|value| value == "close");
        self.connection = (!closes).then_some(connection);
        Ok(answer)
    }
}

/// Every chunk in any order, copies beside each other. Only the first of them asks before.
fn jobs(plan: &Plan, style: &Style, rng: &mut Rng) -> VecDeque<Job> {
    let mut numbers: Vec<u64> = (1..=plan.count()).collect();
    rng.shuffle(&mut numbers);
    let mut jobs = VecDeque::new();
    for number in numbers {
        let copies = rng.usize(style.copies.clone());
        jobs.extend((0..copies).map(|copy| Job { number, probe: style.probes && copy == 0 }));
    }
    jobs
}

/// `/upload` with the fields of a chunk.
fn address(plan: &Plan, number: u64) -> String {
    let fields = plan.fields(number);
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    format!("/upload?{query}")
}

/// The GET that asks for a chunk.
pub(crate) fn probe(plan: &Plan, number: u64) -> Vec<u8> {
    request("GET", &address(plan, number), &[], b"")
}

/// The POST that brings a chunk, in the way of its plan.
pub(crate) fn post(plan: &Plan, number: u64) -> Vec<u8> {
    if plan.octet {
        let octets = "content-type: application/octet-stream";
        return request("POST", &address(plan, number), &[octets], &plan.chunk(number));
    }
    let form = format!("content-type: multipart/form-data; boundary={BOUNDARY}");
    request("POST", "/upload", &[&form], &multipart(plan, number))
}

fn multipart(plan: &Plan, number: u64) -> Vec<u8> {
    let disposition = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=");
    let mut body = String::new();
    for (name, value) in plan.fields(number) {
        for text in [&disposition, "\"", name, "\"\r\n\r\n", &value, "\r\n"] {
            body += text;
        }
    }
    let file = format!("{disposition}\"file\"; filename=\"{}\"\r\n\r\n", plan.name);
    let end = format!("\r\n--{BOUNDARY}--\r\n");
    [body.as_bytes(), file.as_bytes(), &plan.chunk(number), end.as_bytes()].concat()
}
