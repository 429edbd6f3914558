//! The rules of the code that no compiler holds: layers, sizes, words. See ARCHITECTURE.md.
//!
//! One test reads every file and lists all offences, each with its place and the rule's reason.

mod code;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use code::{bare, functions, paths, untested_len};

/// What each layer may import. A layer is the first name below `src`.
const LAYERS: [(&str, &[&str]); 17] = [
    ("upload", &[]),
    ("witness", &[]),
    ("owner", &[]),
    ("metrics", &[]),
    ("store", &["upload", "witness", "owner"]),
    ("catalog", &["upload", "witness", "owner"]),
    ("scan", &["upload"]),
    ("mail", &[]),
    ("engine", &["upload", "store", "catalog", "scan", "metrics"]),
    ("dialect", &["upload", "engine"]),
    ("access", &["upload", "catalog", "engine", "mail"]),
    ("http", &["upload", "engine", "dialect", "access", "metrics"]),
    // It reads what the others check: an origin is one type, whoever writes it down.
    ("config", &["upload", "http", "mail"]),
    ("telemetry", &["upload", "config"]),
    ("shutdown", &["upload", "telemetry"]),
    ("app", ALL),
    ("operate", &["upload", "store", "catalog", "engine", "dialect", "http", "config", "app"]),
];
const ALL: &[&str] = &[
    "upload",
    "metrics",
    "shutdown",
    "store",
    "catalog",
    "scan",
    "mail",
    "engine",
    "dialect",
    "access",
    "http",
    "config",
    "telemetry",
];

/// Layers in which no HTTP type stands, and the crates that have them.
const BELOW_DIALECT: [&str; 4] = ["upload", "store", "catalog", "engine"];
const HTTP_CRATES: [&str; 8] =
    ["http", "http_body", "http_body_util", "hyper", "hyper_util", "multer", "tower", "tower_http"];
/// Layers in which no path of the file system stands.
const ABOVE_STORE: [&str; 3] = ["engine", "dialect", "http"];
/// Files that may use `std::fs`, by the beginning of their names, each with its reason.
const FILE_SYSTEM: [(&str, &str); 12] = [
    ("src/store/durable.rs", "the one place that knows in which order to write"),
    ("src/store/open_files.rs", "holds the files that durable.rs opened"),
    ("src/store/backup/", "copies files out of the folders and back, by what durable.rs opened"),
    ("src/app/epoch.rs", "reads which boot of the machine this is"),
    ("src/app/control.rs", "removes its socket, which is no file of the data"),
    ("src/app/certificate.rs", "reads the certificate and the key, which are no data"),
    ("src/app/tickets.rs", "reads the keys that settings name"),
    ("src/app/secret.rs", "reads the keys and passwords that settings name"),
    ("src/config/", "reads flowstitch.toml"),
    ("src/catalog/sqlite", "looks whether the database is there"),
    ("src/main.rs", "prepares the folders"),
    ("src/operate/trash.rs", "writes the file that its user named"),
];

const FILE_LEN_MAX: usize = 350;
const CONTRACT_LEN_MAX: usize = 700;
const FUNCTION_LEN_MAX: usize = 70;
const LINE_LEN_MAX: usize = 100;

/// A file, by its name below the top level.
struct File {
    name: String,
    text: String,
}

/// A broken rule.
#[derive(Debug)]
struct Offence {
    place: String,
    line: usize,
    what: String,
    why: &'static str,
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.place, self.line, self.what, self.why)
    }
}

