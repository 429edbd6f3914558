//! What the documents say of the tests is true: every failure mode has its line, and every test
//! that is named there exists.

use std::{collections::BTreeSet, fs, path::Path};

const FAILURE_MODES: &str = include_str!("../../docs/failure-modes.md");

/// The names of all functions in the files below a folder of the project.
fn functions(folder: &str, into: &mut BTreeSet<String>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    for entry in fs::read_dir(root).expect("a folder of the project") {
        let entry = entry.expect("an entry");
        let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.file_type().expect("a type").is_dir() {
            if !name.ends_with("node_modules") {
                functions(&name, into);
            }
        } else if Path::new(&name).extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(entry.path()).expect("a text");
            let after_fn = text.split("fn ").skip(1);
            into.extend(after_fn.filter_map(|rest| {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
                Some(rest[..end].to_owned())
            }));
        }
    }
}

/// All that stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Whether a fault of the torture program or a target of `fuzz/` is called so.
fn is_part_of(program: &str, name: &str) -> bool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if program == "fuzz" {
        return root.join("fuzz/fuzz_targets").join(format!("{name}.rs")).exists();
    }
    let faults = fs::read_dir(root.join("tests/torture/faults")).expect("the faults");
    let mut texts = faults.map(|file| fs::read_to_string(file.expect("a file").path()));
    texts.any(|text| text.expect("a text").contains(&format!("\"{name}\"")))
}

#[test]
fn every_failure_mode_has_its_line() {
    let lines = FAILURE_MODES.lines().filter(|line| line.starts_with("| FM-"));
    let numbers: Vec<&str> = lines.map(|line| &line[2..7]).collect();
    let expected: Vec<String> = (1..=50).map(|number| format!("FM-{number:02}")).collect();
    assert_eq!(numbers, expected);
}

#[test]
fn every_test_that_is_named_exists() {
    let mut known = BTreeSet::new();
    functions("src", &mut known);
    functions("tests", &mut known);
    let mut unknown = Vec::new();
    for name in quoted(FAILURE_MODES) {
        let program = name.split_once(' ').filter(|(first, _)| ["torture", "fuzz"].contains(first));
        let exists = match program {
            Some((_, "…")) => true,
            Some((program, part)) => is_part_of(program, part),
            // Paths of the runner; all else that is quoted is no test.
            None if name.contains("::") && !name.ends_with('…') => {
                name.rsplit("::").next().is_some_and(|last| known.contains(last))
            }
            None => true,
        };
        if !exists {
            unknown.push(name);
        }
    }
    assert!(unknown.is_empty(), "named in docs/failure-modes.md, and not there: {unknown:#?}");
}
