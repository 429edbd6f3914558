//! strace as a lever: a signal or an error at the k-th call of a kind.

use std::{path::Path, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::{
    failure::Failure,
    server::{Server, in_time},
};

/// Which calls are meant, and what happens at them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Calls<'a> {
    /// Names, separated by commas.
    pub(crate) names: &'a str,
    /// Only those on this file or folder, below the data directory.
    pub(crate) path: Option<&'a str>,
}

/// Whether this machine lets us trace.
pub(crate) async fn available() -> Result<(), Failure> {
    let mut command = Command::new("strace");
    command.args(["-qq", "-o", "/dev/null", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
    match command.status().await {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(Failure::not_run("strace may not trace here")),
        Err(_) => Err(Failure::not_run("strace is missing")),
    }
}

/// The command that runs a server and does this to it.
pub(crate) fn around(calls: Calls<'_>, what: &str, data: &Path) -> Vec<String> {
    // Without `--seccomp-bpf`, which is faster, and under which strace 6.1 delivers no signal.
    let mut words: Vec<String> = ["strace", "-f", "-qq", "-o", "/dev/null"].map(Into::into).into();
    words.extend(injection(calls, what, data));
    words
}

/// Does this to a server that runs already. It is done once this returns. Ends with the server.
pub(crate) async fn attach(
    calls: Calls<'_>,
    what: &str,
    server: &Server,
    data: &Path,
) -> Result<Child, Failure> {
    attach_and_log(calls, what, server, data, Path::new("/dev/null")).await
}

/// As [`attach`], and lists these calls in a file.
pub(crate) async fn attach_and_log(
    calls: Calls<'_>,
    what: &str,
    server: &Server,
    data: &Path,
    log: &Path,
) -> Result<Child, Failure> {
    let mut command = Command::new("strace");
    let id = server.id()?.as_raw_nonzero().to_string();
    command.args(["-f", "-p", &id, "-o"]).arg(log).args(injection(calls, what, data));
    command.stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let attached = async {
        while let Some(line) = lines.next_line().await? {
            if line.contains("attached") {
                return Ok(());
            }
        }
        Err(Failure::not_run("strace may not attach here"))
    };
    in_time("strace", attached).await??;
    // What it still says is of no interest, but it must not wait for a reader.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok(child)
}

fn injection(calls: Calls<'_>, what: &str, data: &Path) -> Vec<String> {
    let Calls { names, path } = calls;
    let mut words =
        vec!["-e".into(), format!("trace={names}"), "-e".into(), format!("inject={names}:{what}")];
    words.extend(path.iter().flat_map(|path| {
        let path = data.join(path);
        ["-P".to_owned(), path.to_string_lossy().into_owned()]
    }));
    words
}
