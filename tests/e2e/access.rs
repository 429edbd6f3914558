//! Who may reach the binary, and how they show who they are.

use std::{fs, os::unix::fs::PermissionsExt, process::Output};

use serde_json::Value;

use crate::support::{FlowFile, Server, Setup, bytes, request, run, write_secret};

/// A setup that listens to everybody.
fn exposed() -> Setup {
    Setup::new().flag("--listen=0.0.0.0:0")
}

fn said(output: &Output) -> (i32, String) {
    let text = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8(text).expect("text");
    (output.status.code().expect("an end of its own"), text)
}

#[track_caller]
fn assert_said(output: &Output, status: i32, words: &[&str]) -> String {
    let (found, text) = said(output);
    assert_eq!(found, status, "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
    text
}

/// A token from the tool, as it prints it.
fn token(setup: &Setup, args: &[&str]) -> String {
    let output = run(setup.dir(), &[&["token", "create"], args].concat());
    assert_said(&output, 0, &["fst_"]);
    // A script takes what is printed; what there is to know besides goes to standard error.
    let text = String::from_utf8(output.stdout).expect("text");
    let line = text.strip_suffix('\n').expect("a line");
    assert!(!line.contains(char::is_whitespace), "nothing but the token: {line:?}");
    line.to_owned()
}

fn status(server: &Server, path: &str, token: Option<&str>) -> u16 {
    let bearer = token.map(|token| format!("authorization: Bearer {token}"));
    let headers: Vec<&str> = bearer.as_deref().into_iter().collect();
    let answer = server.connect().ask(&request("GET", path, &headers, b"")).expect("an answer");
    answer.status
}

#[test]
fn it_does_not_listen_to_strangers_without_credentials_and_says_the_two_ways_out() {
    let setup = exposed();
    let output = crate::support::output(&mut setup.command());
    assert_said(&output, 1, &["0.0.0.0:0", "flowstitch token create", "--allow-anonymous"]);

    let open = setup.clone().flag("--allow-anonymous").start();
    assert_eq!(status(&open, "/creatives", None), 200);
    let log = open.terminated().1;
    assert!(log.whole().iter().any(|line| line.contains("allow_anonymous")), "{log:?}");

    // The first token may be made before there is any data.
    let setup = exposed();
    let token = token(&setup, &["ann"]);
    let server = setup.start();
    assert_eq!(status(&server, "/creatives", None), 401);
    assert_eq!(status(&server, "/creatives", Some(&token)), 200);
    assert_eq!(status(&server, "/healthz", None), 200);
}

#[test]
fn on_loopback_it_serves_everybody_until_there_is_a_user_also_one_that_comes_while_it_runs() {
    let server = Server::start();
    assert_eq!(status(&server, "/creatives", None), 200);
    let token = token(server.setup(), &["ann"]);
    assert_eq!(status(&server, "/creatives", None), 401);
    assert_eq!(status(&server, "/creatives", Some(&token)), 200);
    let setup = server.kill_9();
    assert_eq!(status(&setup.start(), "/creatives", None), 401);
}

#[test]
fn tokens_are_made_listed_and_taken_back_with_and_without_a_server() {
    for with_server in [true, false] {
        let setup = Setup::new();
        let server = with_server.then(|| setup.start());
        let tool = |args: &[&str]| run(setup.dir(), args);
        let token = token(&setup, &["ann", "--scopes", "read", "--expires", "90d"]);
        let list = assert_said(&tool(&["token", "list", "--json"]), 0, &["\"ann\"", "\"read\""]);
        let list: Value = serde_json::from_str(&list).expect("one document");
        let id = list[0]["id"].as_str().expect("an id");
        assert!(!list.to_string().contains(token.rsplit('_').next().expect("a secret")));
        let table = assert_said(&tool(&["token", "list", "ann"]), 0, &[id, "LAST USED", "read"]);
        assert_eq!(table.lines().count(), 2, "{table}");
        assert_said(&tool(&["token", "revoke", id]), 0, &["revoked"]);
        assert_said(&tool(&["token", "revoke", id]), 1, &["token list"]);
        assert_said(&tool(&["token", "create", "ann", "--scopes", "write"]), 2, &["upload, read"]);
        assert_said(&tool(&["token", "create", "anonymous"]), 2, &["choose another name"]);
        assert_said(&tool(&["user", "list"]), 0, &["NAME", "ann"]);
        assert_said(
            &tool(&["user", "add", "bob", "--email", "bob@example.com"]),
            0,
            &["added bob"],
        );
        assert_said(&tool(&["user", "add", "bob"]), 1, &["Another user"]);
        let email = |args: &[&str]| tool(&[&["user", "email"], args].concat());
        assert_said(&email(&["ann", "bob@example.com"]), 1, &["Another user"]);
        assert_said(&email(&["bob", "--none"]), 0, &["cleared", "bob"]);
        assert_said(&email(&["ann", "bob@example.com"]), 0, &["changed", "ann"]);
        assert_said(&tool(&["user", "list"]), 0, &["bob@example.com"]);
        assert_said(&email(&["ann", "bob"]), 1, &["name@example.com"]);
        assert_said(&email(&["nobody", "--none"]), 1, &["There is no such user"]);
        assert_said(&email(&["ann", ""]), 1, &["name@example.com"]);
        assert_said(&email(&["ann"]), 2, &["<ADDRESS>"]);
        assert_said(&email(&["ann", "--none", "ann@example.com"]), 2, &["--none"]);
        let trail = tool(&["audit"]);
        assert_said(&trail, 0, &["user_email_changed", "ann"]);
        assert!(!String::from_utf8_lossy(&trail.stdout).contains("example.com"));
        assert_said(&tool(&["user", "disable", "bob"]), 0, &["disabled bob"]);
        assert_said(&tool(&["user", "enable", "bob"]), 0, &["enabled bob"]);
        let asked = ["bob", "0 unfinished uploads", "0 finished files (0 B)", "--yes"];
        assert_said(&tool(&["user", "remove", "bob"]), 1, &asked);
        assert_said(&tool(&["user", "list"]), 0, &["bob"]);
        assert_said(&tool(&["user", "remove", "bob", "--yes"]), 0, &["removed bob"]);
        assert_said(&tool(&["user", "remove", "bob"]), 1, &["There is no such user"]);
        assert_said(&tool(&["user", "remove", "bob", "--yes"]), 1, &["There is no such user"]);
        drop(server);
    }
}

#[test]
fn a_secret_that_others_can_read_is_refused_with_what_to_run() {
    for flag in ["--ticket-key", "--smtp-password-file"] {
        let setup = Setup::new();
        let path = setup.dir().join("secret");
        write_secret(&path, "0123456789".repeat(4));
        let mail = ["--smtp-host=localhost", "--smtp-from=a@example.com", "--smtp-user=a"];
        let mail = if flag == "--ticket-key" { &mail[..0] } else { &mail[..] };
        let setup = mail.iter().fold(setup, |setup, flag| setup.flag(*flag));
        let setup = setup.flag(format!("{flag}={}", path.display()));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).expect("ours");
        let refused = crate::support::output(&mut setup.command());
        assert_said(&refused, 1, &["mode is 0604", "run `chmod 600", "secret"]);
        assert!(!setup.dir().join("flowstitch.db").exists(), "nothing is made");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("ours");
        drop(setup.start());
    }
}

