//! Signing in to the page: codes by e-mail, sessions, and what they tell of nobody.

use std::{sync::Arc, time::Duration};

use flowstitch::{
    catalog::{Catalog, MemoryCatalog},
    http::gate::Peer,
    mail::NotSent,
    upload::{By, Principal, Timestamp, TokenKind, limits},
};
use http::{Method, Request};
use serde_json::{Value, json};
use tokio::time::{Instant, advance};

use crate::support::{Outbox, Reply, TestApp, TestAppBuilder, code_in};

const EMAIL: &str = "ann@example.com";
const NEW: &str = "new@example.com";

fn for_now() -> NotSent {
    NotSent::ForNow("try later".into())
}

/// Who guesses waits, and so do refusals: in memory, where paused time passes by itself.
pub(crate) fn builder(outbox: &Arc<Outbox>) -> TestAppBuilder {
    TestApp::builder().catalog(Arc::new(MemoryCatalog::new())).mailer(outbox.clone())
}

/// An application where codes can be sent, with Ann, who has an address.
async fn start(builder: TestAppBuilder) -> TestApp {
    let app = builder.start().await;
    let added = app.control("/users/add?name=ann&email=ann%40example.com").await;
    added.assert_status(200);
    app
}

async fn ask(app: &TestApp, email: &str) -> Reply {
    app.tell("/auth/otp", &json!({ "email": email })).await
}

async fn enter(app: &TestApp, email: &str, code: &str) -> Reply {
    app.tell("/auth/session", &json!({ "email": email, "code": code })).await
}

/// Ann's code, read from her mail.
async fn code(app: &TestApp, outbox: &Outbox) -> String {
    ask(app, EMAIL).await.assert_status(202);
    outbox.code().await
}

/// Another code than this one.
fn other(code: &str) -> String {
    format!("{:06}", (code.parse::<u32>().expect("digits") + 1) % 1_000_000)
}

/// A session of a user who has an address for that.
pub(crate) async fn new_session(app: &TestApp, outbox: &Outbox) -> String {
    app.control("/users/add?name=sue&email=ann%40example.com").await.assert_status(200);
    session(app, outbox).await
}

async fn session(app: &TestApp, outbox: &Outbox) -> String {
    let code = code(app, outbox).await;
    token(enter(app, EMAIL, &code).await.assert_status(201))
}

fn token(reply: &Reply) -> String {
    reply.json()["token"].as_str().expect("a token").to_owned()
}

async fn status(app: &TestApp, token: &str) -> u16 {
    app.call_as(token, Method::GET, "/creatives").await.status.as_u16()
}

#[tokio::test(start_paused = true)]
async fn a_code_from_a_mail_is_good_for_a_session_that_uploads_and_reads() {
    let outbox = Arc::new(Outbox::default());
    let app = start(builder(&outbox).flag("--public-url=https://up.example.com")).await;
    ask(&app, "  ANN@example.com ").await.assert_status(202);
    let mail = outbox.next().await;
    assert_eq!(mail.to, EMAIL);
    assert!(mail.text.contains("https://up.example.com."), "{}", mail.text);
    let code = code_in(&mail.text);
    assert!(!mail.subject.contains(&code), "it may stand on a locked screen");
    let reply = enter(&app, EMAIL, &code).await;
    assert_eq!(reply.assert_status(201).json()["expires_at"], "2026-12-01T13:00:00Z");
    let session = token(&reply);
    let creative = app.flow("hello").by(&session).upload().await;
    assert_eq!(creative["user_id"], "ann");
    assert_eq!(status(&app, &session).await, 200);
    app.call_as(&session, Method::GET, "/metrics").await.assert_problem(403, "forbidden");
    app.post_json(&session, "/tickets", &json!({ "sub": "bob" })).await.assert_status(403);
}

