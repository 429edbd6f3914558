//! The `flowstitch` binary: reads the command line, and does what it says.

use std::{
    error::Error,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use flowstitch::{
    app::{self, App, Ended, Purpose, StartError},
    catalog,
    config::{self, Chosen, Cli, Command, Config, LogFilter, Uploads},
    operate, shutdown, telemetry,
    upload::limits,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;

/// Gives memory back to the system some seconds after it was needed. glibc keeps what lies below
/// any byte that is still in use: after an attack with large heads that was nearly all of it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

type Failure = Box<dyn Error>;

/// The status of a tool whose output nobody reads to its end, as in `flowstitch audit | head`: that
/// of a process which SIGPIPE ended.
const UNREAD: u8 = 128 + 13;

fn main() -> ExitCode {
    let cli = Cli::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    let code = run(&cli).unwrap_or_else(|error| {
        if is_unread(&*error) {
            return ExitCode::from(UNREAD);
        }
        telemetry::say(&format!("flowstitch: {}", in_one_line(&*error)));
        // Of a tool 1 is an answer: that it has none must be told from that.
        if cli.command().is_tool() { ExitCode::from(2) } else { ExitCode::FAILURE }
    });
    telemetry::flush();
    code
}

fn run(cli: &Cli) -> Result<ExitCode, Failure> {
    shutdown::survive_large_files()?;
    let config = config::load(cli, std::env::vars_os(), Path::new(config::DEFAULT_FILE))?;
    match cli.command() {
        Command::Serve => serve(config),
        Command::Config => {
            io::stdout().write_all(config.to_toml().as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Migrate { dry_run } => migrate(&config, dry_run),
        Command::Verify { json } => answer(operate::verify(&config, json)),
        Command::Uploads { command } => {
            telemetry::start(config.log_format, &quiet())?;
            uploads(&config, &command)
        }
        Command::Creatives { command } => {
            telemetry::start(config.log_format, &quiet())?;
            answer(operate::creatives(&config, &command))
        }
        Command::User { command } => {
            telemetry::start(config.log_format, &quiet())?;
            answer(operate::users(&config, &command))
        }
        Command::Token { command } => {
            telemetry::start(config.log_format, &quiet())?;
            answer(operate::tokens(&config, &command))
        }
        Command::Audit(command) => answer(operate::audit(&config, &command)),
        Command::Trash { command } => {
            telemetry::start(config.log_format, &quiet())?;
            answer(operate::trash(&config, &command))
        }
        Command::Backup { dir, json } => {
            telemetry::start(config.log_format, &quiet())?;
            answer(operate::backup(&config, &dir, json))
        }
        Command::Restore { dir, verify, hard_links, json } => {
            telemetry::start(config.log_format, &quiet())?;
            answer(operate::restore(&config, &dir, (verify, hard_links), json))
        }
        Command::Sweep { dry_run, json } => {
            telemetry::start(config.log_format, &quiet())?;
            answer(operate::sweep(&config, dry_run, json))
        }
    }
}

fn uploads(config: &Config, command: &Uploads) -> Result<ExitCode, Failure> {
    match *command {
        Uploads::List { state, limit, json } => answer(operate::list(config, state, limit, json)),
        Uploads::Show(Chosen { id, json }) => answer(operate::show(config, id, json)),
        Uploads::Cancel(Chosen { id, json }) => answer(operate::cancel(config, id, json)),
        Uploads::Retry(Chosen { id, json }) => answer(operate::retry(config, id, json)),
    }
}

/// Of what happens inside a tool its user wants to hear only what is wrong.
fn quiet() -> LogFilter {
    "warn".parse().expect("a level")
}

/// Runs one of the operator's tools: yes is 0, no is 1.
fn answer(tool: impl Future<Output = Result<bool, operate::Failure>>) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let is_well = runtime.block_on(tool)?;
    runtime.shutdown_background();
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn serve(mut config: Config) -> Result<ExitCode, Failure> {
    telemetry::start(config.log_format, &config.log)?;
    let stop = shutdown::on_signals(config.shutdown_timeout)?;
    config.max_connections = affordable(config.max_connections, raise_open_files());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let listener = app::listen(config.listen)?;
        let operator = config.admin_listen.map(app::listen).transpose()?;
        let own = operator.as_ref().map(TcpListener::local_addr).transpose()?;
        let app = App::open(config, Purpose::Serve).await?.with_control().await;
        // Plain lines whatever the log's format and level: scripts wait for them.
        if let Some(own) = own {
            telemetry::say(&format!("admin_listen on http://{own}"));
        }
        telemetry::say(&format!("listening on {}://{}", app.scheme(), listener.local_addr()?));
        let app = app.with_operator(operator);
        Ok::<_, Failure>(app.run(listener, stop).await)
    })?;
    // A disk that hangs must not keep the process from ending.
    runtime.shutdown_background();
    Ok(match ended {
        Ended::InOrder => ExitCode::SUCCESS,
        Ended::AtDeadline | Ended::InTrouble => ExitCode::FAILURE,
    })
}

/// Raises the soft limit of open files to the hard one, and gives what holds then; nothing if there
/// is no limit. The soft one is low for the sake of programs that use `select`, and we do not.
fn raise_open_files() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => {
            tracing::info!(from = current, to = maximum, "Raised the limit of open files");
            maximum
        }
        Err(errno) => {
            tracing::warn!(error = &errno as &dyn Error, "Cannot raise the limit of open files");
            current
        }
    }
}

/// As many connections as leave the files of uploads their share: a connection too many waits to be
/// accepted, but a chunk whose file cannot be opened fails.
fn affordable(connections: usize, open_files: Option<u64>) -> usize {
    let Some(most) = open_files.and_then(|most| usize::try_from(most).ok()) else {
        return connections;
    };
    let rest = most.saturating_sub(limits::OPEN_FILES_MAX + limits::OTHER_FILES_MAX);
    let affordable = limits::connections_of(rest.max(most / 4)).max(1);
    if affordable < connections {
        tracing::warn!(
            open_files = most,
            max_connections = affordable,
            "The limit of open files allows fewer connections than max_connections; raise it"
        );
    }
    connections.min(affordable)
}

fn migrate(config: &Config, dry_run: bool) -> Result<ExitCode, Failure> {
    let before = if dry_run {
        catalog::migrations(&config.database).map_err(StartError::of(&config.database))?
    } else {
        app::migrate(config)?
    };
    let mut out = io::stdout().lock();
    for migration in before {
        let state = match (migration.applied, dry_run) {
            (true, _) => "applied",
            (false, true) => "missing",
            (false, false) => "applied now",
        };
        writeln!(out, "{:04} {} {state}", migration.number, migration.name)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether the output could not be written because its reader has gone: that is no fault.
fn is_unread(error: &(dyn Error + 'static)) -> bool {
    let written = error.downcast_ref::<io::Error>().or_else(|| match error.downcast_ref()? {
        operate::Failure::Output(error) => Some(error),
        _ => None,
    });
    written.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// The error and what caused it.
fn in_one_line(error: &(dyn Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| (*error).source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
