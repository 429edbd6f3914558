//! What is in a backup: a text of one JSON document a line, written as the files are copied.
//!
//! The first line says what it is, the last line that it is whole. So neither side of it holds more
//! than a line in memory.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::vault::FINISHED;
use crate::{
    store::{PublishedName, name::Name},
    upload::limits::MANIFEST_LINE_LEN_MAX,
};

/// The version of what is written here.
const VERSION: u32 = 1;

/// Of what and when a backup is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The format; a program refuses those that it does not know.
    pub version: u32,
    /// Tells this backup from others.
    pub id: String,
    /// Whose data it has, if that is known.
    pub deployment: Option<String>,
    /// When the cut was made (RFC 3339).
    pub created_at: String,
    /// The program that wrote it.
    pub program: String,
}

impl Header {
    /// Of a backup that this program writes.
    #[must_use]
    pub fn new(id: String, deployment: Option<String>, created_at: String) -> Self {
        let program = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).into();
        Self { version: VERSION, id, deployment, created_at, program }
    }
}

/// A file of a backup, by its place there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Entry {
    /// The snapshot of the catalog.
    Catalog {
        /// Where it is.
        file: String,
        /// Its length in bytes.
        size: u64,
        /// Its BLAKE3 in hex.
        blake3: Option<String>,
    },
    /// A finished file.
    Finished {
        /// Where it is.
        file: String,
        /// Its length in bytes.
        size: u64,
        /// Its SHA-256 in hex, if it was taken.
        sha256: Option<String>,
        /// Its BLAKE3 in hex, if it was taken.
        blake3: Option<String>,
    },
    /// The bytes of a running upload.
    Part {
        /// Where it is.
        file: String,
        /// Its length in bytes.
        size: u64,
    },
}

impl Entry {
    /// Where the file is, and how long.
    #[must_use]
    pub fn place(&self) -> (&str, u64) {
        match self {
            Self::Catalog { file, size, .. }
            | Self::Finished { file, size, .. }
            | Self::Part { file, size } => (file, *size),
        }
    }

    /// Whether the place is one of those that backups have: no name in a manifest that somebody has
    /// changed leads out of the folder of the backup.
    fn has_own_place(&self) -> bool {
        let is_id = |text: &str| text.parse::<Uuid>().is_ok();
        let place = self.place().0;
        match self {
            Self::Catalog { .. } => {
                let id = place.strip_prefix("catalog-").and_then(|rest| rest.strip_suffix(".db"));
                id.is_some_and(is_id)
            }
            Self::Finished { .. } => {
                let name = place.strip_prefix(FINISHED).and_then(|rest| rest.strip_prefix('/'));
                name.and_then(PublishedName::parse).is_some()
            }
            Self::Part { .. } => {
                let rest = place.strip_prefix("parts-").and_then(|rest| rest.split_once('/'));
                rest.is_some_and(|(id, name)| is_id(id) && Name::to_upload(name).is_some())
            }
        }
    }

    /// The SHA-256 and the BLAKE3 of the file in hex, as far as they were taken.
    #[must_use]
    pub fn digests(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Self::Catalog { blake3, .. } => (None, blake3.as_deref()),
            Self::Finished { sha256, blake3, .. } => (sha256.as_deref(), blake3.as_deref()),
            // The catalog knows the checksums of what was received.
            Self::Part { .. } => (None, None),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Header { backup: Header },
    End { end: u64 },
    Entry(Entry),
}

/// Why a manifest is none.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It cannot be read.
    #[error("cannot read the manifest")]
    Io(#[from] io::Error),
    /// It does not end as it should.
    #[error("the manifest is not whole: it was cut off or changed")]
    CutOff,
    /// A line is not one of ours.
    #[error("line {0} of the manifest cannot be understood: it was changed")]
    Malformed(u64),
    /// A newer program wrote it.
    #[error("it has version {0}, and this program knows none above {VERSION}: use the newer one")]
    Version(u32),
}

pub(super) struct Writer<W> {
    to: W,
    entries: u64,
}

impl<W: Write> Writer<W> {
    pub(super) fn begin(to: W, header: &Header) -> io::Result<Self> {
        let mut writer = Self { to, entries: 0 };
        writer.line(&Line::Header { backup: header.clone() })?;
        Ok(writer)
    }

    pub(super) fn add(&mut self, entry: Entry) -> io::Result<()> {
        self.entries += 1;
        self.line(&Line::Entry(entry))
    }

