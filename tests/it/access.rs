//! Who may do what: every address by every kind of caller, and that nobody sees what is another's.

use std::sync::Arc;

use flowstitch::{
    catalog::MemoryCatalog,
    http::{gate, route::Route},
    store::StoreOp,
};
use http::Method;
use serde_json::json;

use crate::{
    sign_in,
    support::{
        Machine, Outbox, Reply, TestApp,
        authority::Authority,
        idle,
        keys::{SECRET, Signer, claims},
    },
};

const CONTENT: &str = "hello world";

/// Every kind of caller, by what is shown: the scopes of a token, or another thing.
const CALLERS: [&str; 9] = [
    "nobody",
    "upload",
    "read",
    "admin",
    "upload,read",
    "upload,read,admin",
    "ticket",
    "session",
    "forwarded",
];

/// Every address and method, and which of the [`CALLERS`] are let through: in that order.
const TABLE: [(&str, &str, &str); 34] = [
    ("GET", "/upload", "-x--xxxxx"),
    ("POST", "/upload", "-x--xxxxx"),
    ("PUT", "/upload", "-x--xxxxx"),
    ("OPTIONS", "/upload", "xxxxxxxxx"),
    ("POST", "/upload-creative", "-x--xxxxx"),
    ("GET", "/uploads", "-xx-xx-xx"),
    ("HEAD", "/uploads", "-xx-xx-xx"),
    ("GET", "/uploads/lookup", "-x--xxxxx"),
    ("GET", "/uploads/{upload}", "-xx-xxxxx"),
    ("HEAD", "/uploads/{upload}", "-xx-xxxxx"),
    ("DELETE", "/uploads/{upload}", "-x--xxxxx"),
    ("OPTIONS", "/uploads/{upload}", "xxxxxxxxx"),
    ("GET", "/uploads/{upload}/events", "-xx-xxxxx"),
    ("GET", "/scheduled", "--x-xx-xx"),
    ("GET", "/creatives", "--x-xx-xx"),
    ("HEAD", "/creatives", "--x-xx-xx"),
    ("GET", "/creatives/{creative}", "--x-xx-xx"),
    ("PATCH", "/creatives/{creative}", "-x--xx-xx"),
    ("DELETE", "/creatives/{creative}", "-x--xx-xx"),
    ("GET", "/creatives/{creative}/content", "--x-xx-xx"),
    ("HEAD", "/creatives/{creative}/content", "--x-xx-xx"),
    ("POST", "/tickets", "---x-x---"),
    ("GET", "/limits", "-xx-xxxxx"),
    ("GET", "/auth", "xxxxxxxxx"),
    ("POST", "/auth/otp", "xxxxxxxxx"),
    // A code, or a session that is to last; credentials of other kinds are none.
    ("POST", "/auth/session", "x------xx"),
    ("GET", "/healthz", "xxxxxxxxx"),
    ("GET", "/readyz", "xxxxxxxxx"),
    ("GET", "/metrics", "---x-x---"),
    ("GET", "/openapi.json", "xxxxxxxxx"),
    ("GET", "/", "xxxxxxxxx"),
    ("GET", "/static/app.js", "xxxxxxxxx"),
    ("OPTIONS", "/metrics", "xxxxxxxxx"),
    // The last one: it ends the session.
    ("DELETE", "/auth/session", "-------x-"),
];

/// An address of the table with ids that nobody has.
fn filled_in(path: &str) -> String {
    let id = flowstitch::upload::UploadId::new().to_string();
    path.replace("{upload}", &id).replace("{creative}", &id)
}

/// What each of the [`CALLERS`] sends along.
async fn credentials(app: &TestApp, outbox: &Outbox) -> Vec<Option<(&'static str, String)>> {
    let mut all = Vec::new();
    for name in CALLERS {
        let bearer = |token: String| Some(("authorization", format!("Bearer {token}")));
        all.push(match name {
            "nobody" => None,
            "ticket" => bearer(Signer::hs256(SECRET).sign(&claims(&json!({})))),
            "session" => bearer(sign_in::new_session(app, outbox).await),
            "forwarded" => Some(("cookie", "session=fred".into())),
            scopes => bearer(app.token("ann", scopes).await),
        });
    }
    all
}

