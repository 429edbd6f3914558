//! Takes syncs out of the server without building it anew: strace answers for them, and the kernel
//! never hears of them.

use std::{ffi::OsString, path::PathBuf, process::Command};

use clap::ValueEnum;

use crate::{failure::Failure, server::Setup, tools::run};

/// Syncs that can be taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Syncs {
    /// The files of uploads: the only ones that are synced by fdatasync
    Bytes,
    /// incomplete/ and completed/
    Names,
    /// incomplete/ alone
    Incomplete,
    /// completed/ alone
    Completed,
    /// The data directory
    Folders,
    /// The journal of the catalog
    Journal,
    /// The file of the catalog
    Database,
}

impl Syncs {
    /// The same server without them.
    pub(crate) fn out_of(self, setup: &Setup) -> Result<Setup, Failure> {
        run(Command::new("strace").arg("-V"))?;
        let call = if self == Self::Bytes { "fdatasync" } else { "fsync" };
        let words = ["strace", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null"];
        let mut wrapper: Vec<OsString> = words.map(OsString::from).into();
        for path in self.paths(setup) {
            wrapper.extend(["-P".into(), path.into()]);
        }
        let rest = ["-e", &format!("trace={call}"), "-e", &format!("inject={call}:retval=0")];
        wrapper.extend(rest.map(OsString::from));
        Ok(setup.under(wrapper))
    }

    /// Whose syncs they are; whosever, if there is none.
    fn paths(self, setup: &Setup) -> Vec<PathBuf> {
        let data = setup.data();
        let (incomplete, completed) = (data.join("incomplete"), data.join("completed"));
        match self {
            Self::Bytes => Vec::new(),
            Self::Names => vec![incomplete, completed],
            Self::Incomplete => vec![incomplete],
            Self::Completed => vec![completed],
            Self::Folders => vec![data.to_owned()],
            Self::Journal => {
                let mut journal = setup.database().into_os_string();
                journal.push("-wal");
                vec![journal.into()]
            }
            Self::Database => vec![setup.database()],
        }
    }
}