#[tokio::test(start_paused = true)]
async fn the_operator_sees_sessions_after_the_tokens_and_ends_them() {
    let outbox = Arc::new(Outbox::default());
    let app = start(builder(&outbox)).await;
    let key = app.token("ann", "read").await;
    let session = session(&app, &outbox).await;
    let listed = app.control("/tokens/list?name=ann").await.json();
    assert_eq!([&listed[0]["kind"], &listed[1]["kind"]], ["key", "session"]);
    assert!(!listed.to_string().contains(session.rsplit('_').next().expect("a secret")));
    let id = listed[1]["id"].as_str().expect("an id");
    app.control(&format!("/tokens/revoke?id={id}")).await.assert_status(200);
    assert_eq!((status(&app, &session).await, status(&app, &key).await), (401, 200));
}

#[tokio::test(start_paused = true)]
async fn what_is_shown_to_a_proxy_is_in_nobodys_way() {
    let outbox = Arc::new(Outbox::default());
    let app = start(builder(&outbox)).await;
    let code = code(&app, &outbox).await;
    let body = json!({ "email": EMAIL, "code": code }).to_string();
    let request = Request::post("/auth/session").header("authorization", "Basic YW5uOng=");
    let reply = app.send(request.body(body.into()).expect("a request")).await;
    assert_eq!(status(&app, &token(reply.assert_status(201))).await, 200);
}

#[tokio::test]
async fn whether_and_how_one_can_sign_in_is_told_to_everybody() {
    let ways = async |app: &TestApp| app.get("/auth").await.assert_status(200).json();
    let app = TestApp::start().await;
    assert_eq!(ways(&app).await, json!({ "required": false, "optional": false, "otp": false }));
    let refused = ask(&app, EMAIL).await;
    refused.assert_problem(409, "codes_not_configured");
    let app = start(TestApp::builder()).await;
    assert_eq!(ways(&app).await, json!({ "required": true, "optional": false, "otp": false }));
    let outbox = Arc::new(Outbox::default());
    let app = start(TestApp::builder().mailer(outbox)).await;
    assert_eq!(ways(&app).await, json!({ "required": true, "optional": false, "otp": true }));
    let app = TestApp::builder().flag("--allow-anonymous").start().await;
    assert_eq!(ways(&app).await, json!({ "required": false, "optional": false, "otp": false }));
    app.token("ann", "upload").await;
    assert_eq!(ways(&app).await, json!({ "required": false, "optional": true, "otp": false }));
}

