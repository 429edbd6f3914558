//! The tables of flow.js's arithmetic and hostile requests, and its own arithmetic against ours.

use proptest::prelude::*;

use super::*;
use crate::dialect::RejectionKind;

const MIB: u64 = 1 << 20;
const DIGEST: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

fn alice() -> Principal {
    Principal::named("alice")
}

fn fields(query: &str) -> FlowFields {
    FlowFields::from_query(query).expect("a good query")
}

fn post(query: &str) -> Result<Post, Rejection> {
    fields(query).post(&alice()).map(|request| request.addressed)
}

fn probe(query: &str) -> Result<Probe, Rejection> {
    fields(query).probe(&alice()).map(|request| request.addressed)
}

fn lookup(query: &str) -> Result<Lookup, Rejection> {
    fields(query).lookup(&alice()).map(|request| request.addressed)
}

fn chunk_of(query: &str) -> Chunk {
    match post(query) {
        Ok(Post::Chunk(chunk)) => chunk,
        other => panic!("{query}: {other:?}"),
    }
}

fn plan(query: &str) -> (u64, u64, u64) {
    let plan = chunk_of(query).identity.plan();
    (plan.total(), plan.stride(), plan.count())
}

/// The parameters of chunk `n`, in the order of flow.js.
fn chunk_query(n: u64, size: u64, len: u64, total: u64, count: u64) -> String {
    format!(
        "flowChunkNumber={n}&flowChunkSize={size}&flowCurrentChunkSize={len}&flowTotalSize={total}\
         &flowIdentifier={total}-atxt&flowFilename=a.txt&flowRelativePath=d%2Fa.txt\
         &flowTotalChunks={count}"
    )
}

#[test]
fn a_chunk_of_flow_js_is_the_same_chunk_to_all_three() {
    let query = chunk_query(2, 5, 6, 11, 2);
    let chunk = chunk_of(&query);
    assert_eq!((chunk.index, chunk.range), (1, ByteRange::new(5, 6).expect("short")));
    assert_eq!(chunk.filename.as_str(), "a.txt");
    assert_eq!(chunk.identity.principal(), &alice());
    assert_eq!(chunk.identity.identifier(), "11-atxt");
    assert_eq!(chunk.identity.relative_path(), "d/a.txt");
    assert_eq!(plan(&query), (11, 5, 2));
    assert_eq!(probe(&query), Ok(Probe::Chunk(chunk.clone())));
    let upload = Lookup::Upload(chunk.identity, chunk.filename);
    assert_eq!(lookup(&query), Ok(upload.clone()));
    assert_eq!(lookup(query.strip_prefix("flowChunkNumber=2&").expect("it is first")), Ok(upload));
}

#[test]
fn the_table_of_chunk_sizes() {
    for (total, size, count, last) in [
        (0, MIB, 1, 0),
        (1, MIB, 1, 1),
        (MIB, MIB, 1, MIB),
        (MIB + 1, MIB, 1, MIB + 1),
        (MIB + 1, MIB, 2, 1),
        (2 * MIB - 1, MIB, 1, 2 * MIB - 1),
        (2 * MIB - 1, MIB, 2, MIB - 1),
        (2 * MIB, MIB, 2, MIB),
        (5 * MIB / 2, MIB, 2, 3 * MIB / 2),
        (5 * MIB / 2, MIB, 3, MIB / 2),
        (10_240 * MIB, MIB, 10_240, MIB),
    ] {
        let chunk = chunk_of(&chunk_query(count, size, last, total, count));
        assert_eq!((chunk.index, chunk.range.len()), (count - 1, last), "{total} in {count}");
        assert_eq!(chunk.range.offset(), (count - 1) * size);
    }
}

#[test]
fn in_one_chunk_the_chunk_size_may_be_anything() {
    let one = |size: &str| plan(&format!("flowFilename=a&flowTotalSize=9&flowTotalChunks=1{size}"));
    for size in [
        "",
        "&flowChunkSize=Infinity",
        "&flowChunkSize=NaN",
        "&flowChunkSize=333.3333333333333",
        "&flowChunkSize=1.7976931348623157e%2B308",
        "&flowChunkSize=-1",
        "&flowChunkSize=18446744073709551615",
        "&flowChunkSize=99999999999999999999",
        "&flowChunkSize=undefined",
    ] {
        assert_eq!(one(size), (9, 9, 1), "{size}");
    }
    assert_eq!(one("&flowChunkSize=1048576&flowChunkNumber=1"), (9, MIB, 1));
    assert_eq!(one("&flowChunkSize=0"), (9, 1, 1));
    let nan = fields("flowFilename=a&flowCurrentChunkSize=NaN").post(&alice());
    assert_eq!(nan.map(|request| request.declared_len), Ok(None));
}

