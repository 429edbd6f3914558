//! A server as a child process, and what the system says that it used.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread::{self, JoinHandle},
};

use serde::{Deserialize, Serialize};

use crate::{limit::Limit, load::Load, outcome::Outcome};

const BINARY: &str = env!("CARGO_BIN_EXE_flowstitch");
/// Linux counts processor time in hundredths of a second here.
const TICKS_PER_SECOND: f64 = 100.0;

/// What runs.
#[derive(Debug, Clone)]
pub(crate) enum Subject {
    Limit(Limit),
    /// The binary, with these flags.
    Flowstitch(Vec<String>),
}

/// A server that runs. Killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    folder: PathBuf,
    /// Reads what it says, until its end.
    log: Option<JoinHandle<()>>,
}

/// What a process has used since it began.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Usage {
    pub(crate) cpu_s: f64,
    pub(crate) rss_mib: f64,
    pub(crate) peak_rss_mib: f64,
    /// Bytes that it caused to be written to the disk, each counted when its page becomes dirty.
    pub(crate) written: f64,
}

impl Subject {
    /// The binary with these flags, separated by spaces.
    pub(crate) fn flowstitch(flags: &str) -> Self {
        Self::Flowstitch(flags.split_whitespace().map(ToOwned::to_owned).collect())
    }

    /// Starts it on this folder, and waits until it says where it listens.
    pub(crate) fn start(&self, folder: &Path) -> Server {
        let mut command = match self {
            Self::Limit(limit) => {
                let mut command = own_program();
                command.arg(format!("--limit={}", limit.name())).arg("--dir").arg(folder);
                command
            }
            Self::Flowstitch(flags) => {
                let mut command = Command::new(BINARY);
                command.args(["--listen=127.0.0.1:0", "--log=error", "--data-dir"]);
                command.arg(folder).args(flags);
                command
            }
        };
        without_settings(&mut command).current_dir(folder).stdin(Stdio::null());
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the program starts");
        let mut log = BufReader::new(child.stderr.take().expect("piped"));
        let mut said = String::new();
        let address = loop {
            let mut line = String::new();
            let len = log.read_line(&mut line).expect("text");
            assert!(len != 0, "the server did not start: {said}");
            if let Some(address) = line.trim().strip_prefix("listening on http://") {
                break address.parse().expect("an address and a port");
            }
            said.push_str(&line);
        };
        // What it says later must not be lost: it is about what went wrong.
        let log = thread::spawn(move || {
            let mut rest = String::new();
            log.read_to_string(&mut rest).ok();
            if !rest.is_empty() {
                crate::say(&format!("The server said: {rest}"));
            }
        });
        Server { child, address, folder: folder.to_owned(), log: Some(log) }
    }
}

impl Server {
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where the binary puts finished files.
    pub(crate) fn completed(&self) -> PathBuf {
        self.folder.join("completed")
    }

    /// Sends it a load from a process of its own, and waits for the end.
    pub(crate) fn load(&self, load: &Load) -> Outcome {
        self.begin(load).outcome()
    }

    /// Begins to send it a load.
    pub(crate) fn begin(&self, load: &Load) -> Generator {
        let mut command = own_program();
        command.arg(format!("--generate={}", self.address)).args(load.to_arguments());
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        Generator(child.expect("this program starts"))
    }

    /// Waits until it has ended by itself. The binary says by its status whether it could bring
    /// everything to its end.
    pub(crate) fn ended(mut self) -> ExitStatus {
        let status = self.child.wait().expect("our child");
        self.log.take().map(JoinHandle::join);
        status
    }

    pub(crate) fn usage(&self) -> Usage {
        let proc = |file: &str| {
            let path = format!("/proc/{}/{file}", self.child.id());
            fs::read_to_string(path).expect("Linux tells")
        };
        let stat = proc("stat");
        let (_, fields) = stat.rsplit_once(')').expect("behind its name");
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: f64 = ticks.map(|ticks| ticks.parse::<f64>().expect("a count")).sum();
        let (status, io) = (proc("status"), proc("io"));
        Usage {
            cpu_s: ticks / TICKS_PER_SECOND,
            rss_mib: field(&status, "VmRSS:") / 1024.0,
            peak_rss_mib: field(&status, "VmHWM:") / 1024.0,
            written: field(&io, "write_bytes:"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended; that is all that can go wrong.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A generator that runs. Killed when it is dropped.
pub(crate) struct Generator(Child);

impl Generator {
    /// Whether it has told all that it will, or has failed.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.0.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Waits for its end.
    pub(crate) fn outcome(mut self) -> Outcome {
        let mut told = String::new();
        self.0.stdout.take().expect("piped").read_to_string(&mut told).expect("text");
        let status = self.0.wait().expect("our child");
        assert!(status.success(), "the generator failed: {told}");
        serde_json::from_str(&told).expect("an outcome")
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn own_program() -> Command {
    Command::new(std::env::current_exe().expect("Linux knows"))
}

/// A program that sees no setting of whoever runs this one.
fn without_settings(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FLOWSTITCH_") {
            command.env_remove(name);
        }
    }
    command
}

/// A number in a file of `/proc`, by what stands before it.
fn field(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|value| value.parse().ok()).unwrap_or_default()
}

/// Whether the binary knows a flag: one of another version is measured without it.
pub(crate) fn has_flag(flag: &str) -> bool {
    let help = Command::new(BINARY).arg("--help").output().expect("the binary starts");
    String::from_utf8_lossy(&help.stdout).contains(flag)
}
