//! The examples of README.md, run as they are printed.
//!
//! Every block of code there is in one list here, with how it is held to what it says. A block that
//! is not run says why.

use std::{
    collections::BTreeSet,
    env, fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

use crate::support::{FlowFile, Server, Setup, bytes, png, request, run};

/// Where README.md says that the server is.
const PRINTED: &str = "http://127.0.0.1:8080";

/// How a block is held to what it says.
#[derive(Clone, Copy)]
enum How {
    /// A call of curl, run on one server after those before it.
    Curl(fn(&Server, &str)),
    /// The commands of the operator, run one by one.
    Tools,
    /// How tickets come to be: [`tickets`].
    Tickets,
    /// A `flowstitch.toml`.
    Settings,
    /// The flags of a server.
    Flags,
    /// A backup of a server that runs, and a restore to another place.
    Backup,
    /// What `verify --json` prints.
    Document,
    /// A target of the Makefile.
    Make,
    /// Run by `tests/browser/crossorigin.test.mjs`, in a browser.
    InBrowser,
    /// Not run, and why.
    NotRun(&'static str),
}

/// The blocks, in their order, each by its language and the words that it begins with.
const BLOCKS: [(&str, &str, How); 27] = [
    ("sh", "cargo run --release\n", How::NotRun("the binary under test is built already")),
    ("sh", "curl -F flowIdentifier", How::Curl(whole_file)),
    ("sh", "curl -F scheduled_at", How::Curl(picture_for_a_day)),
    ("sh", "curl -i", How::Curl(probe)),
    ("sh", "curl http://127.0.0.1:8080/scheduled", How::Curl(scheduled)),
    ("html", "<input", How::InBrowser),
    ("sh", "cargo run --release -- --cors-origins", How::InBrowser),
    ("sh", "flowstitch token create ann", How::Tools),
    ("sh", "flowstitch user remove", How::Tools),
    ("toml", "smtp_host", How::Settings),
    ("sh", "flowstitch user add", How::Tools),
    ("sh", "openssl rand", How::Tickets),
    ("sh", "curl -H \"Authorization", How::Tickets),
    ("js", "const flow", How::InBrowser),
    ("toml", "auth_url", How::Settings),
    ("toml", "accept", How::Settings),
    ("toml", "scan_command", How::Settings),
    ("sh", "flowstitch verify", How::Tools),
    ("json", "{", How::Document),
    ("sh", "flowstitch backup", How::Backup),
    ("nginx", "location", How::NotRun("`torture nginx-unbuffered` runs a real nginx like it")),
    ("sh", "flowstitch --tls-cert", How::Flags),
    ("sh", "make test", How::Make),
    ("sh", "make torture", How::Make),
    ("sh", "make bench-attacks", How::Make),
    ("sh", "make bench", How::Make),
    ("", "", How::NotRun("the end of the list")),
];

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("README.md")
}

/// The blocks of code, as language and text.
fn blocks(readme: &str) -> Vec<(&str, &str)> {
    let fenced = readme.split("\n```").skip(1).step_by(2);
    fenced.map(|block| block.split_once('\n').expect("a language")).collect()
}

/// The blocks that are held in this way.
fn held(readme: &str, is_so: impl Fn(How) -> bool) -> Vec<(&str, How)> {
    let held = blocks(readme).into_iter().zip(BLOCKS).filter(|(_, (.., how))| is_so(*how));
    held.map(|((_, text), (.., how))| (text, how)).collect()
}

#[test]
fn every_example_is_run_or_says_why_it_is_not() {
    let readme = readme();
    let found = blocks(&readme);
    for ((language, text), (expected, begins, how)) in found.iter().zip(BLOCKS) {
        assert_eq!(*language, expected, "{text}");
        let text = format!("{text}\n");
        assert!(text.starts_with(begins), "this stands where {begins:?} is expected: {text}");
        if let How::NotRun(why) = how {
            assert!(!why.is_empty(), "{text}");
        }
    }
    assert_eq!(found.len() + 1, BLOCKS.len(), "each block of README.md is in the list");
    for name in ["curl", "flowstitch"] {
        let is_outside =
            |part: &str| part.lines().any(|line| line.starts_with(&format!("{name} ")));
        let mut prose = readme.split("\n```").step_by(2);
        assert!(!prose.any(is_outside), "a line of {name} stands outside of a block");
    }
}

#[test]
fn the_curl_commands_do_what_is_said_of_them() {
    if is_missing("curl") {
        return;
    }
    let readme = readme();
    let server = Server::start();
    fs::write(server.setup().dir().join("cat.png"), png()).expect("written");
    for (command, how) in held(&readme, |how| matches!(how, How::Curl(_))) {
        let said = succeeded(command, server.setup().dir(), &server);
        if let How::Curl(check) = how {
            check(&server, &said);
        }
    }
    assert_eq!(server.creatives().len(), 2);
}

#[test]
fn the_commands_of_the_operator_do_what_is_said_of_them() {
    let readme = readme();
    let server = Server::start();
    let dir = server.setup().dir();
    for (block, _) in held(&readme, |how| matches!(how, How::Tools)) {
        for line in block.lines().filter(|line| line.starts_with("flowstitch ")) {
            prepare(&server, line);
            let line = line.replace(" ID", &format!(" {}", id_for(&server, line)));
            let line = line.replace(" DIR", " backup");
            let output = shell(&line, dir, &server);
            let text = [&output.stdout[..], &output.stderr].concat();
            let text = String::from_utf8_lossy(&text);
            // There is nothing to complete, and nothing in the trash: the answer is no.
            let is_refused = [" retry ", " trash restore "].iter().any(|it| line.contains(it));
            let expected = Some(i32::from(is_refused));
            assert_eq!(output.status.code(), expected, "{line}: {text}");
        }
    }
}

/// What a command of README.md needs to be there, beyond what the commands before it have made.
fn prepare(server: &Server, line: &str) {
    // The addresses are of users who are there, or of new ones.
    if line.starts_with("flowstitch user email bob") {
        run(server.setup().dir(), &["user", "add", "bob"]);
    }
    if line.starts_with("flowstitch verify") {
        let token = run(server.setup().dir(), &["token", "create", "carl"]).stdout;
        let token = format!("authorization: Bearer {}", String::from_utf8_lossy(&token).trim());
        let file = FlowFile::new("a.bin", bytes(1, 20), 10);
        let chunk = request("POST", &file.address(1), &[&token], file.chunk(1));
        server.connect().ask(&chunk).expect("an answer").assert_status(200);
    }
}

/// The id that a command of README.md is about: of the token that was made last, or of the upload.
fn id_for(server: &Server, line: &str) -> String {
    if !line.contains(" ID") {
        return String::new();
    }
    let list = if line.contains("token") { "token" } else { "uploads" };
    let said = run(server.setup().dir(), &[list, "list", "--json"]).stdout;
    let said: Value = serde_json::from_slice(&said).expect("JSON");
    let all = said.as_array().or_else(|| said["uploads"].as_array());
    let id = all.and_then(|all| all.last()?["id"].as_str());
    id.unwrap_or_else(|| panic!("{said}")).to_owned()
}

/// The story of a ticket: a secret, a token, a server, a ticket, and an upload from the page that
/// it is for.
#[test]
fn a_ticket_is_made_and_used_as_is_said() {
    if is_missing("curl") || is_missing("openssl") {
        return;
    }
    let readme = readme();
    let tickets = held(&readme, |how| matches!(how, How::Tickets));
    let [(setting_up, _), (issuing, _)] = tickets[..] else { panic!("two blocks") };
    let serve = setting_up.lines().find_map(|line| line.strip_prefix("flowstitch serve "));
    let words: Vec<&str> = serve.expect("a server").split(' ').collect();
    let mut setup = Setup::new();
    for pair in words.chunks(2) {
        setup = setup.flag(pair.join("="));
    }
    let mut token = String::new();
    for line in setting_up.lines().filter(|line| !line.starts_with("flowstitch serve ")) {
        let output = shell(line, setup.dir(), &());
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        token = String::from_utf8(output.stdout).expect("text");
    }

    let server = setup.start();
    let said = succeeded(&format!("TOKEN={}\n{issuing}", token.trim()), setup.dir(), &server);
    let issued: Value = serde_json::from_str(&said).expect("JSON");
    let printed = issuing.lines().find_map(|line| line.strip_prefix("# ")).expect("an answer");
    assert_eq!(keys(&issued), keys(&serde_json::from_str(printed).expect("JSON")));

    let ticket = issued["ticket"].as_str().expect("a ticket");
    let origin = issuing.split('"').find(|word| word.starts_with("https://")).expect("an origin");
    let upload = |origin: &str| {
        let path = format!("/upload?flowFilename=a.bin&flowTotalSize=5&ticket={ticket}");
        let headers = [&*format!("origin: {origin}"), "sec-fetch-site: cross-site"];
        let answer = server.connect().ask(&request("POST", &path, &headers, b"hello"));
        answer.expect("an answer")
    };
    upload("https://other.example.com").assert_status(403);
    let answer = upload(origin);
    assert_eq!(answer.assert_status(201).header("access-control-allow-origin"), Some(origin));
}

#[test]
fn a_backup_is_taken_and_restored_as_is_said() {
    let readme = readme();
    let (server, other) = (Server::start(), tempfile::tempdir().expect("a directory"));
    let creative = FlowFile::new("cat.bin", bytes(1, 100), 50).upload(&server);
    for (block, _) in held(&readme, |how| matches!(how, How::Backup)) {
        for line in block.lines() {
            let place = |path: &str| other.path().join(path).display().to_string();
            let line = line.replace("/backup/uploads", &place("backup"));
            let line = line.replace("/srv/restored", &place("restored"));
            let output = shell(&line, server.setup().dir(), &());
            assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    let id = creative["id"].as_str().expect("an id");
    let file = other.path().join("restored/completed").join(format!("{id}.bin"));
    assert_eq!(fs::read(file).expect("restored"), bytes(1, 100));
}

#[test]
fn the_settings_are_settings() {
    let readme = readme();
    let dir = tempfile::tempdir().expect("a directory");
    for (block, how) in held(&readme, |how| matches!(how, How::Settings | How::Flags)) {
        let flags: Vec<&str> = if matches!(how, How::Flags) {
            block.split_whitespace().skip(1).collect()
        } else {
            fs::write(dir.path().join("flowstitch.toml"), block).expect("written");
            Vec::new()
        };
        let output = run(dir.path(), &[&["config"], &flags[..]].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{block}: {error}");
        let said: toml::Table =
            toml::from_str(&String::from_utf8_lossy(&output.stdout)).expect("TOML");
        let named: toml::Table = match how {
            How::Settings => toml::from_str(block).expect("TOML"),
            _ => flags
                .chunks(2)
                .map(|pair| {
                    let key = pair[0].trim_start_matches("--").replace('-', "_");
                    (key, toml::Value::from(pair[1]))
                })
                .collect(),
        };
        for (key, value) in named {
            let said = said[&key].to_string();
            assert!(said.contains(value.to_string().trim_matches('"')), "{key}: {said}");
        }
        fs::remove_file(dir.path().join("flowstitch.toml")).ok();
    }
}

#[test]
fn the_document_of_verify_is_as_printed() {
    let readme = readme();
    let printed = held(&readme, |how| matches!(how, How::Document));
    let printed: Value = serde_json::from_str(printed[0].0).expect("JSON");
    let server = Server::start();
    let creative = FlowFile::new("cat.bin", bytes(1, 100), 50).upload(&server);
    let file = format!("{}.bin", creative["id"].as_str().expect("an id"));
    let file = server.setup().dir().join("completed").join(file);
    fs::write(file, bytes(2, 100)).expect("written");
    let said = run(server.setup().dir(), &["verify", "--json"]).stdout;
    let said: Value = serde_json::from_slice(&said).expect("JSON");
    assert_eq!(keys(&said), keys(&printed), "{said:#}");
    assert_eq!(said["faults"][0]["code"], printed["faults"][0]["code"]);
}

#[test]
fn the_targets_of_make_are_there() {
    let makefile = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Makefile"));
    let makefile = makefile.expect("the Makefile");
    for (block, _) in held(&readme(), |how| matches!(how, How::Make)) {
        let target = block.trim().strip_prefix("make ").expect("a target");
        assert!(makefile.lines().any(|line| line.starts_with(&format!("{target}:"))), "{target}");
    }
}

/// Every key of a document, with the path to it.
fn keys(value: &Value) -> BTreeSet<String> {
    let below = |at: &str, value: &Value| {
        keys(value).into_iter().map(|key| format!("{at}.{key}")).collect::<Vec<_>>()
    };
    match value {
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, value)| below(key, value).into_iter().chain([key.clone()]))
            .collect(),
        Value::Array(list) => list.iter().flat_map(|value| below("[]", value)).collect(),
        _ => BTreeSet::new(),
    }
}

/// Where the examples find the server.
trait Place {
    fn in_place(&self, command: &str) -> String;
}

impl Place for Server {
    fn in_place(&self, command: &str) -> String {
        command.replace(PRINTED, &format!("http://{}", self.address()))
    }
}

/// There is none.
impl Place for () {
    fn in_place(&self, command: &str) -> String {
        command.to_owned()
    }
}

/// Runs a command in the folder of the data, where `flowstitch` is the binary under test.
fn shell(command: &str, dir: &Path, place: &impl Place) -> Output {
    let programs = tempfile::tempdir().expect("a directory");
    symlink(env!("CARGO_BIN_EXE_flowstitch"), programs.path().join("flowstitch")).expect("a link");
    let mut shell = Command::new("sh");
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("FLOWSTITCH_") {
            shell.env_remove(name);
        }
    }
    // Nothing of whoever runs the tests: neither a proxy nor a .curlrc.
    shell.env_remove("http_proxy").env_remove("ALL_PROXY").env_remove("all_proxy");
    shell.env("HOME", dir).env("CURL_HOME", dir);
    let command = format!("PATH={}:$PATH\n{}", programs.path().display(), place.in_place(command));
    shell.current_dir(dir).arg("-c").arg(command);
    crate::support::output(&mut shell)
}

/// What a command prints that must end well.
fn succeeded(command: &str, dir: &Path, server: &Server) -> String {
    assert!(command.contains(PRINTED), "{command}");
    let output = shell(command, dir, server);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether a program is missing, so that its examples cannot be run; which is said, and fails
/// where everything must be there.
#[expect(clippy::print_stderr, reason = "whoever runs the tests must be told")]
fn is_missing(program: &str) -> bool {
    let version = if program == "openssl" { "version" } else { "--version" };
    let found = Command::new(program).arg(version).output().is_ok_and(|it| it.status.success());
    if !found {
        let ci = env::vars_os().find(|(name, _)| name == "CI").map(|(_, value)| value);
        assert!(ci.is_none_or(|ci| ci != "true"), "{program} is missing");
        eprintln!("Not run: the examples of README.md with {program}. Missing: {program}.");
    }
    !found
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
