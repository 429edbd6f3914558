//! What an operator does beside the server: look at its data, whether or not it runs, and have it
//! do things.
//!
//! Looking is this process's own: it reads catalog and files as a visitor, takes no lock and makes
//! no change. Whatever changes something is done by the one process that has the data: see
//! [`crate::app`].

mod error;
mod finding;
mod progress;
mod verify;

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
    sync::Arc,
};

use serde_json::json;

pub use self::error::Failure;
use self::{finding::Finding, progress::Progress};
use crate::{app::StartError, catalog::CatalogView, config::Config, store::StoreView};

/// Catalog and files, of a server that may be running.
#[derive(Debug)]
struct Data {
    facts: CatalogView,
    files: StoreView,
    /// For the operator to read.
    incomplete: PathBuf,
    completed: PathBuf,
}

impl Data {
    fn open(config: &Config) -> Result<Self, StartError> {
        let facts =
            CatalogView::open(&config.database).map_err(StartError::of(&config.database))?;
        let files = StoreView::open(&config.incomplete_dir, &config.completed_dir);
        Ok(Self {
            facts,
            files: files?,
            incomplete: config.incomplete_dir.clone(),
            completed: config.completed_dir.clone(),
        })
    }
}

/// `flowstitch verify`. Returns whether all is well.
pub async fn verify(config: &Config, as_json: bool) -> Result<bool, Failure> {
    let data = Arc::new(Data::open(config)?);
    let mut report = Report { findings: Vec::new(), as_json, faults: 0, notes: 0 };
    let progress = Progress::new(!as_json && io::stderr().is_terminal());
    let seen = verify::verify(&data, progress, &mut |finding| report.add(finding)).await?;
    let Report { findings, faults, notes, .. } = report;
    let mut out = io::stdout().lock();
    if as_json {
        let (bad, fine): (Vec<_>, Vec<_>) = findings.into_iter().partition(|it| it.is_fault);
        let ok = faults == 0;
        let document = json!({ "ok": ok, "seen": seen, "faults": bad, "notes": fine });
        writeln!(out, "{document:#}")?;
    } else {
        writeln!(out, "{seen}: {}, {}", counted(faults, "fault"), counted(notes, "note"))?;
    }
    Ok(faults == 0)
}

/// What `verify` found so far. As text it is told at once, as JSON all together.
struct Report {
    findings: Vec<Finding>,
    as_json: bool,
    faults: u64,
    notes: u64,
}

impl Report {
    fn add(&mut self, finding: Finding) -> io::Result<()> {
        let count = if finding.is_fault { &mut self.faults } else { &mut self.notes };
        *count += 1;
        if self.as_json {
            self.findings.push(finding);
            return Ok(());
        }
        writeln!(io::stdout().lock(), "{finding}")
    }
}

/// `1 fault`, `2 faults`.
fn counted(count: u64, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}
