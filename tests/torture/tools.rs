//! Programs of the system that faults are made with.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use crate::failure::Failure;

/// Runs a tool; one that is missing is a reason not to run the fault.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::not_run(format!("{program} is not installed")),
        _ => Failure::from(error),
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::broken(format!("{program}: {}: {}", output.status, said.trim())))
}

/// A setting of the system, which is as it was before once this is dropped.
#[derive(Debug)]
pub(crate) struct Lent {
    path: PathBuf,
    before: String,
}

impl Lent {
    /// Writes a setting; `before` is written in the end.
    pub(crate) fn set(path: &Path, value: &str, before: String) -> io::Result<Self> {
        fs::write(path, value)?;
        Ok(Self { path: path.into(), before })
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // If it cannot be set, what it was set for is gone.
        fs::write(&self.path, &self.before).ok();
    }
}
