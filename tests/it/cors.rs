//! Pages of other origins: who may ask, and who is told so.

use http::Method;

use crate::support::{Reply, TestApp};

const ORIGIN: &str = "https://app.example.com";

fn cors(reply: &Reply) -> Vec<&str> {
    let names = reply.headers.keys().map(http::HeaderName::as_str);
    names.filter(|name| name.starts_with("access-control-")).collect()
}

/// A success, an empty one, and refusals of all kinds. What changes something is `posted` only by
/// those who may.
async fn answers(app: &TestApp, origin: &str, posted: u16) -> Vec<(u16, Reply)> {
    let origin = [("origin", origin)];
    let probe = app.flow("0123456789").query_string(1);
    let mut answers = Vec::new();
    for (method, path, status) in [
        (Method::GET, "/healthz", 200),
        (Method::GET, "/", 200),
        (Method::HEAD, "/creatives", 200),
        (Method::GET, &format!("/upload?{probe}"), 204),
        (Method::OPTIONS, "/upload", 204),
        (Method::GET, "/upload", 400),
        (Method::GET, "/nowhere", 404),
        (Method::DELETE, "/upload", 405),
        (Method::POST, "/upload", posted),
    ] {
        answers.push((status, app.ask(method, path, &origin).await));
    }
    answers
}

fn vary(reply: &Reply) -> Vec<&str> {
    let lines = reply.headers.get_all("vary").iter();
    lines.flat_map(|line| line.to_str().expect("text").split(',')).map(str::trim).collect()
}

#[tokio::test]
async fn no_origin_is_told_anything_unless_it_is_listed() {
    for flags in [&[][..], &["--cors-origins=https://other.example.com"]] {
        let builder = flags.iter().fold(TestApp::builder(), |builder, flag| builder.flag(flag));
        let app = builder.start().await;
        for (status, reply) in answers(&app, ORIGIN, 403).await {
            assert_eq!(cors(reply.assert_status(status)), Vec::<&str>::new());
            assert!(vary(&reply).contains(&"Origin"), "{:?}", reply.headers);
        }
        let asked = [("origin", ORIGIN), ("access-control-request-method", "POST")];
        let reply = app.ask(Method::OPTIONS, "/upload", &asked).await;
        assert_eq!(cors(&reply), Vec::<&str>::new());
    }
}

#[tokio::test]
async fn a_listed_origin_can_read_errors_as_well_as_successes() {
    let list = "--cors-origins=https://a.org,https://*.example.com";
    let app = TestApp::builder().flag(list).start().await;
    for (status, reply) in answers(&app, ORIGIN, 400).await {
        reply.assert_status(status);
        assert_eq!(reply.header("access-control-allow-origin"), Some(ORIGIN), "{status}");
        assert_eq!(reply.header("access-control-allow-credentials"), Some("true"));
        let exposed = reply.header("access-control-expose-headers").unwrap_or_default();
        assert!(exposed.contains("X-Request-ID"), "{exposed}");
        assert!(vary(&reply).contains(&"Origin"), "{:?}", reply.headers);
    }
    for other in ["https://example.com", "https://a.b.example.com", "http://app.example.com"] {
        for (status, reply) in answers(&app, other, 403).await {
            assert_eq!(cors(reply.assert_status(status)), Vec::<&str>::new(), "{other}");
        }
    }
}

#[tokio::test]
async fn pages_that_may_fetch_a_file_may_show_it_and_no_others() {
    let policy = "cross-origin-resource-policy";
    let list = "--cors-origins=https://app.example.com";
    let app = TestApp::builder().flag(list).start().await;
    let creative = app.flow("0123456789").name("a.png").upload().await;
    let url = creative["creative_url"].as_str().expect("an address");
    let site = ("sec-fetch-site", "cross-site");
    for (lines, expected) in [
        (&[("referer", "https://app.example.com/page"), site][..], "cross-origin"),
        (&[("origin", ORIGIN), site], "cross-origin"),
        (&[("referer", "https://evil.example/"), site], "same-origin"),
        (&[site], "same-origin"),
        (&[("range", "bytes=0-1"), ("referer", "https://app.example.com/")], "cross-origin"),
    ] {
        let reply = app.ask(Method::GET, url, lines).await;
        assert!(reply.status.is_success(), "{reply:?}");
        assert_eq!(reply.header(policy), Some(expected), "{lines:?}");
        let vary = vary(&reply).join(", ");
        for name in ["Origin", "Referer", "Sec-Fetch-Site"] {
            assert!(vary.contains(name), "{vary}");
        }
        let etag = reply.header("etag").expect("a tag");
        let again = [lines, &[("if-none-match", etag)]].concat();
        let reply = app.ask(Method::GET, url, &again).await;
        assert_eq!(reply.assert_status(304).header(policy), Some(expected), "{lines:?}");
    }
    // What is no published file stays ours.
    let reply = app.ask(Method::GET, "/creatives", &[("origin", ORIGIN)]).await;
    assert_eq!(reply.assert_status(200).header(policy), Some("same-origin"));

    let app = TestApp::start().await;
    let creative = app.flow("0123456789").name("a.png").upload().await;
    let url = creative["creative_url"].as_str().expect("an address");
    let reply = app.ask(Method::GET, url, &[("referer", "https://app.example.com/page")]).await;
    assert_eq!(reply.header(policy), Some("same-origin"));
}

#[tokio::test]
async fn a_preflight_allows_what_the_interface_has() {
    let app = TestApp::builder().flag("--cors-origins=https://app.example.com").start().await;
    for path in ["/upload", "/creatives/x", "/nowhere"] {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let lines = [
                ("origin", ORIGIN),
                ("access-control-request-method", method),
                ("access-control-request-headers", "content-digest,x-request-id"),
                ("x-request-id", "mine"),
            ];
            let reply = app.ask(Method::OPTIONS, path, &lines).await;
            assert!(reply.assert_status(204).body.is_empty());
            assert_eq!(reply.header("access-control-allow-origin"), Some(ORIGIN));
            let methods = reply.header("access-control-allow-methods").unwrap_or_default();
            assert!(methods.split(", ").any(|it| it == method), "{methods}");
            let headers = reply.header("access-control-allow-headers");
            assert_eq!(headers, Some("content-digest,x-request-id"));
            assert_eq!(reply.header("x-request-id"), Some("mine"));
            assert!(vary(&reply).contains(&"Origin"));
        }
    }
}

#[tokio::test]
async fn everyone_may_ask_but_without_credentials() {
    let app = TestApp::builder().flag("--cors-origins=*").start().await;
    for (status, reply) in answers(&app, "https://anywhere.example", 400).await {
        reply.assert_status(status);
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
        assert_eq!(reply.header("access-control-allow-credentials"), None);
    }
    let reply = app.get("/healthz").await;
    assert_eq!(cors(&reply), Vec::<&str>::new(), "whoever names no origin is told nothing");
}
