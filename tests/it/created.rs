//! 201: the answer has the address of what was made (RFC 9110, section 15.3.2).

use std::sync::Arc;

use http::Method;
use serde_json::json;

use crate::{
    sign_in,
    support::{Form, Outbox, Reply, TestApp},
};

/// Asserts that the address leads to the creative in the answer.
async fn assert_leads_to_creative(app: &TestApp, reply: &Reply) {
    let creative = reply.assert_status(201).json()["creative"].clone();
    let location = reply.header("location").expect("an address");
    assert_eq!(app.get(location).await.assert_status(200).json()["creative"], creative);
}

#[tokio::test]
async fn what_completes_an_upload_is_told_the_address_of_its_creative() {
    let app = TestApp::start().await;
    let file = app.flow("hello world").name("form.bin");
    let reply = file.send([1]).await;
    assert_eq!(reply.header("location"), None, "nothing was made");
    assert_leads_to_creative(&app, &file.post(2).await).await;
    assert_eq!(file.post(2).await.assert_status(200).header("location"), None);

    for (method, name) in [(Method::POST, "octet.bin"), (Method::PUT, "put.bin")] {
        let file = app.flow("hello").name(name).chunk_size(5);
        let reply = app.send(file.octet_request(method, 1, b"hello")).await;
        assert_leads_to_creative(&app, &reply).await;
    }
    // A file that does not say how large it is.
    let form = Form::new().field("flowFilename", "whole.bin").file("whole.bin", b"hello");
    assert_leads_to_creative(&app, &app.send(form.post("/upload")).await).await;
    let form = Form::new().field("scheduled_at", "2026-12-02").file("a.png", b"\x89PNG\r\n\x1a\n");
    assert_leads_to_creative(&app, &app.send(form.post("/upload-creative")).await).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_signs_in_is_told_where_to_sign_out() {
    let outbox = Arc::<Outbox>::default();
    let app = sign_in::builder(&outbox).start().await;
    app.control("/users/add?name=ann&email=ann%40example.com").await.assert_status(200);
    app.tell("/auth/otp", &json!({ "email": "ann@example.com" })).await.assert_status(202);
    let code = outbox.code().await;
    let entered = json!({ "email": "ann@example.com", "code": code });
    let reply = app.tell("/auth/session", &entered).await;
    let location = reply.assert_status(201).header("location").expect("an address");
    let session = reply.json()["token"].as_str().expect("a session").to_owned();
    app.call_as(&session, Method::DELETE, location).await.assert_status(204);
}