#[test]
fn a_post_that_names_no_sizes_is_a_whole_file() {
    for query in [
        "flowIdentifier=a&flowFilename=a.png",
        "flowIdentifier=a&flowFilename=a.png&flowChunkNumber=1",
        "flowIdentifier=a&flowFilename=a.png&flowTotalChunks=1",
        "flowIdentifier=a&flowFilename=a.png&flowTotalChunks=1&flowChunkSize=Infinity",
    ] {
        let Ok(Post::Whole(whole)) = post(query) else { panic!("{query}") };
        assert_eq!(whole.filename().as_str(), "a.png");
        // Once the size is known it is the upload that a client who knew it would have named.
        let known = chunk_of(&format!("{query}&flowTotalSize=7"));
        assert_eq!(whole.identity(7), Ok(known.identity), "{query}");
        assert!(whole.identity(u64::MAX).is_err());
    }
    let Ok(Post::Whole(whole)) = post("flowFilename=a&flowTotalChunks=1&flowChunkSize=64") else {
        panic!("a whole file")
    };
    assert_eq!(whole.identity(7).map(|identity| identity.plan().stride()), Ok(64));
}

#[test]
fn a_post_in_several_chunks_lists_what_is_missing() {
    for (query, missing) in [
        ("flowTotalChunks=3", "flowChunkNumber, flowTotalSize, flowChunkSize"),
        ("flowChunkNumber=2", "flowTotalSize, flowChunkSize, flowTotalChunks"),
        ("flowChunkNumber=1&flowTotalChunks=2&flowChunkSize=5", "flowTotalSize"),
        ("flowChunkNumber=1&flowTotalChunks=2&flowTotalSize=5", "flowChunkSize"),
        ("flowChunkNumber=1&flowTotalSize=9&flowChunkSize=5", "flowTotalChunks"),
        ("flowTotalChunks=2&flowTotalSize=9&flowChunkSize=5", "flowChunkNumber"),
        ("flowChunkSize=5", "flowChunkNumber, flowTotalSize, flowTotalChunks"),
        (
            "flowChunkNumber=1&flowTotalChunks=2&flowTotalSize=&flowChunkSize=",
            "flowTotalSize, flowChunkSize",
        ),
    ] {
        let rejection = post(&format!("flowIdentifier=a&{query}")).expect_err(query);
        assert_eq!(rejection.kind, RejectionKind::Malformed);
        assert!(rejection.code.starts_with("invalid_"), "{query}: {}", rejection.code);
        let listed = format!(": `{}`", missing.replace(", ", "`, `"));
        assert!(rejection.detail.ends_with(&listed), "{query}: {rejection}");
    }
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let good = [
        ("flowChunkNumber", "1"),
        ("flowChunkSize", "5"),
        ("flowTotalSize", "11"),
        ("flowTotalChunks", "2"),
        ("flowIdentifier", "a"),
    ];
    let digits = "9".repeat(5000);
    let cases = [
        (
            "flowChunkNumber",
            "invalid_chunk_number",
            vec!["0", "-1", "3", "1.0", "1e3", "x", " 1", &digits],
        ),
        ("flowChunkSize", "invalid_chunk_size", vec!["0", "-5", "5.5", "Infinity", "NaN", &digits]),
        ("flowTotalSize", "invalid_total_size", vec!["-1", "1.5", "NaN", "1e21"]),
        ("flowTotalSize", "too_large", vec!["18446744073709551615", &digits]),
        ("flowTotalChunks", "invalid_total_chunks", vec!["4", "-1", "2.0", "999999999", &digits]),
        (
            "scheduled_at",
            "invalid_scheduled_at",
            vec!["tomorrow", "2026-02-30", "2026-12-01T00:00"],
        ),
        ("sha256", "invalid_sha256", vec!["x", "00", "g000"]),
        ("chunk_sha256", "invalid_chunk_sha256", vec!["x", "é"]),
    ];
    for (name, code, values) in cases {
        for value in values {
            let mut fields = FlowFields::default();
            for (good, one) in good.into_iter().filter(|(good, _)| *good != name) {
                fields.set(good, one.into()).expect("it is there once");
            }
            fields.set(name, value.into()).expect("it is there once");
            let post = fields.post(&alice()).expect_err(value);
            let probe = fields.probe(&alice()).expect_err(value);
            assert_eq!((post.code, probe.code), (code, code), "{name}={value}");
            assert!(post.detail.len() < 400, "{}", post.detail);
        }
    }
    let nameless = chunk_query(1, 5, 5, 11, 2).replace("flowIdentifier", "x").replace("name=", "=");
    let nameless = nameless.replace("flowRelativePath", "y");
    assert_eq!(post(&nameless).map_err(|rejection| rejection.code), Err("invalid_identifier"));
    let past = post("flowFilename=a&flowTotalChunks=1&flowChunkNumber=2");
    assert_eq!(past.map_err(|rejection| rejection.code), Err("invalid_chunk_number"));
    let many = post(&chunk_query(1, 1, 1, 2_000_000, 2_000_000));
    assert_eq!(many.map_err(|rejection| rejection.code), Err("invalid_total_chunks"));
}

