//! How fast the binary is, beside limits of our own on the same machine in the same run.
//!
//! `make bench` prints the table; see [`arguments`] for what else can be asked of it. The program
//! is its own helper: with `--generate` it is the client, with `--limit` a server that does less
//! than any upload server can. Both run as processes of their own, so that the processor time of
//! each is known apart.
//!
//! Without `--bench`, as `cargo test --all-targets` runs it, it measures nothing: it only sees that
//! small files arrive whole, from the same client at the same servers.

mod arguments;
mod connection;
mod content;
mod generate;
mod load;
mod outcome;
mod statistics;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;

use crate::arguments::{Arguments, Role};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.role() {
        Role::Generator(address) => {
            let outcome = generate::run(address, &arguments.load);
            say(&serde_json::to_string(&outcome).expect("numbers and names"));
        }
        Role::Bench => {}
    }
    ExitCode::SUCCESS
}

/// A line for whoever started this program.
fn say(text: &str) {
    // Whoever listens may have gone, as in `| head`: nobody is left to be told.
    writeln!(io::stdout(), "{text}").ok();
}
