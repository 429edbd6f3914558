//! Commands of the operator that are more than a word, each with what may be said with it.

use clap::{Args, Subcommand};

use super::TimeSpan;
use crate::upload::{KnownName, TrashId, UploadId, limits};

/// Which lines of the audit trail to show.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Audit {
    /// Not older than this, such as 24h
    #[arg(long, value_name = "TIME")]
    pub since: Option<TimeSpan>,
    /// About what is this user's only
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// About this upload, and the creative that it became, only
    #[arg(long, value_name = "ID")]
    pub upload: Option<UploadId>,
    /// How many at most
    #[arg(long, value_name = "COUNT", default_value_t = limits::PAGE_LEN)]
    pub limit: usize,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// What to do with files in the trash.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
#[command(after_help = STATUS_OF_TRASH)]
pub enum TrashCommand {
    /// List files in the trash, the newest first
    List {
        /// How many at most
        #[arg(long, value_name = "COUNT", default_value_t = limits::PAGE_LEN)]
        limit: usize,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Bring one back: a finished file with its creative, an unfinished one if its upload is known
    Restore {
        /// Its id
        id: TrashId,
        /// Whose the creative is to be; without this, whose it was
        #[arg(long, value_name = "USER", conflicts_with = "output")]
        to: Option<KnownName>,
        /// Write its bytes to this new file instead, and leave it in the trash
        #[arg(long, value_name = "FILE")]
        output: Option<std::path::PathBuf>,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Remove files from the trash for good: there is no way back
    Empty {
        /// Only those that were put there longer ago than this, such as 24h
        #[arg(long, value_name = "TIME")]
        older_than: Option<TimeSpan>,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
}

const STATUS_OF_TRASH: &str = "Works while the server runs and while it does not.\n\nExit \
                               status: 0 if it was done, 1 if the answer is no (there is no such \
                               file, or it cannot be brought back so), 2 if there is no answer.";