#[test]
fn a_zombie_of_flow_js_is_told_that_it_is_over() {
    let zombie = chunk_query(3, 5, 5, 15, 0);
    let rejection = post(&zombie).expect_err("it is over");
    assert_eq!((rejection.kind, rejection.code), (RejectionKind::Gone, "upload_gone"));
    // flow.js never probes like this, so whoever does is told what is wrong.
    let rejection = probe(&zombie).expect_err("no such upload");
    assert_eq!(rejection.code, "invalid_total_chunks");
    assert_eq!(rejection.kind, RejectionKind::Malformed);
    assert!(lookup(&zombie).is_err());
}

#[test]
fn a_probe_by_hand_names_what_it_likes() {
    let named = Named { identifier: Some("a".into()), ..Named::default() };
    assert_eq!(probe("flowIdentifier=a&flowChunkNumber=3"), Ok(Probe::Partial(named.clone(), 2)));
    assert_eq!(lookup("flowIdentifier=a"), Ok(Lookup::Partial(named)));
    let all_but_total = "flowIdentifier=a%0D%0A&flowFilename=b&flowRelativePath=c%0D%0A\
                         &flowChunkNumber=2&flowChunkSize=5&flowTotalChunks=2";
    let named = Named {
        identifier: Some("a\n".into()),
        filename: Some("b".into()),
        relative_path: Some("c\n".into()),
        stride: Some(5),
        count: Some(2),
        called: FileName::new("b").ok(),
        ..Named::default()
    };
    assert_eq!(probe(all_but_total), Ok(Probe::Partial(named, 1)));
    let one = probe("flowFilename=b&flowChunkNumber=1&flowTotalChunks=1&flowChunkSize=Infinity");
    assert!(matches!(one, Ok(Probe::Partial(Named { stride: None, count: Some(1), .. }, 0))));

    for (query, code) in [
        ("flowIdentifier=a", "invalid_chunk_number"),
        ("flowIdentifier=a&flowChunkNumber=0", "invalid_chunk_number"),
        ("flowIdentifier=a&flowChunkNumber=3&flowTotalChunks=2", "invalid_chunk_number"),
        ("flowIdentifier=a&flowChunkNumber=1&flowChunkSize=x", "invalid_chunk_size"),
        ("flowIdentifier=a&flowChunkNumber=1&flowTotalSize=x", "invalid_total_size"),
        ("flowChunkNumber=1", "invalid_identifier"),
        ("", "invalid_identifier"),
    ] {
        assert_eq!(probe(query).map_err(|rejection| rejection.code), Err(code), "{query}");
    }
}

#[test]
fn a_probe_in_the_query_and_a_post_in_a_form_are_of_one_upload() {
    // A form turns a line break into CRLF, a query does not.
    let probed = chunk_query(1, 5, 5, 11, 2).replace("a.txt", "a%0Ab.txt");
    let posted = chunk_query(1, 5, 5, 11, 2).replace("a.txt", "a%0D%0Ab.txt");
    let Ok(Probe::Chunk(probed)) = probe(&probed) else { panic!("a full probe") };
    assert_eq!(chunk_of(&posted).identity, probed.identity);
}

