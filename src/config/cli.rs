//! The command line: `flowstitch [command] [settings…]`.
//!
//! Flags only. Variables are read by `super::sources`, from values that the caller hands in: clap
//! would read them from the process, where tests that run side by side cannot set them.

use std::ffi::OsString;

use clap::{
    Args, CommandFactory, FromArgMatches, Parser, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};

use super::{
    Config, Settings,
    commands::{Audit, TrashCommand},
    subjects::{Creatives, Tokens, Users},
};
use crate::upload::{UploadId, UploadState, limits};

/// The prefix of every variable that belongs to us.
pub(super) const VARIABLE_PREFIX: &str = "FLOWSTITCH_";

/// What was typed.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "flowstitch",
    version,
    about = "A resumable upload server that speaks flow.js and keeps what it acknowledges",
    after_help = "Flags go before variables, variables before flowstitch.toml, and that before \
                  the defaults."
)]
pub struct Cli {
    /// What to do; without a word of it, serve.
    #[command(subcommand)]
    command: Option<Command>,

    /// File of settings; without one, flowstitch.toml in the working directory, if it is there
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<std::path::PathBuf>,

    /// Use this database with these folders, although they do not know each other; for this start
    /// only, and no setting
    #[arg(long)]
    pub(super) adopt: bool,

    #[command(flatten)]
    pub(super) settings: Settings,
}

