//! What operators and their machines ask: alive, ready, how much.

use std::{collections::BTreeMap, io::ErrorKind, sync::Arc, time::Duration};

use flowstitch::{
    app::Ended,
    catalog::{Catalog, MemoryCatalog},
    http::middleware::Stack,
    store::{MemoryStore, StoreOp},
};
use futures_util::future::join_all;
use http::Request;
use serde_json::json;
use tower::ServiceExt;

use crate::support::{Reply, TestApp};

/// Asserts that this check, and no other, is said to fail.
#[track_caller]
fn assert_not_ready(reply: &Reply, check: &str) {
    let detail = reply.assert_problem(503, "not_ready");
    assert_eq!(detail, format!("Not ready: the check `{check}` fails."));
}

#[tokio::test]
async fn a_service_that_serves_is_alive_and_ready() {
    let app = TestApp::start().await;
    for path in ["/healthz", "/readyz"] {
        let reply = app.get(path).await;
        assert_eq!(reply.assert_status(200).json(), json!({ "status": "ok" }));
    }
    assert_eq!(app.files("incomplete"), Vec::<String>::new(), "a check leaves nothing");
}

/// Lets the result of the last check grow too old to be given again.
async fn next_check() {
    tokio::time::advance(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_service_whose_store_fails_is_alive_but_not_ready() {
    let (store, catalog) = (Arc::new(MemoryStore::new()), Arc::new(MemoryCatalog::new()));
    let app = TestApp::builder().store(store.clone()).catalog(catalog).start().await;
    for op in [StoreOp::Probe, StoreOp::Look] {
        store.fail_next(op, ErrorKind::Other);
        assert_not_ready(&app.get("/readyz").await, "store");
        app.get("/healthz").await.assert_status(200);
        next_check().await;
        app.get("/readyz").await.assert_status(200);
        next_check().await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_readiness_check_a_second_answers_everybody_who_asks() {
    let store = Arc::new(MemoryStore::new());
    let catalog = Arc::new(MemoryCatalog::new());
    let app = TestApp::builder().store(store.clone()).catalog(catalog).start().await;
    // The second check would succeed.
    store.fail_next(StoreOp::Probe, ErrorKind::Other);
    let replies = join_all((0..50).map(|_| app.get("/readyz"))).await;
    for reply in &replies {
        assert_not_ready(reply, "store");
    }
    tokio::time::advance(Duration::from_millis(999)).await;
    assert_not_ready(&app.get("/readyz").await, "store");
    tokio::time::advance(Duration::from_millis(1)).await;
    // Nor do askers who leave at once cause a check each.
    store.fail_next(StoreOp::Probe, ErrorKind::Other);
    for _ in 0..50 {
        assert!(futures_util::poll!(Box::pin(app.get("/readyz"))).is_pending());
    }
    assert_not_ready(&app.get("/readyz").await, "store");
    next_check().await;
    app.get("/readyz").await.assert_status(200);
}

#[tokio::test(start_paused = true)]
async fn a_service_without_room_is_not_ready() {
    let store = Arc::new(MemoryStore::with_room((64 << 20) + 10));
    let catalog = Arc::new(MemoryCatalog::new());
    let app = TestApp::builder().store(store).catalog(catalog).start().await;
    app.get("/readyz").await.assert_status(200);
    next_check().await;
    let status = app.flow("01234567890").send([1]).await.json();
    assert_not_ready(&app.get("/readyz").await, "free_space");
    let upload = format!("/uploads/{}", status["upload"]["id"].as_str().expect("an id"));
    app.delete(&upload).await.assert_status(204);
    next_check().await;
    app.get("/readyz").await.assert_status(200);
}

#[tokio::test(start_paused = true)]
async fn a_service_whose_catalog_fails_is_not_ready_and_says_try_again() {
    let catalog = Arc::new(MemoryCatalog::new());
    let app = TestApp::builder().catalog(catalog.clone()).start().await;
    app.get("/readyz").await.assert_status(200);
    catalog.close().await.expect("it closes");
    next_check().await;
    assert_not_ready(&app.get("/readyz").await, "catalog");
    app.get("/healthz").await.assert_status(200);
    for path in ["/creatives", "/scheduled", "/uploads", "/metrics"] {
        let reply = app.get(path).await;
        reply.assert_problem(503, "unavailable");
        assert_eq!(reply.header("retry-after"), Some("2"), "{path}");
    }
}

#[tokio::test]
async fn a_service_that_stops_is_not_ready() {
    let app = TestApp::builder().flag("--listen=127.0.0.1:0").start().await;
    let service = app.service();
    assert_eq!(app.shut_down().await, Ended::InOrder);
    let ask = async |path: &str| {
        let request =
            Request::get(path).header("host", "localhost").body(flowstitch::http::body::empty());
        let answer = service.clone().oneshot(request.expect("a request")).await;
        Reply::read(answer.expect("it always answers")).await
    };
    assert_not_ready(&ask("/readyz").await, "shutting_down");
    ask("/healthz").await.assert_status(200);
}

/// What was measured: by metric and labels, as they are written.
type Samples = BTreeMap<String, f64>;

/// Reads `OpenMetrics` text, and asserts that it is well-formed.
fn parse(text: &str) -> Samples {
    let body = text.strip_suffix("# EOF\n").expect("the last line is # EOF");
    let mut types: BTreeMap<&str, &str> = BTreeMap::new();
    let mut samples = Samples::new();
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let (word, rest) = comment.split_once(' ').expect("a word");
            let (name, said) = rest.split_once(' ').expect("a name");
            assert!(["HELP", "TYPE", "UNIT"].contains(&word), "{line}");
            if word == "TYPE" {
                assert_eq!(types.insert(name, said), None, "{name} is declared twice");
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let name = series.split('{').next().expect("a name");
        let suffixes = |kind: &str| match kind {
            "counter" => &["_total"][..],
            "histogram" => &["_bucket", "_sum", "_count"],
            "gauge" => &[""],
            other => panic!("{other}"),
        };
        let declared = types.iter().any(|(declared, kind)| {
            suffixes(kind).iter().any(|suffix| name == format!("{declared}{suffix}"))
        });
        assert!(declared, "{name} has no type");
        let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
        assert_eq!(samples.insert(series.into(), value), None, "{series} is there twice");
    }
    samples
}

async fn measure(app: &TestApp) -> Samples {
    let reply = app.get("/metrics").await;
    let said = reply.assert_status(200).header("content-type");
    assert_eq!(said, Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    parse(std::str::from_utf8(&reply.body).expect("UTF-8"))
}

fn value(samples: &Samples, series: &str) -> f64 {
    samples.get(series).copied().unwrap_or_default()
}

#[tokio::test]
async fn everything_that_an_operator_watches_is_measured() {
    let app = TestApp::builder().flag("--memory-budget=64 MiB").start().await;
    let file = app.flow("0123456789").force_chunk_size();
    let before = measure(&app).await;
    file.send([1, 1, 2, 3]).await;
    file.post_bytes(1, b"????").await.assert_status(409);
    let other = app.flow("receiving!").name("other");
    other.send([1]).await;
    other.post_bytes(2, b"short").await.assert_status(400);
    app.get("/nowhere").await.assert_status(404);
    let after = measure(&app).await;
    let moved = |series: &str| value(&after, series) - value(&before, series);
    for (series, by) in [
        ("flowstitch_uploads{state=\"complete\"}", 1.0),
        ("flowstitch_uploads{state=\"receiving\"}", 1.0),
        ("flowstitch_uploads{state=\"failed\"}", 0.0),
        ("flowstitch_uploads_completed_total", 1.0),
        ("flowstitch_uploads_expired_total", 0.0),
        ("flowstitch_received_bytes_total", 14.0),
        ("flowstitch_chunks_total{result=\"stored\"}", 4.0),
        ("flowstitch_stitch_seconds_count", 1.0),
        ("flowstitch_request_seconds_count{route=\"/upload\",status=\"2xx\"}", 5.0),
        ("flowstitch_request_seconds_count{route=\"/upload\",status=\"4xx\"}", 2.0),
        ("flowstitch_request_seconds_count{route=\"other\",status=\"4xx\"}", 1.0),
    ] {
        assert!((moved(series) - by).abs() < 0.5, "{series} moved by {}", moved(series));
    }
    for series in [
        "flowstitch_chunks_total{result=\"duplicate\"}",
        "flowstitch_chunks_total{result=\"refused\"}",
        "flowstitch_commit_seconds_count",
        "flowstitch_commit_ranges_count",
        "flowstitch_commit_ranges_sum",
    ] {
        assert!(1.0 <= moved(series), "{series} moved by {}", moved(series));
    }
    for (series, is) in [
        ("flowstitch_memory_budget_bytes", f64::from(64 << 20)),
        ("flowstitch_memory_used_bytes", 0.0),
        ("flowstitch_stitch_queue", 0.0),
        ("flowstitch_stitch_retries_total", 0.0),
    ] {
        assert_eq!(after.get(series), Some(&is), "{series}");
    }
    assert!(0.0 < value(&after, "flowstitch_free_bytes"));
}

#[tokio::test]
async fn no_metric_is_named_by_a_client() {
    let app = TestApp::start().await;
    app.get("/secret-path?secret-query").await.assert_status(404);
    app.flow("0123456789").name("secret-name").identifier("secret-id").send([1]).await;
    let page = app.get("/metrics").await;
    assert!(!String::from_utf8_lossy(&page.body).contains("secret"));
}

#[tokio::test]
async fn routes_are_divided_between_the_two_addresses() {
    let app = TestApp::builder().flag("--admin-listen=127.0.0.1:9090").start().await;
    let [user, admin] = ["upload,read", "admin"].map(|scopes| app.token("ann", scopes));
    let (user, admin) = (user.await, admin.await);
    let ask = async |service: Stack, path: &str, token: Option<&str>, host: &str| {
        let mut request = Request::get(path).header("host", host);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(flowstitch::http::body::empty()).expect("a request");
        let answer = service.oneshot(request).await.expect("it always answers");
        Reply::read(answer).await
    };
    let own = || app.app().operator_service();
    for (path, clients, operators) in [
        ("/healthz", 200, 200),
        ("/readyz", 200, 200),
        ("/metrics", 404, 200),
        ("/tickets", 404, 405),
        ("/limits", 200, 404),
        ("/uploads", 200, 404),
        ("/", 200, 404),
        ("/openapi.json", 200, 404),
    ] {
        let token = if clients == 404 { &admin } else { &user };
        let at = async |service| ask(service, path, Some(token), "localhost").await.status.as_u16();
        assert_eq!((at(app.service()).await, at(own()).await), (clients, operators), "{path}");
    }
    // It takes the same credentials as before.
    ask(own(), "/metrics", None, "localhost").await.assert_problem(401, "unauthenticated");
    ask(own(), "/metrics", Some(&user), "localhost").await.assert_problem(403, "forbidden");
}

#[tokio::test]
async fn open_access_ends_at_this_machine_at_the_operators_address_too() {
    let app = TestApp::builder().flag("--admin-listen=127.0.0.1:9090").start().await;
    for (host, status) in [("localhost", 200), ("evil.example", 421)] {
        let request = Request::get("/metrics").header("host", host);
        let request = request.body(flowstitch::http::body::empty()).expect("a request");
        let answer = app.app().operator_service().oneshot(request).await;
        Reply::read(answer.expect("it always answers")).await.assert_status(status);
    }
}