/// Status, words and time are the same, whatever is wrong.
#[tokio::test(start_paused = true)]
async fn nothing_tells_which_addresses_there_are_nor_what_is_wrong_with_a_code() {
    let outbox = Arc::new(Outbox::default());
    let app = start(builder(&outbox)).await;
    app.control("/users/add?name=bob&email=bob%40example.com").await.assert_status(200);
    app.control("/users/disable?name=bob").await.assert_status(200);
    let mut answers: Vec<Value> = Vec::new();
    for email in [EMAIL, EMAIL, "nobody@example.com", "bob@example.com"] {
        let begun = Instant::now();
        let reply = ask(&app, email).await;
        assert_eq!((reply.status.as_u16(), begun.elapsed()), (202, Duration::ZERO), "{email}");
        assert!(reply.body.is_empty());
    }
    outbox.tried(2).await;
    outbox.next().await;
    let code = outbox.code().await;
    let wrong = other(&code);
    for (email, code) in [
        (EMAIL, wrong.as_str()),
        ("nobody@example.com", &code),
        ("bob@example.com", &code),
        ("no address", &code),
        (EMAIL, ""),
        (EMAIL, "nonsense"),
    ] {
        advance(limits::PENALTY_FORGOTTEN).await;
        let begun = Instant::now();
        let reply = enter(&app, email, code).await;
        let mut problem = reply.json();
        reply.assert_problem(401, "invalid_code");
        problem["request_id"] = "".into();
        problem["took"] = json!(begun.elapsed().as_millis());
        answers.push(problem);
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    enter(&app, EMAIL, &code).await.assert_status(201);
    assert_eq!(outbox.attempts(), 2, "to the one who is known, and to nobody else");
}

#[tokio::test(start_paused = true)]
async fn a_code_counts_once_for_minutes_and_for_a_few_tries() {
    let outbox = Arc::new(Outbox::default());
    let app = start(builder(&outbox)).await;
    let refused = async |code: &str| {
        enter(&app, EMAIL, code).await.assert_problem(401, "invalid_code");
    };
    let used = code(&app, &outbox).await;
    enter(&app, EMAIL, &used).await.assert_status(201);
    refused(&used).await;

    let over = code(&app, &outbox).await;
    app.clock().advance(10 * 60 * 1000);
    refused(&over).await;
    let late = code(&app, &outbox).await;
    app.clock().advance(10 * 60 * 1000 - 1);
    enter(&app, EMAIL, &late).await.assert_status(201);

    let [replaced, guessed] = [code(&app, &outbox).await, code(&app, &outbox).await];
    refused(&replaced).await;
    for _ in 0..4 {
        refused(&other(&guessed)).await;
    }
    refused(&guessed).await;
    let fifth = code(&app, &outbox).await;
    for _ in 0..4 {
        refused(&other(&fifth)).await;
    }
    enter(&app, EMAIL, &fifth).await.assert_status(201);
}

#[tokio::test(start_paused = true)]
async fn who_guesses_codes_waits_as_who_guesses_tokens_does() {
    let outbox = Arc::new(Outbox::default());
    let app = start(builder(&outbox)).await;
    for doubled in 0..4 {
        let begun = Instant::now();
        enter(&app, EMAIL, "000000").await.assert_problem(401, "invalid_code");
        let expected = limits::SIGN_IN_TIME + limits::PENALTY_MIN * (1 << doubled);
        assert_eq!(begun.elapsed(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_user_gets_a_few_codes_and_then_one_in_a_while() {
    let outbox = Arc::new(Outbox::default());
    let app = start(builder(&outbox)).await;
    for _ in 0..limits::CODES_AT_ONCE {
        code(&app, &outbox).await;
    }
    let sent = outbox.attempts();
    ask(&app, EMAIL).await.assert_status(202);
    advance(limits::CODE_INTERVAL).await;
    let last = code(&app, &outbox).await;
    assert_eq!(outbox.attempts(), sent + 1, "the one in between was not sent");
    // It was right at once: that one does not count.
    enter(&app, EMAIL, &last).await.assert_status(201);
    code(&app, &outbox).await;
}

#[tokio::test(start_paused = true)]
async fn signing_in_gives_whoever_guesses_no_more_to_guess_at() {
    let outbox = Arc::new(Outbox::default());
    let app = start(builder(&outbox)).await;
    // As often as one likes, as long as nobody guesses.
    for _ in 0..2 * limits::CODES_AT_ONCE {
        session(&app, &outbox).await;
    }
    for _ in 0..limits::CODES_AT_ONCE {
        let code = code(&app, &outbox).await;
        enter(&app, EMAIL, &other(&code)).await.assert_problem(401, "invalid_code");
        enter(&app, EMAIL, &code).await.assert_status(201);
    }
    let sent = outbox.attempts();
    ask(&app, EMAIL).await.assert_status(202);
    advance(limits::CODE_INTERVAL).await;
    code(&app, &outbox).await;
    assert_eq!(outbox.attempts(), sent + 1, "the one in between was not sent");
}

/// Behind a proxy that is not in `trusted_proxies` everybody has its address.
#[tokio::test(start_paused = true)]
async fn one_who_asks_too_often_locks_out_nobody_behind_the_same_unnamed_proxy() {
    let outbox = Arc::new(Outbox::default());
    let app = start(builder(&outbox)).await;
    let ask = async |client: &str, email: &str| {
        let body = json!({ "email": email }).to_string();
        let request = Request::post("/auth/otp").header("x-forwarded-for", client);
        let mut request = request.body(body.into()).expect("a request");
        request.extensions_mut().insert(Peer([10, 0, 0, 1].into()));
        app.send(request).await
    };
    for number in 0..limits::CODES_ASKED_AT_ONCE + 20 {
        let email = format!("{number}@example.com");
        ask("192.0.2.1", &email).await.assert_status(202);
    }
    let asked = tokio::time::Instant::now();
    ask("192.0.2.2", EMAIL).await.assert_status(202);
    assert!(asked.elapsed() <= limits::CODES_ASKED_INTERVAL, "{:?}", asked.elapsed());
    outbox.next().await;
    // From a proxy that is named, each client has its own address, and its own limit.
    let body = json!({ "email": EMAIL }).to_string();
    let request = Request::post("/auth/otp").header("x-forwarded-for", "10.0.0.1");
    let mut request = request.body(body.into()).expect("a request");
    request.extensions_mut().insert(Peer([10, 0, 0, 1].into()));
    app.send(request).await.assert_problem(429, "too_many_requests");
}

#[tokio::test(start_paused = true)]
async fn one_address_asks_for_so_many_codes() {
    let outbox = Arc::new(Outbox::default());
    let app = start(builder(&outbox)).await;
    let ask = async |from: [u8; 4], email: &str| {
        let body = json!({ "email": email }).to_string();
        let mut request = Request::post("/auth/otp").body(body.into()).expect("a request");
        request.extensions_mut().insert(Peer(from.into()));
        app.send(request).await
    };
    for number in 0..limits::CODES_ASKED_AT_ONCE {
        let email = format!("{number}@example.com");
        ask([10, 0, 0, 1], &email).await.assert_status(202);
    }
    for email in [EMAIL, "nobody@example.com"] {
        let reply = ask([10, 0, 0, 1], email).await;
        reply.assert_problem(429, "too_many_requests");
        assert_eq!(reply.header("retry-after"), Some("5"));
    }
    ask([10, 0, 0, 2], EMAIL).await.assert_status(202);
    outbox.next().await;
}

#[tokio::test]
async fn what_is_no_request_for_a_code_is_refused() {
    let app = start(TestApp::builder().mailer(Arc::new(Outbox::default()))).await;
    for bad in ["", "ann", "ann@", "a b@example.com", "ann@example.com\r\nBcc: x@example.com"] {
        ask(&app, bad).await.assert_problem(400, "invalid_email");
    }
    for (path, body) in [
        ("/auth/otp", json!({})),
        ("/auth/otp", json!({ "email": 7 })),
        ("/auth/otp", json!({ "email": EMAIL, "host": "evil.example.com" })),
        ("/auth/session", json!({ "email": EMAIL })),
        ("/auth/session", json!([])),
    ] {
        assert_eq!(app.tell(path, &body).await.status, 400, "{path} {body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_mail_is_tried_again_until_it_is_taken_or_refused_for_good() {
    let outbox = Arc::new(Outbox::default());
    let app = start(builder(&outbox)).await;
    outbox.fail([for_now(), NotSent::TimedOut, for_now()]);
    let begun = Instant::now();
    let code = code(&app, &outbox).await;
    assert_eq!((outbox.attempts(), begun.elapsed().as_secs()), (4, 1 + 2 + 4));
    enter(&app, EMAIL, &code).await.assert_status(201);

    outbox.fail([NotSent::ForGood("no such mailbox".into())]);
    ask(&app, EMAIL).await.assert_status(202);
    outbox.tried(5).await;
    advance(limits::CODE_LIFETIME).await;
    assert_eq!((outbox.attempts(), outbox.len()), (5, 0));
}

#[tokio::test(start_paused = true)]
async fn while_a_code_is_on_its_way_no_other_is_made_and_after_its_time_it_is_given_up() {
    let outbox = Arc::new(Outbox::default());
    let app = start(builder(&outbox)).await;
    outbox.fail((0..1000).map(|_| for_now()));
    ask(&app, EMAIL).await.assert_status(202);
    outbox.tried(1).await;
    ask(&app, EMAIL).await.assert_status(202);
    outbox.tried(8).await;
    advance(limits::CODE_LIFETIME).await;
    outbox.recover();
    assert_eq!(outbox.len(), 0);
    code(&app, &outbox).await;
    assert_eq!(outbox.len(), 0, "the one that was given up does not come after it");
}

#[tokio::test(start_paused = true)]
async fn a_code_counts_no_more_once_the_address_is_another_or_none() {
    let outbox = Arc::new(Outbox::default());
    let app = start(builder(&outbox)).await;
    let refused = async |email: &str, code: &str| {
        enter(&app, email, code).await.assert_problem(401, "invalid_code");
    };
    let former = code(&app, &outbox).await;
    app.control("/users/email?name=ann&email=new%40example.com").await.assert_status(200);
    for email in [EMAIL, NEW] {
        refused(email, &former).await;
    }
    ask(&app, EMAIL).await.assert_status(202);
    ask(&app, NEW).await.assert_status(202);
    let mail = outbox.next().await;
    assert_eq!((mail.to.as_str(), outbox.len()), (NEW, 0), "none goes to the former one");
    let last = code_in(&mail.text);
    app.control("/users/forget-email?name=ann").await.assert_status(200);
    refused(NEW, &last).await;
    let sent = outbox.attempts();
    for email in [EMAIL, NEW] {
        ask(&app, email).await.assert_status(202);
    }
    app.control("/users/email?name=ann&email=ann%40example.com").await.assert_status(200);
    refused(EMAIL, &last).await;
    let code = code(&app, &outbox).await;
    assert_eq!(outbox.attempts(), sent + 1);
    enter(&app, EMAIL, &code).await.assert_status(201);
}

#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_to_a_former_address_is_given_up_and_does_not_hold_up_the_next() {
    let outbox = Arc::new(Outbox::default());
    let app = start(builder(&outbox)).await;
    for _ in 1..limits::CODES_AT_ONCE {
        code(&app, &outbox).await;
    }
    outbox.fail((0..1000).map(|_| for_now()));
    ask(&app, EMAIL).await.assert_status(202);
    outbox.tried(limits::CODES_AT_ONCE as usize).await;
    app.control("/users/email?name=ann&email=new%40example.com").await.assert_status(200);
    outbox.recover();
    ask(&app, NEW).await.assert_status(202);
    let mail = outbox.next().await;
    assert_eq!(mail.to, NEW);
    enter(&app, &mail.to, &code_in(&mail.text)).await.assert_status(201);
    advance(limits::CODE_LIFETIME).await;
    assert_eq!(outbox.len(), 0);
}

#[tokio::test]
async fn an_address_that_is_none_or_anothers_is_refused() {
    let app = start(TestApp::builder()).await;
    app.control("/users/add?name=bob").await.assert_status(200);
    let set = async |query: &str| app.control(&format!("/users/email?{query}")).await;
    let clear = async |name: &str| app.control(&format!("/users/forget-email?name={name}")).await;
    set("name=bob&email=bob").await.assert_problem(400, "invalid_email");
    set("name=bob&email=").await.assert_problem(400, "invalid_email");
    set("email=b%40example.com").await.assert_problem(400, "invalid_name");
    set("name=bob&email=ANN%40example.com").await.assert_problem(409, "conflict");
    set("name=dan&email=dan%40example.com").await.assert_problem(404, "not_found");
    set("name=ann").await.assert_problem(400, "invalid_email");
    clear("dan").await.assert_problem(404, "not_found");
    let emails = async || {
        let users = app.control("/users/list").await.json();
        [0, 1].map(|index| users[index]["email"].clone())
    };
    assert_eq!(emails().await, [json!(EMAIL), Value::Null]);
    set("name=bob&email=bob%40example.com").await.assert_status(200);
    clear("ann").await.assert_status(200);
    assert_eq!(emails().await, [Value::Null, json!("bob@example.com")]);
}

#[tokio::test]
async fn a_code_that_was_not_sent_before_the_stop_is_sent_anew_after_the_start() {
    let outbox = Arc::new(Outbox::default());
    let app = start(TestApp::builder().mailer(outbox.clone())).await;
    outbox.fail((0..1000).map(|_| for_now()));
    ask(&app, EMAIL).await.assert_status(202);
    outbox.tried(1).await;
    let builder = app.stop().await;
    outbox.recover();
    let app = builder.start().await;
    let code = outbox.code().await;
    let session = token(enter(&app, EMAIL, &code).await.assert_status(201));
    // What was sent is not sent again, and a session outlives a restart.
    let app = app.restart().await;
    assert_eq!(outbox.len(), 0);
    assert_eq!(status(&app, &session).await, 200);
}

#[tokio::test]
async fn a_stop_waits_for_what_is_being_sent_and_begins_nothing() {
    let (outbox, facts) = (Arc::new(Outbox::default()), MemoryCatalog::new());
    let app = builder(&outbox).catalog(Arc::new(facts.reopened())).start().await;
    let gate = outbox.hold();
    let at_once = limits::MAILS_AT_ONCE;
    for number in 0..at_once + 3 {
        let user = format!("name=u{number}&email=u{number}%40example.com");
        app.control(&format!("/users/add?{user}")).await.assert_status(200);
        ask(&app, &format!("u{number}@example.com")).await.assert_status(202);
        if number < at_once {
            outbox.tried(number + 1).await;
        }
    }
    let (builder, ()) = tokio::join!(app.stop(), async { gate.open() });
    assert_eq!((outbox.attempts(), outbox.len()), (at_once, at_once), "what had begun");
    // The others get theirs after the start, if they still may.
    let (unwelcome, by) = (Principal::named("u4"), By::server(Timestamp::UNIX_EPOCH));
    let disabled = facts.directory().disable_user(&unwelcome, Some(by.at), &by).await;
    assert!(disabled.expect("it is open"));
    let _app = builder.catalog(Arc::new(facts.reopened())).start().await;
    let mut to = Vec::new();
    for _ in 0..at_once + 2 {
        to.push(outbox.next().await.to);
    }
    to.sort();
    let expected = ["u0", "u1", "u2", "u3", "u5", "u6"].map(|it| format!("{it}@example.com"));
    assert_eq!(to, expected);
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_unless_it_is_renewed_and_at_last_all_the_same() {
    let outbox = Arc::new(Outbox::default());
    let app = start(builder(&outbox).flag("--session-ttl=30m").flag("--session-max=70m")).await;
    let minutes = |count: i64| app.clock().advance(count * 60_000);
    let idle = session(&app, &outbox).await;
    let used = session(&app, &outbox).await;
    let renew = async || app.call_as(&used, Method::POST, "/auth/session").await;
    minutes(20);
    let renewed = renew().await;
    assert_eq!(renewed.assert_status(200).json()["expires_at"], "2026-12-01T12:50:00Z");
    assert_eq!(token(&renewed), used);
    minutes(10);
    assert_eq!((status(&app, &idle).await, status(&app, &used).await), (401, 200));
    app.call_as(&idle, Method::POST, "/auth/session").await.assert_problem(401, "unauthenticated");
    minutes(19);
    renew().await.assert_status(200);
    minutes(20);
    assert_eq!(renew().await.assert_status(200).json()["expires_at"], "2026-12-01T13:10:00Z");
    minutes(1);
    assert_eq!(status(&app, &used).await, 401);
    renew().await.assert_problem(401, "unauthenticated");
}

/// Whatever a page does, it writes little, and nobody else has to be looked up again.
#[tokio::test(start_paused = true)]
async fn a_renewal_that_gains_nothing_writes_nothing_and_none_disturbs_others() {
    let (outbox, facts) = (Arc::new(Outbox::default()), Arc::new(MemoryCatalog::new()));
    let app = start(builder(&outbox).catalog(facts.clone()).flag("--session-ttl=30m")).await;
    let anns = session(&app, &outbox).await;
    let bobs = app.token("bob", "read").await;
    assert_eq!(status(&app, &bobs).await, 200);
    // Behind the back of the server, which knows it still.
    let directory = facts.directory();
    let id = directory.tokens(None, TokenKind::Key, 1).await.expect("listed")[0].id;
    let by = By::server(app.clock().now());
    assert!(directory.revoke_token(id, &by).await.expect("taken back"));
    let renewed = async |seconds: i64| {
        app.clock().advance(seconds * 1000);
        let reply = app.call_as(&anns, Method::POST, "/auth/session").await;
        reply.assert_status(200).json()["expires_at"].clone()
    };
    assert_eq!(renewed(59).await, "2026-12-01T12:30:00Z");
    assert_eq!(renewed(1).await, "2026-12-01T12:31:00Z");
    assert_eq!(renewed(29 * 60 + 59).await, "2026-12-01T13:00:59Z", "the later end counts");
    assert_eq!(status(&app, &bobs).await, 200);
}

#[tokio::test(start_paused = true)]
async fn the_shortest_session_can_be_renewed() {
    let outbox = Arc::new(Outbox::default());
    let app = start(builder(&outbox).flag("--session-ttl=1m")).await;
    let session = session(&app, &outbox).await;
    for ends in ["2026-12-01T12:01:30Z", "2026-12-01T12:02:00Z"] {
        app.clock().advance(30_000);
        let reply = app.call_as(&session, Method::POST, "/auth/session").await;
        assert_eq!(reply.assert_status(200).json()["expires_at"], ends);
    }
}

#[tokio::test(start_paused = true)]
async fn signing_out_ends_the_session_and_no_other() {
    let outbox = Arc::new(Outbox::default());
    let app = start(builder(&outbox)).await;
    let [one, other] = [session(&app, &outbox).await, session(&app, &outbox).await];
    app.call_as(&one, Method::DELETE, "/auth/session").await.assert_status(204);
    assert_eq!((status(&app, &one).await, status(&app, &other).await), (401, 200));
    app.call_as(&one, Method::DELETE, "/auth/session").await.assert_status(401);
    app.control("/users/disable?name=ann").await.assert_status(200);
    assert_eq!(status(&app, &other).await, 401);
    // A token of the operator's is neither renewed nor ended by whoever has it.
    app.control("/users/enable?name=ann").await.assert_status(200);
    let key = app.token("ann", "upload,read,admin").await;
    for method in [Method::POST, Method::DELETE] {
        let reply = app.call_as(&key, method, "/auth/session").await;
        reply.assert_problem(403, "forbidden");
    }
    assert_eq!(status(&app, &key).await, 200);
    app.call(Method::DELETE, "/auth/session").await.assert_problem(401, "unauthenticated");
}

#[tokio::test]
async fn the_sweep_forgets_sessions_and_codes_that_are_over_and_the_database_has_no_secret() {
    let outbox = Arc::new(Outbox::default());
    let app = start(TestApp::builder().mailer(outbox.clone())).await;
    let session = session(&app, &outbox).await;
    let code = code(&app, &outbox).await;
    let rows = |table: &str| {
        let database = rusqlite::Connection::open(app.dir().join("flowstitch.db")).expect("open");
        let count = format!("SELECT count(*) FROM {table}");
        database.query_row(&count, [], |row| row.get::<_, u32>(0)).expect("counted")
    };
    let secret = session.rsplit('_').next().expect("a secret");
    for name in ["flowstitch.db", "flowstitch.db-wal"] {
        let file = std::fs::read(app.dir().join(name)).expect("read");
        for secret in [&code, secret] {
            assert!(!file.windows(secret.len()).any(|it| it == secret.as_bytes()), "{name}");
        }
    }
    app.app().engine().sweep().await.expect("swept");
    assert_eq!((rows("tokens"), rows("codes")), (1, 1));
    app.clock().advance(10 * 60 * 1000 + 1);
    app.app().engine().sweep().await.expect("swept");
    assert_eq!((rows("tokens"), rows("codes")), (1, 0));
    app.clock().advance(60 * 60 * 1000);
    app.app().engine().sweep().await.expect("swept");
    assert_eq!((rows("tokens"), rows("codes")), (0, 0));
}
