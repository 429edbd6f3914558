//! `/creatives` and `/scheduled`: what was published, and for which day.

use std::{io::ErrorKind, sync::Arc};

use flowstitch::{
    store::{ChunkStore, MemoryStore, StoreOp},
    upload::CreativeId,
};
use http::{Method, Request};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::{TestApp, sha256_hex};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n and so on";

/// Publishes a file of this name, which is its content, too.
async fn publish(app: &TestApp, name: &str, day: &str) -> Value {
    app.flow(name).name(name).with("scheduled_at", day).upload().await
}

fn path(creative: &Value) -> String {
    format!("/creatives/{}", creative["id"].as_str().expect("an id"))
}

fn names(list: &Value) -> Vec<&str> {
    let list = list.as_array().expect("a list");
    list.iter().map(|creative| creative["filename"].as_str().expect("a name")).collect()
}

async fn listed(app: &TestApp, query: &str) -> Vec<String> {
    let list = app.get(&format!("/creatives?{query}")).await.assert_status(200).json();
    names(&list["creatives"]).into_iter().map(Into::into).collect()
}

/// Today's and tomorrow's, by name.
async fn scheduled(app: &TestApp) -> [Vec<String>; 2] {
    let days = app.get("/scheduled").await.assert_status(200).json();
    ["today", "tomorrow"].map(|day| {
        let names = names(&days["scheduled_creatives"][day]);
        names.into_iter().map(Into::into).collect()
    })
}

#[tokio::test]
async fn a_creative_says_everything_about_its_file() {
    let app = TestApp::start().await;
    let file = app.flow(PNG).name("cat.png").with("scheduled_at", "2026-12-24");
    let creative = file.upload().await;
    let id = creative["id"].as_str().expect("an id");
    let upload = file.lookup().await.json();
    let expected = json!({
        "id": id,
        "user_id": "anonymous",
        "creative_url": format!("/creatives/{id}/content"),
        "filename": "cat.png",
        "size": PNG.len(),
        "sha256": sha256_hex(PNG),
        "blake3": null,
        "content_type": "image/png",
        "scheduled_at": "2026-12-24",
        "created_at": "2026-12-01T12:00:00Z",
        "upload_id": upload["upload"]["id"],
    });
    assert_eq!(creative, expected);
    let shown = app.get(&path(&creative)).await;
    assert_eq!(shown.assert_status(200).json(), json!({ "creative": expected }));
    let url = creative["creative_url"].as_str().expect("an address");
    assert_eq!(app.get(url).await.body, PNG);
}

#[tokio::test]
async fn what_names_no_creative_is_not_found() {
    let app = TestApp::start().await;
    let creative = publish(&app, "a.png", "2026-12-01").await;
    let id = creative["id"].as_str().expect("an id");
    let ids = [
        CreativeId::new().to_string(),
        creative["upload_id"].as_str().expect("an id").to_owned(),
        id.to_uppercase(),
        id.replace('-', ""),
        format!("{id}%20"),
        "1".into(),
        "..".into(),
        "%2e%2e%2fflowstitch.db".into(),
        String::new(),
    ];
    for id in ids {
        for method in [Method::GET, Method::DELETE] {
            let reply = app.call(method.clone(), &format!("/creatives/{id}")).await;
            reply.assert_problem(404, "not_found");
        }
        let body = r#"{"scheduled_at": "2026-12-02"}"#;
        app.patch(&format!("/creatives/{id}"), body).await.assert_problem(404, "not_found");
        let content = app.get(&format!("/creatives/{id}/content")).await;
        content.assert_problem(404, "not_found");
    }
    app.get(&format!("{}/contents", path(&creative))).await.assert_problem(404, "not_found");
    assert_eq!(app.creatives().await, [creative]);
}

#[tokio::test]
async fn pages_tile_the_list_by_day_and_then_by_age() {
    let app = TestApp::start().await;
    for (name, day) in
        [("c", "2026-12-03"), ("a", "2026-12-01"), ("d", "2026-12-03"), ("b", "2026-12-02")]
    {
        publish(&app, name, day).await;
    }
    publish(&app, "e", "2026-12-03").await;
    for limit in 1..=6 {
        let (mut pages, mut cursor) = (Vec::new(), String::new());
        loop {
            let query = format!("/creatives?limit={limit}&cursor={cursor}");
            let page = app.get(&query).await.assert_status(200).json();
            let names = names(&page["creatives"]);
            assert!((1..=limit).contains(&names.len()), "{names:?}");
            pages.extend(names.into_iter().map(str::to_owned));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = next.to_owned();
        }
        assert_eq!(pages, ["a", "b", "c", "d", "e"], "{limit}");
    }
}

#[tokio::test]
async fn a_page_is_not_disturbed_by_what_comes_and_goes_before_it() {
    let app = TestApp::start().await;
    let first = publish(&app, "a", "2026-12-02").await;
    for name in ["b", "c"] {
        publish(&app, name, "2026-12-02").await;
    }
    let page = app.get("/creatives?limit=1").await.json();
    let cursor = page["next_cursor"].as_str().expect("a second page");
    publish(&app, "early", "2026-12-01").await;
    app.delete(&path(&first)).await.assert_status(204);
    assert_eq!(listed(&app, &format!("cursor={cursor}")).await, ["b", "c"]);
}

