//! Whatever stands in the fields: never an answer that blames us, and nothing left of a refusal.

use std::sync::Arc;

use flowstitch::catalog::MemoryCatalog;
use http::{Method, Request};
use proptest::prelude::*;
use tokio::runtime;

use crate::support::{Form, Reply, TestApp};

const FIELDS: [&str; 11] = [
    "flowChunkNumber",
    "flowChunkSize",
    "flowCurrentChunkSize",
    "flowTotalSize",
    "flowIdentifier",
    "flowFilename",
    "flowRelativePath",
    "flowTotalChunks",
    "scheduled_at",
    "sha256",
    "chunk_sha256",
];

/// A value that may stand in any field: nonsense, numbers at the edges, and what is right.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[0-9]{1,3}",
        1 => "[0-9]{15,22}",
        1 => "(-1|0|NaN|Infinity|1e3|1\\.5|9223372036854775807|18446744073709551615|undefined)",
        2 => "\\PC{0,12}",
        1 => "(\\.\\./|/|\\\\|\r\n|\0|\"|%00|\u{202e}|a){1,6}",
        1 => "2026-1[0-9]-[0-9]{2}",
        1 => "[0-9a-f]{64}",
        1 => prop::collection::vec(any::<char>(), 0..8).prop_map(|chars| chars.iter().collect()),
    ]
}

/// Fields of a good request, of which a few are changed, left out or doubled.
fn fields() -> impl Strategy<Value = Vec<(String, String)>> {
    let good = ["1", "4", "4", "11", "11-a", "a.png", "d/a.png", "2", "2026-12-01", "", ""];
    let change = (0..FIELDS.len(), prop::option::of(value()));
    let changes = prop::collection::vec(change, 0..4);
    let doubled = (prop::sample::select(&FIELDS[..]), value());
    let doubled = prop::option::weighted(0.1, doubled);
    (changes, doubled).prop_map(move |(changes, doubled)| {
        let mut values = good.map(|value| Some(value.to_owned()));
        for (index, value) in changes {
            values[index] = value;
        }
        let named = |(name, value): (&str, Option<String>)| Some((name.to_owned(), value?));
        let fields = FIELDS.into_iter().zip(values).filter_map(named);
        fields.chain(doubled.map(|(name, value)| (name.to_owned(), value))).collect()
    })
}

/// How the fields travel.
#[derive(Debug, Clone, Copy)]
enum Way {
    Form,
    FileFirst,
    Octet,
    NoFile,
    Get,
    Lookup,
    Creative,
}

fn request(way: Way, fields: &[(String, String)], content: &[u8]) -> Request<bytes::Bytes> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let path = format!("/upload?{}", query.extend_pairs(fields).finish());
    let raw = |method, path: &str, body: Vec<u8>| {
        let request = Request::builder().method(method).uri(path);
        request.body(body.into()).expect("a request")
    };
    match way {
        Way::Form => Form::new().fields(fields).file("x", content).post("/upload"),
        Way::FileFirst => Form::new().file("x", content).fields(fields).post("/upload"),
        Way::Octet => raw(Method::PUT, &path, content.to_vec()),
        Way::NoFile => Form::new().fields(fields).post("/upload"),
        Way::Get => raw(Method::GET, &path, Vec::new()),
        Way::Lookup => {
            raw(Method::GET, &path.replacen("/upload", "/uploads/lookup", 1), Vec::new())
        }
        Way::Creative => Form::new().fields(fields).file("a.png", content).post("/upload-creative"),
    }
}

async fn check(app: &TestApp, reply: &Reply) {
    let status = reply.status.as_u16();
    reply.assert_common_headers();
    assert!(status < 500, "{reply:?}");
    match status {
        200 | 201 => assert!(reply.json()["upload"]["id"].is_string(), "{reply:?}"),
        204 => reply.assert_missing(),
        _ => {
            let code = reply.json()["code"].as_str().expect("a code").to_owned();
            reply.assert_problem(status, &code);
        }
    }
    let is_success = matches!(status, 200 | 201);
    assert_eq!(app.uploads().await.len(), usize::from(is_success), "{reply:?}");
}

proptest! {
    #[test]
    fn no_fields_are_answered_by_a_fault_of_ours_and_a_refusal_leaves_nothing(
        fields in fields(),
        content in prop_oneof![4 => Just("hell"), 1 => Just(""), 1 => Just("hello world")],
        way in prop::sample::select(&[
            Way::Form,
            Way::FileFirst,
            Way::Octet,
            Way::NoFile,
            Way::Get,
            Way::Lookup,
            Way::Creative,
        ][..]),
    ) {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let catalog = Arc::new(MemoryCatalog::new());
            let app = TestApp::builder().flag("--durability=relaxed").catalog(catalog);
            let app = app.start().await;
            let reply = app.send(request(way, &fields, content.as_bytes())).await;
            check(&app, &reply).await;
            let uploads = app.uploads().await;
            let dir = app.dir().to_owned();
            if uploads.is_empty() {
                app.assert_left_nothing().await;
            } else if uploads[0]["complete"] == true {
                app.assert_ends_with(1).await;
            } else {
                let builder = app.stop().await;
                let id = uploads[0]["upload"]["id"].as_str().expect("an id");
                let kept = std::fs::read_dir(dir.join("incomplete")).expect("it is there");
                let kept = kept.map(|entry| entry.expect("an entry").file_name());
                let kept: Vec<_> = kept.filter(|name| !name.to_string_lossy().starts_with('.'))
                    .collect();
                prop_assert_eq!(kept, [std::ffi::OsString::from(format!("{id}.part"))]);
                drop(builder);
            }
            Ok(())
        })?;
    }
}