/// What to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Serve uploads; what happens without a command, too
    #[default]
    Serve,
    /// Print the settings that flags, variables and file result in, as flowstitch.toml
    Config,
    /// Show the migrations of the database, and apply those that are missing
    Migrate {
        /// Only show them
        #[arg(long)]
        dry_run: bool,
    },
    /// Check every creative against its file and every file against its creative
    #[command(after_help = STATUS_OF_VERIFY)]
    Verify {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// List, show, cancel or retry uploads, whoever's they are
    #[command(after_help = STATUS_OF_TOOLS)]
    Uploads {
        /// What to do
        #[command(subcommand)]
        command: Uploads,
    },
    /// List creatives, whoever's they are, delete one, or give them to a user
    #[command(after_help = STATUS_OF_TOOLS)]
    Creatives {
        /// What to do
        #[command(subcommand)]
        command: Creatives,
    },
    /// List, add, change, disable or remove those who may use the service
    User {
        /// What to do
        #[command(subcommand)]
        command: Users,
    },
    /// Make tokens, with which programs show who they are; list them, or take them back
    Token {
        /// What to do
        #[command(subcommand)]
        command: Tokens,
    },
    /// Show who did what to which upload or creative, and from where, the newest first
    #[command(after_help = STATUS_OF_AUDIT)]
    Audit(Audit),
    /// List, bring back or remove files that were set aside
    Trash {
        /// What to do
        #[command(subcommand)]
        command: TrashCommand,
    },
    /// Copy all data to a folder, as they are at one moment, while the server serves on
    #[command(after_help = STATUS_OF_BACKUP)]
    Backup {
        /// Where to; a folder that has a backup of these data is brought up to date
        dir: std::path::PathBuf,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Put a backup into empty data folders; then start the server
    #[command(after_help = STATUS_OF_RESTORE)]
    Restore {
        /// The folder of the backup
        dir: std::path::PathBuf,
        /// First read every finished file of the backup and compare its digests
        #[arg(long)]
        verify: bool,
        /// Do not copy finished files: let them be those of the backup under a second name
        #[arg(long)]
        hard_links: bool,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Remove now what has expired
    #[command(after_help = STATUS_OF_TOOLS)]
    Sweep {
        /// Only say what would be removed
        #[arg(long)]
        dry_run: bool,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
}

/// What to do with uploads.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
#[command(after_help = STATUS_OF_TOOLS)]
pub enum Uploads {
    /// List uploads, newest first
    List {
        /// Of one state only
        #[arg(long, value_parser = upload_state())]
        state: Option<UploadState>,
        /// How many at most
        #[arg(long, value_name = "COUNT", default_value_t = limits::PAGE_LEN)]
        limit: usize,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Show all that is known of one
    Show(Chosen),
    /// Give one up: its bytes are removed, and late chunks of it are refused
    Cancel(Chosen),
    /// Try at once to complete one whose last attempt failed, and wait for the outcome; the status
    /// is 0 only if it is complete then
    Retry(Chosen),
}

/// One upload.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Chosen {
    /// Its id
    pub id: UploadId,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

const STATUS_OF_VERIFY: &str = "Works while the server runs and while it does not, and changes \
                                nothing.\n\nExit status: 0 if all is well, 1 if there are \
                                faults, 2 if it could not be checked.";
pub(super) const STATUS_OF_TOOLS: &str = "Works while the server runs and while it does not.\n\n\
                                          Exit status: 0 if it was done, 1 if the answer is no \
                                          (there is no such upload, or it has ended), 2 if there \
                                          is no answer.";

const STATUS_OF_AUDIT: &str = "Works while the server runs and while it does not, and changes \
                               nothing.\n\nExit status: 0, or 2 if there is no answer.";

const STATUS_OF_BACKUP: &str = "Works while the server runs and while it does not. If it is \
                                interrupted, run it again: it goes on where it stopped.\n\nExit \
                                status: 0 if all is in the backup, 1 if the service has lost \
                                files (they are named, and all others are in the backup) or a \
                                backup is being taken already, 2 if there is no backup.";
const STATUS_OF_RESTORE: &str = "The server must not run. If it is interrupted, run it again: it \
                                 goes on where it stopped.\n\nExit status: 0 if it was done, 2 \
                                 if it was not.";

fn upload_state() -> impl TypedValueParser<Value = UploadState> {
    let words = UploadState::ALL.map(UploadState::as_str);
    PossibleValuesParser::new(words)
        .map(|word| UploadState::from_word(&word).expect("it is among the words"))
}

impl Command {
    /// Whether this is one of the operator's tools, whose exit status 1 is an answer.
    #[must_use]
    pub fn is_tool(&self) -> bool {
        match self {
            Self::Serve | Self::Config | Self::Migrate { .. } => false,
            Self::Verify { .. }
            | Self::Uploads { .. }
            | Self::Creatives { .. }
            | Self::User { .. }
            | Self::Token { .. }
            | Self::Audit(_)
            | Self::Trash { .. }
            | Self::Backup { .. }
            | Self::Restore { .. }
            | Self::Sweep { .. } => true,
        }
    }
}

impl Cli {
    /// Reads a command line, the name of the program first. `--help` and `--version` are errors
    /// whose `exit()` prints them and leaves with status 0.
    pub fn read<A: Into<OsString> + Clone>(
        line: impl IntoIterator<Item = A>,
    ) -> Result<Self, clap::Error> {
        let mut command = described(<Self as CommandFactory>::command());
        let matches = command.try_get_matches_from_mut(line)?;
        Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
    }

    /// What to do.
    #[must_use]
    pub fn command(&self) -> Command {
        self.command.clone().unwrap_or_default()
    }
}

/// A command that knows the settings, and nothing else.
pub(super) fn bare() -> clap::Command {
    Settings::augment_args(clap::Command::new("flowstitch").no_binary_name(true))
}

/// The keys of all settings.
pub(super) fn keys() -> Vec<String> {
    bare().get_arguments().map(|arg| arg.get_id().to_string()).collect()
}

/// The variable of a setting.
pub(super) fn variable(key: &str) -> String {
    format!("{VARIABLE_PREFIX}{}", key.to_ascii_uppercase())
}

/// The flag of a setting.
pub(super) fn flag(key: &str) -> String {
    format!("--{}", key.replace('_', "-"))
}

/// Makes every setting valid before and after the command's word, and says in its help what its
/// variable and its default are.
fn described(command: clap::Command) -> clap::Command {
    let defaults = Config::default().to_settings().to_table();
    command.mut_args(|arg| {
        let key = arg.get_id().to_string();
        if key == "adopt" {
            return arg.global(true);
        }
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let default = defaults.get(&key).map(|value| format!(" [default: {}]", shown(value)));
        let variable = variable(&key);
        arg.global(true).help(format!("{help}{} [env: {variable}]", default.unwrap_or_default()))
    })
}

fn shown(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) if text.is_empty() => "none".into(),
        toml::Value::String(text) => text.clone(),
        toml::Value::Array(items) if items.is_empty() => "none".into(),
        other => other.to_string(),
    }
}
