//! `docs/failure-modes.md` is true: it has every row, and every test that it names exists.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const FAILURE_MODES: &str = include_str!("../../docs/failure-modes.md");
/// Rows from this number on may still be missing between others: their numbers were given out
/// before they were written.
const LAST_WITHOUT_GAPS: usize = 50;

/// Every test of the project, by its whole path as the runner prints it, after the name of its
/// program: `it::race::…`, `engine::sweep::tests::…`.
fn tests() -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for (folder, program) in [("src", ""), ("tests/it", "it"), ("tests/e2e", "e2e")] {
        let root = in_project(folder);
        for file in rust_files(&root) {
            let below = file.strip_prefix(&root).expect("below the folder").with_extension("");
            let names = below.iter().map(|name| name.to_str().expect("UTF-8"));
            let names = names.filter(|name| !["mod", "main", "lib"].contains(name));
            let module: Vec<&str> = [program].into_iter().chain(names).collect();
            let module = module.join("::");
            let text = fs::read_to_string(&file).expect("a text");
            tests.extend(tests_in(module.trim_start_matches(':'), &text));
        }
    }
    tests
}

/// The tests of one file, which is that module, in source that rustfmt has written.
fn tests_in(module: &str, source: &str) -> Vec<String> {
    let mut tests = Vec::new();
    // Modules that are open, each with the line that closes it.
    let mut open: Vec<(&str, String)> = Vec::new();
    let mut is_test = false;
    for line in source.lines() {
        let text = line.trim_start();
        let indent = &line[..line.len() - text.len()];
        if let Some(name) = text.strip_prefix("mod ").and_then(|it| it.strip_suffix(" {")) {
            open.push((name, format!("{indent}}}")));
        } else if open.last().is_some_and(|(_, end)| line == end) {
            open.pop();
        } else if text.starts_with("#[") {
            is_test |= text.starts_with("#[test]") || text.starts_with("#[tokio::test");
        } else if let Some((_, rest)) = text.split_once("fn ") {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            if let Some(end) = end.filter(|_| is_test) {
                let modules = open.iter().map(|(name, _)| *name);
                let path = [module].into_iter().chain(modules).chain([&rest[..end]]);
                tests.push(path.collect::<Vec<_>>().join("::"));
            }
            is_test = false;
        }
    }
    tests
}

/// Whether a part of another program is called so: a fault of the torture program, a row of the
/// attacks, a target of `fuzz/`, a file of the tests in browsers.
fn is_part_of(program: &str, name: &str) -> bool {
    let names_it = |folder: &str| {
        let quoted = format!("\"{name}\"");
        let files = rust_files(&in_project(folder));
        files.iter().any(|file| fs::read_to_string(file).expect("a text").contains(&quoted))
    };
    match program {
        "fuzz" => in_project(&format!("fuzz/fuzz_targets/{name}.rs")).exists(),
        "browser" => in_project(&format!("tests/browser/{name}.test.mjs")).exists(),
        "torture" => names_it("tests/torture/faults"),
        "attacks" => names_it("tests/attacks"),
        _ => unreachable!("the caller knows the programs"),
    }
}

const PROGRAMS: [&str; 4] = ["torture", "attacks", "fuzz", "browser"];

/// What is quoted, if it is the name of a test, and whether there is such a test.
fn is_there(tests: &BTreeSet<String>, name: &str) -> Option<bool> {
    let is_general = name.ends_with('…');
    match name.split_once(' ').filter(|(first, _)| PROGRAMS.contains(first)) {
        _ if is_general => None,
        Some((program, part)) => Some(is_part_of(program, part)),
        // Only tests are quoted by their paths.
        None => name.contains("::").then(|| tests.contains(name)),
    }
}

fn in_project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of the project") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// All that stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The rows of the failure modes: number, what goes wrong, what notices.
fn rows() -> Vec<(usize, &'static str, &'static str)> {
    let rows = FAILURE_MODES.lines().filter(|line| line.starts_with("| FM-"));
    rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [number, wrong, notices] = cells[..] else { panic!("three cells: {line}") };
        let number = number.strip_prefix("FM-").and_then(|number| number.parse().ok());
        (number.unwrap_or_else(|| panic!("a number: {line}")), wrong, notices)
    })
    .collect()
}

#[test]
fn every_failure_mode_has_one_row() {
    let rows = rows();
    let numbers: BTreeSet<usize> = rows.iter().map(|(number, ..)| *number).collect();
    assert_eq!(numbers.len(), rows.len(), "a number stands twice");
    let missing: Vec<_> = (1..=LAST_WITHOUT_GAPS).filter(|it| !numbers.contains(it)).collect();
    assert!(missing.is_empty(), "rows are missing: {missing:?}");
}

#[test]
fn every_failure_mode_names_what_notices_it_and_none_is_left_for_later() {
    let tests = tests();
    for (number, wrong, notices) in rows() {
        let names_a_test = quoted(notices).any(|name| is_there(&tests, name) == Some(true));
        let is_excluded = notices.starts_with("Cannot happen:");
        assert!(names_a_test || is_excluded, "FM-{number:02} names no test: {notices}");
        // Names of tests are no promises.
        let prose = [wrong, notices].into_iter().flat_map(|text| text.split('`').step_by(2));
        let mut words = prose.flat_map(|text| text.split(|c: char| !c.is_alphabetic()));
        let late = words.find(|word| ["yet", "todo"].contains(&&*word.to_lowercase()));
        assert_eq!(late, None, "FM-{number:02} tells of what is not done: {notices}");
    }
}

#[test]
fn every_test_that_is_named_exists() {
    let tests = tests();
    let unknown: Vec<_> =
        quoted(FAILURE_MODES).filter(|name| is_there(&tests, name) == Some(false)).collect();
    assert!(unknown.is_empty(), "named in docs/failure-modes.md, and not there: {unknown:#?}");
}

#[test]
fn a_test_is_known_by_its_whole_path() {
    let source = "#[test]\nfn a() {\n    b()\n}\nfn b() {}\nmod tests {\n    #[tokio::test]\n    \
                  async fn c() {}\n    mod d {\n        #[test]\n        #[ignore]\n        \
                  fn e() {}\n    }\n}\n#[tokio::test(start_paused = true)]\nasync fn f() {}\n";
    assert_eq!(tests_in("x", source), ["x::a", "x::tests::c", "x::tests::d::e", "x::f"]);
    let tests = BTreeSet::from(["it::race::a".to_owned()]);
    for (name, expected) in [
        ("it::race::a", Some(true)),
        ("it::claims::a", Some(false)),
        ("race::a", Some(false)),
        ("torture kill-strict", Some(true)),
        ("torture kill-politely", Some(false)),
        ("fuzz session", Some(true)),
        ("fuzz nothing", Some(false)),
        ("browser flow", Some(true)),
        ("browser nothing", Some(false)),
        ("torture …", None),
        ("it::…", None),
        ("reserve_free", None),
    ] {
        assert_eq!(is_there(&tests, name), expected, "{name}");
    }
}
