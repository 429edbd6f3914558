//! Who asks too often waits, and is served; whose body drips is told so.

use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use flowstitch::{catalog::MemoryCatalog, http::gate::Peer, store::MemoryStore};
use http::Request;
use serde_json::{Value, json};
use tokio::time::{Instant, interval};

use crate::support::{Form, Reply, TestApp, TestAppBuilder};

/// On the models, which do nothing in other threads: time is paused, and passes when all wait.
fn builder() -> TestAppBuilder {
    let catalog = Arc::new(MemoryCatalog::new());
    TestApp::builder().store(Arc::new(MemoryStore::new())).catalog(catalog)
}

/// How long it takes, in seconds.
async fn seconds<T>(what: impl Future<Output = T>) -> u64 {
    let began = Instant::now();
    what.await;
    began.elapsed().as_secs()
}

/// A request from there, by whoever has the token.
async fn ask(app: &TestApp, path: &str, from: [u8; 4], token: &str) -> Reply {
    let request = Request::get(path).extension(Peer(IpAddr::from(from)));
    let request = request.header("authorization", format!("Bearer {token}"));
    app.send(request.body(Bytes::new()).expect("a request")).await
}

#[tokio::test(start_paused = true)]
async fn who_asks_too_often_waits_for_the_answer() {
    let app = builder().flag("--max-requests=3").start().await;
    let (ann, bob) = (app.token("ann", "read").await, app.token("bob", "read").await);
    let (here, there) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    for (from, token, path, expected) in [
        (here, &ann, "/limits", [0, 0, 0]),
        // The user is known there, too…
        (there, &ann, "/scheduled", [20, 20, 20]),
        // …and the address by others.
        (here, &bob, "/limits", [0, 0, 0]),
        // Nobody in particular is asked to wait for what is the same for all.
        (here, &ann, "/healthz", [0, 0, 0]),
    ] {
        for expected in expected {
            let reply = seconds(async {
                ask(&app, path, from, token).await.assert_status(200);
            });
            assert_eq!(reply.await, expected, "{path}");
        }
    }
    assert_eq!(seconds(ask(&app, "/limits", here, &bob)).await, 20, "both, and at the same time");
}

#[tokio::test(start_paused = true)]
async fn who_signs_in_too_often_waits_too_though_it_needs_no_credentials() {
    for path in ["/auth/otp", "/auth/session"] {
        let app = builder().flag("--max-requests=3").start().await;
        let ask = async |from: [u8; 4]| {
            let request = Request::post(path).extension(Peer(IpAddr::from(from)));
            let reply = app.send(request.body(Bytes::new()).expect("a request"));
            seconds(async { assert_eq!(reply.await.status, 400, "no document") }).await
        };
        for expected in [0, 0, 0, 20, 20] {
            assert_eq!(ask([10, 0, 0, 1]).await, expected, "{path}");
        }
        assert_eq!(ask([10, 0, 0, 2]).await, 0, "from elsewhere: {path}");
        let ways = Request::get("/auth").extension(Peer([10, 0, 0, 1].into()));
        let ways = app.send(ways.body(Bytes::new()).expect("a request"));
        assert_eq!(seconds(ways).await, 0, "the same for all");
    }
}

#[tokio::test(start_paused = true)]
async fn many_at_once_wait_no_longer_than_the_longest_wait_and_all_are_served() {
    let app = builder().flag("--max-requests=1").start().await;
    let token = app.token("ann", "read").await;
    let asked = (0..50).map(|_| ask(&app, "/limits", [10, 0, 0, 1], &token));
    let took = seconds(async {
        for reply in futures_util::future::join_all(asked).await {
            reply.assert_status(200);
        }
    });
    assert_eq!(took.await, 30);
}

