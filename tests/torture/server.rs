//! The binary under test as a child process, alone or under a command such as strace.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStderr, Command},
    time::{interval, timeout},
};

use crate::{
    failure::Failure,
    report::Tally,
    wire::{Answer, Connection, PATIENCE, request},
};

/// Lines of a log that are kept for a failure's sake.
const LOG_LEN_MAX: usize = 200;
/// How often it is looked whether something has come to be so.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
const LISTENING: &str = "listening on http://";

/// How to start a server; what is started again on the same data is one of the same setup.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    binary: PathBuf,
    data: PathBuf,
    /// Where the catalog is, if it is not beside the data.
    database: Option<PathBuf>,
    flags: Vec<String>,
    wrapper: Vec<OsString>,
    log: Log,
    tally: Arc<Tally>,
}

/// A server that runs. Killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    process: Process,
    tally: Arc<Tally>,
}

/// What came of a start.
#[derive(Debug)]
pub(crate) enum Start {
    Serving(Box<Server>),
    /// It ended before it served: how, and what it said.
    Ended(ExitStatus, String),
}

/// The child, which is the server or runs it.
#[derive(Debug)]
struct Process {
    binary: PathBuf,
    child: Child,
    log: Log,
}

/// What servers write to standard error: all of it in a file, the last lines at hand.
#[derive(Debug, Clone)]
struct Log {
    file: Arc<File>,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Setup {
    /// The binary must be a path with all links resolved: that is how it is found under a wrapper.
    /// Its servers write their logs to a file.
    pub(crate) fn new(binary: &Path, log: &Path, tally: Arc<Tally>) -> io::Result<Self> {
        let log = Log::new(File::create(log)?);
        let (data, database) = (PathBuf::new(), None);
        let (flags, wrapper, binary) = (Vec::new(), Vec::new(), binary.into());
        Ok(Self { binary, data, database, flags, wrapper, log, tally })
    }

    /// What is started.
    pub(crate) fn binary(&self) -> &Path {
        &self.binary
    }

    /// With a setting more, as on the command line.
    pub(crate) fn flag(&self, flag: impl Into<String>) -> Self {
        let mut setup = self.clone();
        setup.flags.push(flag.into());
        setup
    }

    /// With the catalog in another file.
    pub(crate) fn with_database(&self, database: PathBuf) -> Self {
        Self { database: Some(database), ..self.clone() }
    }

    /// The file of the catalog.
    pub(crate) fn database(&self) -> PathBuf {
        self.database.clone().unwrap_or_else(|| self.data.join("flowstitch.db"))
    }

    /// On this data.
    pub(crate) fn on(&self, data: &Path) -> Self {
        Self { data: data.into(), ..self.clone() }
    }

    /// Under a command that runs the command behind its own arguments.
    pub(crate) fn under(&self, wrapper: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self { wrapper: wrapper.into_iter().map(Into::into).collect(), ..self.clone() }
    }

    /// The directory of its data.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    fn command(&self) -> Command {
        let mut words = self.wrapper.iter().cloned().chain([self.binary.clone().into()]);
        let mut command = Command::new(words.next().expect("the binary at least"));
        command.args(words).arg("--listen=127.0.0.1:0").arg("--data-dir").arg(&self.data);
        command.arg("--database").arg(self.database());
        command.args(&self.flags).current_dir(&self.data).stdin(Stdio::null());
        // What its user has set is not for the servers under test.
        let vars = std::env::vars_os().map(|(name, _)| name);
        for name in vars.filter(|name| name.to_string_lossy().starts_with("FLOWSTITCH_")) {
            command.env_remove(name);
        }
        command
    }

    /// Starts it, and waits until it serves or has ended.
    pub(crate) async fn launch(&self) -> Result<Start, Failure> {
        let mut command = self.command();
        command.stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let stderr = child.stderr.take().expect("piped");
        self.tally.started();
        let log = self.log.anew();
        let mut process = Process { binary: self.binary.clone(), child, log: log.clone() };
        let lines = BufReader::new(stderr).lines();
        match in_time("a server that starts", log.follow_to_address(lines)).await?? {
            Some(address) => {
                let tally = self.tally.clone();
                Ok(Start::Serving(Box::new(Server { address, process, tally })))
            }
            None => Ok(Start::Ended(process.ended().await?, log.told())),
        }
    }

    /// Starts it; what keeps it from serving is a failure.
    pub(crate) async fn start(&self) -> Result<Server, Failure> {
        match self.launch().await? {
            Start::Serving(server) => Ok(*server),
            Start::Ended(status, log) => {
                Err(Failure::broken(format!("the server does not start: {status}\n{log}")))
            }
        }
    }
}