#[tokio::test]
async fn every_address_lets_through_whom_the_table_names_and_nobody_else() {
    let (authority, outbox) = (Authority::start().await, Arc::<Outbox>::default());
    let builder = TestApp::builder().mailer(outbox.clone()).flag(&authority.flag());
    let app = builder.file("--ticket-key", SECRET).start().await;
    let callers = credentials(&app, &outbox).await;
    for (method, path, row) in TABLE {
        let path = filled_in(path);
        let method: Method = method.parse().expect("a method");
        for ((shown, name), cell) in callers.iter().zip(CALLERS).zip(row.chars()) {
            let lines: Vec<_> = shown.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let reply = app.ask(method.clone(), &path, &lines).await;
            let status = reply.status.as_u16();
            let expected = match (cell, shown) {
                ('x', _) => !matches!(status, 401 | 403),
                (_, Some(_)) => status == 403,
                (_, None) => status == 401,
            };
            assert!(expected, "{method} {path} by {name}: {status}");
            if status == 401 {
                assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
            }
        }
    }
}

#[test]
fn the_table_has_every_address() {
    for (method, path, _) in TABLE {
        let route = Route::of(&filled_in(path)).expect("an address");
        let method: Method = method.parse().expect("a method");
        assert!(method == Method::OPTIONS || route.methods().contains(&method), "{method} {path}");
    }
    for route in Route::all() {
        for method in route.methods() {
            let named = TABLE.iter().any(|(of, path, _)| {
                // HEAD is let through as GET is.
                let same = method == *of || (method == Method::HEAD && *of == "GET");
                same && Route::of(&filled_in(path)).map(Route::name) == Some(route.name())
            });
            assert!(named, "{method} {} is missing", route.name());
        }
    }
}

/// SECURITY.md shows the table that is enforced, and nothing else.
#[test]
fn the_document_has_the_table() {
    let document = std::fs::read_to_string("SECURITY.md").expect("the document");
    let of = |route: &Route, method: &Method| {
        format!("| `{method} {}` | {} |", route.name(), gate::need(*route, method))
    };
    let routes = Route::all();
    let rows = routes.iter().flat_map(|it| it.methods().iter().map(move |method| of(it, method)));
    let (_, table) = document.split_once("| --- | --- |\n").expect("the first table");
    let (table, _) = table.split_once("\n\n").expect("it ends");
    assert_eq!(table, rows.collect::<Vec<_>>().join("\n"));
}

#[track_caller]
fn assert_unknown(reply: &Reply, like: &Reply) {
    assert_eq!(reply.status, like.status);
    let without_id = |reply: &Reply| {
        let mut problem = reply.json();
        problem["request_id"] = "".into();
        problem
    };
    if !like.body.is_empty() {
        assert_eq!(without_id(reply), without_id(like));
    }
}

/// Invariant 12.
#[tokio::test]
async fn what_is_anothers_does_not_exist() {
    let app = TestApp::start().await;
    let [ann, bob] = [app.token("ann", "upload,read").await, app.token("bob", "upload,read").await];
    let running = app.flow(CONTENT).name("running.bin").by(&ann);
    let id = running.send([1]).await.json()["upload"]["id"].as_str().expect("an id").to_owned();
    let creative = app.flow(CONTENT).name("done.bin").by(&ann).upload().await;
    let creative = creative["id"].as_str().expect("an id").to_owned();
    for (method, path, id) in [
        (Method::GET, "/uploads/{}", &id),
        (Method::DELETE, "/uploads/{}", &id),
        (Method::GET, "/uploads/{}/events", &id),
        (Method::GET, "/creatives/{}", &creative),
        (Method::DELETE, "/creatives/{}", &creative),
        (Method::GET, "/creatives/{}/content", &creative),
    ] {
        let unknown = filled_in("{upload}");
        let foreign = app.call_as(&bob, method.clone(), &path.replace("{}", id)).await;
        let unknown = app.call_as(&bob, method, &path.replace("{}", &unknown)).await;
        assert_eq!(unknown.status, 404, "{path}");
        assert_unknown(&foreign, &unknown);
    }
    let theirs = app.flow(CONTENT).name("running.bin").by(&bob);
    theirs.probe(1).await.assert_status(204);
    theirs.lookup().await.assert_status(404);
    for path in ["/uploads", "/creatives", "/scheduled"] {
        let list = app.call_as(&bob, Method::GET, path).await;
        assert!(!String::from_utf8_lossy(&list.body).contains("bin"), "{path}");
    }
    // Ann lost nothing by it.
    running.probe(1).await.assert_status(200);
    let path = format!("/creatives/{creative}/content");
    app.call_as(&ann, Method::GET, &path).await.assert_status(200);
}

