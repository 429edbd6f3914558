//! Tickets: what they let in, what they do not, and what they fix.

use std::time::Duration;

use flowstitch::app::StartError;
use http::{Method, StatusCode};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::support::{
    FlowFile, Form, Reply, TestApp, TestAppBuilder,
    keys::{SECRET, Signer, at, claims, jwks},
};

const CONTENT: &str = "hello world";

fn builder() -> TestAppBuilder {
    TestApp::builder().file("--ticket-key", SECRET)
}

/// A ticket of Ann's that says `more`.
#[expect(clippy::needless_pass_by_value, reason = "values are made where they are passed")]
fn ticket(more: Value) -> String {
    Signer::hs256(SECRET).sign(&claims(&more))
}

/// A file of this name, sent with a ticket in the header.
fn file<'a>(app: &'a TestApp, name: &str, ticket: &str) -> FlowFile<'a> {
    app.flow(CONTENT).name(name).by(ticket)
}

#[track_caller]
fn assert_forbidden(reply: &Reply, words: &str) {
    let detail = reply.assert_problem(403, "forbidden");
    assert!(detail.contains(words), "{detail}");
}

#[tokio::test]
async fn a_ticket_from_the_service_uploads_for_its_user() {
    let app = builder().start().await;
    let admin = app.token("admin", "admin").await;
    let request = json!({ "sub": "ann", "expires_in": 60, "max_size": 100 });
    let reply = app.post_json(&admin, "/tickets", &request).await;
    let issued = reply.assert_status(201).json();
    assert_eq!(issued["expires_at"], "2026-12-01T12:01:00Z");
    let ticket = issued["ticket"].as_str().expect("a ticket");
    let creative = file(&app, "a.bin", ticket).upload().await;
    assert_eq!(creative["user_id"], "ann");
    // A minute for the clocks, and then it is over.
    app.clock().advance(119_999);
    file(&app, "a.bin", ticket).probe(1).await.assert_status(200);
    app.clock().advance(1);
    let detail = file(&app, "a.bin", ticket).probe(1).await.assert_problem(401, "unauthenticated");
    assert!(detail.contains("expired"), "{detail}");
}

#[tokio::test]
async fn a_ticket_may_be_a_field_of_the_query_or_of_the_form() {
    let app = builder().start().await;
    let good = app.flow(CONTENT).name("a.bin").with("ticket", ticket(json!({})));
    good.probe(1).await.assert_status(204);
    good.lookup().await.assert_status(404);
    good.octet(1).await.assert_status(200);
    good.post(2).await.assert_status(201);
    good.lookup().await.assert_status(200);
    // Chunks that are too large to wait for what comes behind them.
    let content = vec![7; 300_000];
    let large = app.flow(content).chunk_size(100_000).with("ticket", ticket(json!({})));
    large.upload().await;
    let id = good.lookup().await.json()["upload"]["id"].as_str().expect("an id").to_owned();
    let path = format!("/uploads/{id}");
    app.call_as(&ticket(json!({})), Method::GET, &path).await.assert_status(200);

    let without = app.flow(CONTENT).name("b.bin");
    let empty = without.clone().with("ticket", "undefined");
    let wrong = without.clone().with("ticket", "nonsense");
    for file in [without, empty, wrong] {
        for reply in
            [file.probe(1).await, file.lookup().await, file.octet(1).await, file.post(1).await]
        {
            reply.assert_problem(401, "unauthenticated");
        }
    }
    assert_eq!(app.files("incomplete"), Vec::<String>::new());
}

#[tokio::test]
async fn a_ticket_behind_the_file_lets_nobody_in() {
    let app = builder().start().await;
    let fields = app.flow(CONTENT).fields(1);
    let form = Form::new().fields(&fields).file("a.bin", &CONTENT.as_bytes()[..4]);
    let form = form.field("ticket", ticket(json!({})));
    app.send(form.post("/upload")).await.assert_problem(401, "unauthenticated");
}

