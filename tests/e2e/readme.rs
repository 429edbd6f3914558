//! The commands that README.md prints, run as they stand.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

use crate::support::{Server, Setup, png, run, write_secret};

/// Where README.md says that the server is.
const PRINTED: &str = "http://127.0.0.1:8080";

#[test]
fn the_curl_commands_of_the_readme_do_what_it_says() {
    if !is_there("curl") {
        let ci = std::env::vars_os().find(|(name, _)| name == "CI").map(|(_, value)| value);
        assert!(ci.is_none_or(|ci| ci != "true"), "curl is missing");
        say_skipped();
        return;
    }
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"));
    let readme = readme.expect("README.md");
    let commands = commands(&readme);
    let lines = readme.lines().filter(|line| line.trim_start().starts_with("curl ")).count();
    assert_eq!(commands.len(), lines, "a line of curl stands outside of a block of sh");
    let (issuing, commands): (Vec<&str>, Vec<&str>) =
        commands.into_iter().partition(|command| command.contains("/tickets"));
    issuing.into_iter().for_each(issue_ticket);
    let checks: [fn(&Server, &str); 4] = [whole_file, picture_for_a_day, probe, scheduled];
    assert_eq!(commands.len(), checks.len(), "each command has its check: {commands:?}");

    let server = Server::start();
    fs::write(server.setup().dir().join("cat.png"), png()).expect("written");
    for (command, check) in commands.iter().zip(checks) {
        let output = shell(command, &server);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {error}");
        check(&server, &String::from_utf8_lossy(&output.stdout));
    }
    assert_eq!(server.creatives().len(), 2);
}

/// The blocks of shell in which curl is called; one command each.
fn commands(readme: &str) -> Vec<&str> {
    let blocks = readme.split("```sh\n").skip(1).filter_map(|rest| rest.split_once("```"));
    blocks.map(|(block, _)| block.trim()).filter(|block| block.contains("curl ")).collect()
}

fn shell(command: &str, server: &Server) -> Output {
    assert!(command.contains(PRINTED), "{command}");
    let command = command.replace(PRINTED, &format!("http://{}", server.address()));
    let mut shell = Command::new("sh");
    // Nothing of whoever runs the tests: neither a proxy nor a .curlrc.
    shell.env_remove("http_proxy").env_remove("ALL_PROXY").env_remove("all_proxy");
    shell.env("HOME", server.setup().dir()).env("CURL_HOME", server.setup().dir());
    shell.current_dir(server.setup().dir()).arg("-c").arg(command);
    shell.output().expect("a shell")
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

#[expect(clippy::print_stderr, reason = "whoever runs the tests must be told")]
fn say_skipped() {
    eprintln!("Not run: the curl commands of README.md. Missing: curl.");
}

fn whole_file(server: &Server, said: &str) {
    let status: Value = serde_json::from_str(said).expect(said);
    assert_eq!(status["complete"], true, "{said}");
    assert_eq!(status["creative"]["filename"], "cat.png");
    assert!(server.setup().published(&status["creative"]) == png());
}

fn picture_for_a_day(server: &Server, said: &str) {
    let creative = &serde_json::from_str::<Value>(said).expect(said)["creative"];
    assert_eq!(creative["content_type"], "image/png", "{said}");
    assert!(creative["scheduled_at"].as_str().is_some_and(|day| day.ends_with("-01-01")), "{said}");
    assert!(server.setup().published(creative) == png());
}

/// Against a server with a key, by whoever has an admin's token.
fn issue_ticket(command: &str) {
    let setup = Setup::new();
    let key = setup.dir().join("ticket.key");
    write_secret(&key, "0123456789".repeat(4));
    let server = setup.flag(format!("--ticket-key={}", key.display())).start();
    let token = run(server.setup().dir(), &["token", "create", "app", "--scopes", "admin"]).stdout;
    let token = String::from_utf8(token).expect("text");
    let said = shell(&format!("TOKEN={}\n{command}", token.trim()), &server).stdout;
    let issued: Value = serde_json::from_slice(&said).expect("JSON");
    assert_eq!(issued["ticket"].as_str().map(|ticket| ticket.split('.').count()), Some(3));
}

fn probe(_: &Server, said: &str) {
    assert!(said.starts_with("HTTP/1.1 200 OK\r\n"), "{said}");
    assert!(said.contains("\"complete\":true"), "{said}");
}

fn scheduled(_: &Server, said: &str) {
    let days = serde_json::from_str::<Value>(said).expect(said)["scheduled_creatives"].clone();
    // The first has no date and so is for today; the other is for a day that is far away.
    assert_eq!(days["today"].as_array().map(Vec::len), Some(1), "{said}");
    assert_eq!(days["today"][0]["filename"], "cat.png");
    assert_eq!(days["tomorrow"], serde_json::json!([]));
}
