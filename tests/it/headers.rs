//! What every answer carries: its id, and what browsers and caches are to do with it.

use std::{collections::BTreeSet, convert::Infallible, sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use flowstitch::http::{Request, Response, body, cors::CorsOrigins, middleware, pace::Pace};
use http::{Method, StatusCode};
use serde_json::Value;
use tower::{ServiceExt, service_fn};

use crate::support::{Reply, TestApp, counted};

/// One request for each kind of answer: method, path, status.
async fn answers(app: &TestApp, lines: &[(&str, &str)]) -> Vec<(String, Reply)> {
    let creative = app.flow("0123456789").name("a.png").upload().await;
    let creative = creative["creative_url"].as_str().expect("an address");
    let probe = app.flow("other").query_string(1);
    let mut answers = Vec::new();
    for (method, path, status) in [
        (Method::GET, "/healthz", 200),
        (Method::GET, "/", 200),
        (Method::GET, "/static/app.js", 200),
        (Method::GET, creative, 200),
        (Method::GET, "/creatives", 200),
        (Method::HEAD, "/creatives", 200),
        (Method::GET, &format!("/upload?{probe}"), 204),
        (Method::OPTIONS, "/upload", 204),
        (Method::GET, "/creatives?limit=0", 400),
        (Method::HEAD, "/upload", 400),
        (Method::PUT, "/upload", 400),
        (Method::GET, "/nowhere", 404),
        (Method::DELETE, "/nowhere", 404),
        (Method::GET, "/static/nothing.js", 404),
        (Method::POST, "/healthz", 405),
    ] {
        let reply = app.ask(method.clone(), path, lines).await;
        reply.assert_status(status);
        answers.push((format!("{method} {path}"), reply));
    }
    answers
}

#[tokio::test]
async fn every_answer_is_safe_for_browsers_and_caches() {
    let app = TestApp::start().await;
    for (what, reply) in answers(&app, &[]).await {
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("x-frame-options", "DENY"),
            ("cross-origin-opener-policy", "same-origin"),
            ("vary", "Origin"),
        ] {
            assert_eq!(reply.header(name), Some(value), "{what}: {name}");
        }
        assert!(reply.header("content-security-policy").is_some(), "{what}");
        // Pages of other origins load our scripts; nothing else of ours.
        let is_ours = ["GET /", "GET /static/app.js"].contains(&what.as_str());
        let readers = if is_ours { "cross-origin" } else { "same-origin" };
        assert_eq!(reply.header("cross-origin-resource-policy"), Some(readers), "{what}");
        let kept = match reply.header("cache-control") {
            Some("no-store") => false,
            Some("no-cache" | "private, no-cache") => true,
            other => panic!("{what}: {other:?}"),
        };
        let is_file = reply.headers.contains_key("etag");
        assert_eq!(kept, is_file, "{what}: only pages and published content may be kept");
        let text = format!("{:?}", reply.headers);
        assert!(!text.contains(app.dir().to_str().expect("UTF-8")), "{what}: {text}");
    }
}

#[tokio::test]
async fn a_sane_id_of_the_clients_is_kept() {
    let app = TestApp::start().await;
    let longest = "x".repeat(128);
    for id in ["mine-1", "0af7651916cd43dd8448eb211c80319c", "A.b_c-9", &longest] {
        for (what, reply) in answers(&app, &[("x-request-id", id)]).await {
            assert_eq!(reply.header("x-request-id"), Some(id), "{what}");
            if reply.header("content-type") == Some("application/problem+json")
                && !reply.body.is_empty()
            {
                assert_eq!(reply.json()["request_id"], id, "{what}");
            }
        }
    }
}

