//! The torture program: attacks the real binary on purpose, and prints what it broke.
//!
//! It runs the server as a child process and flow.js clients of its own against it, and keeps a
//! ledger of every answer. After each fault the server is started again, the clients finish, and
//! the ledger is compared with the disk and the catalog. In the end there is a table, a row for
//! each fault, of which every count of violations must be zero.
//!
//! Without arguments it is the quick version, which runs with all other tests: `make torture` gives
//! it time. What a round draws comes from its seed, and every violation is told with the command
//! that repeats its round; what the machine schedules is never quite the same.

mod arguments;
mod audit;
mod client;
mod compare;
mod disk;
mod failure;
mod faults;
mod ground;
mod ledger;
mod order;
mod plan;
mod proxy;
mod report;
mod room;
mod round;
mod server;
mod strace;
mod syncs;
mod tools;
mod trace;
mod volume;
mod wall;
mod wire;

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Instant,
};

use clap::Parser;

use crate::{
    arguments::Arguments,
    failure::Failure,
    faults::Fault,
    report::{Kind, Row, table, told},
    round::Round,
};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if !arguments.enclosed {
        volume::enclose("--enclosed");
    }
    let mut faults = faults::all();
    let names: Vec<_> = faults.iter().map(|fault| fault.name()).collect();
    if let Some(name) = arguments.unknown(&names) {
        say(&format!("torture: there is no fault {name}: --list shows those there are"));
        return ExitCode::FAILURE;
    }
    faults.retain(|fault| arguments.wants(fault.name()));
    if arguments.list {
        for fault in &faults {
            say(&format!("{:16} {}", fault.name(), fault.about()));
        }
        return ExitCode::SUCCESS;
    }
    match run(&arguments, &faults) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            say(&format!("torture: {failure}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs all rounds and prints the table. Returns whether all is well.
fn run(arguments: &Arguments, faults: &[Box<dyn Fault>]) -> Result<bool, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let seed = arguments.seed();
    say(&format!("torture: seed {seed}"));
    let mut rows: Vec<Row> = faults.iter().map(|fault| Row::new(fault.name())).collect();
    let mut violations = Vec::new();
    let begun = Instant::now();
    for number in arguments.rounds() {
        let mut any = false;
        for (fault, row) in faults.iter().zip(&mut rows) {
            let is_over = match arguments.time() {
                Some(time) => time <= begun.elapsed() && 0 < row.rounds,
                None => !arguments.is_chosen(number) && fault.quick_rounds() <= number,
            };
            if is_over || row.not_run.is_some() {
                continue;
            }
            any = true;
            let found = runtime.block_on(one(arguments, fault.as_ref(), (seed, number), row))?;
            for violation in &found {
                say(violation);
            }
            violations.extend(found);
        }
        if !any {
            break;
        }
    }
    say(&format!("\n{}", table(&rows)));
    // Once more, for whoever keeps only the end of the output.
    for violation in &violations {
        say(violation);
    }
    Ok(rows.iter().all(|row| row.is_clean() && (row.not_run.is_none() || !arguments.all)))
}

/// Runs one round of a fault. Returns what it found, a line each.
async fn one(
    arguments: &Arguments,
    fault: &dyn Fault,
    (seed, number): (u64, u64),
    row: &mut Row,
) -> Result<Vec<String>, Failure> {
    let thorough = arguments.time().is_some();
    let own_seed = round_seed(seed, fault.name(), number);
    let mut round = Round::new(&arguments.server()?, own_seed, thorough)?;
    round.without = arguments.without;
    match fault.round(&mut round).await {
        Ok(()) => {}
        Err(Failure::NotRun(why)) => {
            row.not_run = Some(why);
            return Ok(Vec::new());
        }
        Err(Failure::Broken(why)) => round.tally.broken(Kind::Other, why),
    }
    let again = format!("--fault {} --seed {seed} --round {number}", fault.name());
    let violations = round.tally.violations();
    let found = violations.iter().map(|(kind, detail)| told(*kind, detail, &again)).collect();
    if !row.add(&round.tally) && arguments.keep {
        say(&format!("kept: {}", round.ground.keep().display()));
    }
    Ok(found)
}

/// The numbers of a round depend on nothing but its fault, its number and the seed of the run.
fn round_seed(seed: u64, fault: &str, number: u64) -> u64 {
    let name = crc32fast::hash(fault.as_bytes());
    fastrand::Rng::with_seed(seed ^ (u64::from(name) << 32) ^ number).u64(..)
}

/// A line for whoever runs it.
fn say(line: &str) {
    // If standard output is closed, nobody reads it.
    let _ = writeln!(io::stdout(), "{line}");
}