/// A finding before it is known in which file it is: line, what, why.
type Finding = (usize, String, &'static str);

impl File {
    fn layer(&self) -> &str {
        let below = self.name.strip_prefix("src/").unwrap_or_default();
        below.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    fn is_source(&self) -> bool {
        self.name.starts_with("src/")
    }

    /// A file of a layer whose parent module is the crate itself.
    fn is_layer_root(&self) -> bool {
        let depth = self.name.matches('/').count();
        depth == 1 || (depth == 2 && self.name.ends_with("/mod.rs"))
    }

    /// The code without the tests at its end. A file that is called `tests` is all test.
    fn shipped(&self, bare: &str) -> String {
        if self.name.ends_with("/tests.rs") || self.name.contains("/tests/") {
            return String::new();
        }
        bare.lines().take(untested_len(bare)).collect::<Vec<_>>().join("\n")
    }

    fn check(&self) -> Vec<Offence> {
        let findings = match self.name.rsplit_once('.') {
            Some((_, "rs")) => self.check_rust(),
            _ if self.name.starts_with("static/") => check_static(&self.text),
            _ => Vec::new(),
        };
        let offence = |(line, what, why)| Offence { place: self.name.clone(), line, what, why };
        let words =
            if self.name.ends_with("-lock.json") { Vec::new() } else { check_words(&self.text) };
        findings.into_iter().chain(words).map(offence).collect()
    }

    fn check_rust(&self) -> Vec<Finding> {
        let bare = bare(&self.text);
        let mut findings = check_shape(&self.text, &bare);
        if self.is_source() {
            let shipped = self.shipped(&bare);
            findings.extend(self.check_len(&bare));
            findings.extend(self.check_layer(&shipped));
            findings.extend(self.check_domain(&shipped));
        }
        findings.extend(self.check_waits(&bare));
        findings
    }

    fn check_len(&self, bare: &str) -> Option<Finding> {
        let contract = self.name.ends_with("/contract.rs");
        let most = if contract { CONTRACT_LEN_MAX } else { FILE_LEN_MAX };
        let len = untested_len(bare);
        let what = format!("{len} lines without tests, and {most} are allowed");
        (most < len).then_some((most + 1, what, "a file is read in one sitting: cut it in two"))
    }

    fn check_layer(&self, shipped: &str) -> Vec<Finding> {
        if ["main", "lib"].contains(&self.layer()) {
            return Vec::new();
        }
        let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| *layer == self.layer()) else {
            let what = format!("{} is not in the table of layers", self.layer());
            return vec![(1, what, "each layer says what it may import")];
        };
        let why = |path: &code::Path| self.why_not(path, allowed);
        let paths = paths(shipped).into_iter();
        paths.filter_map(|path| why(&path).map(|why| (path.line, path.text, why))).collect()
    }

    /// Why this layer must not use this path, if it must not.
    fn why_not(&self, path: &code::Path, allowed: &[&str]) -> Option<&'static str> {
        let mut segments = path.segments();
        let known = |layer: &str| layer == self.layer() || allowed.contains(&layer);
        let is_layer = |name: &str| LAYERS.iter().any(|(layer, _)| *layer == name);
        match (segments.next()?, segments.next()?) {
            ("crate", to) if !known(to) => Some("each layer imports only from its left"),
            ("super", "super") => Some("a path of two supers hides its layer"),
            ("super", to) if self.is_layer_root() && is_layer(to) => {
                Some("a path from the root of the crate is written with crate")
            }
            ("flowstitch", _) => Some("the crate calls itself crate"),
            _ => None,
        }
    }

    fn check_domain(&self, shipped: &str) -> Vec<Finding> {
        let layer = self.layer();
        let exempt = FILE_SYSTEM.iter().any(|(name, _)| self.name.starts_with(name));
        let mut findings = Vec::new();
        for path in paths(shipped) {
            let first = path.segments().next().unwrap_or_default();
            let is_path = path.is_below("std::path") || path.segments().any(|s| s == "PathBuf");
            let qualified = path.text.contains("::") && HTTP_CRATES.contains(&first);
            let why = if BELOW_DIALECT.contains(&layer) && qualified {
                "no HTTP type below dialect (invariant 13)"
            } else if ABOVE_STORE.contains(&layer) && is_path {
                "no path of the file system above store (invariant 13)"
            } else if !exempt && (path.is_below("std::fs") || path.is_below("tokio::fs")) {
                "files are touched by store/durable.rs, in the order that survives a crash"
            } else {
                continue;
            };
            findings.push((path.line, path.text, why));
        }
        findings
    }

    /// Tests wait for events, never for time.
    fn check_waits(&self, bare: &str) -> Vec<Finding> {
        let mut findings = Vec::new();
        let why = "a test waits for what happens, or under paused time, never for a while";
        for path in paths(bare) {
            let sleeps = path.segments().any(|name| ["sleep", "sleep_until"].contains(&name));
            let blocks = path.text.contains("thread::sleep");
            if blocks || (sleeps && !self.is_source()) {
                findings.push((path.line, path.text, why));
            }
        }
        for (line, text) in (1..).zip(bare.lines()) {
            if text.contains("#[ignore") {
                findings.push((
                    line,
                    text.trim().into(),
                    "a test that does not run proves nothing",
                ));
            }
        }
        findings
    }
}

