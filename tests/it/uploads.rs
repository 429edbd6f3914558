//! `/uploads`: what became of them, and how to give one up.

use flowstitch::upload::{By, Principal, UploadId, limits::MISSING_LEN_MAX};
use http::{Method, Request};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::{FlowFile, Reply, TestApp, with_missing};

fn path(status: &Value) -> String {
    format!("/uploads/{}", status["upload"]["id"].as_str().expect("an id"))
}

fn names(list: &Reply) -> Vec<String> {
    let list = list.assert_status(200).json()["uploads"].clone();
    let list = list.as_array().expect("a list").iter();
    list.map(|status| status["upload"]["filename"].as_str().expect("a name").to_owned()).collect()
}

/// One upload in each state that can be reached by asking, named after it.
async fn one_of_each(app: &TestApp) {
    app.flow("expired!").name("expired").send([1]).await;
    app.clock().advance(25 * 3_600_000);
    app.app().engine().sweep().await.expect("a sweep");
    app.flow("complete").name("complete").upload().await;
    let file = app.flow("failed").name("failed").chunk_size(8).with("sha256", "0".repeat(64));
    file.post(1).await.assert_problem(415, "checksum_mismatch");
    let cancelled = app.flow("cancelled").name("cancelled").send([1]).await;
    app.delete(&path(&cancelled.json())).await.assert_status(204);
    app.flow("receiving").name("receiving").send([1]).await;
}

#[tokio::test]
async fn an_upload_shows_how_it_stands() {
    let app = TestApp::start().await;
    let file = app.flow("0123456789").force_chunk_size().name("Ünïcode.bin");
    let sent = file.send([2]).await.json();
    let id = sent["upload"]["id"].as_str().expect("an id");
    let expected = json!({
        "upload": {
            "id": id,
            "state": "receiving",
            "filename": "Ünïcode.bin",
            "total_size": 10,
            "received_bytes": 4,
            "chunk_size": 4,
            "total_chunks": 3,
            "received_chunks": 1,
            "created_at": "2026-12-01T12:00:00Z",
            "expires_at": "2026-12-02T12:00:00Z",
            "error": null,
        },
        "complete": false,
        "creative": null,
    });
    assert_eq!(sent, expected);
    let listing = with_missing(&expected, &json!([[1, 1], [3, 3]]));
    assert_eq!(app.get(&path(&sent)).await.assert_status(200).json(), listing);
    assert_eq!(file.lookup().await.assert_status(200).json(), listing);
    assert_eq!(app.get("/uploads").await.json()["uploads"], json!([expected]));
    assert_eq!(file.probe(2).await.assert_status(200).json(), expected);

    let complete = file.send([1, 3]).await.json();
    assert_eq!(complete["upload"]["state"], "complete");
    assert_eq!(complete["upload"]["received_chunks"], 3);
    let listing = with_missing(&complete, &json!([]));
    assert_eq!(app.get(&path(&sent)).await.assert_status(200).json(), listing);
    assert_eq!(app.get("/uploads").await.json()["uploads"], json!([complete]));
}

/// An upload of so many chunks of one byte, of which every second one is here.
async fn with_gaps<'a>(app: &'a TestApp, name: &str, chunks: usize) -> FlowFile<'a> {
    let file = app.flow("x".repeat(chunks)).chunk_size(1).name(name);
    file.send((2..=chunks).step_by(2)).await;
    file
}

#[tokio::test]
async fn what_is_missing_is_listed_page_by_page() {
    let app = TestApp::start().await;
    let file = with_gaps(&app, "gaps", 2 * MISSING_LEN_MAX + 3).await;
    let id = app.uploads().await[0]["upload"]["id"].as_str().expect("an id").to_owned();
    for path in [format!("/uploads/{id}?"), file.lookup_path()] {
        let first = app.get(&path).await.assert_status(200).json();
        let pairs = first["upload"]["missing_chunks"].as_array().expect("a list").clone();
        assert_eq!(pairs.len(), MISSING_LEN_MAX);
        assert_eq!(first["upload"]["missing_truncated"], true);
        let last = &pairs[MISSING_LEN_MAX - 1][1];
        assert_eq!(*last, 2 * MISSING_LEN_MAX - 1);
        let page = async |from: u64| app.get(&format!("{path}&from_chunk={from}")).await;
        let rest = page(last.as_u64().expect("a number") + 1).await.assert_status(200).json();
        let from = 2 * MISSING_LEN_MAX + 1;
        assert_eq!(rest["upload"]["missing_chunks"], json!([[from, from], [from + 2, from + 2]]));
        assert!(rest["upload"].get("missing_truncated").is_none(), "{rest}");
        for beyond in [2 * MISSING_LEN_MAX as u64 + 4, u64::MAX] {
            let nothing = page(beyond).await.assert_status(200).json();
            assert_eq!(nothing["upload"]["missing_chunks"], json!([]));
        }
    }
    for wrong in ["0", "-1", "x", "1.5"] {
        let reply = app.get(&format!("/uploads/{id}?from_chunk={wrong}")).await;
        reply.assert_problem(400, "invalid_parameter");
        let reply = app.get(&format!("{}&from_chunk={wrong}", file.lookup_path())).await;
        reply.assert_problem(400, "invalid_from_chunk");
    }
}

