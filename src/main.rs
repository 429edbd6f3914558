//! The `flowstitch` binary: reads the command line, and does what it says.

use std::{
    error::Error,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use flowstitch::{
    app::{App, Ended},
    catalog::{self, SqliteCatalog},
    config::{self, Cli, Command, Config},
    shutdown, telemetry,
};

type Failure = Box<dyn Error>;

fn main() -> ExitCode {
    let cli = Cli::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    match run(&cli) {
        Ok(code) => code,
        Err(error) => {
            complain(&*error);
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<ExitCode, Failure> {
    let config = config::load(cli, std::env::vars_os(), Path::new(config::DEFAULT_FILE))?;
    match cli.command() {
        Command::Serve => serve(config),
        Command::Config => {
            io::stdout().write_all(config.to_toml().as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Migrate { dry_run } => migrate(&config, dry_run),
    }
}

fn serve(config: Config) -> Result<ExitCode, Failure> {
    telemetry::start(config.log_format, &config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let stop = shutdown::on_signals()?;
        let app = App::open(config).await?;
        let listener = app.listen().await?;
        announce(&listener.local_addr()?.to_string())?;
        Ok::<_, Failure>(app.run(listener, stop).await)
    })?;
    // A disk that hangs must not keep the process from ending.
    runtime.shutdown_background();
    Ok(match ended {
        Ended::InOrder => ExitCode::SUCCESS,
        Ended::AtDeadline => ExitCode::FAILURE,
    })
}

/// One plain line whatever the log's format and level: scripts wait for it.
fn announce(address: &str) -> io::Result<()> {
    writeln!(io::stderr(), "listening on http://{address}")
}

fn migrate(config: &Config, dry_run: bool) -> Result<ExitCode, Failure> {
    let before = catalog::migrations(&config.database)?;
    if !dry_run {
        SqliteCatalog::open(&config.database)?;
    }
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

/// The error and what caused it, in one line.
fn complain(error: &(dyn Error + 'static)) {
    let chain = std::iter::successors(Some(error), |error| (*error).source());
    let text: Vec<String> = chain.map(ToString::to_string).collect();
    // If standard error is closed, there is nobody left to tell.
    let _ = writeln!(io::stderr(), "flowstitch: {}", text.join(": "));
}