/// What holds for every Rust file.
fn check_shape(text: &str, bare: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !text.starts_with("//!") {
        let why = "a file begins with what it is, what it promises and what it never does";
        findings.push((1, "no //! comment".into(), why));
    }
    for (line, text) in (1..).zip(text.lines()) {
        let len = text.chars().count();
        // Nobody can break an address.
        if LINE_LEN_MAX < len && !text.contains("://") {
            findings.push((line, format!("{len} characters"), "a line fits half a screen"));
        }
    }
    for (name, lines) in functions(bare) {
        if FUNCTION_LEN_MAX < lines.len() {
            let what = format!("{name} has {} lines", lines.len());
            findings.push((lines.start, what, "a function fits a screen: 70 lines"));
        }
    }
    findings
}

/// Words for work that is not done. Put together here, so that this file does not hold them.
fn check_words(text: &str) -> Vec<Finding> {
    let words = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["todo", "!("].concat()];
    let has = |line: &str| words.iter().any(|word| line.contains(word.as_str()));
    let why = "work is done or is an issue; it is not left in the code";
    let lines = (1..).zip(text.lines()).filter(|(_, line)| has(line));
    lines.map(|(line, text)| (line, text.trim().to_owned(), why)).collect()
}

/// The page loads nothing from elsewhere.
fn check_static(text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = (1..).zip(text.lines());
    let comment = |text: &str| text.starts_with("* ") || text.starts_with("//");
    for (line, text) in lines.filter(|(_, text)| !comment(text.trim_start())) {
        let lower = text.to_ascii_lowercase();
        let link = if lower.contains("<link") { "href=" } else { "src=" };
        let loads =
            ["src=", link, "@import ", "url(", "from ", "import ", "import(", "importscripts("];
        let outside = |loader: &str| {
            lower.split(loader).skip(1).any(|rest| {
                let target = rest.trim_start_matches([' ', '(', '"', '\'', '`']);
                ["http://", "https://", "//"].iter().any(|start| target.starts_with(start))
            })
        };
        if loads.iter().any(|loader| outside(loader)) {
            findings.push((line, text.trim().into(), "the page has no third-party part"));
        }
    }
    findings
}