impl Server {
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The id of the server's own process, whatever it runs under.
    pub(crate) fn id(&self) -> Result<Pid, Failure> {
        self.process.server().ok_or_else(|| Failure::broken("the server's process is gone"))
    }

    /// Ends it as a crash would. It may have ended by itself.
    pub(crate) async fn kill(mut self) -> Result<(), Failure> {
        self.process.kill();
        self.process.ended().await.map(drop)
    }

    /// Waits until it has ended by what is done to it. May be dropped and called again.
    pub(crate) async fn died(&mut self) -> Result<ExitStatus, Failure> {
        self.process.ended().await
    }

    /// Asks it to stop, and waits for its end.
    pub(crate) async fn stop(mut self) -> Result<ExitStatus, Failure> {
        // If it is gone, its status says so.
        if let Some(id) = self.process.server() {
            kill_process(id, Signal::TERM).ok();
        }
        self.process.ended().await
    }

    /// One request on a connection of its own.
    pub(crate) async fn ask(&self, method: &str, path: &str) -> io::Result<Answer> {
        let mut connection = Connection::open(self.address).await?;
        let answer = connection.ask(&request(method, path, &[], b"")).await;
        self.tally.answered();
        answer
    }
}

impl Process {
    /// The server itself: the child, or the first below it that runs the binary.
    fn server(&self) -> Option<Pid> {
        let mut pending = vec![self.child.id()?];
        while let Some(id) = pending.pop() {
            if std::fs::read_link(format!("/proc/{id}/exe")).is_ok_and(|exe| exe == self.binary) {
                return Pid::from_raw(i32::try_from(id).ok()?);
            }
            pending.extend(children(id));
        }
        None
    }

    /// The server first: a wrapper that is killed may leave it running.
    fn kill(&mut self) {
        match self.server() {
            // Whatever it runs under ends with it.
            Some(id) => kill_process(id, Signal::KILL).ok(),
            // It may have ended.
            None => self.child.start_kill().ok(),
        };
    }

    async fn ended(&mut self) -> Result<ExitStatus, Failure> {
        let log = self.log.clone();
        match timeout(PATIENCE, self.child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => Err(Failure::broken(format!("the server does not end\n{}", log.told()))),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.kill();
        }
    }
}

/// The processes that a process started.
fn children(id: u32) -> Vec<u32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{id}/task")) else { return Vec::new() };
    let lists = tasks.flatten().map(|task| std::fs::read_to_string(task.path().join("children")));
    let ids = |list: String| list.split_whitespace().flat_map(str::parse).collect::<Vec<u32>>();
    lists.flatten().flat_map(ids).collect()
}

impl Log {
    fn new(file: File) -> Self {
        Self { file: Arc::new(file), lines: Arc::default() }
    }

    /// That of the next server.
    fn anew(&self) -> Self {
        Self { file: self.file.clone(), lines: Arc::default() }
    }

    /// Reads until it is said where the server listens, and goes on in the background: a server
    /// must never wait for us to read. Nothing if the log ends before.
    async fn follow_to_address(
        &self,
        mut lines: Lines<BufReader<ChildStderr>>,
    ) -> Result<Option<SocketAddr>, Failure> {
        while let Some(line) = lines.next_line().await? {
            let address = line.strip_prefix(LISTENING).map(str::parse);
            self.push(line);
            if let Some(Ok(address)) = address {
                let log = self.clone();
                tokio::spawn(async move {
                    while let Ok(Some(line)) = lines.next_line().await {
                        log.push(line);
                    }
                });
                return Ok(Some(address));
            }
        }
        Ok(None)
    }

    fn push(&self, line: String) {
        // It is for people; the round does not depend on it.
        writeln!(&*self.file, "{line}").ok();
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LOG_LEN_MAX {
            lines.remove(0);
        }
        lines.push(line);
    }

    fn told(&self) -> String {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }
}

/// Looks again and again until something is so.
pub(crate) async fn until<F>(what: &str, mut is_so: impl FnMut() -> F) -> Result<(), Failure>
where
    F: Future<Output = Result<bool, Failure>>,
{
    let mut looks = interval(LOOK_AGAIN);
    let looking = async {
        while !is_so().await? {
            looks.tick().await;
        }
        Ok(())
    };
    in_time(what, looking).await?
}

/// Waits for what must come.
pub(crate) async fn in_time<T>(what: &str, waited: impl Future<Output = T>) -> Result<T, Failure> {
    let late = |_| Failure::broken(format!("{what}: nothing within {PATIENCE:?}"));
    timeout(PATIENCE, waited).await.map_err(late)
}
