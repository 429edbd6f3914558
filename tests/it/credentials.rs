//! Where credentials may stand, and what a request is answered that shows two.

use std::sync::Arc;

use http::{Method, Request};
use serde_json::json;

use crate::{
    sign_in,
    support::{
        Form, Outbox, Reply, TestApp,
        authority::Authority,
        keys::{SECRET, Signer, claims},
    },
};

const CONTENT: &str = "hello world";

/// A ticket for this user.
fn ticket(user: &str) -> String {
    Signer::hs256(SECRET).sign(&claims(&json!({ "sub": user })))
}

async fn app() -> TestApp {
    TestApp::builder().file("--ticket-key", SECRET).start().await
}

/// The request of chunk 1 in each of its forms, with this header and this field.
async fn each_way(app: &TestApp, header: Option<&str>, field: &str) -> Vec<Reply> {
    let file = app.flow(CONTENT).with("ticket", field);
    let file = match header {
        Some(header) => file.header("authorization", header),
        None => file,
    };
    vec![file.probe(1).await, file.lookup().await, file.octet(1).await, file.post(1).await]
}

#[tokio::test]
async fn a_token_is_no_ticket() {
    let app = app().await;
    let token = app.token("ann", "upload,read").await;
    let in_both = format!("Bearer {token}");
    for (header, field) in
        [(None, token.as_str()), (Some(in_both.as_str()), &token), (None, "fst_0_0")]
    {
        for reply in each_way(&app, header, field).await {
            let detail = reply.assert_problem(401, "unauthenticated");
            assert!(detail.contains("send a token as `Authorization: Bearer …`"), "{detail}");
        }
    }
    assert_eq!(app.files("incomplete"), Vec::<String>::new());
    app.flow(CONTENT).by(&token).upload().await;
}

#[tokio::test]
async fn of_two_credentials_that_differ_none_is_chosen() {
    let app = app().await;
    let token = app.token("ann", "upload,read").await;
    let (anns, bobs) = (ticket("ann"), ticket("bob"));
    let header = |text: &str| format!("Bearer {text}");
    let agree = header(&anns);
    let before = each_way(&app, Some(&agree), &anns).await;
    assert_eq!(before.last().expect("four").assert_status(200).json()["upload"]["total_chunks"], 2);
    let file = app.flow(CONTENT).with("ticket", &anns);
    file.by("nonsense").probe(1).await.assert_problem(400, "ambiguous_credentials");
    for shown in [header(&token), header(&bobs)] {
        for reply in each_way(&app, Some(&shown), &anns).await {
            let detail = reply.assert_problem(400, "ambiguous_credentials");
            assert!(detail.contains("send one"), "{detail}");
        }
    }
    let uploads = app.call_as(&token, Method::GET, "/uploads").await.json();
    assert_eq!(uploads["uploads"].as_array().map(Vec::len), Some(1), "{uploads}");
}

/// In the query and in the form, whichever of them let the request in.
#[tokio::test]
async fn a_form_shows_what_its_query_and_its_header_show() {
    let app = app().await;
    let (anns, bobs) = (ticket("ann"), ticket("bob"));
    let post = async |query: &str, header: Option<&str>, content: &[u8]| {
        let file = app.flow(content).with("ticket", &anns).chunk_size(content.len());
        let mut request = file.request(1, content);
        *request.uri_mut() = format!("/upload?{query}").parse().expect("an address");
        if let Some(header) = header {
            let line = format!("Bearer {header}").parse().expect("a header");
            request.headers_mut().insert("authorization", line);
        }
        app.send(request).await
    };
    let other = format!("ticket={bobs}");
    // Small enough to wait for fields behind it, and not.
    for content in [vec![7; 100], vec![7; 300_000]] {
        let content = &content;
        post(&other, None, content).await.assert_problem(400, "ambiguous_credentials");
        post("", Some(&bobs), content).await.assert_problem(400, "ambiguous_credentials");
        post(&format!("ticket={anns}"), Some(&anns), content).await.assert_status(201);
    }
}

#[tokio::test]
async fn a_ticket_behind_the_file_changes_nobody() {
    let builder = TestApp::builder().file("--ticket-key", SECRET).flag("--allow-anonymous");
    let app = builder.start().await;
    let (anns, bobs) = (ticket("ann"), ticket("bob"));
    let send = async |header: Option<&str>, before: Option<&str>| {
        let fields = app.flow(CONTENT).fields(1);
        let form = Form::new().fields(&fields);
        let form = if let Some(ticket) = before { form.field("ticket", ticket) } else { form };
        let form = form.file("a.bin", &CONTENT.as_bytes()[..4]).field("ticket", &anns);
        let mut request = form.post("/upload");
        if let Some(header) = header {
            let line = format!("Bearer {header}").parse().expect("a header");
            request.headers_mut().insert("authorization", line);
        }
        app.send(request).await
    };
    for (header, before) in [(None, None), (Some(bobs.as_str()), None), (None, Some(&*bobs))] {
        let reply = send(header, before).await;
        assert_eq!(reply.status, 400, "{header:?} {before:?}: {reply:?}");
    }
    assert_eq!(app.files("incomplete"), Vec::<String>::new());
    send(None, Some(&anns)).await.assert_status(200);
}

#[tokio::test]
async fn beside_auth_url_a_ticket_is_not_passed_over() {
    let authority = Authority::start().await;
    let builder = TestApp::builder().flag(&authority.flag());
    let app = builder.file("--ticket-key", SECRET).start().await;
    let ask = async |ticket: &str, lines: &[(&'static str, &str)]| {
        let file = app.flow(CONTENT).with("ticket", ticket);
        let file = lines.iter().fold(file, |file, (name, value)| file.header(name, value));
        file.probe(1).await
    };
    let (good, cookie) = (ticket("bob"), ("cookie", "session=ann"));
    // A browser adds cookies by itself: what the page shows is what it means.
    ask(&good, &[cookie]).await.assert_status(204);
    ask("nonsense", &[cookie]).await.assert_problem(401, "unauthenticated");
    let basic = ("authorization", "Basic eDp5");
    ask(&good, &[cookie, basic]).await.assert_problem(400, "ambiguous_credentials");
    assert_eq!(authority.asked().len(), 0);
    let file = app.flow(CONTENT).header("cookie", cookie.1).header(basic.0, basic.1);
    file.probe(1).await.assert_status(204);
}

#[tokio::test(start_paused = true)]
async fn a_session_is_renewed_or_a_code_is_entered() {
    let outbox = Arc::<Outbox>::default();
    let app = sign_in::builder(&outbox).start().await;
    let session = sign_in::new_session(&app, &outbox).await;
    let request = Request::post("/auth/session")
        .header("authorization", format!("Bearer {session}"))
        .header("content-type", "application/json")
        .body(json!({ "email": "ann@example.com", "code": "000000" }).to_string().into())
        .expect("a request");
    app.send(request).await.assert_problem(400, "ambiguous_credentials");
    app.call_as(&session, Method::POST, "/auth/session").await.assert_status(200);
}