/// The text files below a folder that may be missing.
fn files(top: &Path, folder: &str) -> Vec<File> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(top.join(folder)) else { return found };
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("our names are UTF-8");
        let name = format!("{folder}/{name}");
        if path.is_dir() && !name.ends_with("/node_modules") {
            found.extend(files(top, &name));
        } else if let Ok(text) = fs::read_to_string(&path) {
            found.push(File { name, text });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

#[test]
fn the_code_keeps_its_rules() {
    let top = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let folders =
        ["src", "tests", "benches", "static", "migrations", "fuzz/src", "fuzz/fuzz_targets"];
    let files: Vec<_> = folders.iter().flat_map(|folder| files(&top, folder)).collect();
    assert!(files.iter().any(|file| file.name == "src/lib.rs"), "no source was found");
    let offences: Vec<_> = files.iter().flat_map(File::check).map(|o| o.to_string()).collect();
    assert!(offences.is_empty(), "{} offences:\n{}", offences.len(), offences.join("\n"));
}

#[test]
fn planted_offences_are_found() {
    let long_line = format!("{}x", "x ".repeat(LINE_LEN_MAX / 2));
    let long_file = "\n".repeat(FILE_LEN_MAX);
    let long_function = format!("fn f() {{{}}}", "\n".repeat(FUNCTION_LEN_MAX));
    let undone = ["// TO", "DO: later"].concat();
    for (name, text, line, why) in [
        ("src/upload/a.rs", "use crate::engine::Engine;", 2, "from its left"),
        ("src/store/a.rs", "use crate::{upload::Plan,\n catalog::Fact};", 3, "from its left"),
        ("src/engine/a.rs", "fn f() { crate::http::serve() }", 2, "from its left"),
        ("src/http/a.rs", "use crate::app::run;", 2, "from its left"),
        ("src/catalog/mod.rs", "use super::engine::Engine;", 2, "written with crate"),
        ("src/engine/a.rs", "use super::super::http::serve;", 2, "two supers"),
        ("src/engine/a.rs", "use flowstitch::http::serve;", 2, "calls itself crate"),
        ("src/helpers/a.rs", "", 1, "each layer says"),
        ("src/engine/a.rs", "use http::StatusCode;", 2, "no HTTP type"),
        ("src/store/a.rs", "use std::io;\nuse {hyper::body::Body};", 3, "no HTTP type"),
        ("src/engine/a.rs", "use std::{fmt, path::Path};", 2, "above store"),
        ("src/http/a.rs", "fn f(x: &std::path::PathBuf) {}", 2, "above store"),
        ("src/store/fs.rs", "use std::{fs, io};", 2, "durable.rs"),
        ("src/http/a.rs", "tokio::fs::read(x);", 2, "durable.rs"),
        ("src/app.rs", &long_line, 2, "half a screen"),
        ("src/app.rs", &long_file, FILE_LEN_MAX + 1, "one sitting"),
        ("src/app.rs", &long_function, 2, "fits a screen"),
        ("src/app.rs", &undone, 2, "is an issue"),
        ("migrations/1.sql", &undone, 2, "is an issue"),
        ("tests/it/a.rs", "std::thread::sleep(x);", 2, "never for a while"),
        ("tests/it/a.rs", "use tokio::time::{self, sleep};", 2, "never for a while"),
        ("tests/it/a.rs", "time::sleep(x).await;", 2, "never for a while"),
        ("tests/e2e/a.rs", "#[ignore = \"slow\"]", 2, "proves nothing"),
        ("static/a.html", "<script src=\"https://cdn.example/a.js\">", 2, "third-party"),
        ("static/a.html", "<link rel=stylesheet href=//cdn.example/a.css>", 2, "third-party"),
        ("static/a.css", "@import url('http://cdn.example/a.css');", 2, "third-party"),
        ("static/a.js", "import x from \"https://cdn.example/a.js\";", 2, "third-party"),
    ] {
        let file = File { name: name.into(), text: format!("//! Planted.\n{text}") };
        let offences = file.check();
        let found = offences.iter().any(|o| o.line == line && o.why.contains(why));
        assert!(found, "{name}: {text:?}: {why:?} is not in {offences:?}");
    }
    let unnamed = File { name: "src/app.rs".into(), text: "fn f() {}".into() };
    assert!(unnamed.check()[0].to_string().starts_with("src/app.rs:1: no //! comment: "));
}

#[test]
fn what_only_looks_like_an_offence_is_left_alone() {
    let tests = "#[cfg(test)]\nmod tests {\n use crate::http::x;\n use std::fs;\n}";
    let lines = format!("{}{tests}{}", "\n".repeat(FILE_LEN_MAX - 1), "\n".repeat(90));
    for (name, text) in [
        ("src/http/a.rs", "use crate::{dialect, engine::Engine, metrics, upload};\nuse http::Uri;"),
        ("src/store/durable.rs", "use std::{fs, path::PathBuf};"),
        ("src/store/mod.rs", "mod fs;\nuse self::fs::FsStore;\nuse crate::upload::Plan;"),
        ("src/engine/a.rs", "use super::http_like;\nuse crate::{catalog::Fact, store};"),
        ("src/engine/a.rs", "// crate::http, PathBuf\nlet x = \"std::fs, crate::http\";"),
        ("src/engine/a.rs", "tokio::time::sleep(x).await;\nlet http = 1;"),
        ("src/upload/a.rs", tests),
        ("src/upload/b.rs", &lines),
        ("src/main.rs", "use flowstitch::{app, config};"),
        ("tests/it/a.rs", "use flowstitch::app;\n// see https://example.com/a"),
        ("static/a.html", "<svg xmlns=\"http://www.w3.org/2000/svg\"><a href=\"https://a.b\">"),
        ("static/a.js", " * <script src=\"https://your.example/static/a.js\"></script>"),
        ("static/a.js", "import { x } from \"./x.js\"; // from there\nfetch(\"/upload\");"),
    ] {
        let text = format!("//! Innocent.\n{text}");
        let offences = File { name: name.into(), text }.check();
        assert!(offences.is_empty(), "{name}: {offences:?}");
    }
}
