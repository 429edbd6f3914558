//! What signing in writes is the same whether or not an address is known: on a slow disk, whoever
//! waits for a write could tell otherwise.

use std::{future::pending, sync::Arc, time::Duration};

use flowstitch::catalog::MemoryCatalog;
use serde_json::json;
use tokio::time::timeout;

use crate::support::{CountedDirectory, Outbox, StagedCatalog, TestApp};

/// Ann has an address, Bob is disabled, and Eve has asked too often.
async fn start(outbox: &Arc<Outbox>) -> (TestApp, Arc<CountedDirectory>) {
    let (catalog, counted) = StagedCatalog::new(Arc::new(MemoryCatalog::new())).counted();
    let app = TestApp::builder().catalog(Arc::new(catalog)).mailer(outbox.clone()).start().await;
    for name in ["ann", "bob", "eve"] {
        let add = format!("/users/add?name={name}&email={name}%40example.com");
        app.control(&add).await.assert_status(200);
    }
    app.control("/users/disable?name=bob").await.assert_status(200);
    for _ in 0..6 {
        request(&app, "eve").await;
    }
    counted.take();
    (app, counted)
}

/// Paused time passes when nothing is left to do.
async fn settled() {
    let waited = timeout(Duration::from_secs(10), pending::<()>()).await;
    assert!(waited.is_err());
}

/// Everything that a request for a code leads to.
async fn request(app: &TestApp, name: &str) {
    let email = format!("{name}@example.com");
    app.tell("/auth/otp", &json!({ "email": email })).await.assert_status(202);
    settled().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_for_a_code_writes_the_same_for_everybody() {
    let outbox = Arc::<Outbox>::default();
    let (app, counted) = start(&outbox).await;
    for name in ["ann", "bob", "eve", "nobody"] {
        for _ in 0..2 {
            request(&app, name).await;
            assert_eq!(counted.take(), ["code_sent", "put_code"], "{name}");
        }
    }
    // While one is on its way there is no other one.
    let gate = outbox.hold();
    request(&app, "ann").await;
    assert_eq!(counted.take(), ["put_code"]);
    request(&app, "ann").await;
    assert_eq!(counted.take(), ["code_sent", "put_code"]);
    gate.open();
    settled().await;
    assert_eq!(counted.take(), ["code_sent"]);
    app.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_wrong_code_writes_the_same_for_everybody() {
    let outbox = Arc::<Outbox>::default();
    let (app, counted) = start(&outbox).await;
    request(&app, "ann").await;
    counted.take();
    for name in ["ann", "bob", "eve", "nobody"] {
        for _ in 0..7 {
            let entered = json!({ "email": format!("{name}@example.com"), "code": "x" });
            let reply = app.tell("/auth/session", &entered).await;
            reply.assert_problem(401, "invalid_code");
            assert_eq!(counted.take(), ["try_code"], "{name}");
        }
    }
}
