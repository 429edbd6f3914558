//! The binary, as a child process on a data directory of its own.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio},
    sync::{Arc, mpsc},
    thread,
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use serde_json::Value;
use tempfile::TempDir;

use super::{Answer, Connection, Log, PATIENCE, request, until};

const BINARY: &str = env!("CARGO_BIN_EXE_flowstitch");

/// How to start a server; what is started again on the same data is one of the same setup.
#[derive(Clone)]
pub(crate) struct Setup {
    dir: Arc<TempDir>,
    flags: Vec<String>,
    /// What the shell does before it becomes the server.
    prelude: Option<String>,
}

/// A server that runs. Killed when it is dropped.
pub(crate) struct Server {
    setup: Setup,
    child: Child,
    address: SocketAddr,
    log: Log,
}

/// Runs the binary to its end, with no setting but these.
pub(crate) fn run(dir: &Path, args: &[&str]) -> Output {
    output(command(BINARY, dir).args(args))
}

/// Runs a command that ends by itself.
#[track_caller]
pub(crate) fn output(command: &mut Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.expect("the binary starts");
    watched(child.id(), || child.wait_with_output()).expect("our child")
}

/// A run of the binary that is not waited for yet. Killed when it is dropped.
pub(crate) struct Tool(Option<Child>);

impl Tool {
    /// Runs the binary, with no setting but these.
    #[track_caller]
    pub(crate) fn start(dir: &Path, args: &[&str]) -> Self {
        let mut command = command(BINARY, dir);
        let child = command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Self(Some(child.expect("the binary starts")))
    }

    fn child(&self) -> &Child {
        self.0.as_ref().expect("not waited for")
    }

    /// Stops it, as a debugger does, as soon as something is so. False if it ends before that.
    #[track_caller]
    pub(crate) fn stop_when(&self, is_so: impl Fn() -> bool) -> bool {
        let id = Pid::from_child(self.child());
        let is_over = || {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
            waitid(WaitId::Pid(id), options).expect("our child").is_some()
        };
        until(|| is_so() || is_over());
        kill_process(id, Signal::STOP).expect("not waited for");
        let options = WaitIdOptions::EXITED | WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::Pid(id), options).expect("our child");
        status.is_some_and(|status| status.stopped())
    }

    /// Lets it go on, and waits for its end.
    #[track_caller]
    pub(crate) fn ended(mut self) -> Output {
        let child = self.0.take().expect("not waited for");
        kill_process(Pid::from_child(&child), Signal::CONT).expect("not waited for");
        watched(child.id(), || child.wait_with_output()).expect("our child")
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It may have ended; that is all that can go wrong.
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// Waits for a process to end. One that does not is ended, and the test fails.
#[track_caller]
fn watched<T>(id: u32, wait: impl FnOnce() -> T) -> T {
    let id = Pid::from_raw(i32::try_from(id).expect("an id of a process")).expect("not 0");
    let (told, end) = mpsc::sync_channel(1);
    let watch = thread::spawn(move || {
        let in_time = end.recv_timeout(PATIENCE).is_ok();
        if !in_time {
            // It may end at this very moment.
            kill_process(id, Signal::KILL).ok();
        }
        in_time
    });
    let waited = wait();
    // Fails only if the watch is over, which says so itself.
    told.send(()).ok();
    assert!(watch.join().expect("no panic"), "it did not end");
    waited
}

/// A command in `dir` that sees no setting of whoever runs the tests.
fn command(program: impl AsRef<OsStr>, dir: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FLOWSTITCH_") {
            command.env_remove(name);
        }
    }
    command.current_dir(dir).stdin(Stdio::null());
    command
}

/// Writes a file with a secret, as a server wants it: its owner's alone.
pub(crate) fn write_secret(path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
    fs::write(&path, content).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("ours");
}

impl Setup {
    pub(crate) fn new() -> Self {
        let dir = Arc::new(tempfile::tempdir().expect("a directory"));
        Self { dir, flags: Vec::new(), prelude: None }
    }

    /// A setting, as on the command line.
    pub(crate) fn flag(mut self, flag: impl Into<String>) -> Self {
        self.flags.push(flag.into());
        self
    }

    /// A line of shell that is run first, in the process that becomes the server.
    pub(crate) fn after(mut self, shell: &str) -> Self {
        self.prelude = Some(shell.to_owned());
        self
    }

