//! The wall clock of a server under test, moved while it runs, by libfaketime. Its monotonic clock
//! goes on as it should, as that of a machine does whose time is set.

use std::{ffi::OsString, path::PathBuf, process::Stdio};

use jiff::{SignedDuration, Timestamp};
use tokio::process::Command;

use crate::{failure::Failure, round::Round, server::Setup, server::until};

/// What the server says when it sees that its clock was set.
const JUMPED: &str = "The clock jumped";

/// The clock on the wall.
#[derive(Debug)]
pub(crate) struct Wall {
    file: PathBuf,
    preload: String,
    log: PathBuf,
}

impl Wall {
    /// One that shows the time of this machine.
    pub(crate) async fn new(round: &Round) -> Result<Self, Failure> {
        let asked = ["-m", "-f", "+0", "printenv", "LD_PRELOAD"];
        let told = Command::new("faketime").args(asked).stderr(Stdio::null()).output().await;
        let told = told.map_err(|error| Failure::not_run(format!("faketime: {error}")))?;
        let preload = String::from_utf8_lossy(&told.stdout).trim().to_owned();
        if preload.is_empty() {
            return Err(Failure::not_run("faketime does not say what it preloads"));
        }
        let scratch = round.ground.scratch();
        let (file, log) = (scratch.join("offset"), scratch.join("server.log"));
        let wall = Self { file, preload, log };
        wall.set_off(SignedDuration::ZERO)?;
        Ok(wall)
    }

    /// A server that looks at this clock.
    pub(crate) fn before(&self, setup: &Setup) -> Setup {
        let mut file = OsString::from("FAKETIME_TIMESTAMP_FILE=");
        file.push(&self.file);
        let words = [
            "env".into(),
            format!("LD_PRELOAD={}", self.preload).into(),
            file,
            // It is read at each look.
            "FAKETIME_NO_CACHE=1".into(),
            // The newer name and the older one.
            "FAKETIME_DONT_FAKE_MONOTONIC=1".into(),
            "DONT_FAKE_MONOTONIC=1".into(),
        ];
        setup.under(words)
    }

    /// Shows this moment now, and goes on from there.
    pub(crate) fn show(&self, moment: Timestamp) -> Result<(), Failure> {
        self.set_off(moment.duration_since(Timestamp::now()))
    }

    /// Shows a time so far from that of this machine.
    pub(crate) fn set_off(&self, by: SignedDuration) -> Result<(), Failure> {
        let next = self.file.with_extension("next");
        std::fs::write(&next, format!("{:+.3}\n", by.as_secs_f64()))?;
        Ok(std::fs::rename(next, &self.file)?)
    }

    /// As [`Self::set_off`], and waits until a sweep has seen it. The server must not have been
    /// shown this before, and must sweep often.
    pub(crate) async fn jump(&self, to: SignedDuration) -> Result<(), Failure> {
        let seen = self.jumps_seen()?;
        self.set_off(to)?;
        until("a sweep that sees the clock jump", || async { Ok(seen < self.jumps_seen()?) }).await
    }

    fn jumps_seen(&self) -> Result<usize, Failure> {
        Ok(std::fs::read_to_string(&self.log)?.matches(JUMPED).count())
    }
}
