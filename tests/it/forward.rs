//! Forward authentication: somebody else says whom a request comes from.

use http::Method;

use crate::support::{
    Reply, TestApp,
    authority::Authority,
    keys::{SECRET, Signer, claims},
};

const CONTENT: &str = "hello world";

async fn list(app: &TestApp, cookie: &str) -> Reply {
    app.ask(Method::GET, "/creatives", &[("cookie", cookie)]).await
}

#[tokio::test]
async fn whom_the_service_names_is_a_user_with_uploads_of_their_own() {
    let authority = Authority::start().await;
    let app = TestApp::builder().flag(&authority.flag()).start().await;
    let file = app.flow(CONTENT);
    let (ann, bob) = (
        file.clone().header("cookie", "session=ann"),
        file.clone().header("cookie", "session=bob"),
    );
    let creative = ann.upload().await;
    assert_eq!(creative["user_id"], "ann");
    bob.probe(1).await.assert_status(204);
    assert_eq!(list(&app, "session=bob").await.json()["creatives"], serde_json::json!([]));
    file.probe(1).await.assert_problem(401, "unauthenticated");
    file.post(1).await.assert_problem(401, "unauthenticated");
    let metrics = app.ask(Method::GET, "/metrics", &[("cookie", "session=ann")]).await;
    metrics.assert_problem(403, "forbidden");
}

#[tokio::test]
async fn it_is_asked_once_for_all_chunks_and_again_for_other_credentials() {
    let authority = Authority::start().await;
    let app = TestApp::builder().flag(&authority.flag()).start().await;
    let file = app.flow(CONTENT).header("cookie", "session=ann");
    file.send(1..=file.count()).await;
    let asked = authority.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(
        (&asked[0]["cookie"], &asked[0]["x-forwarded-method"]),
        (&"session=ann".parse().expect("a value"), &"POST".parse().expect("a value"))
    );
    assert_eq!(asked[0]["x-forwarded-uri"], "/upload");
    list(&app, "session=ann").await.assert_status(200);
    list(&app, "session=bob").await.assert_status(200);
    list(&app, "session=bob").await.assert_status(200);
    assert_eq!(authority.asked().len(), 2);
    // A no is not kept: whoever signs in is let in at once.
    for _ in 0..2 {
        list(&app, "other=1").await.assert_status(401);
    }
    assert_eq!(authority.asked().len(), 2);
}

#[tokio::test]
async fn every_other_answer_lets_nobody_in() {
    let authority = Authority::start().await;
    let app = TestApp::builder().flag(&authority.flag()).start().await;
    list(&app, "session=elsewhere").await.assert_problem(401, "unauthenticated");
    list(&app, "session=locked").await.assert_problem(403, "forbidden");
    for wrong in ["mute", "twice", "anonymous", "", "odd"] {
        list(&app, &format!("session={wrong}")).await.assert_problem(503, "unavailable");
    }
    let users = app.control("/users/list").await.json();
    assert_eq!(users, serde_json::json!([]), "nobody was let in, and nobody is known");
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_waited_for() {
    let authority = Authority::start().await;
    let app = TestApp::builder().flag(&authority.flag()).start().await;
    authority.fail(&[502, 429, 503]);
    list(&app, "session=ann").await.assert_status(200);
    assert_eq!(authority.asked().len(), 4);
}

#[tokio::test]
async fn of_several_who_want_to_know_the_same_one_asks() {
    let authority = Authority::start().await;
    let app = TestApp::builder().flag(&authority.flag()).start().await;
    let ask = || list(&app, "session=ann");
    let (one, two, three) = tokio::join!(ask(), ask(), ask());
    for reply in [one, two, three] {
        reply.assert_status(200);
    }
    assert_eq!(authority.asked().len(), 1);
}

#[tokio::test]
async fn whoever_is_disabled_here_is_not_let_in_by_others() {
    let authority = Authority::start().await;
    let app = TestApp::builder().flag(&authority.flag()).start().await;
    list(&app, "session=ann").await.assert_status(200);
    app.control("/users/disable?name=ann").await.assert_status(200);
    list(&app, "session=ann").await.assert_problem(403, "forbidden");
    app.control("/users/enable?name=ann").await.assert_status(200);
    list(&app, "session=ann").await.assert_status(200);
}

#[tokio::test]
async fn credentials_of_ours_go_before_and_those_of_others_are_passed_on() {
    let authority = Authority::start().await;
    let builder = TestApp::builder().flag(&authority.flag());
    let app = builder.file("--ticket-key", SECRET).start().await;
    let token = app.token("carl", "read").await;
    let (good, bad) = (format!("Bearer {token}"), format!("Bearer {token}0"));
    let ticket = Signer::hs256(SECRET).sign(&claims(&serde_json::json!({})));
    let expired = Signer::hs256(SECRET).sign(&claims(&serde_json::json!({ "exp": 1 })));
    let ask = async |authorization: &str| {
        let lines = [("authorization", authorization), ("cookie", "session=ann")];
        app.ask(Method::GET, "/limits", &lines).await
    };
    ask(&good).await.assert_status(200);
    ask(&bad).await.assert_problem(401, "unauthenticated");
    ask(&format!("Bearer {ticket}")).await.assert_status(200);
    ask(&format!("Bearer {expired}")).await.assert_problem(401, "unauthenticated");
    assert_eq!(authority.asked().len(), 0);
    for others in ["Basic eDp5", "Bearer of.another.kind"] {
        ask(others).await.assert_status(200);
        assert_eq!(authority.asked()[0]["authorization"], others);
    }
}

#[tokio::test]
async fn the_public_may_come_beside_if_the_operator_says_so() {
    let authority = Authority::start().await;
    let builder = TestApp::builder().flag(&authority.flag());
    let app = builder.flag("--allow-anonymous").flag("--auth-scopes=read").start().await;
    assert_eq!(app.flow(CONTENT).upload().await["user_id"], "anonymous");
    let list = list(&app, "session=ann").await.json();
    assert_eq!(list["creatives"], serde_json::json!([]));
    let ann = app.flow(CONTENT).header("cookie", "session=ann");
    ann.post(1).await.assert_problem(403, "forbidden");
}

/// A cookie is added by the browser, whoever's page sends the request.
#[tokio::test]
async fn a_page_of_another_site_cannot_use_the_cookie() {
    let authority = Authority::start().await;
    let app = TestApp::builder().flag(&authority.flag()).start().await;
    let file = app.flow(CONTENT).header("cookie", "session=ann");
    let foreign =
        file.header("sec-fetch-site", "cross-site").header("origin", "https://evil.example");
    foreign.post(1).await.assert_problem(403, "cross_site");
}
