//! The audit trail: every deed leaves one line that says by whom and from where, and nothing else
//! does.

use flowstitch::{
    catalog::{AuditQuery, Catalog, CatalogView},
    http::gate::Peer,
    upload::{AuditEntry, Deed},
};
use http::{Method, Request};
use serde_json::{Value, json};

use crate::support::{
    CatalogOp, Machine, Reply, TestApp,
    keys::{SECRET, Signer, claims},
};

const CONTENT: &str = "hello world";
const ALL: AuditQuery = AuditQuery { since: None, principal: None, upload: None, limit: 100 };

/// All lines, the oldest first.
fn lines(app: &TestApp) -> Vec<AuditEntry> {
    let view = CatalogView::open(&app.dir().join("flowstitch.db")).expect("a catalog");
    let mut lines = view.audit(&ALL).expect("the trail");
    lines.reverse();
    lines
}

/// The lines that were written since there were so many.
fn deeds(app: &TestApp, after: usize) -> Vec<(Deed, String, String)> {
    let lines = lines(app).into_iter().skip(after);
    lines.map(|line| (line.deed, line.principal, line.means)).collect()
}

/// A request by somebody at 192.0.2.7, that is called r-1.
async fn from_afar(app: &TestApp, mut request: Request<bytes::Bytes>, token: &str) -> Reply {
    let headers = request.headers_mut();
    headers.insert("authorization", format!("Bearer {token}").parse().expect("a header"));
    headers.insert("x-request-id", "r-1".parse().expect("a header"));
    // As it comes from a socket that listens for both families.
    request.extensions_mut().insert(Peer("::ffff:192.0.2.7".parse().expect("an address")));
    app.send(request).await
}

async fn token_id(app: &TestApp, user: &str) -> String {
    let tokens = app.control(&format!("/tokens/list?name={user}")).await.json();
    tokens[0]["id"].as_str().expect("an id").to_owned()
}

