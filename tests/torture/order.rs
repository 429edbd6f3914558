//! What the strictest reading of POSIX lets survive: nothing but what was synced itself.
//!
//! Journaling file systems keep more: to sync one file writes the whole journal out, and with it
//! the names of others. So power that is really lost does not show every missing sync. Here a name
//! is safe only once its folder was synced, bytes once their file was, and each promise is held
//! against that.

use std::collections::{BTreeMap, BTreeSet};

use crate::trace::{Event, Step};

/// A place in the code that syncs something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Point {
    Folders,
    Start,
    Bytes,
    NewName,
    PublishedBytes,
    PublishedName,
    FormerName,
    RemovedName,
    Journal,
    JournalName,
    Database,
}

impl Point {
    /// All of them, and what each syncs.
    pub(crate) const ALL: [(Self, &'static str); 11] = [
        (Self::Folders, "the data directory, after folders were made in it"),
        (Self::Start, "both folders, when the server starts"),
        (Self::Bytes, "the file of an upload, before a chunk is acknowledged"),
        (Self::NewName, "incomplete/, after a file was made in it"),
        (Self::PublishedBytes, "the file of an upload, before it is renamed"),
        (Self::PublishedName, "completed/, after the rename"),
        (Self::FormerName, "incomplete/, after the rename"),
        (Self::RemovedName, "completed/, after a creative was deleted"),
        (Self::Journal, "the journal of the catalog, at each commit"),
        (Self::JournalName, "the folder of the catalog, after its journal was made"),
        (Self::Database, "the file of the catalog, before its journal is emptied"),
    ];
}

/// Where the files are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    pub(crate) data: String,
    pub(crate) database: String,
}

/// A run of the server.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) strict: bool,
    pub(crate) events: Vec<Event>,
}

/// Holds what was done against what was promised, as if the syncs at one point had not been.
pub(crate) fn breaches(places: &Places, runs: &[Run], without: Option<Point>) -> Vec<String> {
    let mut model = Model { places: places.clone(), ..Model::default() };
    for run in runs {
        model.serves = false;
        for (index, event) in run.events.iter().enumerate() {
            let point = model.point(event, &run.events[index..]);
            if point.is_none() || point != without {
                model.apply(event, run.strict);
            }
        }
    }
    model.breaches
}

/// What would be lost now. Each change has the line at which it was done.
#[derive(Debug, Default)]
struct Model {
    places: Places,
    /// Every path that is there.
    known: BTreeSet<String>,
    names: BTreeMap<String, usize>,
    bytes: BTreeMap<String, usize>,
    /// Names that were moved away or removed, and may come back.
    gone: BTreeMap<String, usize>,
    /// What became of the first transaction after the last change to a file.
    record: Record,
    serves: bool,
    breaches: Vec<String>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Record {
    #[default]
    None,
    Written,
    Safe,
}

impl Places {
    fn incomplete(&self) -> String {
        format!("{}/incomplete", self.data)
    }

    fn completed(&self) -> String {
        format!("{}/completed", self.data)
    }

    fn journal(&self) -> String {
        format!("{}-wal", self.database)
    }

    /// Whether it matters: not what is made anew at each start, and not what only tries the disk,
    /// by a name of its own or as a file without one, which strace calls by its number.
    fn matters(&self, path: &str) -> bool {
        let ours = [self.data.as_str(), folder(&self.database)];
        let is_unnamed = path.rsplit('/').next().is_some_and(|name| name.starts_with('#'));
        let within = ours.iter().any(|top| path.starts_with(&format!("{top}/")));
        within
            && !is_unnamed
            && !["-shm", "-journal", "/.probe"].iter().any(|end| path.ends_with(end))
    }
}

impl Model {
    /// Which point of the code this sync is.
    fn point(&self, event: &Event, rest: &[Event]) -> Option<Point> {
        let Step::Sync(path) = &event.step else { return None };
        let places = &self.places;
        let moved = |map: &BTreeMap<String, usize>| map.keys().any(|name| folder(name) == path);
        if *path == places.journal() {
            Some(Point::Journal)
        } else if *path == places.database {
            Some(Point::Database)
        } else if *path == folder(&places.database) {
            Some(Point::JournalName)
        } else if *path == places.data {
            Some(Point::Folders)
        } else if *path == places.incomplete() || *path == places.completed() {
            Some(match (self.serves, moved(&self.gone)) {
                (false, _) => Point::Start,
                (true, true) if *path == places.completed() => Point::RemovedName,
                (true, true) => Point::FormerName,
                (true, false) if *path == places.completed() => Point::PublishedName,
                (true, false) => Point::NewName,
            })
        } else if folder(path) == places.incomplete() {
            Some(if is_publishing(path, rest) { Point::PublishedBytes } else { Point::Bytes })
        } else {
            None
        }
    }