#[tokio::test]
async fn any_other_id_is_replaced() {
    let app = TestApp::start().await;
    let too_long = "x".repeat(129);
    let mut seen = BTreeSet::new();
    for id in ["", "a b", "<script>", "a/b", "a\"b", "a,b", &too_long] {
        for (what, reply) in answers(&app, &[("x-request-id", id)]).await {
            let ours = reply.header("x-request-id").expect("an id").to_owned();
            assert!(uuid::Uuid::try_parse(&ours).is_ok(), "{what}: {ours}");
            assert!(seen.insert(ours), "{what}: no two requests have one id");
        }
    }
    let two = [("x-request-id", "a"), ("x-request-id", "b")];
    let reply = app.ask(Method::GET, "/healthz", &two).await;
    assert_eq!(reply.header("x-request-id").map(str::len), Some(36));
}

#[tokio::test]
async fn a_bug_is_an_internal_problem_that_names_its_request() {
    let broken = service_fn(async |request: Request| -> Result<Response, Infallible> {
        panic!("at {} of /srv/secret.db", request.uri())
    });
    let origin = "https://app.example.com".parse().expect("an origin");
    let cors = CorsOrigins::new([origin]);
    let pace = Pace { idle: Duration::from_secs(30), progress: None, window: Duration::ZERO };
    let options = middleware::Options { cors, pace };
    let request = http::Request::get("/creatives")
        .header("x-request-id", "mine")
        .header("origin", "https://app.example.com")
        .body(body::empty())
        .expect("a request");
    let response = middleware::stack(broken, &options).oneshot(request).await;
    let reply = Reply::read(response.expect("it always answers")).await;
    let detail = reply.assert_problem(500, "internal");
    assert!(!detail.contains("secret"), "{detail}");
    assert_eq!(reply.header("x-request-id"), Some("mine"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.header("vary"), Some("Origin"));
    let allowed = reply.header("access-control-allow-origin");
    assert_eq!(allowed, Some("https://app.example.com"));
}

#[tokio::test]
async fn a_refused_body_is_read_before_it_is_answered() {
    let app = TestApp::start().await;
    for (method, path, status) in [
        (Method::POST, "/nowhere", 404),
        (Method::POST, "/healthz", 405),
        (Method::DELETE, "/uploads/nothing", 404),
        (Method::PATCH, "/creatives/01940000-0000-7000-8000-000000000000", 413),
        (Method::PUT, "/upload", 400),
        (Method::POST, "/upload-creative", 400),
    ] {
        const LEN: usize = 128 * 1024;
        let request = http::Request::builder().method(method).uri(path);
        let request = request.body(Bytes::from(vec![b' '; LEN])).expect("a request");
        let (request, taken) = counted(request, 16 * 1024);
        app.send_streaming(request).await.assert_status(status);
        assert_eq!(taken.load(Ordering::SeqCst), LEN, "{path}: who still sends is cut off");
    }
}

#[tokio::test]
async fn what_is_not_there_is_404_and_what_cannot_be_done_is_405() {
    let app = TestApp::start().await;
    for path in ["/upload/", "/Upload", "//", "/index.html", "/static/", "/static/../Cargo.toml"] {
        app.get(path).await.assert_problem(404, "not_found");
    }
    let creative = app.flow("0123456789").upload().await;
    let id = |name: &str| creative[name].as_str().expect("an id").to_owned();
    let (creative, upload) = (id("id"), id("upload_id"));
    for (path, allow) in [
        ("/upload", "GET, POST, PUT"),
        ("/upload-creative", "POST"),
        ("/uploads", "GET, HEAD"),
        ("/uploads/lookup", "GET, HEAD"),
        (&format!("/uploads/{upload}"), "GET, HEAD, DELETE"),
        (&format!("/uploads/{upload}/events"), "GET, HEAD"),
        ("/scheduled", "GET, HEAD"),
        ("/creatives", "GET, HEAD"),
        (&format!("/creatives/{creative}"), "GET, HEAD, PATCH, DELETE"),
        (&format!("/creatives/{creative}/content"), "GET, HEAD"),
        ("/healthz", "GET, HEAD"),
        ("/", "GET, HEAD"),
    ] {
        let reply = app.call(Method::TRACE, path).await;
        reply.assert_problem(405, "method_not_allowed");
        assert_eq!(reply.header("allow"), Some(allow), "{path}");
        let options = app.call(Method::OPTIONS, path).await;
        assert!(options.assert_status(204).body.is_empty());
        assert_eq!(options.header("allow"), Some(format!("{allow}, OPTIONS").as_str()), "{path}");
    }
}

#[tokio::test]
async fn a_head_is_a_get_without_its_bytes() {
    let app = TestApp::start().await;
    let file = app.flow("0123456789").name("a.png");
    let creative = file.upload().await;
    let id = |name: &str| creative[name].as_str().expect("an id").to_owned();
    for path in [
        "/uploads",
        "/uploads?limit=0",
        &format!("/uploads/lookup?{}", file.query_string(1)),
        &format!("/uploads/{}", id("upload_id")),
        "/uploads/nothing",
        "/scheduled",
        "/creatives",
        &format!("/creatives/{}", id("id")),
        &id("creative_url"),
        "/healthz",
        "/readyz",
        "/openapi.json",
        "/",
        "/static/app.js",
        "/static/nothing",
    ] {
        // Problems name their request: both have the same id, so that they are of one length.
        let lines = [("x-request-id", "mine")];
        let get = app.ask(Method::GET, path, &lines).await;
        let head = app.ask(Method::HEAD, path, &lines).await;
        assert_eq!((head.status, head.body.len()), (get.status, 0), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
        let len = get.body.len().to_string();
        assert_eq!(head.header("content-length"), Some(len.as_str()), "{path}");
    }
    let etag = app.get("/").await.header("etag").expect("a tag").to_owned();
    let head = app.ask(Method::HEAD, "/", &[("if-none-match", &etag)]).await;
    assert_eq!(head.assert_status(304).header("content-length"), None);
}

#[tokio::test]
async fn the_page_runs_nothing_that_is_not_ours() {
    let app = TestApp::start().await;
    let page = app.get("/").await;
    assert_eq!(page.assert_status(200).header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").expect("a policy");
    for part in ["default-src 'self'", "script-src 'self'", "object-src 'none'", "base-uri 'none'"]
    {
        assert!(policy.contains(part), "{part} is not in {policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    for (path, content_type) in [
        ("/static/app.js", "text/javascript; charset=utf-8"),
        ("/static/style.css", "text/css; charset=utf-8"),
        ("/static/icon.svg", "image/svg+xml"),
    ] {
        let reply = app.get(path).await;
        assert_eq!(reply.assert_status(200).header("content-type"), Some(content_type));
        assert_eq!(reply.header("cache-control"), Some("no-cache"));
        let etag = reply.header("etag").expect("a tag").to_owned();
        let again = app.ask(Method::GET, path, &[("if-none-match", &etag)]).await;
        assert!(again.assert_status(304).body.is_empty());
        assert_eq!(again.header("etag"), Some(etag.as_str()));
    }
    let text = String::from_utf8(page.body.to_vec()).expect("UTF-8");
    for part in text.split("/static/").skip(1) {
        let name: String = part.chars().take_while(|c| !"\"'?# ".contains(*c)).collect();
        let reply = app.get(&format!("/static/{name}")).await;
        assert_eq!(reply.status, StatusCode::OK, "the page asks for {name}");
    }
}

#[tokio::test]
async fn a_problem_says_all_that_rfc_9457_asks_for() {
    let app = TestApp::start().await;
    let reply = app.ask(Method::GET, "/nowhere", &[("x-request-id", "mine")]).await;
    let problem: Value = reply.json();
    for (name, value) in [
        ("type", Value::from("about:blank")),
        ("title", "Not Found".into()),
        ("status", 404.into()),
        ("code", "not_found".into()),
        ("request_id", "mine".into()),
    ] {
        assert_eq!(problem[name], value, "{name}");
    }
}
