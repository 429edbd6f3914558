//! What an error says to do can be done, and helps.

use http::Method;

use crate::support::{FlowFile, Machine, Reply, TestApp, sha256_hex};

const CONTENT: &str = "hello world";
const EDITED: &str = "hello earth";

/// The detail of a conflict, which offers each of these.
#[track_caller]
fn assert_offers(reply: &Reply, offers: &[&str]) {
    let detail = reply.assert_problem(409, "conflict");
    for offer in offers {
        assert!(detail.contains(offer), "{offer}: {detail}");
    }
}

fn edited(app: &TestApp) -> FlowFile<'_> {
    app.flow(EDITED).identifier("i")
}

#[tokio::test]
async fn a_file_that_was_edited_while_its_upload_runs_is_sent_as_the_conflict_says() {
    let app = TestApp::start().await;
    let first = app.flow(CONTENT).identifier("i");
    let id = first.send([2]).await.upload_id();
    let refused = edited(&app).post(2).await;
    assert_offers(&refused, &["another `flowIdentifier`", "cancel this upload, probe"]);
    edited(&app).identifier("j").upload().await;
    app.delete(&format!("/uploads/{id}")).await.assert_status(204);
    edited(&app).probe(1).await.assert_missing();
    edited(&app).upload().await;
}

#[test]
fn a_file_that_was_edited_after_its_upload_is_sent_as_the_conflict_says() {
    let machine = Machine::new();
    machine.process(async |app| {
        let first = app.flow(CONTENT).identifier("i");
        first.send([1, 2]).await;
        let refused = edited(app).post(2).await;
        let offers = [
            "another `flowIdentifier`",
            "name the `sha256`",
            "delete the creative",
            "`result_ttl`",
        ];
        assert_offers(&refused, &offers);
        let detail = refused.assert_problem(409, "conflict");
        assert!(!detail.contains("cancel"), "it would be refused: {detail}");

        edited(app).identifier("j").send([1, 2]).await.assert_status(201);
        let named = edited(app).with("sha256", sha256_hex(EDITED.as_bytes()));
        named.send([1, 2]).await.assert_status(201);
    });
    let machine = Machine::new();
    machine.process(async |app| {
        let first = app.flow(CONTENT).identifier("i");
        let status = first.send([1, 2]).await.json();
        let upload = format!("/uploads/{}", status["upload"]["id"].as_str().expect("an id"));
        let creative = status["creative"]["id"].as_str().expect("an id");
        // To cancel it leads to the creative, and when that is gone there is nothing to cancel.
        let refused = app.delete(&upload).await;
        let address = format!("/creatives/{creative}");
        assert_offers(&refused, &[&format!("DELETE {address}")]);
        app.delete(&address).await.assert_status(204);
        app.delete(&upload).await.assert_status(204);
        edited(app).send([1, 2]).await.assert_status(201);
    });
    let machine = Machine::new();
    machine.process(async |app| {
        app.flow(CONTENT).identifier("i").send([1, 2]).await;
        machine.advance_seconds(600);
        edited(app).send([1, 2]).await.assert_status(201);
    });
}

#[tokio::test]
async fn a_file_that_is_missing_on_the_server_is_sent_as_the_conflict_says() {
    let app = TestApp::start().await;
    let file = app.flow(CONTENT).identifier("i");
    file.upload().await;
    let [name] = &app.files("completed")[..] else { panic!("one file") };
    std::fs::remove_file(app.dir().join("completed").join(name)).expect("it is there");
    assert_offers(&file.post(1).await, &["another `flowIdentifier`", "delete its creative"]);
    app.flow(CONTENT).identifier("j").upload().await;
}

#[tokio::test]
async fn what_was_cancelled_says_to_ask_first_and_asking_helps() {
    let app = TestApp::start().await;
    let file = app.flow(CONTENT).identifier("i");
    for ask_by_lookup in [false, true] {
        let id = file.send([1]).await.upload_id();
        app.call(Method::DELETE, &format!("/uploads/{id}")).await.assert_status(204);
        let detail = file.post(1).await.assert_problem(415, "upload_gone");
        assert!(detail.contains("probe or look up the file"), "{detail}");
        if ask_by_lookup {
            file.lookup().await.assert_problem(404, "not_found");
        } else {
            file.probe(1).await.assert_missing();
        }
    }
    file.upload().await;
}

/// The operator's own tools, too.
#[tokio::test]
async fn the_operator_is_told_which_creative_to_delete() {
    let app = TestApp::start().await;
    let status = app.flow(CONTENT).send([1, 2]).await.json();
    let id = status["upload"]["id"].as_str().expect("an id");
    let creative = status["creative"]["id"].as_str().expect("an id");
    let cancel = format!("/uploads/{id}/cancel");
    let command = format!("`flowstitch creatives delete {creative}`");
    assert_offers(&app.control(&cancel).await, &[&command]);
    app.delete(&format!("/creatives/{creative}")).await.assert_status(204);
    assert_offers(&app.control(&cancel).await, &["nothing is left of it"]);
}