    fn apply(&mut self, event: &Event, strict: bool) {
        let at = event.ended;
        match &event.step {
            Step::Name(path) if self.places.matters(path) => {
                if self.known.insert(path.clone()) {
                    self.names.insert(path.clone(), at);
                }
            }
            Step::Write(path) if self.places.matters(path) => self.written(path, event),
            Step::Cut(path) if self.places.matters(path) => self.emptied(path, event),
            Step::Move(from, to) if self.places.matters(from) => self.moved(from, to, event),
            Step::Remove(path) if self.places.matters(path) => self.removed(path, event),
            Step::Sync(path) => self.synced(path, event.begun),
            Step::Serves => self.serves = true,
            Step::Answer(status) => self.answered(*status, strict, at),
            Step::Name(_) | Step::Write(_) | Step::Cut(_) | Step::Move(..) | Step::Remove(_) => {}
        }
    }

    fn written(&mut self, path: &str, event: &Event) {
        self.bytes.insert(path.to_owned(), event.ended);
        if path != self.places.journal() {
            self.record = Record::None;
            return;
        }
        if self.record == Record::None {
            self.record = Record::Written;
        }
        // Nothing is recorded that the folders may take back.
        let folders = [self.places.incomplete(), self.places.completed()];
        let completed = self.names.keys().filter(|name| folder(name) == folders[1]);
        for name in completed.chain(self.gone.keys()) {
            let line = event.begun;
            self.breaches.push(format!("line {line}: recorded before the name {name} is safe"));
        }
    }

    /// The journal may go once the database holds what was in it.
    fn emptied(&mut self, path: &str, event: &Event) {
        let database = self.places.database.clone();
        if path == self.places.journal() && self.bytes.contains_key(&database) {
            let line = event.begun;
            self.breaches.push(format!("line {line}: the journal goes before {database} is safe"));
        }
        self.bytes.insert(path.to_owned(), event.ended);
    }

    fn moved(&mut self, from: &str, to: &str, event: &Event) {
        if self.bytes.contains_key(from) {
            let line = event.begun;
            self.breaches.push(format!("line {line}: published before the bytes are safe: {from}"));
        }
        // A move inside a folder replaces its marker file, of which the catalog needs no record.
        let publishes = folder(from) != folder(to);
        // A file of which the catalog forgets everything would stay for ever.
        if publishes && self.record != Record::Safe {
            let line = event.begun;
            self.breaches.push(format!("line {line}: published before it is on record: {from}"));
        }
        self.known.remove(from);
        self.known.insert(to.to_owned());
        self.names.remove(from);
        self.names.insert(to.to_owned(), event.ended);
        self.gone.insert(from.to_owned(), event.ended);
        if publishes {
            self.record = Record::None;
        }
    }

    /// A removal has to last only where something is recorded of it: of published files.
    fn removed(&mut self, path: &str, event: &Event) {
        if path == self.places.journal() {
            self.emptied(path, event);
        }
        for map in [&mut self.names, &mut self.bytes] {
            map.remove(path);
        }
        self.known.remove(path);
        if folder(path) == self.places.completed() {
            self.gone.insert(path.to_owned(), event.ended);
        }
    }

    /// What was done before the sync began is safe.
    fn synced(&mut self, path: &str, begun: usize) {
        self.bytes.retain(|file, at| file != path || begun < *at);
        for map in [&mut self.names, &mut self.gone] {
            map.retain(|name, at| folder(name) != path || begun < *at);
        }
        if path == self.places.journal() && self.record == Record::Written {
            self.record = Record::Safe;
        }
    }

    /// 200 and 201 promise a chunk, if the server is strict; 201 promises the file in any case.
    fn answered(&mut self, status: u16, strict: bool, line: usize) {
        let promises = status == 201 || (strict && status == 200);
        if promises {
            let files =
                self.bytes.keys().filter(|path| folder(path).starts_with(&self.places.data));
            let bytes = files.map(|path| format!("the bytes of {path}"));
            let names = self.names.keys().map(|path| format!("the name {path}"));
            let record = (self.record != Record::Safe).then(|| "the record".to_owned());
            let unsafe_now: Vec<_> = bytes.chain(names).chain(record).collect();
            for what in unsafe_now {
                self.breaches.push(format!("line {line}: answered {status} before {what} is safe"));
            }
        }
        self.record = Record::None;
    }
}

/// Whether this sync is the last before the rename: nothing is written to the file in between.
fn is_publishing(path: &str, rest: &[Event]) -> bool {
    let renamed =
        rest.iter().position(|event| matches!(&event.step, Step::Move(p, _) if p == path));
    let Some(renamed) = renamed else { return false };
    !rest[..renamed].iter().any(|event| event.step == Step::Write(path.to_owned()))
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}
