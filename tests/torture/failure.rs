//! Why a round could not be run to its end, when that says nothing about the server.

use std::{error::Error, fmt, io};

/// What kept a round from its end.
#[derive(Debug)]
pub(crate) enum Failure {
    /// This machine cannot do it: a tool or a right is missing.
    NotRun(String),
    /// The round went wrong in a way that nobody expected.
    Broken(String),
}

impl Failure {
    pub(crate) fn not_run(why: impl Into<String>) -> Self {
        Self::NotRun(why.into())
    }

    pub(crate) fn broken(why: impl Into<String>) -> Self {
        Self::Broken(why.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRun(why) | Self::Broken(why) => f.write_str(why),
        }
    }
}

impl Error for Failure {}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Broken(format!("the round's own I/O: {error}"))
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Broken(format!("the catalog cannot be read: {error}"))
    }
}
