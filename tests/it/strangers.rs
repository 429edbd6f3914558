//! What a caller may send before it is known who it is.

use flowstitch::http::body;
use futures_util::{StreamExt, stream};
use http::{Method, Request};

use crate::support::{Reply, TestApp, keys::SECRET, multipart};

/// A form whose first bytes come, and then nothing for ever.
async fn send_begin_of_form(app: &TestApp, query: &str, authorization: Option<&str>) -> Reply {
    let begin = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nvalue";
    let frames = stream::iter([Ok(begin.into())]).chain(stream::pending());
    let request = Request::builder().method(Method::POST).uri(format!("/upload?{query}"));
    let request = request.header("content-type", "multipart/form-data; boundary=b");
    let request =
        authorization.into_iter().fold(request, |it, value| it.header("authorization", value));
    app.send_streaming(request.body(body::stream(frames)).expect("a request")).await
}

#[tokio::test(start_paused = true)]
async fn credentials_in_the_head_are_judged_before_a_form_is_read() {
    let app = TestApp::builder().file("--ticket-key", SECRET).start().await;
    for (query, authorization) in [
        ("", Some("Bearer fst_wrong")),
        ("", Some("Bearer a.b.c")),
        ("", Some("Basic eDp5")),
        ("ticket=a.b.c", None),
    ] {
        let reply = send_begin_of_form(&app, query, authorization).await;
        reply.assert_problem(401, "unauthenticated");
    }
    // Without any, a ticket may still come among the fields: the form is waited for.
    send_begin_of_form(&app, "", None).await.assert_problem(408, "request_timeout");
}

#[tokio::test]
async fn all_fields_of_a_form_together_are_bounded() {
    let app = TestApp::start().await;
    let fields = |len: usize| {
        let field = |n: usize| (format!("f{n}"), "x".repeat(len - 2));
        (0..4).map(field).collect::<Vec<_>>()
    };
    let most = app.send(multipart(&fields(16 * 1024), None)).await;
    most.assert_problem(400, "invalid_identifier");
    let more: Vec<_> = fields(16 * 1024).into_iter().chain([("a".into(), String::new())]).collect();
    let reply = app.send(multipart(&more, None)).await;
    let detail = reply.assert_problem(400, "invalid_form");
    assert!(detail.contains("65536 bytes"), "{detail}");
}
