//! What an operator does beside the server: look at its data, whether or not it runs, and have it
//! do things.
//!
//! Looking is this process's own: it reads catalog and files as a visitor, takes no lock and makes
//! no change. Whatever changes something is done by the one process that has the data, which may be
//! this one: see `control`.

mod audit;
mod backup;
mod control;
mod creatives;
mod data;
mod error;
mod finding;
mod progress;
mod sweep;
mod table;
mod tally;
mod tokens;
mod trash;
mod uploads;
mod users;
mod verify;

use std::{
    io::{self, IsTerminal, Write},
    path::Path,
    sync::Arc,
};

use serde::Serialize;
use serde_json::json;

pub use self::{
    audit::audit, creatives::creatives, error::Failure, tokens::tokens, trash::trash, users::users,
};
use self::{control::Answer, data::Data, finding::Finding, progress::Progress};
use crate::{
    config::Config,
    dialect::{Standing, Status},
    upload::{UploadId, UploadState},
};

/// `flowstitch verify`. Returns whether all is well.
pub async fn verify(config: &Config, as_json: bool) -> Result<bool, Failure> {
    let data = Arc::new(Data::open(config)?);
    let mut report = Report { findings: Vec::new(), as_json, faults: 0, notes: 0 };
    let progress = Progress::new(!as_json && io::stderr().is_terminal());
    let seen = verify::verify(&data, progress, &mut |finding| report.add(finding)).await?;
    let Report { findings, faults, notes, .. } = report;
    let ok = faults == 0;
    if as_json {
        let (faults, notes): (Vec<_>, Vec<_>) = findings.into_iter().partition(|it| it.is_fault);
        print_json(&json!({ "ok": ok, "seen": seen, "faults": faults, "notes": notes }))?;
    } else {
        let (faults, notes) = (counted(faults, "fault"), counted(notes, "note"));
        print(&format!("{seen}: {faults}, {notes}\n"))?;
    }
    Ok(ok)
}

/// `flowstitch uploads list`.
pub async fn list(
    config: &Config,
    state: Option<UploadState>,
    limit: usize,
    as_json: bool,
) -> Result<bool, Failure> {
    let data = Arc::new(Data::open(config)?);
    let list = data.blocking(move |data| {
        let records = data.facts.uploads(state, limit)?.into_iter();
        records.map(|record| uploads::describe(data, &record)).collect::<Result<Vec<_>, _>>()
    });
    let list = list.await?;
    if as_json {
        print_json(&json!({ "uploads": list }))?;
    } else {
        print(&uploads::as_table(&list))?;
    }
    Ok(true)
}

/// `flowstitch uploads show`. Returns whether there is such an upload.
pub async fn show(config: &Config, id: UploadId, as_json: bool) -> Result<bool, Failure> {
    let data = Arc::new(Data::open(config)?);
    let upload = data.blocking(move |data| {
        data.facts.upload(id)?.map(|record| uploads::describe(data, &record)).transpose()
    });
    let Some(upload) = upload.await? else {
        refuse("No upload has this id: `flowstitch uploads list` shows those there are.", as_json)?;
        return Ok(false);
    };
    tell(&upload, uploads::as_lines, as_json)?;
    Ok(true)
}

/// `flowstitch uploads cancel`. Returns whether it was running and is not any more.
pub async fn cancel(config: &Config, id: UploadId, as_json: bool) -> Result<bool, Failure> {
    match control::post::<Status>(config, &format!("/uploads/{id}/cancel")).await? {
        Answer::Done(status) => {
            tell(&status, |_| format!("cancelled {id}\n"), as_json).map(|()| true)
        }
        Answer::Refused(why) => refuse(&why, as_json).map(|()| false),
    }
}

/// `flowstitch uploads retry`. Returns whether the upload is complete.
pub async fn retry(config: &Config, id: UploadId, as_json: bool) -> Result<bool, Failure> {
    let answer = control::post::<Status>(config, &format!("/uploads/{id}/retry")).await?;
    let status = match answer {
        Answer::Done(status) => status,
        Answer::Refused(why) => return refuse(&why, as_json).map(|()| false),
    };
    tell(&status, uploads::outcome, as_json)?;
    Ok(status.upload.state == Standing::Complete)
}

/// `flowstitch sweep`. Returns whether it was done.
pub async fn sweep(config: &Config, dry_run: bool, as_json: bool) -> Result<bool, Failure> {
    match sweep::sweep(config, dry_run).await? {
        Answer::Done(sweep) => {
            tell(&sweep, |sweep| sweep::as_text(sweep, dry_run), as_json).map(|()| true)
        }
        Answer::Refused(why) => refuse(&why, as_json).map(|()| false),
    }
}

/// `flowstitch backup`. Returns whether all that the catalog speaks of is in it.
pub async fn backup(config: &Config, to: &Path, as_json: bool) -> Result<bool, Failure> {
    let progress = Progress::new(!as_json && io::stderr().is_terminal());
    match backup::backup(config, to, progress).await? {
        Answer::Done(saved) => {
            tell(&saved, backup::Saved::as_text, as_json)?;
            Ok(saved.lost.is_empty())
        }
        Answer::Refused(why) => refuse(&why, as_json).map(|()| false),
    }
}

/// `flowstitch restore`. Returns whether it was done.
pub async fn restore(
    config: &Config,
    from: &Path,
    (verify, linked): (bool, bool),
    as_json: bool,
) -> Result<bool, Failure> {
    let progress = Progress::new(!as_json && io::stderr().is_terminal());
    let restored = backup::restore(config, from, (verify, linked), progress).await?;
    tell(&restored, backup::Restored::as_text, as_json).map(|()| true)
}

/// What `verify` found so far. As text it is told at once, as JSON all together.
struct Report {
    findings: Vec<Finding>,
    as_json: bool,
    faults: u64,
    notes: u64,
}

impl Report {
    fn add(&mut self, finding: Finding) -> Result<(), Failure> {
        let count = if finding.is_fault { &mut self.faults } else { &mut self.notes };
        *count += 1;
        if self.as_json {
            self.findings.push(finding);
            return Ok(());
        }
        print(&format!("{finding}\n"))
    }
}

/// An answer, as a document or in words.
fn tell<T: Serialize>(
    answer: &T,
    in_words: impl FnOnce(&T) -> String,
    as_json: bool,
) -> Result<(), Failure> {
    if as_json { print_json(answer) } else { print(&in_words(answer)) }
}

/// The answer is no.
fn refuse(why: &str, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return print_json(&json!({ "refused": why }));
    }
    Ok(writeln!(io::stderr().lock(), "flowstitch: {why}")?)
}

fn print_json(document: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(document).expect("our answers have string keys only");
    print(&(text + "\n"))
}

fn print(text: &str) -> Result<(), Failure> {
    Ok(io::stdout().lock().write_all(text.as_bytes())?)
}

/// `1 fault`, `2 faults`.
fn counted(count: u64, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}
