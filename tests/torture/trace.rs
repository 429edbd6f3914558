//! What a server did to its files, in order: read from what strace wrote down.

use std::{collections::HashMap, ffi::OsString, path::Path, process::Command};

use crate::{failure::Failure, tools::run};

/// The calls that change files, make changes last, or answer.
const CALLS: &str = "trace=openat,openat2,mkdir,mkdirat,fsync,fdatasync,rename,renameat,renameat2,\
                     link,linkat,unlink,unlinkat,pwrite64,pwritev,pwritev2,write,writev,sendto,\
                     ftruncate,fallocate";
/// Bytes of each text that are written down: enough for the first line of an answer.
const TEXT_LEN: &str = "24";

/// The command under which a server writes down what it does.
pub(crate) fn tracer(file: &Path) -> Result<Vec<OsString>, Failure> {
    run(Command::new("strace").arg("-V"))?;
    let words = ["strace", "-f", "--seccomp-bpf", "-qq", "-y", "-s", TEXT_LEN, "-e", CALLS, "-o"];
    Ok(words.map(OsString::from).into_iter().chain([file.into()]).collect())
}

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// When it began and ended: numbers of lines.
    pub(crate) begun: usize,
    pub(crate) ended: usize,
    pub(crate) step: Step,
}

/// What can be done, to a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is there now, and perhaps was before.
    Name(String),
    Write(String),
    /// It was cut to another length.
    Cut(String),
    Move(String, String),
    Remove(String),
    Sync(String),
    /// The server takes connections from now on.
    Serves,
    /// It has answered, with this status.
    Answer(u16),
}

/// All that was done and did not fail. `line` is the number of lines that came before.
pub(crate) fn events(trace: &str, mut line: usize) -> Vec<Event> {
    let mut pending: HashMap<&str, (usize, String)> = HashMap::new();
    let mut events = Vec::new();
    for text in trace.lines() {
        line += 1;
        let Some((thread, call)) = text.split_once(' ') else { continue };
        let call = call.trim_start();
        if let Some(begin) = call.strip_suffix("<unfinished ...>") {
            pending.insert(thread, (line, begin.to_owned()));
            continue;
        }
        let (begun, call) = match call.split_once(" resumed>") {
            Some((_, end)) => {
                let Some((since, first)) = pending.remove(thread) else { continue };
                (since, first + end)
            }
            None => (line, call.to_owned()),
        };
        events.extend(step(&call).map(|step| Event { begun, ended: line, step }));
    }
    // Those that killing the server cut short may have had their effect or not.
    events
}

/// A call as strace writes it: `name(arguments) = result`.
fn step(call: &str) -> Option<Step> {
    let (name, rest) = call.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    if result.starts_with(['-', '?']) {
        return None;
    }
    let (opened, quoted) = (between(arguments, '<', '>'), between(arguments, '"', '"'));
    let named = |index: usize| {
        let folder = opened.get(index).filter(|_| name.contains("at"));
        let name = *quoted.get(index)?;
        let Some(folder) = folder.filter(|_| !name.starts_with('/')) else {
            return Some(name.to_owned());
        };
        Some(format!("{folder}/{name}"))
    };
    let file = || opened.first().map(|path| (*path).to_owned());
    match name {
        "openat" | "openat2" if arguments.contains("O_CREAT") => {
            Some(Step::Name((*between(result, '<', '>').first()?).to_owned()))
        }
        "mkdir" | "mkdirat" => Some(Step::Name(named(0)?)),
        "fsync" | "fdatasync" => Some(Step::Sync(file()?)),
        "rename" | "renameat" | "renameat2" => Some(Step::Move(named(0)?, named(1)?)),
        "link" | "linkat" => Some(Step::Name(named(1)?)),
        "unlink" | "unlinkat" => Some(Step::Remove(named(0)?)),
        "ftruncate" => Some(Step::Cut(file()?)),
        "pwrite64" | "pwritev" | "pwritev2" | "fallocate" => Some(Step::Write(file()?)),
        "write" | "writev" | "sendto" => said(quoted.first()?),
        _ => None,
    }
}

/// What the server tells others.
fn said(text: &str) -> Option<Step> {
    if text.starts_with("listening on http://") {
        return Some(Step::Serves);
    }
    let status = text.strip_prefix("HTTP/1.1 ")?.get(..3)?;
    status.parse().ok().map(Step::Answer)
}

/// The parts of a text that stand between two such signs.
fn between(text: &str, open: char, close: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((_, begin)) = rest.split_once(open) {
        let Some((part, end)) = begin.split_once(close) else { break };
        parts.push(part);
        rest = end;
    }
    parts
}