fn id_of(value: &Value) -> String {
    value.as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn every_deed_of_a_user_leaves_a_line_with_token_address_and_request() {
    let app = TestApp::start().await;
    let ann = app.token("ann", "upload,read").await;
    let means = format!("token {}", token_id(&app, "ann").await);
    let before = lines(&app).len();

    let file = app.flow(CONTENT).name("a.bin");
    let opened = from_afar(&app, file.request(1, file.chunk(1)), &ann).await;
    let upload = opened.assert_status(200).json()["upload"]["id"].clone();
    let creative = file.by(&ann).upload().await;
    let path = format!("/creatives/{}", id_of(&creative["id"]));
    let request = |method, path: &str, body: &str| {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("content-type", "application/json");
        request.body(bytes::Bytes::from(body.to_owned())).expect("a request")
    };
    let day = r#"{"scheduled_at": "2026-12-24"}"#;
    from_afar(&app, request(Method::PATCH, &path, day), &ann).await.assert_status(200);
    from_afar(&app, request(Method::DELETE, &path, ""), &ann).await.assert_status(204);
    let other = app.flow(CONTENT).name("b.bin").by(&ann).send([1]).await.upload_id();
    let cancel = request(Method::DELETE, &format!("/uploads/{other}"), "");
    from_afar(&app, cancel, &ann).await.assert_status(204);

    let lines = lines(&app).split_off(before);
    let said: Vec<_> = lines
        .iter()
        .map(|line| (line.deed, line.subject.clone(), line.detail.clone().unwrap_or_default()))
        .collect();
    let (upload, creative) = (id_of(&upload), id_of(&creative["id"]));
    let expected = [
        (Deed::UploadOpened, upload.clone(), "a.bin".to_owned()),
        (Deed::UploadCompleted, upload.clone(), creative.clone()),
        (Deed::CreativeRescheduled, creative.clone(), "2026-12-24".into()),
        (Deed::CreativeDeleted, creative, "a.bin".into()),
        (Deed::UploadOpened, other.clone(), "b.bin".into()),
        (Deed::UploadCancelled, other, String::new()),
    ];
    assert_eq!(said, expected);
    assert!(lines.iter().all(|line| line.principal == "ann"));
    assert!(lines[..4].iter().all(|it| it.upload.map(|it| it.to_string()) == Some(upload.clone())));
    for index in [0, 2, 3, 5] {
        let line = &lines[index];
        let from = (line.address.as_deref(), line.request_id.as_deref());
        assert_eq!((&line.means, from), (&means, (Some("192.0.2.7"), Some("r-1"))), "{index}");
    }
    assert_eq!((lines[1].means.as_str(), &lines[1].address), ("server", &None));
}

#[tokio::test]
async fn the_public_a_ticket_and_the_operator_are_told_apart() {
    let app = TestApp::builder().file("--ticket-key", SECRET).flag("--allow-anonymous");
    let app = app.start().await;
    app.flow(CONTENT).name("a.bin").send([1]).await;
    assert_eq!(deeds(&app, 0), [(Deed::UploadOpened, "anonymous".into(), "nothing".into())]);

    let ticket = Signer::hs256(SECRET).sign(&claims(&json!({ "jti": "t-9" })));
    let id = app.flow(CONTENT).name("b.bin").by(&ticket).send([1]).await.upload_id();
    let by_ticket = |deed| (deed, "ann".to_owned(), "ticket t-9".to_owned());
    // Who is not known is made known.
    assert_eq!(deeds(&app, 1), [by_ticket(Deed::UserAdded), by_ticket(Deed::UploadOpened)]);
    app.control(&format!("/uploads/{id}/cancel")).await.assert_status(200);
    app.control("/users/remove?name=ann").await.assert_status(200);
    let by_operator = |deed| (deed, "ann".to_owned(), "operator".to_owned());
    let ended = [Deed::UploadCancelled, Deed::UserDisabled, Deed::UserRemoved];
    assert_eq!(deeds(&app, 3), ended.map(by_operator));
    assert!(lines(&app).iter().skip(3).all(|line| line.request_id.is_some()));

    let admin = app.token("root", "admin").await;
    let before = lines(&app).len();
    let reply = app.post_json(&admin, "/tickets", &json!({ "sub": "bob" })).await;
    reply.assert_status(201);
    let means = format!("token {}", token_id(&app, "root").await);
    assert_eq!(deeds(&app, before), [(Deed::TicketIssued, "bob".into(), means)]);
}

#[tokio::test]
async fn what_is_refused_leaves_no_line() {
    let app = TestApp::start().await;
    let [ann, bob] = [app.token("ann", "upload,read").await, app.token("bob", "upload,read").await];
    let upload = app.flow(CONTENT).by(&ann).send([1]).await.upload_id();
    let creative = app.flow(CONTENT).name("done.bin").by(&ann).upload().await;
    let before = lines(&app).len();
    let creative = format!("/creatives/{}", id_of(&creative["id"]));
    app.call_as(&bob, Method::DELETE, &format!("/uploads/{upload}")).await.assert_status(404);
    app.call_as(&bob, Method::DELETE, &creative).await.assert_status(404);
    app.call(Method::DELETE, &creative).await.assert_status(401);
    app.post_json(&bob, "/tickets", &json!({ "sub": "bob" })).await.assert_status(403);
    app.flow(CONTENT).name("x.bin").by(&bob).with("scheduled_at", "2020-01-01").post(1).await;
    app.flow(CONTENT).by(&ann).post(2).await.assert_status(201);
    // But for the last, that completed the upload.
    assert_eq!(deeds(&app, before).len(), 1);
}

/// A line is there if and only if what it tells of is, whatever the catalog seemed to do.
#[test]
fn a_commit_that_fails_leaves_no_line_and_one_that_only_seemed_to_leaves_one() {
    let machine = Machine::new();
    machine.process(async |app| {
        let opened = async || {
            let lines = machine.facts.trail().entries(&ALL).await.expect("the trail");
            lines.iter().filter(|line| line.deed == Deed::UploadOpened).count()
        };
        machine.catalog.fail_next(CatalogOp::Commit);
        app.flow(CONTENT).post(1).await.assert_problem(503, "unavailable");
        assert_eq!(opened().await, 0);
        machine.catalog.fail_after_next(CatalogOp::Commit);
        app.flow(CONTENT).post(1).await.assert_problem(503, "unavailable");
        assert_eq!(opened().await, 1);
        app.flow(CONTENT).send([1, 2]).await.assert_status(201);
        assert_eq!(opened().await, 1);
    });
}

#[test]
fn an_upload_that_expires_or_fails_says_why_and_by_whom() {
    let machine = Machine::new().flag("--upload-ttl=1h");
    machine.process(async |app| {
        app.flow(CONTENT).name("idle.bin").send([1]).await;
        let wrong = app.flow(CONTENT).name("b.bin").with("sha256", "0".repeat(64));
        wrong.send([1]).await;
        wrong.post(2).await.assert_problem(415, "checksum_mismatch");
        machine.advance_seconds(2 * 3600);
        app.app().engine().sweep().await.expect("a sweep");
        let lines = machine.facts.trail().entries(&ALL).await.expect("the trail");
        let ends: Vec<_> = lines
            .iter()
            .filter(|line| line.deed != Deed::UploadOpened)
            .map(|line| (line.deed, line.means.as_str()))
            .collect();
        assert_eq!(ends, [(Deed::UploadExpired, "server"), (Deed::UploadFailed, "server")]);
        assert_eq!(lines[0].detail.as_deref(), Some("nothing came for too long"));
        assert!(lines[1].detail.as_ref().is_some_and(|why| why.contains("SHA-256")));
    });
}

#[test]
fn lines_are_kept_for_a_year_unless_it_is_said_for_how_long() {
    let machine = Machine::new().flag("--audit-ttl=none");
    let count = async || machine.facts.trail().entries(&ALL).await.expect("the trail").len();
    machine.process(async |app| {
        app.flow(CONTENT).send([1, 2]).await.assert_status(201);
        machine.advance_seconds(10 * 365 * 24 * 3600);
        app.app().engine().sweep().await.expect("a sweep");
        assert_eq!(count().await, 2);
    });
    let machine = Machine::new();
    let count = async || machine.facts.trail().entries(&ALL).await.expect("the trail").len();
    machine.process(async |app| {
        app.flow(CONTENT).send([1, 2]).await.assert_status(201);
        for (days, left) in [(364, 2), (2, 0)] {
            machine.advance_seconds(days * 24 * 3600);
            app.app().engine().sweep().await.expect("a sweep");
            assert_eq!(count().await, left);
        }
    });
    let machine = Machine::new().flag("--audit-ttl=1h");
    let count = async || machine.facts.trail().entries(&ALL).await.expect("the trail").len();
    machine.process(async |app| {
        app.flow(CONTENT).name("b.bin").send([1, 2]).await.assert_status(201);
        app.app().engine().sweep().await.expect("a sweep");
        assert_eq!(count().await, 2);
        machine.advance_seconds(3601);
        app.app().engine().sweep().await.expect("a sweep");
        assert_eq!(count().await, 0);
    });
}
