//! The run: warms up, measures what is wanted round by round, and tells.

use std::fs;

use crate::{
    alone, arguments::Arguments, catalog, fair, ground::Ground, memory, plots, report,
    run::Measured, say, server::has_flag, suite, syncs,
};

/// By how much a round that warms up is smaller.
const WARM_UP: u64 = 16;

pub(crate) fn run(arguments: &Arguments) {
    let measured = if let Some(file) = &arguments.from {
        let json = fs::read_to_string(file).expect("the file of --from can be read");
        serde_json::from_str(&json).expect("what --json wrote")
    } else {
        measure(arguments)
    };
    if let Some(folder) = &arguments.plots {
        plots::draw(&measured, folder).expect("the folder of --plots can be written");
    }
    say(&format!("\n{}\n", report::report(&measured)));
}

fn measure(arguments: &Arguments) -> Measured {
    let ground = Ground::new(arguments.folder()).expect("a folder");
    let no_digest = if has_flag("--digest") { "--digest=none" } else { "" };
    if no_digest.is_empty() {
        say("The binary always takes a digest: what says `no digest` takes one.");
    }
    let groups = |shrink| {
        let mut groups = suite::groups(no_digest, shrink, arguments.full);
        groups.retain(|group| arguments.wants(group.name));
        groups
    };
    let shrink = arguments.shrink;
    let mut measured = Measured { machine: report::machine(), ..Measured::default() };
    for group in groups(shrink * WARM_UP) {
        say(&format!("{}: {}", group.name, group.what));
        Measured::default().round(&ground, &group, 0);
    }
    let groups = groups(shrink);
    for round in 0..arguments.rounds {
        say(&format!("round {} of {}", round + 1, arguments.rounds));
        for group in &groups {
            measured.round(&ground, group, round);
        }
        others(arguments, &ground, &mut measured);
        keep(arguments, &measured);
    }
    if arguments.wants("catalog") {
        catalog::measure(&ground, &mut measured, arguments.rounds, shrink);
        keep(arguments, &measured);
    }
    measured
}

/// Writes all there is so far: a run takes long, and may be ended before its end.
fn keep(arguments: &Arguments, measured: &Measured) {
    if let Some(file) = &arguments.json {
        let json = serde_json::to_string(measured).expect("numbers and names");
        fs::write(file, json).expect("the file of --json can be written");
    }
}

/// One round of what has no place in a group.
fn others(arguments: &Arguments, ground: &Ground, measured: &mut Measured) {
    // Rows compare the large and the small files with these.
    if ["alone", "large", "small"].iter().any(|name| arguments.wants(name)) {
        let folder = ground.fresh().expect("a folder");
        measured.number("alone-sha256", alone::sha256_cpu_s_per_gb(1 << 30));
        let files = alone::synced_files_per_s(folder.path(), 64 << 10, 200);
        measured.number("alone-synced-files", files.expect("the disk takes it"));
        let syncs = alone::syncs_per_s(folder.path(), 4096, 200);
        measured.number("alone-syncs", syncs.expect("the disk takes it"));
    }
    if arguments.wants("memory") {
        memory::measure(ground, measured);
    }
    if arguments.wants("fair") {
        fair::measure(ground, measured, arguments.shrink);
    }
    if arguments.wants("syncs") {
        syncs::measure(ground, measured);
    }
}
