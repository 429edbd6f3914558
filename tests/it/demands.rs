//! Requests that ask for more than the service does are refused, in every dialect, and leave
//! nothing.

use bytes::Bytes;
use http::{HeaderValue, Method, Request};

use crate::support::{Form, TestApp};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0";

/// A request that would be taken, for each way to send something.
fn requests(app: &TestApp) -> Vec<Request<Bytes>> {
    let file = app.flow("hello").chunk_size(8);
    let day = ("scheduled_at", "2026-12-01");
    let json = |method, path| {
        let request = Request::builder().method(method).uri(path);
        request.header("content-type", "application/json").body(Bytes::from("{}"))
    };
    vec![
        file.request(1, b"hello"),
        file.octet_request(Method::POST, 1, b"hello"),
        file.octet_request(Method::PUT, 1, b"hello"),
        // `curl -T` and `curl -F`, which do not say how long the file is.
        Request::put("/upload?flowFilename=a").body(Bytes::from("hello")).expect("a request"),
        Form::new().field("flowIdentifier", "b").file("b", "hello").post("/upload"),
        Form::new().field(day.0, day.1).file("a.png", PNG).post("/upload-creative"),
        json(Method::POST, "/tickets").expect("a request"),
        json(Method::PATCH, "/creatives/01940000-0000-7000-8000-000000000000").expect("a request"),
        json(Method::DELETE, "/uploads/01940000-0000-7000-8000-000000000000").expect("a request"),
    ]
}

/// What is demanded, and how that is refused.
const DEMANDS: [(&str, &str, u16, &str); 10] = [
    ("content-range", "bytes 5-9/10", 400, "partial_content"),
    ("upload-complete", "?0", 400, "partial_content"),
    ("content-encoding", "gzip", 415, "unsupported_encoding"),
    ("if-none-match", "*", 400, "unsupported_condition"),
    ("if-match", "\"a\"", 400, "unsupported_condition"),
    ("expect", "the unexpected", 417, "expectation_failed"),
    ("content-md5", "XUFAKrxLKna5cZ2REBfFkg==", 400, "unsupported_digest"),
    ("digest", "sha-256=x", 400, "unsupported_digest"),
    ("repr-digest", "sha-256=:YQ==:", 400, "unsupported_digest"),
    ("trailer", "Content-Digest", 400, "unsupported_digest"),
];

#[tokio::test]
async fn what_changes_the_meaning_of_a_body_is_refused_in_every_dialect() {
    let app = TestApp::start().await;
    for (name, value, status, code) in DEMANDS {
        for mut request in requests(&app) {
            request.headers_mut().insert(name, HeaderValue::from_static(value));
            let reply = app.send(request).await;
            reply.assert_problem(status, code);
            let wanted = (reply.header("accept-encoding"), reply.header("want-content-digest"));
            let expected = match code {
                "unsupported_encoding" => (Some("identity"), None),
                "unsupported_digest" => (None, Some("sha-256=10, sha-512=5")),
                _ => (None, None),
            };
            assert_eq!(wanted, expected, "{name}");
        }
    }
    app.assert_left_nothing().await;
    // The same requests are good without, and with what demands nothing more.
    let app = TestApp::start().await;
    for (mut request, number) in requests(&app).into_iter().take(6).zip(1..) {
        for (name, value) in [
            ("content-encoding", "identity"),
            ("range", "bytes=0-"),
            ("expect", "100-continue"),
            ("prefer", "return=minimal"),
        ] {
            request.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        // The second and the third are duplicates of the first.
        let expected = if number == 2 || number == 3 { 200 } else { 201 };
        app.send(request).await.assert_status(expected);
    }
}

#[tokio::test]
async fn a_probe_is_answered_whatever_would_be_said_of_a_body() {
    let app = TestApp::start().await;
    let probe = format!("/upload?{}", app.flow("hello").query_string(1));
    for (name, value, ..) in DEMANDS.into_iter().filter(|(name, ..)| *name != "expect") {
        app.ask(Method::GET, &probe, &[(name, value)]).await.assert_missing();
    }
}

#[tokio::test]
async fn a_part_of_a_form_that_is_not_what_it_shows_is_refused() {
    let app = TestApp::start().await;
    for line in [
        "Content-Transfer-Encoding: base64",
        "Content-Transfer-Encoding: binary\r\nContent-Transfer-Encoding: quoted-printable",
        "Content-Encoding: gzip",
        "Content-Range: bytes 5-9/10",
        "Content-Digest: sha-256=:YQ==:",
        "Content-MD5: x",
    ] {
        let file = |name: &str| {
            let disposition = "Content-Disposition: form-data; name=\"file\"; filename=";
            format!("{disposition}\"{name}\"\r\n{line}")
        };
        let flow = Form::new().field("flowIdentifier", "a").part(&file("a"), b"hello");
        app.send(flow.post("/upload")).await.assert_problem(400, "invalid_form");
        let whole = Form::new().part(&file("a"), b"hello").post("/upload");
        app.send(whole).await.assert_problem(400, "invalid_form");
        let picture = Form::new().field("scheduled_at", "2026-12-01").part(&file("a.png"), PNG);
        let reply = app.send(picture.post("/upload-creative")).await;
        reply.assert_problem(400, "invalid_form");
        let field = format!("Content-Disposition: form-data; name=\"flowIdentifier\"\r\n{line}");
        let form = Form::new().part(&field, b"a").file("a", "hello").post("/upload");
        app.send(form).await.assert_problem(400, "invalid_form");
    }
    app.assert_left_nothing().await;
}

#[tokio::test]
async fn the_fields_of_a_form_are_utf_8() {
    let app = TestApp::start().await;
    for (charset, status) in
        [("iso-8859-1", 400), ("\"UTF-16\"", 400), ("UTF-8", 201), ("\"us-ascii\"", 200)]
    {
        let head = format!(
            "Content-Disposition: form-data; name=\"flowIdentifier\"\r\n\
             Content-Type: text/plain; charset={charset}"
        );
        let form = Form::new().part(&head, b"a").file("a", "hello").post("/upload");
        app.send(form).await.assert_status(status);
    }
}

#[tokio::test]
async fn the_digest_of_a_picture_is_checked() {
    let app = TestApp::start().await;
    for (value, code) in [
        ("sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:", "checksum_mismatch"),
        ("sha-256=x", "invalid_content_digest"),
        ("md5=:XUFAKrxLKna5cZ2REBfFkg==:", "unsupported_digest"),
    ] {
        let form = Form::new().field("scheduled_at", "2026-12-01").file("a.png", PNG);
        let mut request = form.post("/upload-creative");
        request.headers_mut().insert("content-digest", HeaderValue::from_static(value));
        app.send(request).await.assert_problem(400, code);
    }
    app.assert_left_nothing().await;
}
