//! Which method is answered how on `/upload`.

use http::{Method, Request};

use crate::support::{Form, TestApp, multipart};

#[tokio::test]
async fn head_is_refused_because_browsers_drop_its_parameters() {
    let app = TestApp::start().await;
    let file = app.flow("abc");
    file.upload().await;
    for path in ["/upload".to_owned(), format!("/upload?{}", file.query_string(1))] {
        let reply = app.call(Method::HEAD, &path).await;
        reply.assert_status(400).assert_common_headers();
        assert_eq!(reply.header("content-type"), Some("application/problem+json"));
        assert!(reply.body.is_empty());
    }
}

#[tokio::test]
async fn other_methods_are_told_which_there_are() {
    let app = TestApp::start().await;
    for method in [Method::PATCH, Method::DELETE, Method::TRACE] {
        let reply = app.call(method, "/upload").await;
        reply.assert_problem(405, "method_not_allowed");
        assert_eq!(reply.header("allow"), Some("GET, POST, PUT"));
    }
    let reply = app.get("/upload-creative").await;
    reply.assert_problem(405, "method_not_allowed");
    assert_eq!(reply.header("allow"), Some("POST"));
}

#[tokio::test]
async fn other_paths_are_not_there() {
    let app = TestApp::start().await;
    let file = app.flow("abc");
    for path in ["/upload/", "/upload/1", "/Upload", "//upload", "/%75pload"] {
        // Not a redirect and never a 200: flow.js would believe it.
        app.get(&format!("{path}?{}", file.query_string(1))).await.assert_problem(404, "not_found");
        app.send(Form::new().file("a", "abc").post(path)).await.assert_problem(404, "not_found");
    }
    app.assert_left_nothing().await;
}

#[tokio::test]
async fn options_says_what_there_is() {
    let app = TestApp::start().await;
    let reply = app.call(Method::OPTIONS, "/upload").await;
    reply.assert_missing();
    assert_eq!(reply.header("allow"), Some("GET, POST, PUT, OPTIONS"));
    assert_eq!(reply.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn another_origin_that_is_allowed_reads_every_answer() {
    const ORIGIN: &str = "https://app.example.com";
    let app = TestApp::builder().flag(&format!("--cors-origins={ORIGIN}")).start().await;
    let preflight = Request::builder()
        .method(Method::OPTIONS)
        .uri("/upload?flowChunkNumber=1")
        .header("origin", ORIGIN)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type,x-token");
    let reply = app.send(preflight.body(bytes::Bytes::new()).expect("a request")).await;
    reply.assert_status(204);
    assert_eq!(reply.header("access-control-allow-headers"), Some("content-type,x-token"));

    let file = app.flow("abc");
    let probe = |query: String| {
        let request = Request::builder().uri(format!("/upload?{query}")).header("origin", ORIGIN);
        app.send(request.body(bytes::Bytes::new()).expect("a request"))
    };
    let refused = multipart(&[("flowChunkNumber".into(), "0".into())], None);
    let (mut parts, body) = refused.into_parts();
    parts.headers.insert("origin", ORIGIN.parse().expect("a value"));
    for (reply, status) in [
        (reply, 204),
        (probe(file.query_string(1)).await, 204),
        (probe(String::new()).await, 400),
        (app.send(Request::from_parts(parts, body)).await, 400),
    ] {
        reply.assert_status(status);
        assert_eq!(reply.header("access-control-allow-origin"), Some(ORIGIN), "{reply:?}");
        assert_eq!(reply.header("access-control-allow-credentials"), Some("true"));
        let vary: Vec<_> = reply.headers.get_all("vary").iter().collect();
        assert!(vary.iter().any(|value| *value == "Origin"), "{vary:?}");
    }
}

#[tokio::test]
async fn a_sane_request_id_is_kept_and_another_is_replaced() {
    let app = TestApp::start().await;
    let ask = |id: &'static str| {
        let request = Request::builder().uri("/upload").header("x-request-id", id);
        app.send(request.body(bytes::Bytes::new()).expect("a request"))
    };
    let reply = ask("browser-7").await;
    reply.assert_problem(400, "invalid_identifier");
    assert_eq!(reply.header("x-request-id"), Some("browser-7"));
    let reply = ask("a b\"c").await;
    reply.assert_problem(400, "invalid_identifier");
    assert_ne!(reply.header("x-request-id"), Some("a b\"c"));
}
