//! The client: a thread for each connection, and nothing done between requests that costs.
//!
//! What was sent is compared with what arrived when the clock has stopped.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Barrier,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    connection::{Answer, Connection},
    content::{FlowFile, shared},
    load::Load,
    outcome::{BIN_MS, Outcome},
    statistics::{Latency, own_cpu},
};

/// How long a file may take to complete after its last answer.
const COMPLETION_PATIENCE: Duration = Duration::from_mins(2);
/// How often it is asked after.
const ASK_AGAIN: Duration = Duration::from_millis(1);
/// If there are more files, it is not measured when their creatives become visible: to ask would
/// be a load of its own.
const WATCHED_FILES_MAX: usize = 64;

/// A client: its files, and the next of their chunks.
struct Client {
    files: Vec<FlowFile>,
    next: AtomicU64,
}

/// A request and its answer.
struct Sample {
    /// When the answer was here.
    at: Instant,
    took: Duration,
    /// Bytes of the file that it acknowledged; none for a probe.
    bytes: Option<u64>,
}

/// A file that an answer called complete for the first time.
struct Completed {
    file: FlowFile,
    took: Duration,
    visible: Option<Duration>,
    status: Value,
}

/// What one connection did.
#[derive(Default)]
struct Record {
    samples: Vec<Sample>,
    /// By the numbers of their files. Several answers may call a file complete.
    completed: BTreeMap<u64, Completed>,
}

/// Sends a load to a server; ends when all its files are complete.
pub(crate) fn run(server: SocketAddr, load: &Load) -> Outcome {
    let shared = shared(load.size, load.chunk);
    let clients: Vec<Client> = (0..load.clients).map(|number| Client::new(load, number)).collect();
    let ready = Barrier::new(load.clients * load.connections + 1);
    let (begun, cpu_before, records) = thread::scope(|scope| {
        let mut threads = Vec::new();
        for client in &clients {
            for _ in 0..load.connections {
                threads.push(scope.spawn(|| {
                    let connection = Connection::open(server).expect("it accepts connections");
                    ready.wait();
                    client.work(connection, load, &shared)
                }));
            }
        }
        ready.wait();
        let (begun, cpu_before) = (Instant::now(), own_cpu());
        let join = |thread: thread::ScopedJoinHandle<'_, Record>| thread.join().expect("no panic");
        (begun, cpu_before, threads.into_iter().map(join).collect::<Vec<_>>())
    });
    let (mut elapsed, cpu) = (begun.elapsed(), own_cpu().saturating_sub(cpu_before));
    let mut all = Record::default();
    for record in records {
        all.samples.extend(record.samples);
        for (number, done) in record.completed {
            all.completed.entry(number).or_insert(done);
        }
    }
    if load.completes() {
        for file in clients.iter().flat_map(|client| &client.files) {
            all.completed.entry(file.number).or_insert_with(|| {
                let done = wait_for(server, file);
                elapsed = begun.elapsed();
                done
            });
        }
    }
    all.completed.values().for_each(|done| done.verify(load, &shared));
    all.outcome(load, begun, elapsed, cpu)
}

impl Client {
    fn new(load: &Load, number: usize) -> Self {
        let numbers = number * load.files..(number + 1) * load.files;
        let file = |number: usize| {
            FlowFile::new(&load.identifier_prefix, number as u64, load.size, load.chunk)
        };
        Self { files: numbers.map(file).collect(), next: AtomicU64::new(0) }
    }

    /// Sends chunks until none is left. All files of a client are of one size.
    fn work(&self, mut connection: Connection, load: &Load, shared: &[u8]) -> Record {
        let mut record = Record::default();
        let watched = load.files * load.clients <= WATCHED_FILES_MAX;
        loop {
            let next = self.next.fetch_add(1, Ordering::Relaxed);
            let count = self.files[0].count();
            let file = usize::try_from(next / count).expect("an index");
            if self.files.len() * load.repeat <= file {
                return record;
            }
            let file = &self.files[file % self.files.len()];
            let number = if load.reverse { count - next % count } else { next % count + 1 };
            if load.unfinished && number == count {
                continue;
            }
            if load.probes || load.only_probes {
                let begun = Instant::now();
                let answer = connection.probe(file, number).expect("an answer to a probe");
                let here = answer.status == 200;
                assert!(here || answer.status == 204, "a probe was answered {}", answer.status);
                record.sample(begun, None);
                if here || load.only_probes {
                    continue;
                }
            }
            let begun = Instant::now();
            let answer = if load.octet || load.bare {
                connection.post_octets(file, number, shared)
            } else {
                connection.post_form(file, number, shared)
            };
            let answer = answer.expect("an answer to a chunk");
            let took = begun.elapsed();
            let completed = completed(&answer);
            record.sample(begun, Some(file.len(number)));
            if let Some(status) = completed {
                let visible = watched.then(|| until_visible(&mut connection, &status));
                let done = Completed { file: file.clone(), took, visible, status };
                record.completed.entry(file.number).or_insert(done);
            }
        }
    }
}