/// Neither by its work nor by what it leaves in memory does a question tell that there is
/// something.
#[test]
fn whoever_asks_for_anothers_upload_causes_no_more_work_than_for_none() {
    let machine = Machine::new();
    let (bob, id) = machine.process(async |app| {
        let [ann, bob] = [app.token("ann", "upload").await, app.token("bob", "upload").await];
        let id = app.flow(CONTENT).by(&ann).send([1]).await.upload_id();
        (bob, id)
    });
    machine.process(async |app| {
        // What a start looks at has been looked at.
        idle().await;
        let before = machine.disk.count(StoreOp::Look);
        for id in [id, filled_in("{upload}")] {
            app.call_as(&bob, Method::GET, &format!("/uploads/{id}")).await.assert_status(404);
            app.call_as(&bob, Method::DELETE, &format!("/uploads/{id}")).await.assert_status(404);
        }
        assert_eq!(machine.disk.count(StoreOp::Look), before, "it was loaded");
    });
}

#[tokio::test]
async fn one_file_of_two_users_is_two_uploads_two_files_and_two_creatives() {
    let app = TestApp::start().await;
    let [ann, bob] = [app.token("ann", "upload,read").await, app.token("bob", "upload,read").await];
    let file = app.flow(CONTENT).identifier("same");
    let (anns, bobs) = (file.clone().by(&ann), file.by(&bob));
    for number in 1..anns.count() {
        anns.send([number]).await;
        bobs.send([number]).await;
    }
    let last = anns.count();
    let one = anns.assert_completed(&anns.post(last).await);
    let other = bobs.assert_completed(&bobs.post(last).await);
    assert_ne!(one["id"], other["id"]);
    assert_ne!(one["upload_id"], other["upload_id"]);
    assert_eq!((&one["user_id"], &other["user_id"]), (&"ann".into(), &"bob".into()));
    assert_eq!(app.files("completed").len(), 2);
}