    /// The directory of the data; the server's working directory, too.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = match &self.prelude {
            None => command(BINARY, self.dir()),
            Some(shell) => {
                let mut command = command("sh", self.dir());
                command.arg("-c").arg(format!("{shell} && exec \"$0\" \"$@\"")).arg(BINARY);
                command
            }
        };
        // Last wins, so a test may listen elsewhere.
        let listen = self.flags.iter().any(|flag| flag.starts_with("--listen"));
        command.args((!listen).then_some("--listen=127.0.0.1:0"));
        command.arg("--data-dir").arg(self.dir()).args(&self.flags);
        command
    }

    /// Starts a server, and waits until it says where it listens.
    #[track_caller]
    pub(crate) fn start(&self) -> Server {
        let child = self.command().stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the binary starts");
        let log = Log::follow(child.stderr.take().expect("piped"));
        let line = log.wait_for("listening on http");
        let (_, address) = line.split_once("://").expect("the address");
        let address = address.parse().expect("an address and a port");
        Server { setup: self.clone(), child, address, log }
    }

    /// As [`Self::start`], but nobody reads what the server writes after that, and it is told so.
    pub(crate) fn start_unheard(&self) -> Server {
        self.start_unread().0
    }

    /// As [`Self::start`], but what the server writes after that is read only from what this
    /// returns.
    pub(crate) fn start_unread(&self) -> (Server, BufReader<ChildStderr>) {
        let child = self.command().stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the binary starts");
        let mut rest = BufReader::new(child.stderr.take().expect("piped"));
        let mut addresses = rest
            .by_ref()
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix("listening on http://").map(str::parse));
        let address = addresses.next().expect("it starts").expect("an address and a port");
        drop(addresses);
        (Server { setup: self.clone(), child, address, log: Log::default() }, rest)
    }

    /// The names in `incomplete` or `completed`, sorted, without the dotted ones.
    pub(crate) fn files(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.dir().join(folder)).expect("the folder is there");
        let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        let mut names: Vec<_> = entries.map(|entry| name(entry.expect("an entry"))).collect();
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        names
    }

    /// The length of the catalog's journal; 0 if there is none.
    pub(crate) fn journal_len(&self) -> u64 {
        fs::metadata(self.dir().join("flowstitch.db-wal")).map_or(0, |metadata| metadata.len())
    }

    /// What was published for this creative.
    pub(crate) fn published(&self, creative: &Value) -> Vec<u8> {
        let id = creative["id"].as_str().expect("an id");
        let names = self.files("completed");
        let mut own = names.iter().filter(|name| name.starts_with(id));
        let (Some(name), None) = (own.next(), own.next()) else { panic!("{id}: {names:?}") };
        fs::read(self.dir().join("completed").join(name)).expect("it can be read")
    }
}

impl Server {
    /// With defaults, on an empty directory.
    pub(crate) fn start() -> Self {
        Setup::new().start()
    }

    pub(crate) fn setup(&self) -> &Setup {
        &self.setup
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// A file under `/proc` of its process.
    pub(crate) fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.child.id()))
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.address).expect("it accepts connections")
    }

    /// One GET on a connection of its own.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.connect().ask(&request("GET", path, &[], b"")).expect("an answer")
    }

    /// The creatives there are.
    pub(crate) fn creatives(&self) -> Vec<Value> {
        let list = self.get("/creatives?limit=1000").json();
        list["creatives"].as_array().expect("a list").clone()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("an id of a process");
        kill_process(Pid::from_raw(id).expect("not 0"), signal).expect("it is still ours");
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn ended(mut self) -> (ExitStatus, Log) {
        let status = watched(self.child.id(), || self.child.wait()).expect("our child");
        (status, self.log.clone())
    }

    /// Asks it to stop, and waits for its end.
    #[track_caller]
    pub(crate) fn terminated(self) -> (ExitStatus, Log) {
        self.signal(Signal::TERM);
        self.ended()
    }

    /// Ends it as a crash would.
    pub(crate) fn kill_9(self) -> Setup {
        self.signal(Signal::KILL);
        let setup = self.setup.clone();
        let (status, _) = self.ended();
        assert_eq!(status.signal(), Some(9));
        setup
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended; that is all that can go wrong.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