    pub(super) fn end(mut self) -> io::Result<W> {
        let end = self.entries;
        self.line(&Line::End { end })?;
        self.to.flush()?;
        Ok(self.to)
    }

    fn line(&mut self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.to.write_all(&text)
    }
}

/// Reads a manifest: its header at once, then an entry at a time.
pub(super) struct Reader<R> {
    from: R,
    pub(super) header: Header,
    number: u64,
    entries: u64,
    ended: bool,
}

impl<R: BufRead> Reader<R> {
    pub(super) fn begin(mut from: R) -> Result<Self, ManifestError> {
        let Line::Header { backup: header } = line(&mut from, 1)?.ok_or(ManifestError::CutOff)?
        else {
            return Err(ManifestError::Malformed(1));
        };
        if VERSION < header.version {
            return Err(ManifestError::Version(header.version));
        }
        Ok(Self { from, header, number: 1, entries: 0, ended: false })
    }

    fn read(&mut self) -> Result<Option<Entry>, ManifestError> {
        self.number += 1;
        match line(&mut self.from, self.number)? {
            Some(Line::Entry(entry)) if entry.has_own_place() => {
                self.entries += 1;
                Ok(Some(entry))
            }
            Some(Line::End { end }) if end == self.entries => Ok(None),
            Some(Line::End { .. }) | None => Err(ManifestError::CutOff),
            Some(Line::Header { .. } | Line::Entry(_)) => {
                Err(ManifestError::Malformed(self.number))
            }
        }
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Entry, ManifestError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.read().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

fn line(from: &mut impl BufRead, number: u64) -> Result<Option<Line>, ManifestError> {
    let mut text = String::new();
    let most = MANIFEST_LINE_LEN_MAX;
    if io::Read::take(from, most).read_line(&mut text)? == 0 {
        return Ok(None);
    }
    if !text.ends_with('\n') {
        return Err(ManifestError::CutOff);
    }
    serde_json::from_str(&text).map(Some).map_err(|_| ManifestError::Malformed(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "5f0c7a52-8c3b-4a5e-9a57-0d5d8f2f7a10";

    fn part(file: &str) -> Entry {
        Entry::Part { file: file.into(), size: 7 }
    }

    fn of(entry: Entry) -> Vec<u8> {
        let header = Header::new(ID.into(), None, "2026-12-01T00:00:00Z".into());
        let mut writer = Writer::begin(Vec::new(), &header).expect("memory");
        writer.add(entry).expect("memory");
        writer.end().expect("memory")
    }

    fn written() -> Vec<u8> {
        of(part(&format!("parts-{ID}/{ID}.part")))
    }

    fn read(bytes: &[u8]) -> Result<Vec<Entry>, ManifestError> {
        Reader::begin(bytes)?.collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let entries = read(&written()).expect("whole");
        assert_eq!(entries, [part(&format!("parts-{ID}/{ID}.part"))]);
    }

    #[test]
    fn a_place_outside_of_the_backup_is_refused() {
        let finished =
            |file: &str| Entry::Finished { file: file.into(), size: 7, sha256: None, blake3: None };
        read(&of(finished(&format!("completed/{ID}.png")))).expect("one of ours");
        let catalog = |file: &str| Entry::Catalog { file: file.into(), size: 7, blake3: None };
        read(&of(catalog(&format!("catalog-{ID}.db")))).expect("one of ours");
        for entry in [
            part("../a.part"),
            part(&format!("parts-{ID}/../{ID}.part")),
            part(&format!("parts-{ID}/.ssh")),
            finished(&format!("{ID}.png")),
            finished("completed/../manifest.jsonl"),
            catalog("/etc/passwd"),
            catalog("catalog-/../x.db"),
        ] {
            let refused = read(&of(entry.clone()));
            assert!(matches!(refused, Err(ManifestError::Malformed(2))), "{entry:?}");
        }
    }

    #[test]
    fn one_that_was_cut_off_anywhere_is_noticed() {
        let whole = written();
        for len in 0..whole.len() {
            assert!(read(&whole[..len]).is_err(), "{len} bytes of {}", whole.len());
        }
        // A line in the middle is gone.
        let text = String::from_utf8(whole).expect("text");
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let short = [lines[0], lines[2]].concat();
        assert!(matches!(read(short.as_bytes()), Err(ManifestError::CutOff)));
    }

    #[test]
    fn a_newer_one_is_refused() {
        let text = String::from_utf8(written()).expect("text");
        let newer = text.replace("\"version\":1", "\"version\":2");
        assert!(matches!(read(newer.as_bytes()), Err(ManifestError::Version(2))));
    }
}
