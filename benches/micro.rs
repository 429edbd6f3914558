//! What the parts cost that every chunk passes: its fields, its form, the coverage, the catalog.
//!
//! `cargo bench --bench micro` measures, and says what changed since the last time; `cargo test`
//! runs each once.

use std::{hint::black_box, time::Duration};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use flowstitch::{
    catalog::{Catalog, Fact, SqliteCatalog, contract},
    dialect::{
        flow::FlowFields,
        form::{BodyKind, BoxError, Form},
    },
    upload::{ByteRange, Coverage, Durability, Principal},
};
use futures_util::{StreamExt, stream};
use tokio::runtime::Runtime;

const BOUNDARY: &str = "----WebKitFormBoundaryQ7tTZ0o1FwHvkpYc";
const CHUNK_LEN: u64 = 1 << 20;
/// As long as what is read from a socket at a time.
const FRAME_LEN: usize = 32 << 10;
/// Chunks of a file of 2 GiB.
const CHUNKS: u64 = 2048;

/// The fields of a chunk, as flow.js sends them.
const FIELDS: [(&str, &str); 8] = [
    ("flowChunkNumber", "1024"),
    ("flowChunkSize", "1048576"),
    ("flowCurrentChunkSize", "1048576"),
    ("flowTotalSize", "2147483648"),
    ("flowIdentifier", "2147483648-holidays2026mp4"),
    ("flowFilename", "holidays 2026.mp4"),
    ("flowRelativePath", "videos/holidays 2026.mp4"),
    ("flowTotalChunks", "2048"),
];

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(3));
    targets = parameters, form, coverage, commit
}
criterion_main!(benches);

/// The query of a probe: read, and understood.
fn parameters(criterion: &mut Criterion) {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(FIELDS).finish();
    let principal = Principal::anonymous();
    criterion.bench_function("parameters", |bencher| {
        bencher.iter(|| {
            let fields = FlowFields::from_query(black_box(&query)).expect("fields of flow.js");
            fields.probe(&principal).expect("a probe")
        });
    });
}

/// The form of a chunk, in frames as they come from a socket.
fn form(criterion: &mut Criterion) {
    let body = body();
    let frames: Vec<Bytes> = (0..body.len())
        .step_by(FRAME_LEN)
        .map(|at| body.slice(at..body.len().min(at + FRAME_LEN)))
        .collect();
    let runtime = Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("form");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("1 MiB in frames of 32 KiB", |bencher| {
        bencher.iter(|| runtime.block_on(read(frames.clone())));
    });
    group.finish();
}

async fn read(frames: Vec<Bytes>) -> u64 {
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    let Ok(BodyKind::Multipart(boundary)) = BodyKind::of(Some(&content_type)) else {
        panic!("a form")
    };
    let mut form = Form::new(boundary, stream::iter(frames.into_iter().map(Ok::<_, BoxError>)));
    let mut len = 0;
    while form.next().await.expect("a good form").is_some() {
        while let Some(bytes) = form.file().next().await {
            len += bytes.expect("a good form").len() as u64;
        }
    }
    assert_eq!(len, CHUNK_LEN, "the file has come whole");
    len
}

fn body() -> Bytes {
    let head = |name: &str| format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name={name}");
    let field =
        |(name, value): &(_, _)| format!("{}\r\n\r\n{value}\r\n", head(&format!("\"{name}\"")));
    let mut body = FIELDS.iter().map(field).collect::<Vec<_>>().concat().into_bytes();
    let file = "\"file\"; filename=\"a.mp4\"\r\nContent-Type: application/octet-stream\r\n\r\n";
    body.extend(head(file).into_bytes());
    // Bytes of no pattern: what looks for a boundary must not be luckier than it usually is.
    let mut file = vec![0; usize::try_from(CHUNK_LEN).expect("small")];
    fastrand::Rng::with_seed(1).fill(&mut file);
    body.extend(file);
    body.extend(format!("\r\n--{BOUNDARY}--\r\n").into_bytes());
    body.into()
}

/// The ranges of a file of 2 GiB, as they come in; and what is missing of it, when half is here.
fn coverage(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("coverage");
    let in_order: Vec<u64> = (0..CHUNKS).collect();
    let mut shuffled = in_order.clone();
    fastrand::Rng::with_seed(1).shuffle(&mut shuffled);
    group.throughput(Throughput::Elements(CHUNKS));
    for (name, numbers) in [("in order", &in_order), ("out of order", &shuffled)] {
        group.bench_function(name, |bencher| bencher.iter(|| covered(black_box(numbers))));
    }
    let odd: Vec<u64> = (0..CHUNKS).step_by(2).collect();
    let half = covered(&odd);
    group.throughput(Throughput::Elements(CHUNKS / 2));
    group.bench_function("gaps", |bencher| {
        bencher.iter(|| black_box(&half).gaps(0, CHUNKS * CHUNK_LEN).count());
    });
    group.finish();
}

fn covered(numbers: &[u64]) -> Coverage<u32> {
    let mut coverage = Coverage::new();
    for number in numbers {
        let range = ByteRange::new(number * CHUNK_LEN, CHUNK_LEN).expect("a range");
        assert!(coverage.insert(range, 0), "no two overlap");
    }
    coverage
}

/// Batches of ranges of one upload, written as in relaxed durability.
fn commit(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let catalog = SqliteCatalog::open(&folder.path().join("micro.db")).expect("a new catalog");
    let mut group = criterion.benchmark_group("commit");
    for count in [1, 8, 64] {
        let upload = contract::sample_upload(&format!("micro-{count}"));
        runtime.block_on(contract::open(&catalog, &upload));
        let mut next = 1;
        let mut facts = || -> Vec<Fact> {
            let numbers = next..next + count;
            next += count;
            let range = |number| contract::sample_range(number * CHUNK_LEN, CHUNK_LEN);
            let fact = |number| Fact::Stored {
                upload: upload.id,
                stored: range(number),
                at: upload.touched_at,
            };
            numbers.map(fact).collect()
        };
        group.throughput(Throughput::Elements(count));
        group.bench_function(format!("{count} ranges"), |bencher| {
            bencher.iter_batched(
                &mut facts,
                |facts| runtime.block_on(catalog.commit(facts, Durability::Relaxed)).expect("kept"),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
    runtime.block_on(catalog.close()).expect("it ends");
}