#[test]
fn what_else_a_request_says_is_read() {
    let query =
        format!("flowFilename=a&scheduled_at=2026-12-01&sha256={DIGEST}&flowCurrentChunkSize=5");
    let request = fields(&query).post(&alice()).expect("a whole file");
    assert_eq!(request.scheduled, "2026-12-01".parse().ok());
    assert_eq!(request.sha256, DIGEST.parse().ok());
    assert_eq!((request.chunk_digest.sha256, request.declared_len), (None, Some(5)));
    let absent = fields("flowFilename=a&scheduled_at=undefined&sha256=null&chunk_sha256=");
    let request = absent.post(&alice()).expect("a whole file");
    assert_eq!((request.scheduled, request.sha256), (None, None));
    assert!(request.chunk_digest.is_empty());
}

#[test]
fn the_header_and_the_field_must_agree() {
    let header = "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";
    let request = |query: &str| fields(query).post(&alice()).expect("a whole file");
    let plain = request("flowFilename=a");
    let named = request(&format!("flowFilename=a&chunk_sha256={}", DIGEST.to_uppercase()));
    let other = request(&format!("flowFilename=a&chunk_sha256={}", "0".repeat(64)));
    assert_eq!(plain.clone().with_content_digest(None), Ok(plain.clone()));
    assert_eq!(plain.clone().with_content_digest(Some("")), Ok(plain.clone()));
    assert_eq!(plain.clone().with_content_digest(Some(header)), Ok(named.clone()));
    assert_eq!(named.clone().with_content_digest(Some(header)), Ok(named));
    for (request, header) in [(other, header), (plain, "sha-256=x")] {
        let code = request.with_content_digest(Some(header)).map_err(|rejection| rejection.code);
        assert_eq!(code, Err("invalid_content_digest"));
    }
}

/// flow.js's own chunks: offset and length of each (`FlowFile.bootstrap`, `FlowChunk`).
fn flow_js(total: u64, size: u64, force_chunk_size: bool) -> Vec<(u64, u64)> {
    let count = if force_chunk_size { total.div_ceil(size) } else { total / size }.max(1);
    let end = |offset: u64| {
        let end = total.min((offset + 1) * size);
        if total - end < size && !force_chunk_size { total } else { end }
    };
    (0..count).map(|offset| (offset * size, end(offset) - offset * size)).collect()
}

proptest! {
    #[test]
    fn every_chunk_of_flow_js_stands_where_flow_js_took_it_from(
        (total, size) in prop_oneof![
            (0u64..4_000, 1u64..500),
            (0u64..1 << 40, (1u64 << 30)..1 << 33),
        ],
        force_chunk_size: bool,
    ) {
        let chunks = flow_js(total, size, force_chunk_size);
        let count = chunks.len() as u64;
        for (number, (offset, len)) in (1..).zip(chunks) {
            let query = chunk_query(number, size, len, total, count);
            let request = fields(&query).post(&alice()).expect("flow.js is right");
            prop_assert_eq!(request.declared_len, Some(len));
            let Post::Chunk(chunk) = request.addressed else { panic!("{query}") };
            let place = (chunk.index, chunk.range.offset(), chunk.range.len());
            prop_assert_eq!(place, (number - 1, offset, len));
        }
        prop_assert!(post(&chunk_query(count + 1, size, 1, total, count)).is_err());
    }

    #[test]
    fn no_texts_panic(
        texts in prop::collection::vec(
            prop_oneof![
                "[0-9]{0,22}",
                "\\PC{0,20}",
                "(NaN|Infinity|-1|1e21|/|\\.\\.|\r\n|\0){1,3}",
                Just("1".into()),
            ],
            Field::ALL.len(),
        )
    ) {
        let mut fields = FlowFields::default();
        for (field, text) in Field::ALL.into_iter().zip(texts) {
            let is_empty_identifier = field == Field::Identifier && text.is_empty();
            prop_assert_eq!(fields.set(field.name(), text).is_err(), is_empty_identifier);
        }
        let post = fields.post(&alice());
        if let Ok(FlowRequest { addressed: Post::Chunk(chunk), .. }) = &post {
            prop_assert_eq!(chunk.identity.plan().piece(chunk.index), Some(chunk.range));
            // What can be posted in full can be probed, and is the same chunk.
            let probe = fields.probe(&alice()).map(|request| request.addressed);
            if let Ok(Probe::Chunk(probed)) = probe {
                prop_assert_eq!(&probed, chunk);
            }
        }
        let _ = (fields.probe(&alice()), fields.lookup(&alice()));
    }
}