#[tokio::test]
async fn an_answer_is_short_however_much_is_missing() {
    let app = TestApp::start().await;
    for name in ["a", "b", "c"] {
        let file = with_gaps(&app, name, 2000).await;
        for reply in [file.post(2).await, file.probe(2).await] {
            reply.assert_status(200);
            assert_eq!(reply.json()["upload"]["received_chunks"], 1000);
            assert!(reply.body.len() < 1000, "{reply:?}");
        }
        file.probe(1).await.assert_missing();
        assert!(file.lookup().await.body.len() < 20_000);
    }
    let list = app.get("/uploads").await;
    assert_eq!(names(&list), ["c", "b", "a"]);
    assert!(list.body.len() < 3000, "{list:?}");
    // The same from the catalog alone: none is in memory after a restart.
    let app = app.restart().await;
    assert_eq!(app.get("/uploads").await.json(), list.json());
}

#[tokio::test]
async fn what_names_no_upload_is_not_found() {
    let app = TestApp::start().await;
    let status = app.flow("0123456789").send([1]).await.json();
    let id = status["upload"]["id"].as_str().expect("an id");
    let unknown = UploadId::new().to_string();
    for id in [&unknown, &id.to_uppercase(), &id.replace('-', ""), "1", "..%2f..", "lookup%20"] {
        for path in [format!("/uploads/{id}"), format!("/uploads/{id}/events")] {
            app.get(&path).await.assert_problem(404, "not_found");
            assert!(app.call(Method::HEAD, &path).await.assert_status(404).body.is_empty());
        }
        app.delete(&format!("/uploads/{id}")).await.assert_problem(404, "not_found");
    }
    app.get(&path(&status)).await.assert_status(200);
}

#[tokio::test]
async fn a_lookup_finds_by_the_flow_fields_or_not_at_all() {
    let app = TestApp::start().await;
    let file = app.flow("0123456789");
    file.lookup().await.assert_problem(404, "not_found");
    let status = with_missing(&file.send([1]).await.json(), &json!([[2, 2]]));
    let fields: Vec<_> =
        file.fields(1).into_iter().filter(|(n, _)| n != "flowChunkNumber").collect();
    let query: String =
        form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let found = app.get(&format!("/uploads/lookup?{query}")).await;
    assert_eq!(found.assert_status(200).json(), status);
    app.get("/uploads/lookup").await.assert_status(400);
    app.flow("0123456789").chunk_size(5).lookup().await.assert_problem(404, "not_found");
}

#[tokio::test]
async fn uploads_are_listed_newest_first_and_by_state() {
    let app = TestApp::start().await;
    one_of_each(&app).await;
    let all = ["receiving", "cancelled", "failed", "complete", "expired"];
    assert_eq!(names(&app.get("/uploads").await), all);
    for state in all {
        let list = app.get(&format!("/uploads?state={state}")).await;
        assert_eq!(names(&list), [state]);
        assert_eq!(list.json()["uploads"][0]["upload"]["state"], state);
    }
    assert_eq!(names(&app.get("/uploads?state=stitching").await), Vec::<String>::new());
    assert_eq!(names(&app.get("/uploads?state=&limit=&cursor=").await), all);
}

#[tokio::test]
async fn pages_tile_the_list_while_new_uploads_come() {
    for limit in [1, 2, 4, 5] {
        let app = TestApp::start().await;
        for name in ["a", "b", "c", "d", "e"] {
            app.flow("0123456789").name(name).send([1]).await;
        }
        let (mut pages, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = app.get(&format!("/uploads?limit={limit}&cursor={cursor}")).await;
            let names = names(&page);
            assert!((1..=limit).contains(&names.len()), "{names:?}");
            pages.extend(names);
            app.flow("0123456789").name(&format!("new {}", pages.len())).send([1]).await;
            let Some(next) = page.json()["next_cursor"].as_str().map(str::to_owned) else { break };
            cursor = next;
        }
        assert_eq!(pages, ["e", "d", "c", "b", "a"], "{limit}");
    }
}