/// Those who guess wait: paused time passes by itself.
#[tokio::test(start_paused = true)]
async fn what_is_no_ticket_of_ours_is_refused() {
    let (ed, rsa) = (Signer::ed25519(1), Signer::rs256());
    let set = jwks(&[&ed, &rsa]);
    let app = builder().file("--ticket-jwks", &set).start().await;
    let (ours, good) = (Signer::hs256(SECRET), claims(&json!({})));
    let whole = ours.sign(&good);
    let [head, body, signature] = whole.split('.').collect::<Vec<_>>()[..] else { panic!() };
    let none = |alg: &str| base64url(&format!(r#"{{"alg":"{alg}","typ":"JWT"}}"#));
    let bad = [
        format!("{}.{body}.", none("none")),
        format!("{}.{body}.{signature}", none("none")),
        format!("{}.{body}.", none("NONE")),
        format!("{head}.{body}."),
        format!("{head}.{body}"),
        format!("{head}..{signature}"),
        format!("{head}.{}.{signature}", base64url(&claims(&json!({ "sub": "eve" })).to_string())),
        whole[..whole.len() - 1].to_owned(),
        whole[..whole.len() / 2].to_owned(),
        format!("{whole}.{signature}"),
        format!("{whole} "),
        Signer::hs256(b"another secret, which is as long as ours").sign(&good),
        // What everybody knows is no secret.
        Signer::hs256(&set).sign(&good),
        Signer::hs256(b"").sign(&good),
        Signer::hs256(SECRET).instead(Algorithm::HS512).sign(&good),
        Signer::ed25519(2).sign(&good),
        Signer::rs256().instead(Algorithm::RS512).sign(&good),
        Signer::rs256().instead(Algorithm::PS256).sign(&good),
        Signer::es256().sign(&good),
        ours.sign_under(&good, |header| header.crit = Some(vec!["exp".into()])),
        ours.sign(&claims(&json!({ "name": "x".repeat(9000) }))),
    ];
    for bad in bad {
        let file = app.flow(CONTENT).with("ticket", &bad);
        file.probe(1).await.assert_problem(401, "unauthenticated");
        if !bad.ends_with(' ') {
            let reply = app.call_as(&bad, Method::GET, "/limits").await;
            reply.assert_problem(401, "unauthenticated");
        }
    }
    app.call_as(&whole, Method::GET, "/limits").await.assert_status(200);
    // What its user has besides is not the holder's business.
    app.call_as(&whole, Method::GET, "/uploads").await.assert_problem(403, "forbidden");
}

#[tokio::test]
async fn a_ticket_that_was_signed_as_it_should_be_says_why_it_is_refused() {
    let app = builder().start().await;
    let (minute, hour) = (Duration::from_mins(1), Duration::from_hours(1));
    for (claim, word) in [
        (json!({ "exp": at(Duration::ZERO) - 3600 }), "expired"),
        (json!({ "exp": null }), "`exp`"),
        (json!({ "nbf": at(hour) }), "not good yet"),
        (json!({ "iat": at(hour) }), "not good yet"),
        (json!({ "exp": at(25 * hour) }), "too long"),
        (json!({ "aud": "others" }), "`aud`"),
        (json!({ "sub": "anonymous" }), "`sub`"),
        (json!({ "sub": 7 }), "cannot be read"),
        (json!({ "uploads": 1 }), "`jti`"),
        (json!({ "accept": ["*/*"] }), "`accept`"),
    ] {
        let reply = file(&app, "a.bin", &ticket(claim.clone())).probe(1).await;
        let detail = reply.assert_problem(401, "unauthenticated");
        assert!(detail.contains(word), "{claim}: {detail}");
    }
    for clock in [
        json!({ "exp": at(Duration::ZERO) - 59 }),
        json!({ "nbf": at(minute), "exp": at(2 * minute) }),
        json!({ "iat": at(minute), "exp": at(2 * minute) }),
    ] {
        file(&app, "a.bin", &ticket(clock)).probe(1).await.assert_status(204);
    }
}

#[tokio::test]
async fn an_application_signs_with_keys_of_its_own() {
    let signers = [
        Signer::ed25519(1),
        Signer::ed25519(2).named("second"),
        Signer::es256().named("curve"),
        Signer::rs256(),
    ];
    let set = jwks(&signers.each_ref());
    let app = TestApp::builder().file("--ticket-jwks", &set).start().await;
    for (number, signer) in signers.iter().enumerate() {
        let file = app.flow(CONTENT).name(&format!("{number}.bin"));
        file.by(&signer.sign(&claims(&json!({})))).upload().await;
    }
    // A name that no key has.
    let lost = Signer::ed25519(2).named("lost").sign(&claims(&json!({})));
    file(&app, "a.bin", &lost).probe(1).await.assert_problem(401, "unauthenticated");
    let admin = app.token("admin", "admin").await;
    let reply = app.post_json(&admin, "/tickets", &json!({ "sub": "ann" })).await;
    reply.assert_problem(409, "tickets_not_configured");
}

#[tokio::test]
async fn a_key_that_cannot_be_used_is_refused_at_the_start() {
    let set = |key: Value| json!({ "keys": [key] }).to_string().into_bytes();
    let with = |mut key: Value, name: &str, value: &str| {
        key[name] = value.into();
        set(key)
    };
    let (ed, rsa, ec) = (Signer::ed25519(1).public(), Signer::rs256(), Signer::es256().public());
    let rsa = rsa.public();
    let short = rsa["n"].as_str().expect("a number")[..160].to_owned();
    for (flag, content, word) in [
        ("--ticket-key", b"short".to_vec(), "32 or more"),
        ("--ticket-key", [b' '; 40].to_vec(), "32 or more"),
        ("--ticket-jwks", b"nonsense".to_vec(), "JWK set"),
        ("--ticket-jwks", br#"{"keys": []}"#.to_vec(), "this has 0"),
        ("--ticket-jwks", with(rsa.clone(), "use", "enc"), "this has 0"),
        ("--ticket-jwks", with(ec.clone(), "alg", "RS256"), "wrong kind"),
        ("--ticket-jwks", with(rsa.clone(), "alg", "ES256"), "wrong kind"),
        ("--ticket-jwks", with(rsa.clone(), "alg", "RS512"), "wrong kind"),
        ("--ticket-jwks", with(ed.clone(), "alg", "HS256"), "wrong kind"),
        ("--ticket-jwks", with(ec.clone(), "crv", "P-384"), "no kind"),
        ("--ticket-jwks", with(rsa, "n", &short), "2048"),
        ("--ticket-jwks", with(ed, "x", "AAAA"), "not whole"),
        ("--ticket-jwks", with(ec, "x", "???"), "base64url"),
        ("--ticket-jwks", set(json!({ "kty": "oct", "k": "AAAA" })), "secret"),
        ("--ticket-jwks", set(json!({ "kty": "new" })), "no kind"),
    ] {
        let started = TestApp::builder().file(flag, &content).try_start().await;
        let Err(StartError::Keys { setting, source, .. }) = started else {
            panic!("{flag} {word}: it started");
        };
        assert_eq!(flag, format!("--{}", setting.replace('_', "-")));
        assert!(source.to_string().contains(word), "{word}: {source}");
    }
    let missing = TestApp::builder().flag("--ticket-key=/nowhere/at/all").try_start().await;
    assert!(matches!(missing, Err(StartError::Keys { .. })));
}

#[tokio::test]
async fn keys_are_credentials_and_close_the_service() {
    let app = builder().start().await;
    app.get("/creatives").await.assert_problem(401, "unauthenticated");
    let strangers = builder().flag("--listen=0.0.0.0:0").start().await;
    strangers.get("/creatives").await.assert_problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_ticket_fixes_size_name_and_day() {
    let app = builder().start().await;
    let small = ticket(json!({ "max_size": 10 }));
    file(&app, "a.bin", &small).post(1).await.assert_problem(413, "too_large");
    // Neither does a file that does not say how large it is fill the disk.
    let form = Form::new().field("ticket", &small).field("flowFilename", "a.bin");
    let reply = app.send(form.file("a.bin", CONTENT.as_bytes()).post("/upload")).await;
    reply.assert_problem(413, "too_large");
    app.flow("hello wor").by(&small).upload().await;

    let named = ticket(json!({ "filename": "ä.png" }));
    assert_forbidden(&file(&app, "b.png", &named).post(1).await, "ä.png");
    file(&app, "ä.png", &named).upload().await;

    let dated = ticket(json!({ "scheduled_at": "2026-12-03" }));
    let other = file(&app, "c.bin", &dated).with("scheduled_at", "2026-12-04");
    assert_forbidden(&other.post(1).await, "2026-12-03");
    let begun = file(&app, "c.bin", &dated);
    begun.send([1]).await;
    // Nor may the day be changed on the way.
    assert_forbidden(&other.post(2).await, "2026-12-03");
    assert_eq!(begun.upload().await["scheduled_at"], "2026-12-03");
    assert_eq!(app.files("incomplete"), Vec::<String>::new());
}

#[tokio::test]
async fn a_ticket_fixes_the_kinds_of_file() {
    let app = builder().start().await;
    let pictures = ticket(json!({ "accept": ["image/*"] }));
    let refused = |reply: &Reply| {
        let detail = reply.assert_problem(415, "type_not_accepted");
        assert!(detail.contains("taken: image/*"), "{detail}");
    };
    refused(&file(&app, "a.bin", &pictures).post(1).await);
    refused(&file(&app, "a.png", &pictures).chunk_size(100).post(1).await);
    app.flow(b"\x89PNG\r\n\x1a\n").name("b.png").by(&pictures).upload().await;

    // In small pieces, and with a ticket that takes everything at the end: what it was begun with
    // is what counts.
    let begun = file(&app, "c.png", &pictures);
    begun.send(1..begun.count()).await;
    let app = app.restart().await;
    assert_eq!(app.files("incomplete").len(), 1, "nothing is left of what was refused");
    let free = file(&app, "c.png", &ticket(json!({})));
    refused(&free.post(free.count()).await);
    assert_eq!(app.files("completed").len(), 1);
}

#[tokio::test]
async fn a_ticket_takes_no_kind_that_the_service_does_not() {
    let app = builder().flag("--accept=image/*,.pdf").start().await;
    let ticket = ticket(json!({ "accept": [".pdf", ".txt"] }));
    for (name, status) in [("a.png", 415), ("a.txt", 415), ("a.pdf", 201)] {
        let file = app.flow("%PDF-1.7\n").chunk_size(100).name(name).by(&ticket);
        file.post(1).await.assert_status(status);
    }
}

#[tokio::test]
async fn a_picture_in_one_request_is_held_to_the_ticket_too() {
    let app = builder().start().await;
    let send = async |more: Value, day: Option<&str>| {
        let form = Form::new();
        let form = if let Some(day) = day { form.field("scheduled_at", day) } else { form };
        let mut request = form.file("a.png", b"\x89PNG\r\n\x1a\n").post("/upload-creative");
        let bearer = format!("Bearer {}", ticket(more)).parse().expect("a header");
        request.headers_mut().insert("authorization", bearer);
        app.send(request).await
    };
    let day = Some("2026-12-02");
    send(json!({ "max_size": 7 }), day).await.assert_problem(413, "too_large");
    assert_forbidden(&send(json!({ "filename": "b.png" }), day).await, "b.png");
    let other = send(json!({ "accept": ["image/gif"] }), day).await;
    other.assert_problem(415, "type_not_accepted");
    assert_forbidden(&send(json!({ "scheduled_at": "2026-12-03" }), day).await, "2026-12-03");
    let once = json!({ "uploads": 1, "jti": "1", "scheduled_at": "2026-12-02" });
    let creative = send(once.clone(), None).await.assert_status(201).json();
    assert_eq!(creative["creative"]["scheduled_at"], "2026-12-02");
    assert_forbidden(&send(once, None).await, "good for 1");
}

/// A clock that was a year ahead for a while, as a battery or a mistake makes it.
#[tokio::test]
async fn what_was_counted_for_a_ticket_outlives_a_jump_of_the_clock() {
    const YEAR: i64 = 365 * 86_400_000;
    let app = builder().start().await;
    let once = ticket(json!({ "uploads": 1, "jti": "1" }));
    file(&app, "a.bin", &once).upload().await;
    for jump in [YEAR, -YEAR] {
        app.clock().advance(jump);
        app.control("/sweep").await.assert_status(200);
    }
    assert_forbidden(&file(&app, "b.bin", &once).post(1).await, "good for 1");
}

#[tokio::test]
async fn a_ticket_is_for_the_pages_of_its_origin() {
    let app = builder().start().await;
    let ticket = ticket(json!({ "origin": "https://www.example.com" }));
    let bearer = format!("Bearer {ticket}");
    let send = async |method: Method, origins: &[&str]| {
        let path = format!("/upload?{}", app.flow("abc").query_string(1));
        let lines: Vec<_> = origins.iter().map(|origin| ("origin", *origin)).collect();
        let lines = [&lines[..], &[("authorization", bearer.as_str())]].concat();
        app.ask(method, &path, &lines).await
    };
    let own = "https://www.example.com";
    // Browsers leave it out when a page asks its own origin.
    for good in [&[own][..], &[]] {
        send(Method::GET, good).await.assert_status(204);
    }
    for bad in [&["https://evil.example"][..], &["null"], &["http://www.example.com"], &[own, own]]
    {
        assert_forbidden(&send(Method::GET, bad).await, "another origin");
    }
    assert_forbidden(&send(Method::POST, &[]).await, "another origin");
    // The way is free, and the chunk is short.
    send(Method::POST, &[own]).await.assert_problem(400, "invalid_length");
}

#[tokio::test]
async fn uploads_are_counted_for_good_and_chunks_are_not() {
    let app = builder().start().await;
    let twice = ticket(json!({ "uploads": 2, "jti": "7" }));
    file(&app, "a.bin", &twice).upload().await;
    file(&app, "b.bin", &twice).send([1]).await;
    // What is cut off before anything is stored is not counted, nor what is refused.
    assert_forbidden(&file(&app, "c.bin", &twice).post(1).await, "good for 2");
    let app = app.restart().await;
    assert_forbidden(&file(&app, "c.bin", &twice).post(1).await, "good for 2");
    // Signed anew, it is the same ticket; with another name it is another.
    let again = ticket(json!({ "uploads": 2, "jti": "7", "nbf": at(Duration::ZERO) }));
    assert_forbidden(&file(&app, "c.bin", &again).post(1).await, "good for 2");
    file(&app, "b.bin", &twice).upload().await;
    file(&app, "c.bin", &ticket(json!({ "uploads": 1, "jti": "8" }))).upload().await;
    assert_eq!(app.files("completed").len(), 3);
    assert_eq!(app.files("incomplete"), Vec::<String>::new());
}

#[tokio::test]
async fn of_two_first_chunks_at_once_a_ticket_for_one_lets_one_in() {
    for round in 0..8 {
        let app = builder().start().await;
        let once = ticket(json!({ "uploads": 1, "jti": "7" }));
        let [a, b] = ["a.bin", "b.bin"].map(|name| file(&app, name, &once));
        let (first, second) = tokio::join!(a.post(1), b.post(1));
        let mut statuses = [first.status, second.status];
        statuses.sort();
        assert_eq!(statuses, [StatusCode::OK, StatusCode::FORBIDDEN], "round {round}");
        let winner = if first.status == StatusCode::OK { a } else { b };
        winner.upload().await;
        assert_eq!(app.files("incomplete"), Vec::<String>::new());
    }
}

#[tokio::test]
async fn an_upload_goes_on_with_a_fresh_ticket_of_the_same_user() {
    let app = builder().start().await;
    let first = ticket(json!({ "uploads": 1, "jti": "1", "exp": at(Duration::from_mins(1)) }));
    file(&app, "a.bin", &first).send([1]).await;
    app.clock().advance(Duration::from_hours(1).as_millis().try_into().expect("an hour"));
    file(&app, "a.bin", &first).post(2).await.assert_problem(401, "unauthenticated");
    let end = at(Duration::from_hours(2));
    let others = ticket(json!({ "sub": "bob", "exp": end }));
    file(&app, "a.bin", &others).probe(1).await.assert_status(204);
    let fresh = ticket(json!({ "exp": end }));
    let file = file(&app, "a.bin", &fresh);
    file.probe(1).await.assert_status(200);
    file.assert_completed(&file.post(2).await);
}

#[tokio::test]
async fn a_ticket_brings_no_chunk_of_a_file_that_it_does_not_allow() {
    let app = builder().start().await;
    let own = json!({ "filename": "a.txt", "max_size": 11, "accept": [".txt"] });
    let begun = file(&app, "a.txt", &ticket(own.clone()));
    begun.send([1]).await;
    let with = |more: Value| file(&app, "a.txt", &ticket(more));
    assert_forbidden(&with(json!({ "filename": "b.txt" })).post(2).await, "b.txt");
    with(json!({ "max_size": 10 })).post(2).await.assert_problem(413, "too_large");
    let other = with(json!({ "accept": [".pdf"] })).post(2).await;
    let detail = other.assert_problem(415, "type_not_accepted");
    assert!(detail.contains(".pdf"), "{detail}");
    // Nor with a name that suits the ticket: the upload has one already.
    let renamed = file(&app, "a.pdf", &ticket(json!({ "accept": [".pdf"] })));
    renamed.path("a.txt").post(2).await.assert_problem(415, "type_not_accepted");
    // It is none the worse for it, and goes on with a fresh ticket of the same terms.
    with(own).upload().await;
    assert_eq!(app.files("completed").len(), 1);
}

#[tokio::test]
async fn what_is_refused_by_its_beginning_is_counted_too() {
    let app = builder().start().await;
    let once = ticket(json!({ "accept": ["image/*"], "uploads": 1, "jti": "7" }));
    let send = async |name| {
        let file = app.flow(vec![7; 30_000]).chunk_size(10_000).name(name);
        file.by(&once).post(1).await
    };
    send("a.png").await.assert_problem(415, "type_not_accepted");
    for name in ["b.png", "c.png"] {
        assert_forbidden(&send(name).await, "good for 1");
    }
    assert_eq!(app.files("incomplete"), Vec::<String>::new());
}

#[tokio::test]
async fn a_user_who_is_disabled_has_no_ticket_any_more() {
    let app = builder().start().await;
    let file = file(&app, "a.bin", &ticket(json!({})));
    file.send([1]).await;
    app.control("/users/disable?name=ann").await.assert_status(200);
    file.post(2).await.assert_problem(401, "unauthenticated");
    app.control("/users/enable?name=ann").await.assert_status(200);
    file.upload().await;
}

#[tokio::test]
async fn what_would_be_no_good_is_not_issued() {
    let app = builder().start().await;
    let admin = app.token("admin", "admin").await;
    for (request, code) in [
        (json!({}), "invalid_json"),
        (json!({ "sub": "ann", "maxsize": 1 }), "invalid_json"),
        (json!({ "sub": "ann", "accept": ".png" }), "invalid_json"),
        (json!({ "sub": "ann", "accept": [] }), "invalid_ticket"),
        (json!({ "sub": "ann", "accept": ["*/*"] }), "invalid_ticket"),
        (json!({ "sub": "ann", "max_size": -1 }), "invalid_json"),
        (json!({ "sub": "" }), "invalid_ticket"),
        (json!({ "sub": "anonymous" }), "invalid_ticket"),
        (json!({ "sub": "ann", "expires_in": 0 }), "invalid_ticket"),
        (json!({ "sub": "ann", "expires_in": 86_401 }), "invalid_ticket"),
        (json!({ "sub": "ann", "filename": "" }), "invalid_ticket"),
        (json!({ "sub": "ann", "filename": "x".repeat(8000) }), "invalid_ticket"),
        (json!({ "sub": "ann", "scheduled_at": "soon" }), "invalid_ticket"),
        (json!({ "sub": "ann", "origin": "www.example.com" }), "invalid_ticket"),
    ] {
        app.post_json(&admin, "/tickets", &request).await.assert_problem(400, code);
    }
    // What is issued for a day is good for the whole of it.
    let request = json!({ "sub": "ann", "expires_in": 86_400, "origin": "https://*.example.com" });
    let issued = app.post_json(&admin, "/tickets", &request).await.assert_status(201).json();
    let ticket = issued["ticket"].as_str().expect("a ticket");
    file(&app, "a.bin", ticket).probe(1).await.assert_status(204);
}

/// Base64 as tickets have it (RFC 4648, 5), without padding.
fn base64url(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let group = |bytes: &[u8]| {
        let number = bytes.iter().fold(0, |all, byte| all << 8 | usize::from(*byte));
        let number = number << (8 * (3 - bytes.len()));
        let digit = move |at: usize| char::from(DIGITS[number >> (18 - 6 * at) & 63]);
        (0..=bytes.len()).map(digit).collect::<String>()
    };
    text.as_bytes().chunks(3).map(group).collect()
}