/// The status with which a chunk was answered, if its file is complete.
fn completed(answer: &Answer<'_>) -> Option<Value> {
    let body = String::from_utf8_lossy(answer.body);
    assert!(matches!(answer.status, 200 | 201), "a chunk was answered {}: {body}", answer.status);
    answer.is_complete().then(|| serde_json::from_slice(answer.body).expect("a status in JSON"))
}

/// How long it takes from now until the list of creatives has this one.
fn until_visible(connection: &mut Connection, status: &Value) -> Duration {
    let path = format!("/creatives/{}", id(status));
    let begun = Instant::now();
    while connection.get(&path).expect("an answer").status != 200 {
        assert!(begun.elapsed() < COMPLETION_PATIENCE, "it was said to be there");
    }
    begun.elapsed()
}

fn id(status: &Value) -> &str {
    status["creative"]["id"].as_str().expect("what is complete has a creative")
}

/// Waits for a file that no answer called complete: the answer to the last chunk does not wait for
/// ever. It counts as completed by the answer that says so in the end.
fn wait_for(server: SocketAddr, file: &FlowFile) -> Completed {
    let mut connection = Connection::open(server).expect("it accepts connections");
    let begun = Instant::now();
    loop {
        let answer = connection.probe(file, file.count()).expect("an answer to a probe");
        if answer.is_complete() {
            let status = serde_json::from_slice(answer.body).expect("a status in JSON");
            return Completed { file: file.clone(), took: begun.elapsed(), visible: None, status };
        }
        assert!(begun.elapsed() < COMPLETION_PATIENCE, "{} never completes", file.name);
        thread::park_timeout(ASK_AGAIN);
    }
}

impl Completed {
    /// Stops the program unless the file arrived as it was sent.
    fn verify(&self, load: &Load, shared: &[u8]) {
        let creative = &self.status["creative"];
        if let Some(said) = creative["sha256"].as_str() {
            assert_eq!(said, self.file.sha256(shared), "the server has hashed something else");
        }
        if let Some(folder) = &load.completed {
            let path = folder.join(format!("{}.bin", id(&self.status)));
            let arrived = self.file.is_at(&path, shared).expect("it can be read");
            assert!(arrived, "{} is not what was sent", path.display());
        }
    }
}

impl Record {
    fn sample(&mut self, begun: Instant, bytes: Option<u64>) {
        let at = Instant::now();
        self.samples.push(Sample { at, took: at - begun, bytes });
    }

    #[expect(clippy::cast_precision_loss, reason = "all far below 2^52")]
    fn outcome(&self, load: &Load, begun: Instant, elapsed: Duration, cpu: Duration) -> Outcome {
        let of = |probe: bool| {
            let own = self.samples.iter().filter(|sample| sample.bytes.is_none() == probe);
            Latency::of(own.map(|sample| sample.took).collect())
        };
        let bytes: u64 = self.samples.iter().filter_map(|sample| sample.bytes).sum();
        let elapsed_s = elapsed.as_secs_f64();
        let files = if load.bare { load.files * load.clients } else { self.completed.len() };
        Outcome {
            elapsed_s,
            bytes,
            mb_per_s: bytes as f64 / 1e6 / elapsed_s,
            received_mb_per_s: self.received(begun),
            files_per_s: files as f64 / elapsed_s,
            requests_per_s: self.samples.len() as f64 / elapsed_s,
            chunks: of(false),
            probes: of(true),
            completing: Latency::of(self.completed.values().map(|done| done.took).collect()),
            visible: Latency::of(self.completed.values().filter_map(|done| done.visible).collect()),
            cpu_s: cpu.as_secs_f64(),
            cpu_s_per_gb: cpu.as_secs_f64() / (bytes.max(1) as f64 / 1e9),
            verified: self.completed.len(),
            series: self.series(begun),
        }
    }

    /// MB/s until the first nine tenths were acknowledged.
    #[expect(clippy::cast_precision_loss, reason = "all far below 2^52")]
    fn received(&self, begun: Instant) -> f64 {
        let mut chunks: Vec<_> =
            self.samples.iter().filter_map(|sample| Some((sample.at, sample.bytes?))).collect();
        chunks.sort_unstable();
        chunks.truncate((chunks.len() * 9).div_ceil(10));
        let bytes: u64 = chunks.iter().map(|(_, bytes)| bytes).sum();
        let last = chunks.last().map_or(begun, |(at, _)| *at);
        bytes as f64 / 1e6 / last.saturating_duration_since(begun).as_secs_f64().max(1e-6)
    }

    /// MB/s in each bin of [`BIN_MS`].
    #[expect(clippy::cast_precision_loss, reason = "all far below 2^52")]
    fn series(&self, begun: Instant) -> Vec<f64> {
        let mut bins = Vec::new();
        for sample in &self.samples {
            let ms = sample.at.saturating_duration_since(begun).as_millis();
            let bin = usize::try_from(ms / u128::from(BIN_MS)).expect("short");
            if bins.len() <= bin {
                bins.resize(bin + 1, 0.0);
            }
            bins[bin] += sample.bytes.unwrap_or_default() as f64 / 1e6 * 1000.0 / f64::from(BIN_MS);
        }
        bins
    }
}
