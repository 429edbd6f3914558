//! The settings: flags over variables over `flowstitch.toml` over defaults.
//!
//! Each setting is one field of [`Settings`], and so one flag, one variable and one key. A layer is
//! what one source says; the layers are merged, then resolved into a [`Config`] whose values are
//! ready for use and fit together. Whatever is not understood is refused by name: a setting that
//! is silently ignored is worse than a server that does not start.
//!
//! Nothing here reads the environment of the process: the caller hands it in.

mod check;
mod cli;
mod commands;
mod mail;
mod resolve;
mod settings;
mod sources;
mod subjects;
mod units;
mod values;

use std::{
    ffi::OsString,
    fmt, io,
    path::{Path, PathBuf},
};

pub use crate::{
    http::{
        origin::{AllowedOrigin, PublicUrl},
        proxies::{InvalidProxy, TrustedProxy},
    },
    mail::Sender,
};
pub use check::Contradiction;
pub use cli::{Chosen, Cli, Command, Uploads};
pub use commands::{Audit, TrashCommand};
pub use mail::{MailServer, SmtpTls};
pub use resolve::Config;
pub use settings::Settings;
pub use sources::DEFAULT_FILE;
pub use subjects::{Creatives, Named, NewToken, Tokens, Users};
pub use units::{ByteSize, InvalidSize, InvalidSpan, TimeSpan};
pub use values::{
    AcceptedKind, AdminAddress, AtMost, AuthUrl, FieldName, FreeRoom, InvalidAuthUrl, InvalidBound,
    InvalidFilter, InvalidFreeRoom, InvalidShare, LogFilter, LogFormat, ReservedShare, Schedule,
    ScopeList, UnknownZone, Zone,
};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A variable has our prefix and is no setting.
    #[error("the environment variable {name} is not known{hint}")]
    UnknownVariable {
        /// Its name.
        name: String,
        /// What may have been meant.
        hint: String,
    },
    /// A variable has a value that it cannot have.
    #[error("the environment variable {name} cannot be used: {reason}")]
    Variable {
        /// Its name.
        name: String,
        /// What is wrong with its value.
        reason: String,
    },
    /// The file cannot be read.
    #[error("cannot read the settings in {}", path.display())]
    Unreadable {
        /// Where it should be.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is not TOML, or has a key or a value that it cannot have.
    #[error("cannot use the settings in {}: {reason}", path.display())]
    File {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it, and in which line.
        reason: String,
    },
    /// Each setting is well formed, but one is out of bounds or at odds with another.
    #[error("cannot use {key} ({place}): {reason}")]
    Contradiction {
        /// The setting to change.
        key: &'static str,
        /// Where it was set.
        place: Place,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
}

/// Where a setting was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// On the command line.
    Flag(String),
    /// In the environment.
    Variable(String),
    /// In a file.
    File(PathBuf),
    /// Nowhere.
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "set by {flag}"),
            Self::Variable(name) => write!(f, "set by {name}"),
            Self::File(path) => write!(f, "set in {}", path.display()),
            Self::Default => f.write_str("by default"),
        }
    }
}

/// The configuration that a command line, an environment and a file result in.
///
/// `default_file` is read if neither of the former names a file: the binary passes
/// [`DEFAULT_FILE`], in the working directory.
pub fn load(
    cli: &Cli,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    default_file: &Path,
) -> Result<Config, ConfigError> {
    let flags = &cli.settings;
    let variables = sources::variables(environment)?;
    let named = cli.config.clone().or(variables.config);
    let (path, file) = sources::file(named, default_file)?.unwrap_or_default();
    let merged = flags.clone().or(variables.settings.clone()).or(file.clone());
    let resolved = merged.resolve().map(|config| Config { adopt: cli.adopt, ..config });
    resolved.map_err(|Contradiction { key, reason }| {
        let says = |layer: &Settings| layer.to_table().contains_key(key);
        let place = if says(flags) {
            Place::Flag(cli::flag(key))
        } else if says(&variables.settings) {
            Place::Variable(cli::variable(key))
        } else if says(&file) {
            Place::File(path)
        } else {
            Place::Default
        };
        ConfigError::Contradiction { key, place, reason }
    })
}