#[tokio::test]
async fn a_token_counts_until_it_expires_is_taken_back_or_its_user_is_disabled() {
    let app = TestApp::start().await;
    let list = async |token: &str| app.call_as(token, Method::GET, "/creatives").await;
    let reply = app.control("/tokens/create?name=ann&scopes=read&seconds=60").await;
    let expiring = reply.json()["token"].as_str().expect("a token").to_owned();
    let other = app.token("ann", "read").await;
    list(&expiring).await.assert_status(200);
    app.clock().advance(59_999);
    list(&expiring).await.assert_status(200);
    app.clock().advance(1);
    list(&expiring).await.assert_problem(401, "unauthenticated");

    list(&other).await.assert_status(200);
    let tokens = app.control("/tokens/list?name=ann").await.json();
    let id = tokens[0]["id"].as_str().expect("an id");
    assert!(!tokens.to_string().contains(other.rsplit('_').next().expect("a secret")));
    app.control(&format!("/tokens/revoke?id={id}")).await.assert_status(200);
    list(&other).await.assert_problem(401, "unauthenticated");
    app.control(&format!("/tokens/revoke?id={id}")).await.assert_problem(404, "not_found");

    let third = app.token("ann", "read").await;
    list(&third).await.assert_status(200);
    app.control("/users/disable?name=ann").await.assert_status(200);
    list(&third).await.assert_problem(401, "unauthenticated");
    app.control("/users/enable?name=ann").await.assert_status(200);
    list(&third).await.assert_status(200);
    let app = app.restart().await;
    app.call_as(&third, Method::GET, "/creatives").await.assert_status(200);
    app.call_as(&other, Method::GET, "/creatives").await.assert_status(401);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_token_is_refused() {
    let app = TestApp::start().await;
    let token = app.token("ann", "read").await;
    let (half, cut) = (&token[..token.len() / 2], &token[..token.len() - 1]);
    let (head, secret) = token.rsplit_once('_').expect("two parts");
    let other_secret = format!("{head}_{}", "0".repeat(secret.len()));
    let bearer = |token: &str| format!("Bearer {token}");
    let bad = [bearer(half), bearer(cut), bearer(&other_secret), bearer(""), "Bearer".into()];
    let worse = [format!("Basic {token}"), token.clone(), bearer(&format!("{token}0"))];
    for value in bad.iter().chain(&worse) {
        let reply = app.ask(Method::GET, "/creatives", &[("authorization", value)]).await;
        reply.assert_problem(401, "unauthenticated");
    }
    let twice = bearer(&token);
    let twice = [("authorization", twice.as_str()), ("authorization", twice.as_str())];
    app.ask(Method::GET, "/creatives", &twice).await.assert_problem(401, "unauthenticated");
    app.call_as(&token, Method::GET, "/creatives").await.assert_status(200);
}

/// What is not valid is told so also where anybody may come: the caller wants to be somebody.
#[tokio::test]
async fn a_wrong_token_is_not_taken_for_none() {
    // In memory: paused time would run away while another thread writes.
    let builder = TestApp::builder().catalog(Arc::new(MemoryCatalog::new()));
    let app = builder.flag("--allow-anonymous").start().await;
    let token = app.token("ann", "upload,read").await;
    app.flow(CONTENT).upload().await;
    let list = app.call(Method::GET, "/creatives").await.json();
    assert_eq!(list["creatives"][0]["user_id"], "anonymous");
    app.call_as(&format!("{token}0"), Method::GET, "/creatives").await.assert_status(401);
    let list = app.call_as(&token, Method::GET, "/creatives").await.json();
    assert_eq!(list["creatives"], serde_json::json!([]));
    app.call(Method::GET, "/metrics").await.assert_problem(403, "forbidden");
}

#[tokio::test]
async fn without_users_everybody_may_do_everything_and_with_the_first_nobody_else() {
    let app = TestApp::start().await;
    app.get("/creatives").await.assert_status(200);
    app.get("/metrics").await.assert_status(200);
    let token = app.token("ann", "upload,read").await;
    app.get("/creatives").await.assert_problem(401, "unauthenticated");
    app.call_as(&token, Method::GET, "/creatives").await.assert_status(200);
    // That nobody is left lets nobody in, at once or after a restart.
    app.control("/users/remove?name=ann").await.assert_status(200);
    app.get("/creatives").await.assert_problem(401, "unauthenticated");
    let app = app.restart().await;
    app.get("/creatives").await.assert_problem(401, "unauthenticated");
}

#[tokio::test]
async fn an_open_service_says_so_and_any_credential_closes_it_for_good() {
    let app = TestApp::start().await;
    assert_eq!(app.get("/limits").await.json()["access"], "open");
    let builder = app.stop().await;
    let app = builder.clone().file("--ticket-key", SECRET).start().await;
    app.get("/limits").await.assert_problem(401, "unauthenticated");
    app.stop().await;
    let app = builder.start().await;
    app.get("/limits").await.assert_problem(401, "unauthenticated");
    let token = app.token("ann", "read").await;
    let limits = app.call_as(&token, Method::GET, "/limits").await.json();
    assert_eq!(limits["access"], "users");
    assert_eq!(limits["today"], "2026-12-01");
    assert_eq!((&limits["time_zone"], &limits["accept"]), (&json!("UTC"), &json!([])));
}

#[tokio::test]
async fn an_open_service_that_is_to_be_reached_by_others_does_not_start() {
    let builder = TestApp::start().await.stop().await;
    for flag in ["--trusted-proxies=10.0.0.1", "--public-url=https://up.example.com"] {
        let error = builder.clone().flag(flag).try_start().await.err().expect("refused");
        let key = flag[2..].split('=').next().expect("a key").replace('-', "_");
        let text = error.to_string();
        assert!(text.contains(&key) && text.contains("flowstitch token create"), "{text}");
        builder.clone().flag(flag).flag("--allow-anonymous").start().await.stop().await;
    }
}

/// Every address, by whatever method: a page of another site reads what it can reach.
#[tokio::test]
async fn an_open_service_answers_only_its_own_machine() {
    const PATHS: [&str; 8] = [
        "/",
        "/upload?flowChunkNumber=1",
        "/creatives",
        "/metrics",
        "/healthz",
        "/readyz",
        "/limits",
        "/nothing",
    ];
    let app = TestApp::start().await;
    let foreign = [
        &[("host", "evil.example")][..],
        &[("host", "localhost:8080"), ("forwarded", "for=10.0.0.1")],
        &[("host", "127.0.0.1"), ("x-forwarded-for", "10.0.0.1")],
        &[("host", "[::1]:8080"), ("x-forwarded-host", "localhost")],
    ];
    for lines in foreign {
        for path in PATHS {
            let told = app.ask(Method::GET, path, lines).await.assert_problem(421, "not_open");
            assert!(told.contains("token create") && told.contains("allow_anonymous"), "{told}");
        }
        app.ask(Method::OPTIONS, "/upload", lines).await.assert_problem(421, "not_open");
    }
    for host in ["localhost", "localhost:1", "127.0.0.1:8080", "[::1]:8080"] {
        app.ask(Method::GET, "/metrics", &[("host", host)]).await.assert_status(200);
    }
    // With users, and where the operator lets everybody in, who asks is decided otherwise.
    app.token("ann", "read").await;
    app.ask(Method::GET, "/healthz", foreign[1]).await.assert_status(200);
    app.ask(Method::GET, "/metrics", foreign[0]).await.assert_problem(401, "unauthenticated");
    let app = TestApp::builder().flag("--allow-anonymous").start().await;
    for lines in foreign {
        app.ask(Method::GET, "/creatives", lines).await.assert_status(200);
    }
}

#[tokio::test]
async fn whom_the_operator_lets_in_is_no_administrator_also_without_users() {
    let app = TestApp::builder().flag("--allow-anonymous").start().await;
    app.flow(CONTENT).upload().await;
    app.get("/creatives").await.assert_status(200);
    app.get("/metrics").await.assert_problem(403, "forbidden");
}

#[tokio::test]
async fn whoever_is_disabled_meanwhile_does_not_complete() {
    let app = TestApp::start().await;
    let token = app.token("ann", "upload,read").await;
    let file = app.flow(CONTENT).by(&token);
    file.send(1..file.count()).await;
    app.control("/users/disable?name=ann").await.assert_status(200);
    file.post(file.count()).await.assert_problem(401, "unauthenticated");
    app.control("/users/enable?name=ann").await.assert_status(200);
    file.assert_completed(&file.post(file.count()).await);
}

#[tokio::test]
async fn whoever_is_disabled_while_the_file_is_published_has_none() {
    let machine = Machine::new();
    let app = machine.start().await;
    let token = app.token("ann", "upload,read").await;
    let file = app.flow(CONTENT).by(&token);
    file.send(1..file.count()).await;
    let gate = machine.store.hold_next(StoreOp::Publish);
    let disable = async {
        gate.reached().await;
        app.control("/users/disable?name=ann").await.assert_status(200);
        gate.open();
    };
    let (reply, ()) = tokio::join!(file.post(file.count()), disable);
    let detail = reply.assert_problem(403, "forbidden");
    assert!(detail.contains("may not upload any more"), "{detail}");
    assert_eq!(machine.files().await, (0, 0));
    app.control("/users/enable?name=ann").await.assert_status(200);
    let list = app.call_as(&token, Method::GET, "/creatives").await.json();
    assert_eq!(list["creatives"], serde_json::json!([]));
}

#[tokio::test]
async fn a_user_goes_with_all_that_is_theirs() {
    let app = TestApp::start().await;
    let [ann, bob] = [app.token("ann", "upload,read").await, app.token("bob", "upload,read").await];
    app.flow(CONTENT).name("done.bin").by(&ann).upload().await;
    app.flow(CONTENT).name("running.bin").by(&ann).send([1]).await;
    app.flow(CONTENT).name("kept.bin").by(&bob).upload().await;
    app.control("/users/remove?name=ann").await.assert_status(200);
    assert_eq!(app.files("completed").len(), 1);
    assert_eq!(app.files("incomplete"), Vec::<String>::new());
    app.call_as(&ann, Method::GET, "/creatives").await.assert_status(401);
    let left = app.call_as(&bob, Method::GET, "/creatives").await.json();
    assert_eq!(left["creatives"].as_array().map(Vec::len), Some(1));
    app.control("/users/remove?name=ann").await.assert_problem(404, "not_found");
    // The name is free, and does not bring anything back.
    let ann = app.token("ann", "upload,read").await;
    let list = app.call_as(&ann, Method::GET, "/creatives").await.json();
    assert_eq!(list["creatives"], serde_json::json!([]));
}

#[tokio::test]
async fn users_are_told_apart_by_name_and_address() {
    let app = TestApp::start().await;
    let add = async |query: &str| app.control(&format!("/users/add?{query}")).await;
    add("name=ann&email=ann%40example.com").await.assert_status(200);
    add("name=ann").await.assert_problem(409, "conflict");
    add("name=bob&email=ANN%40example.com").await.assert_problem(409, "conflict");
    add("name=bob&email=nonsense").await.assert_problem(400, "invalid_email");
    add("").await.assert_problem(400, "invalid_name");
    for bad in ["anonymous", "%0A", ""] {
        let reply = add(&format!("name={bad}")).await;
        assert_eq!(reply.status, 400, "{bad:?}");
    }
    let users = app.control("/users/list").await.json();
    assert_eq!(users.as_array().map(Vec::len), Some(1));
    app.control("/users/disable?name=carl").await.assert_problem(404, "not_found");
}