#[test]
fn what_was_stored_before_there_were_users_stays_reachable_for_the_operator() {
    for with_server in [true, false] {
        let server = Server::start();
        let setup = server.setup().clone();
        let files = ["a.png", "b.png", "c.png"];
        for (number, name) in (1..).zip(files) {
            FlowFile::new(name, bytes(number, 3000), 1000).upload(&server);
        }
        let tool = |args: &[&str]| run(setup.dir(), args);
        let output = tool(&["token", "create", "ann", "--scopes=upload,read"]);
        let hint = ["open access has ended", "creatives give --public --to ann"];
        assert_said(&output, 0, &hint);
        let token = String::from_utf8(output.stdout).expect("text").trim().to_owned();
        let again = tool(&["token", "create", "ann"]);
        assert!(again.stderr.is_empty(), "it has ended already: {again:?}");
        let server = if with_server {
            Some(server)
        } else {
            assert!(server.terminated().0.success());
            None
        };

        assert_said(&tool(&["creatives", "list"]), 0, &["WHOSE", "anonymous", "a.png", "c.png"]);
        let list = tool(&["creatives", "list", "--public", "--json"]);
        let list: Value = serde_json::from_slice(&list.stdout).expect("one document");
        let list = list["creatives"].as_array().expect("a list");
        assert_eq!(list.len(), 3);
        let ids: Vec<&str> = list.iter().map(|it| it["id"].as_str().expect("an id")).collect();
        assert_said(&tool(&["creatives", "give", ids[0], "--to", "bob"]), 1, &["no such user"]);
        assert_said(
            &tool(&["creatives", "give", ids[0], "--to", "ann"]),
            0,
            &["1 creative to ann"],
        );
        assert_said(&tool(&["creatives", "delete", ids[1]]), 0, &["deleted"]);
        assert_said(&tool(&["creatives", "delete", ids[1]]), 1, &["creatives list"]);
        let all = ["creatives", "give", "--public", "--to", "ann"];
        assert_said(&tool(&all), 0, &["1 creative to ann"]);
        assert_said(&tool(&all), 0, &["0 creatives to ann"]);
        assert_said(&tool(&["audit"]), 0, &["creative_given", "creative_deleted", "ann"]);
        let mine = tool(&["creatives", "list", "--user", "ann"]);
        assert_said(&mine, 0, &[ids[0], ids[2]]);

        let server = server.unwrap_or_else(|| setup.start());
        let content = format!("/creatives/{}/content", ids[0]);
        assert_eq!(status(&server, &content, Some(&token)), 200);
        assert_eq!(status(&server, &content, None), 401);
        let gone = format!("/creatives/{}", ids[1]);
        assert_eq!(status(&server, &gone, Some(&token)), 404);
        assert_eq!(setup.files("completed").len(), 2);
        drop(server);
        assert_said(&tool(&["verify"]), 0, &["0 faults"]);
    }
}
