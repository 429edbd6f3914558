//! What is measured: who gets which load, side by side.
//!
//! A group is a set of cases that are compared with each other. They have their turns in each
//! round, in an order that rotates, so that nobody always comes first.

use crate::{limit::Limit, load::Load, server::Subject};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// One server under one load.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// What the table and the JSON call it; no two cases of all groups share one.
    pub(crate) name: &'static str,
    pub(crate) subject: Subject,
    pub(crate) load: Load,
    /// A load that is sent first and not measured.
    pub(crate) before: Option<Load>,
}

/// Cases that are compared with each other.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) name: &'static str,
    /// What it is for, for people.
    pub(crate) what: &'static str,
    pub(crate) cases: Vec<Case>,
}

/// How the binary is started.
struct Modes {
    /// Nothing is synced before an answer, and nothing hashed.
    bare: Subject,
    /// Nothing is synced before an answer.
    relaxed: Subject,
    /// The defaults.
    strict: Subject,
}

impl Modes {
    /// `no_digest` is the flag that turns the digest off, if the binary has one.
    fn new(no_digest: &str) -> Self {
        Self {
            bare: Subject::flowstitch(&format!("--durability=relaxed {no_digest}")),
            relaxed: Subject::flowstitch("--durability=relaxed"),
            strict: Subject::flowstitch(""),
        }
    }
}

/// All groups. `shrink` divides every size: above 1 nothing is measured that means anything.
pub(crate) fn groups(no_digest: &str, shrink: u64, full: bool) -> Vec<Group> {
    let modes = Modes::new(no_digest);
    let mut groups = vec![large(&modes), many(&modes), wait(&modes, full), small(&modes)];
    groups.extend([probes(&modes), flat(&modes, full), memory(&modes), sizes(&modes)]);
    for case in groups.iter_mut().flat_map(|group| &mut group.cases) {
        case.load.shrink(shrink);
        if let Some(before) = &mut case.before {
            before.shrink(shrink);
        }
    }
    groups
}

/// One file of 2 GiB.
fn large(modes: &Modes) -> Group {
    let load = Load { size: 2 * GIB, ..Load::default() };
    let cases = vec![
        case("large-drop", &Subject::Limit(Limit::Drop), &load),
        case("large-write", &Subject::Limit(Limit::Write), &load),
        case("large-bare", &modes.bare, &load),
        case("large-relaxed", &modes.relaxed, &load),
        case("large-strict", &modes.strict, &load),
    ];
    Group { name: "large", what: "1 file of 2 GiB, 1 MiB chunks, 3 connections", cases }
}

/// The same bytes from eight clients at once.
fn many(modes: &Modes) -> Group {
    let load = Load { size: 256 * MIB, clients: 8, ..Load::default() };
    let cases = vec![
        case("many-write", &Subject::Limit(Limit::Write), &load),
        case("many-relaxed", &modes.relaxed, &load),
        case("many-strict", &modes.strict, &load),
    ];
    Group { name: "many", what: "8 clients at once, each 256 MiB, 3 connections", cases }
}

/// Files after whose last chunk the wait is measured; that of 2 GiB is among the large ones.
fn wait(modes: &Modes, full: bool) -> Group {
    let load = |size| Load { size, ..Load::default() };
    let mut cases = vec![case("wait-64-mib", &modes.strict, &load(64 * MIB))];
    if full {
        cases.push(case("wait-20-gib", &modes.strict, &load(20 * GIB)));
    }
    Group { name: "wait", what: "files whose completion is waited for, defaults", cases }
}

/// Many small files.
fn small(modes: &Modes) -> Group {
    let load = Load { files: 250, size: 64 << 10, clients: 8, ..Load::default() };
    let cases = vec![
        case("small-write", &Subject::Limit(Limit::Write), &load),
        case("small-relaxed", &modes.relaxed, &load),
        case("small-strict", &modes.strict, &load),
    ];
    Group { name: "small", what: "2,000 files of 64 KiB, 8 clients × 3 connections", cases }
}

/// Probes: of nobody's upload, and of one that lacks its last chunk.
fn probes(modes: &Modes) -> Group {
    let load =
        Load { size: 64 * MIB, clients: 8, only_probes: true, repeat: 100, ..Load::default() };
    let known = Case {
        before: Some(Load { only_probes: false, repeat: 1, unfinished: true, ..load.clone() }),
        ..case("probes-known", &modes.strict, &load)
    };
    let cases = vec![
        case("probes-empty", &Subject::Limit(Limit::Drop), &load),
        case("probes-unknown", &modes.strict, &load),
        known,
    ];
    Group { name: "probes", what: "51,200 probes, 8 clients × 3 connections", cases }
}

/// As many chunks and bytes in one upload as in many of 20 MiB. What counts is the number of
/// chunks, so they are small, and the one is of 1.25 GiB, unless there is time and room for 20.
fn flat(modes: &Modes, full: bool) -> Group {
    let chunk = if full { MIB } else { 64 << 10 };
    let one = Load { size: 20_480 * chunk, chunk, ..Load::default() };
    let files = usize::try_from(one.size / (20 * MIB)).expect("few");
    let short = Load { size: 20 * MIB, files, ..one.clone() };
    let cases =
        vec![case("flat-short", &modes.relaxed, &short), case("flat-long", &modes.relaxed, &one)];
    Group { name: "flat", what: "20,480 chunks: in uploads of 20 MiB each, and in one", cases }
}

/// Sixty-four at once; what it takes idle and of slow clients is measured elsewhere.
fn memory(modes: &Modes) -> Group {
    let load = Load { size: 32 * MIB, clients: 64, ..Load::default() };
    let cases = vec![case("memory-64", &modes.strict, &load)];
    Group { name: "memory", what: "64 uploads of 32 MiB at once, 3 connections each", cases }
}

/// The same bytes in files of several sizes, for the plot.
fn sizes(modes: &Modes) -> Group {
    let mut cases = Vec::new();
    for (size, names) in [
        (64 << 10, ["sizes-write-64-kib", "sizes-relaxed-64-kib", "sizes-strict-64-kib"]),
        (MIB, ["sizes-write-1-mib", "sizes-relaxed-1-mib", "sizes-strict-1-mib"]),
        (16 * MIB, ["sizes-write-16-mib", "sizes-relaxed-16-mib", "sizes-strict-16-mib"]),
        (256 * MIB, ["sizes-write-256-mib", "sizes-relaxed-256-mib", "sizes-strict-256-mib"]),
        (2 * GIB, ["sizes-write-2-gib", "sizes-relaxed-2-gib", "sizes-strict-2-gib"]),
    ] {
        let bytes = (1024 * size).clamp(64 * MIB, 512 * MIB).max(size);
        let files = usize::try_from((bytes / size).max(1)).expect("few");
        let load = Load { files, size, ..Load::default() };
        let subjects = [&Subject::Limit(Limit::Write), &modes.relaxed, &modes.strict];
        cases.extend(names.iter().zip(subjects).map(|(name, subject)| case(name, subject, &load)));
    }
    Group { name: "sizes", what: "one client, files of several sizes", cases }
}

fn case(name: &'static str, subject: &Subject, load: &Load) -> Case {
    let bare = matches!(subject, Subject::Limit(_));
    Case { name, subject: subject.clone(), load: Load { bare, ..load.clone() }, before: None }
}