#[tokio::test]
async fn a_bad_parameter_is_named() {
    let app = TestApp::start().await;
    for (query, name) in [
        ("state=done", "`state`"),
        ("state=Complete", "`state`"),
        ("limit=0", "`limit`"),
        ("limit=1001", "`limit`"),
        ("cursor=1", "`cursor`"),
        ("state=complete&state=failed", "`state`"),
        ("status=complete", "\"status\""),
    ] {
        let reply = app.get(&format!("/uploads?{query}")).await;
        let detail = reply.assert_problem(400, "invalid_parameter");
        assert!(detail.contains(name), "{query}: {detail}");
    }
}

#[tokio::test]
async fn giving_up_removes_the_bytes_and_leaves_a_tombstone() {
    let app = TestApp::start().await;
    let file = app.flow("0123456789");
    let status = file.send([1]).await.json();
    assert_eq!(app.files("incomplete").len(), 1);
    let gone = app.delete(&path(&status)).await;
    assert!(gone.assert_status(204).body.is_empty());
    assert_eq!(app.files("incomplete"), Vec::<String>::new());
    let tombstone = app.get(&path(&status)).await.assert_status(200).json();
    assert_eq!(tombstone["upload"]["state"], "cancelled");
    assert_eq!(tombstone["upload"]["received_bytes"], 0);
    file.post(2).await.assert_problem(415, "upload_gone");
    app.delete(&path(&status)).await.assert_status(204);
    let app = app.restart().await;
    app.delete(&path(&status)).await.assert_status(204);
    assert_eq!(app.get(&path(&status)).await.json(), tombstone);
}

#[tokio::test]
async fn a_complete_upload_cannot_be_given_up() {
    let app = TestApp::start().await;
    let file = app.flow("0123456789");
    let creative = file.upload().await;
    let upload = format!("/uploads/{}", creative["upload_id"].as_str().expect("an id"));
    let detail = app.delete(&upload).await.assert_problem(409, "conflict");
    assert!(detail.contains("creative"), "{detail}");
    assert_eq!(app.published(&creative), file.content());
    assert_eq!(app.get(&upload).await.json()["creative"], creative);
}

#[tokio::test]
async fn every_other_end_can_be_given_up_again() {
    let app = TestApp::start().await;
    one_of_each(&app).await;
    for state in ["failed", "expired", "cancelled"] {
        let list = app.get(&format!("/uploads?state={state}")).await.json();
        app.delete(&path(&list["uploads"][0])).await.assert_status(204);
        assert_eq!(names(&app.get(&format!("/uploads?state={state}")).await), [state]);
    }
}

#[tokio::test]
async fn a_client_that_leaves_does_not_stop_a_cancellation_half_way() {
    let app = TestApp::start().await;
    let status = app.flow("0123456789").send([1]).await.json();
    let request = Request::delete(path(&status)).header("host", "localhost");
    let request = request.body(flowstitch::http::body::empty());
    let mut answer = Box::pin(app.service().oneshot(request.expect("a request")));
    assert!(futures_util::poll!(&mut answer).is_pending());
    drop(answer);
    let stopped = app.stop().await;
    assert_eq!(stopped.files("incomplete"), Vec::<String>::new());
    let app = stopped.start().await;
    assert_eq!(app.get(&path(&status)).await.json()["upload"]["state"], "cancelled");
}

#[tokio::test]
async fn nobody_else_sees_follows_or_gives_up_an_upload() {
    let app = TestApp::start().await;
    let (engine, other) = (app.app().engine(), Principal::named("somebody else"));
    let by = By::server(app.clock().now());
    let running = app.flow("0123456789").send([1]).await.json();
    let id: UploadId = running["upload"]["id"].as_str().expect("an id").parse().expect("an id");
    assert!(engine.upload(&other, id, 0).await.expect("an answer").is_none());
    assert!(engine.watch(&other, id).await.expect("an answer").is_none());
    assert!(engine.cancel(&other, id, &by).await.expect("an answer").is_none());
    let listing = with_missing(&running, &json!([[2, 2]]));
    assert_eq!(app.get(&path(&running)).await.json(), listing);

    let creative = app.flow("a whole file").name("b.bin").upload().await;
    let id = creative["id"].as_str().expect("an id").parse().expect("an id");
    let day = app.clock().today();
    assert!(engine.creative(&other, id).await.expect("an answer").is_none());
    assert!(engine.reschedule(&other, id, day, &by).await.expect("an answer").is_none());
    assert!(!engine.delete_creative(&other, id, &by).await.expect("an answer"));
    assert_eq!(app.creatives().await, [creative]);
}
