//! What can be asked of this program.

use std::{net::SocketAddr, path::PathBuf};

use clap::Parser;

use crate::{limit::Limit, load::Load};

/// Measures how fast flowstitch is, beside limits of this machine.
#[derive(Debug, Parser)]
#[command(name = "speed")]
pub(crate) struct Arguments {
    /// Rounds, after one that warms up
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,

    /// Only these: large, many, wait, small, probes, flat, sizes, alone, syncs, memory, fair,
    /// catalog
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub(crate) only: Vec<String>,

    /// Files of 20 GiB, too: takes 21 GiB of disk, and long
    #[arg(long)]
    pub(crate) full: bool,

    /// Divide all sizes by this: quick, and no figure to publish
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) shrink: u64,

    /// Where servers have their folders: on the disk that is meant; else beside what is built
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,

    /// Write everything that was measured to a file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Draw throughput.svg and sizes.svg in this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) plots: Option<PathBuf>,

    /// Measure nothing: table and plots of what --json wrote
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,

    /// Be the client: send a load to this server, and print what came of it as JSON
    #[arg(long, value_name = "http://ADDR:PORT", value_parser = address)]
    generate: Option<SocketAddr>,

    #[command(flatten)]
    pub(crate) load: Load,

    /// Be a server that does less than any upload server can; its files go to --dir
    #[arg(long)]
    limit: Option<Limit>,

    /// A part of the names of tests, as `cargo test NAME` gives it to every test program
    #[arg(hide = true)]
    filter: Option<String>,

    /// Measure; `cargo bench` says so, `cargo test` does not
    #[arg(long, hide = true)]
    bench: bool,

    /// Nothing is captured here; for `cargo test -- --nocapture`
    #[arg(long, hide = true)]
    nocapture: bool,

    /// For `cargo test -- --test-threads=…`
    #[arg(long, hide = true)]
    test_threads: Option<usize>,
}

/// What this process is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Role {
    /// The program that a person started.
    Bench,
    /// One of the tests: whether all this still works.
    Check,
    /// A client of the server at this address.
    Generator(SocketAddr),
    /// A server that is compared with.
    Limit(Limit),
}

impl Arguments {
    pub(crate) fn role(&self) -> Role {
        match (self.generate, self.limit) {
            (Some(server), _) => Role::Generator(server),
            (None, Some(limit)) => Role::Limit(limit),
            (None, None) if self.bench => Role::Bench,
            (None, None) => Role::Check,
        }
    }

    /// Whether this is to be measured.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }

    /// Where servers have their folders.
    pub(crate) fn folder(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")))
    }
}

/// An address with or without its scheme.
fn address(text: &str) -> Result<SocketAddr, String> {
    let bare = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    bare.parse().map_err(|error| format!("{error}"))
}
