//! Whether a file may be published, asked of somebody else: the [`Scanner`] and what implements it.
//!
//! A scanner is given bytes and nothing more. Who hands it a path hands it the data folders, and
//! the race between the look and the rename.

mod clamd;
mod command;

use std::{error::Error, fmt, io};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

pub use self::{clamd::Clamd, command::CommandLine};

/// A file, in order. An error means that it cannot be read, and that nothing can be said of it.
pub type Content<'a> = BoxStream<'a, Result<Bytes, Box<dyn Error + Send + Sync>>>;

/// What was said of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may be published.
    Clean,
    /// It may not, for this reason, which may hold anything. Short.
    Refused(String),
}

/// Whoever is asked before a file is published.
///
/// Cancel safety: a question may be dropped; whatever was started to answer it is stopped then.
#[async_trait]
pub trait Scanner: fmt::Debug + Send + Sync + 'static {
    /// Asks about one file. Errors: nobody knows; the question is to be asked again.
    async fn scan(&self, content: Content<'_>) -> Result<Verdict, ScanError>;
}

/// Why nobody knows whether a file may be published. Its words are for everybody.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// It cannot be reached, or stopped in the middle.
    #[error("the scanner cannot be asked")]
    Unreachable(#[source] io::Error),
    /// What it answered is neither yes nor no; the source has its words.
    #[error("the scanner could not check the file")]
    Undecided(#[source] Box<dyn Error + Send + Sync>),
    /// The file cannot be read.
    #[error("the file cannot be read for the scanner")]
    Content(#[source] Box<dyn Error + Send + Sync>),
    /// It took longer than it may.
    #[error("the scanner took too long")]
    TimedOut,
}
