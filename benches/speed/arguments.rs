//! What can be asked of this program.

use std::net::SocketAddr;

use clap::Parser;

use crate::load::Load;

/// Measures how fast flowstitch is.
#[derive(Debug, Parser)]
#[command(name = "speed")]
pub(crate) struct Arguments {
    /// Be the client: send a load to this server, and print what came of it as JSON
    #[arg(long, value_name = "http://ADDR:PORT", value_parser = address)]
    generate: Option<SocketAddr>,

    #[command(flatten)]
    pub(crate) load: Load,

    /// Measure; `cargo bench` says so
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
}

/// What this process is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Role {
    /// The program that a person started.
    Bench,
    /// A client of the server at this address.
    Generator(SocketAddr),
}

impl Arguments {
    pub(crate) fn role(&self) -> Role {
        self.generate.map_or(Role::Bench, Role::Generator)
    }
}

/// An address with or without its scheme.
fn address(text: &str) -> Result<SocketAddr, String> {
    let bare = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    bare.parse().map_err(|error| format!("{error}"))
}
