//! Programs of the system that faults are made with.

use std::{io, process::Command};

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
