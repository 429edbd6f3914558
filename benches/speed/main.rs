//! How fast the binary is, beside limits of our own on the same machine in the same run.
//!
//! `make bench` prints the table; see [`arguments`] for what else can be asked of it. The program
//! is its own helper: with `--generate` it is the client, with `--limit` a server that does less
//! than any upload server can. Both run as processes of their own, so that the processor time of
//! each is known apart.
//!
//! Without `--bench`, as `cargo test --all-targets` runs it, it measures nothing: it only sees that
//! small files arrive whole, from the same client at the same servers.

mod alone;
mod arguments;
mod bench;
mod catalog;
mod chart;
mod connection;
mod content;
mod fair;
mod generate;
mod ground;
mod limit;
mod load;
mod memory;
mod outcome;
mod plots;
mod report;
mod rows;
mod run;
mod server;
mod statistics;
mod suite;
mod syncs;

use std::io::{self, Write};

use clap::Parser;

use crate::{
    arguments::{Arguments, Role},
    ground::Ground,
};

fn main() {
    let arguments = Arguments::parse();
    match arguments.role() {
        Role::Generator(server) => {
            let outcome = generate::run(server, &arguments.load);
            say(&serde_json::to_string(&outcome).expect("numbers and names"));
        }
        Role::Limit(limit) => {
            let listening = |address: &str| {
                writeln!(io::stderr(), "listening on http://{address}").ok();
            };
            limit::serve(limit, arguments.folder(), listening).expect("a free port");
        }
        Role::Check => check(&arguments),
        Role::Bench => bench::run(&arguments),
    }
}

/// Whether everything works, in small.
fn check(arguments: &Arguments) {
    let ground = Ground::new(arguments.folder()).expect("a folder");
    for group in suite::groups("", 4096, false) {
        // The first and the last of each group: a limit, and the binary with its defaults.
        let count = group.cases.len();
        for case in [&group.cases[0], &group.cases[count - 1]] {
            let turn = case.turn(&ground);
            let files = if case.load.completes() { case.load.files * case.load.clients } else { 0 };
            assert_eq!(turn.outcome.verified, files, "{}: all files arrive", case.name);
        }
        say(&format!("small files arrive: {}", group.name));
    }
}

/// A line for whoever started this program.
fn say(text: &str) {
    // Whoever listens may have gone, as in `| head`: nobody is left to be told.
    writeln!(io::stdout(), "{text}").ok();
}
