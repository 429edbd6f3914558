//! A program of the operator's: the file on its standard input, the verdict as its exit status.

use std::{env, io, process::Stdio};

use async_trait::async_trait;
use futures_util::StreamExt;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{ChildStdin, Command},
};

use super::{Content, ScanError, Scanner, Verdict};
use crate::upload::limits::SCAN_ANSWER_LEN_MAX;

/// Settings of ours may hold secrets: they are not the program's.
const OUR_VARIABLES: &[u8] = b"FLOWSTITCH_";

/// A program and its arguments. No shell reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    program: String,
    arguments: Vec<String>,
}

impl CommandLine {
    /// Splits a line at white space; nothing if there is no word in it.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace().map(str::to_owned);
        Some(Self { program: words.next()?, arguments: words.collect() })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        for (name, _) in env::vars_os() {
            if name.as_encoded_bytes().starts_with(OUR_VARIABLES) {
                command.env_remove(name);
            }
        }
        command.args(&self.arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        // In a group of its own: it ends with all it started, and by us, not by a Ctrl-C.
        command.stderr(Stdio::piped()).kill_on_drop(true).process_group(0);
        command
    }
}

#[async_trait]
impl Scanner for CommandLine {
    async fn scan(&self, content: Content<'_>) -> Result<Verdict, ScanError> {
        let mut child = self.command().spawn().map_err(ScanError::Unreachable)?;
        let mut group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(ScanError::Unreachable(io::Error::other("a pipe is missing")));
        };
        let ((), said, complained) =
            tokio::try_join!(feed(stdin, content), first_line(stdout), first_line(stderr))?;
        let status = child.wait().await.map_err(ScanError::Unreachable)?;
        // Its number may be another's from now on.
        group.0 = None;
        match status.code() {
            Some(0) => Ok(Verdict::Clean),
            Some(1) => Ok(Verdict::Refused(said)),
            Some(_) | None => {
                let line = if complained.is_empty() { said } else { complained };
                Err(ScanError::Undecided(format!("{status}: {line}").into()))
            }
        }
    }
}

/// Kills a program and whatever it started, when dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Fails only if none of it is left.
            kill_process_group(group, Signal::KILL).ok();
        }
    }
}

/// Writes the file. A program that has seen enough may close its end.
async fn feed(mut stdin: ChildStdin, mut content: Content<'_>) -> Result<(), ScanError> {
    while let Some(bytes) = content.next().await {
        let bytes = bytes.map_err(ScanError::Content)?;
        match stdin.write_all(&bytes).await {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written.map_err(ScanError::Unreachable)?,
        }
    }
    Ok(())
}

/// The first line of what a program says. All of it is read, else the program would wait.
async fn first_line(mut pipe: impl AsyncRead + Unpin) -> Result<String, ScanError> {
    let mut text = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        let len = pipe.read(&mut buffer).await.map_err(ScanError::Unreachable)?;
        if len == 0 {
            break;
        }
        let room = SCAN_ANSWER_LEN_MAX - text.len();
        text.extend_from_slice(&buffer[..len.min(room)]);
    }
    let text = String::from_utf8_lossy(&text);
    Ok(text.trim_start().lines().next().unwrap_or_default().trim_end().to_owned())
}
