//! Pages of other origins that make a browser change something here.

use http::Method;
use serde_json::Value;

use crate::support::{Reply, TestApp};

const CROSS_SITE: (&str, &str) = ("sec-fetch-site", "cross-site");
const EVIL: (&str, &str) = ("origin", "https://evil.org");
const TOKEN: (&str, &str) = ("authorization", "Bearer x");

/// Everything that changes something, asked for with these headers.
async fn changes(app: &TestApp, creative: &Value, lines: &[(&str, &str)]) -> Vec<(String, Reply)> {
    let id = creative["id"].as_str().expect("an id");
    let upload = creative["upload_id"].as_str().expect("an id");
    let mut replies = Vec::new();
    for (method, path) in [
        (Method::POST, "/upload?flowIdentifier=x&flowFilename=x&flowTotalSize=0".to_owned()),
        (Method::PUT, "/upload?flowIdentifier=y&flowFilename=y&flowTotalSize=0".to_owned()),
        (Method::POST, "/upload-creative".to_owned()),
        (Method::PATCH, format!("/creatives/{id}")),
        (Method::DELETE, format!("/uploads/{upload}")),
        (Method::DELETE, format!("/creatives/{id}")),
    ] {
        let reply = app.ask(method.clone(), &path, lines).await;
        replies.push((format!("{method} {path}"), reply));
    }
    replies
}

#[tokio::test]
async fn no_page_of_another_origin_changes_anything() {
    let app = TestApp::start().await;
    let creative = app.flow("abc").upload().await;
    let before = app.creatives().await;
    for lines in [&[CROSS_SITE, EVIL][..], &[CROSS_SITE], &[EVIL], &[("origin", "null")]] {
        for (what, reply) in changes(&app, &creative, lines).await {
            let detail = reply.assert_problem(403, "cross_site");
            assert!(detail.contains("cors_origins") && detail.contains("public_url"), "{what}");
        }
        // It may look, as a picture in a page looks; what it sees is for CORS to say.
        app.ask(Method::GET, "/creatives", lines).await.assert_status(200);
        assert_eq!(app.creatives().await, before);
    }
}

#[tokio::test]
async fn what_is_no_page_of_another_origin_is_let_through() {
    let listed = "--cors-origins=https://www.example.com";
    for lines in [
        // A program.
        &[][..],
        &[("cookie", "session=1")],
        // Our own page.
        &[("sec-fetch-site", "same-origin"), ("origin", "https://localhost:9000")],
        &[("host", "localhost:8080"), ("origin", "http://localhost:8080")],
        // One that is listed.
        &[CROSS_SITE, ("origin", "https://www.example.com"), ("cookie", "session=1")],
    ] {
        let app = TestApp::builder().flag(listed).start().await;
        let creative = app.flow("abc").upload().await;
        for (what, reply) in changes(&app, &creative, lines).await {
            assert_ne!(reply.status, 403, "{what}: {lines:?}");
        }
        assert!(!app.creatives().await.contains(&creative));
    }
}

#[tokio::test]
async fn who_shows_a_token_is_judged_by_the_token() {
    let app = TestApp::start().await;
    let creative = app.flow("abc").upload().await;
    for (what, reply) in changes(&app, &creative, &[CROSS_SITE, EVIL, TOKEN]).await {
        let code = serde_json::from_slice(&reply.body).map(|it: Value| it["code"].clone());
        assert_ne!(code.ok(), Some("cross_site".into()), "{what}");
    }
}

#[tokio::test]
async fn a_refused_origin_that_may_read_can_read_why() {
    // Anybody may come, but not with the cookie of a proxy.
    let app = TestApp::builder().flag("--cors-origins=*").start().await;
    let lines = [CROSS_SITE, EVIL, ("cookie", "session=1")];
    let reply = app.ask(Method::POST, "/upload", &lines).await;
    reply.assert_problem(403, "cross_site");
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
}
