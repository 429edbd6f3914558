//! The command line.

use std::{ops::Range, path::PathBuf, time::Duration};

use clap::Parser;

use crate::{failure::Failure, syncs::Syncs};

/// Attacks the server on purpose, and prints what it broke.
#[derive(Debug, Parser)]
#[command(name = "torture")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Arguments {
    /// Go on for so many seconds; without it, a few rounds of each fault
    #[arg(long)]
    seconds: Option<u64>,

    /// Draw everything from this number, as a run before did
    #[arg(long)]
    seed: Option<u64>,

    /// Only this fault; may be given more than once
    #[arg(long = "fault", value_name = "NAME")]
    faults: Vec<String>,

    /// Only this round
    #[arg(long, value_name = "NUMBER")]
    round: Option<u64>,

    /// Another server than the one that was built with this program
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,

    /// Where power is lost: do not carry these syncs out, and see what breaks
    #[arg(long, value_name = "SYNCS")]
    pub(crate) without: Option<Syncs>,

    /// Keep the data of rounds in which something was broken, and say where
    #[arg(long)]
    pub(crate) keep: bool,

    /// List the faults
    #[arg(long)]
    pub(crate) list: bool,

    /// A part of the names of faults, as `cargo test NAME` gives it to every test program
    filter: Option<String>,

    /// Nothing is captured here; for `cargo test -- --nocapture`
    #[arg(long, hide = true)]
    nocapture: bool,

    /// It has started itself over, where its mounts are its own
    #[arg(long, hide = true)]
    pub(crate) enclosed: bool,

    /// One round at a time is run here; for `cargo test -- --test-threads=…`
    #[arg(long, hide = true)]
    test_threads: Option<usize>,
}

impl Arguments {
    /// A fault that was asked for and is none of these.
    pub(crate) fn unknown<'a>(&'a self, faults: &[&str]) -> Option<&'a str> {
        self.faults.iter().map(String::as_str).find(|name| !faults.contains(name))
    }

    /// Whether a fault is to be run.
    pub(crate) fn wants(&self, fault: &str) -> bool {
        let filtered = self.filter.as_ref().is_none_or(|part| fault.contains(part.as_str()));
        filtered && (self.faults.is_empty() || self.faults.iter().any(|name| name == fault))
    }

    /// The seed of the run: the one that is asked for, or a new one.
    pub(crate) fn seed(&self) -> u64 {
        // Short enough to be typed.
        self.seed.unwrap_or_else(|| fastrand::u64(..1_000_000))
    }

    /// The numbers of the rounds.
    pub(crate) fn rounds(&self) -> Range<u64> {
        self.round.map_or(0..u64::MAX, |number| number..number + 1)
    }

    /// Whether this very round was asked for.
    pub(crate) fn is_chosen(&self, number: u64) -> bool {
        self.round == Some(number)
    }

    /// How long to go on, if not for a few rounds.
    pub(crate) fn time(&self) -> Option<Duration> {
        self.seconds.map(Duration::from_secs)
    }

    /// The server under attack, with all links resolved.
    pub(crate) fn server(&self) -> Result<PathBuf, Failure> {
        let built = || PathBuf::from(env!("CARGO_BIN_EXE_flowstitch"));
        Ok(self.server.clone().unwrap_or_else(built).canonicalize()?)
    }

    /// Whether nobody will miss what is not run, so that it has to fail.
    #[expect(clippy::disallowed_methods, reason = "it is no setting of the server")]
    pub(crate) fn in_ci() -> bool {
        std::env::var("CI").is_ok_and(|value| value == "true")
    }
}