#[tokio::test(start_paused = true)]
async fn who_begins_too_many_uploads_waits_and_who_goes_on_does_not() {
    let app = builder().flag("--max-new-uploads=3").start().await;
    let token = app.token("ann", "upload").await;
    let file = |name: &str| app.flow("hello world, ok").identifier(name).by(&token);
    for name in ["a", "b", "c"] {
        assert_eq!(seconds(file(name).post(1)).await, 0, "{name}");
    }
    assert_eq!(seconds(file("a").post(1)).await, 0, "sent again");
    assert_eq!(seconds(file("a").send([2, 3])).await, 0, "it runs");
    assert_eq!(seconds(file("a").post(1)).await, 0, "its end is known");
    assert_eq!(seconds(file("d").probe(1)).await, 0, "nothing begins");
    assert_eq!(seconds(file("d").post(1)).await, 20);
    let picture = Form::new().field("scheduled_at", "2026-12-24").file("a.gif", "GIF89a 23456789");
    let mut picture = picture.post("/upload-creative");
    let bearer = format!("Bearer {token}").parse().expect("a header");
    picture.headers_mut().insert("authorization", bearer);
    assert_eq!(seconds(app.send(picture)).await, 20);
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_nobody_who_asked_too_often() {
    let app = builder().flag("--max-new-uploads=1").start().await;
    let token = app.token("ann", "upload").await;
    let service = app.service();
    app.flow("abc").by(&token).post(1).await.assert_status(201);
    let request = Request::post("/upload?flowIdentifier=b&flowFilename=b&flowTotalSize=3")
        .header("host", "localhost")
        .header("authorization", format!("Bearer {token}"))
        .body(flowstitch::http::body::full("abc"))
        .expect("a request");
    let late = tower::ServiceExt::oneshot(service, request);
    let (late, took) = tokio::join!(late, seconds(app.shut_down()));
    assert_eq!((late.expect("always").status().as_u16(), took), (201, 0));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_drips_is_given_up_and_its_chunk_can_be_sent_again() {
    let app = builder().start().await;
    let file = app.flow([7; 5000]).chunk_size(5000);
    let (drip, reply) = file.trickle(1);
    let dripping = async {
        let mut drips = interval(Duration::from_secs(19));
        for _ in 0..3 {
            drips.tick().await;
            drip.bring(b"x").await;
        }
    };
    let began = Instant::now();
    let (reply, ()) = tokio::join!(reply, dripping);
    reply.assert_problem(408, "request_timeout");
    // Never silent for `body_idle_timeout`.
    assert_eq!(began.elapsed().as_secs(), 60);
    file.post(1).await.assert_status(201);

    let app = builder().flag("--min-progress=none").start().await;
    let file = app.flow([7; 5000]).chunk_size(5000);
    let (drip, reply) = file.trickle(1);
    let dripping = async {
        let mut drips = interval(Duration::from_secs(29));
        for piece in [7; 5000].chunks(1000) {
            drips.tick().await;
            drip.bring(piece).await;
        }
        drop(drip);
    };
    tokio::join!(reply, dripping).0.assert_status(201);
}

#[tokio::test]
async fn the_limits_tell_how_fast_one_may_be_and_must() {
    let told = async |app: TestApp| -> Vec<Value> {
        let limits = app.get("/limits").await.assert_status(200).json();
        let keys = ["max_connections", "max_connections_per_address", "max_requests"];
        let more = ["max_new_uploads", "rate_window", "min_progress", "progress_window"];
        keys.iter().chain(&more).map(|key| limits[key].clone()).collect()
    };
    let default = json!([10000, 4096, null, null, 60.0, 64, 60.0]);
    assert_eq!(json!(told(builder().start().await).await), default);
    let app = builder().flag("--max-connections=9").flag("--max-connections-per-address=8");
    let app = app.flag("--max-requests=7").flag("--max-new-uploads=6").flag("--rate-window=5s");
    let app = app.flag("--min-progress=none").flag("--progress-window=4s").start().await;
    assert_eq!(json!(told(app).await), json!([9, 8, 7, 6, 5.0, null, 4.0]));
}

#[tokio::test(start_paused = true)]
async fn by_default_nobody_is_slowed_down() {
    let app = builder().start().await;
    let token = app.token("ann", "read").await;
    let asked = (0..1000).map(|_| ask(&app, "/limits", [10, 0, 0, 1], &token));
    assert_eq!(seconds(futures_util::future::join_all(asked)).await, 0);
}