#[tokio::test]
async fn a_list_is_cut_by_days_on_both_ends() {
    let app = TestApp::start().await;
    for day in ["2026-12-01", "2026-12-02", "2026-12-03"] {
        publish(&app, day, day).await;
    }
    for (query, expected) in [
        ("from=2026-12-02", &["2026-12-02", "2026-12-03"][..]),
        ("to=2026-12-02", &["2026-12-01", "2026-12-02"]),
        ("from=2026-12-02&to=2026-12-02", &["2026-12-02"]),
        ("from=2026-12-04&to=2026-12-05", &[]),
        ("from=2026-12-02&limit=1", &["2026-12-02"]),
        ("from=&to=&limit=&cursor=", &["2026-12-01", "2026-12-02", "2026-12-03"]),
    ] {
        assert_eq!(listed(&app, query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn a_bad_parameter_is_named() {
    let app = TestApp::start().await;
    for (query, name) in [
        ("from=tomorrow", "`from`"),
        ("from=2026-12-1", "`from`"),
        ("to=2026-02-30", "`to`"),
        ("from=2026-12-02&to=2026-12-01", "`from` (2026-12-02) is after `to` (2026-12-01)"),
        ("limit=0", "`limit`"),
        ("limit=1001", "`limit`"),
        ("limit=-1", "`limit`"),
        ("limit=ten", "`limit`"),
        ("cursor=x", "`cursor`"),
        ("cursor=2026-12-01_x", "`cursor`"),
        ("limit=1&limit=2", "`limit`"),
        ("form=2026-12-01", "\"form\""),
        ("a%22%0d%0ab=1", r#""a\"\r\nb""#),
    ] {
        let reply = app.get(&format!("/creatives?{query}")).await;
        let detail = reply.assert_problem(400, "invalid_parameter");
        assert!(detail.contains(name), "{query}: {detail}");
    }
}

#[tokio::test]
async fn the_time_zone_decides_when_tomorrow_becomes_today() {
    const MINUTE_MS: i64 = 60_000;
    // It is 21:00 in Tokyo.
    let app = TestApp::builder().flag("--time-zone=Asia/Tokyo").start().await;
    publish(&app, "1st", "2026-12-01").await;
    publish(&app, "2nd", "2026-12-02").await;
    publish(&app, "3rd", "2026-12-03").await;
    assert_eq!(scheduled(&app).await, [["1st"], ["2nd"]]);
    app.clock().advance(180 * MINUTE_MS - 1);
    assert_eq!(scheduled(&app).await, [["1st"], ["2nd"]]);
    app.clock().advance(1);
    assert_eq!(scheduled(&app).await, [["2nd"], ["3rd"]]);
    let undated = app.flow("undated").upload().await;
    assert_eq!(undated["scheduled_at"], "2026-12-02");
    let late = app.flow("late").with("scheduled_at", "2026-12-01").post(1).await;
    late.assert_problem(400, "invalid_scheduled_at");
    app.clock().advance(48 * 60 * MINUTE_MS);
    assert_eq!(scheduled(&app).await, [Vec::<String>::new(), vec![]]);
}

#[tokio::test]
async fn rescheduling_moves_a_creative_to_another_day() {
    let app = TestApp::start().await;
    let file = app.flow("a").with("scheduled_at", "2026-12-01");
    let mut creative = file.upload().await;
    let other = publish(&app, "other", "2026-12-01").await;
    for day in ["2026-12-02", "2026-12-01", "9999-12-31", "2026-12-02"] {
        creative["scheduled_at"] = day.into();
        let moved = app.patch(&path(&creative), json!({ "scheduled_at": day }).to_string()).await;
        assert_eq!(moved.assert_status(200).json(), json!({ "creative": creative }));
        assert_eq!(app.get(&path(&creative)).await.json(), json!({ "creative": creative }));
    }
    assert_eq!(scheduled(&app).await, [["other"], ["a.bin"]]);
    assert_eq!(app.creatives().await, [other, creative.clone()]);
    let upload = format!("/uploads/{}", creative["upload_id"].as_str().expect("an id"));
    assert_eq!(app.get(&upload).await.json()["creative"], creative);
}

#[tokio::test]
async fn a_patch_that_cannot_be_carried_out_changes_nothing() {
    let app = TestApp::start().await;
    let creative = publish(&app, "a.png", "2026-12-03").await;
    let padded = format!("{{\"scheduled_at\": \"2026-12-04\"{}}}", " ".repeat(64 * 1024));
    for (body, status, code) in [
        ("", 400, "invalid_json"),
        ("{", 400, "invalid_json"),
        ("[]", 400, "invalid_json"),
        ("{}", 400, "invalid_json"),
        ("\"2026-12-04\"", 400, "invalid_json"),
        (r#"{"scheduled_at": null}"#, 400, "invalid_json"),
        (r#"{"scheduled_at": 20261204}"#, 400, "invalid_json"),
        (r#"{"scheduled_at": "2026-12-04"} x"#, 400, "invalid_json"),
        (r#"{"scheduled_at": "2026-12-04", "filename": "b.png"}"#, 400, "invalid_json"),
        (r#"{"scheduled_at": "tomorrow"}"#, 400, "invalid_scheduled_at"),
        (r#"{"scheduled_at": "2026-02-30"}"#, 400, "invalid_scheduled_at"),
        (r#"{"scheduled_at": "2026-11-30"}"#, 400, "invalid_scheduled_at"),
        (&padded, 413, "too_large"),
    ] {
        let reply = app.patch(&path(&creative), body.to_owned()).await;
        reply.assert_problem(status, code);
    }
    let past = app.patch(&path(&creative), r#"{"scheduled_at": "2026-11-30"}"#).await;
    let detail = past.assert_problem(400, "invalid_scheduled_at");
    assert!(detail.contains("today is 2026-12-01"), "{detail}");
    assert_eq!(app.creatives().await, [creative]);
}

#[tokio::test]
async fn deleting_removes_record_and_file_and_frees_the_identity() {
    let app = TestApp::start().await;
    let file = app.flow("a");
    let (creative, kept) = (file.upload().await, publish(&app, "kept", "2026-12-01").await);
    let gone = app.delete(&path(&creative)).await;
    assert!(gone.assert_status(204).body.is_empty());
    assert_eq!(gone.header("content-type"), None);
    app.delete(&path(&creative)).await.assert_problem(404, "not_found");
    app.get(&path(&creative)).await.assert_problem(404, "not_found");
    app.get(&format!("{}/content", path(&creative))).await.assert_problem(404, "not_found");
    assert_eq!(app.creatives().await, std::slice::from_ref(&kept));
    assert_eq!(app.files("completed").len(), 1);
    assert_eq!(app.published(&kept), b"kept");
    let upload = format!("/uploads/{}", creative["upload_id"].as_str().expect("an id"));
    let status = app.get(&upload).await.assert_status(200).json();
    assert_eq!((&status["complete"], &status["creative"]), (&json!(true), &Value::Null));

    file.probe(1).await.assert_status(204);
    let again = file.upload().await;
    assert_ne!(again["id"], creative["id"]);
}

#[tokio::test]
async fn a_body_that_nobody_asked_for_is_no_trouble() {
    let app = TestApp::start().await;
    let creative = publish(&app, "a", "2026-12-01").await;
    for (method, path, status) in [
        (Method::POST, path(&creative), 405),
        (Method::POST, "/nowhere".into(), 404),
        (Method::GET, path(&creative), 200),
        (Method::DELETE, path(&creative), 204),
    ] {
        let request = Request::builder().method(method).uri(path).body("unasked".into());
        app.send(request.expect("a request")).await.assert_status(status);
    }
}

#[tokio::test]
async fn a_client_that_leaves_does_not_stop_a_deletion_half_way() {
    let app = TestApp::start().await;
    let creative = publish(&app, "a", "2026-12-01").await;
    let request = Request::delete(path(&creative)).header("host", "localhost");
    let request = request.body(flowstitch::http::body::empty());
    let mut answer = Box::pin(app.service().oneshot(request.expect("a request")));
    assert!(futures_util::poll!(&mut answer).is_pending());
    drop(answer);
    assert_eq!(app.stop().await.files("completed"), Vec::<String>::new());
}

#[tokio::test]
async fn a_file_that_cannot_be_removed_at_once_is_removed_by_the_next_sweep() {
    let store = Arc::new(MemoryStore::new());
    let app = TestApp::builder().store(store.clone()).start().await;
    let reply = app.flow("a").send([1]).await;
    let creative = reply.json()["creative"].clone();
    store.fail_next(StoreOp::Unpublish, ErrorKind::Other);
    app.delete(&path(&creative)).await.assert_status(204);
    app.get(&format!("{}/content", path(&creative))).await.assert_status(404);
    assert_eq!(store.published().await.expect("a list").len(), 1);
    app.app().engine().sweep().await.expect("a sweep");
    assert_eq!(store.published().await.expect("a list").len(), 0);
}

#[tokio::test]
async fn a_file_that_somebody_took_away_is_missed_before_the_answer_begins() {
    let app = TestApp::start().await;
    let file = app.flow("hello world, are you there?");
    let creative = file.upload().await;
    let [name] = &app.files("completed")[..] else { panic!("one file") };
    std::fs::remove_file(app.dir().join("completed").join(name)).expect("it is there");
    let url = creative["creative_url"].as_str().expect("a URL");
    app.get(url).await.assert_problem(503, "unavailable");
    // A client that sends it again is not kept trying for ever.
    let detail = file.post(1).await.assert_problem(409, "conflict");
    assert!(detail.contains("delete its creative"), "{detail}");
    let id = creative["id"].as_str().expect("an id");
    app.delete(&format!("/creatives/{id}")).await.assert_status(204);
    app.get(file.upload().await["creative_url"].as_str().expect("a URL")).await.assert_status(200);
}
