//! What `verify` found, in words for people and in words for programs.

use std::{borrow::Cow, fmt, path::Path};

use serde::Serialize;

use crate::upload::{Creative, CreativeId, FileDigest, TrashId, UploadId, UploadRecord, escaped};

/// Something that is not as it should be, or not as one might expect.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Finding {
    /// Whether it is one, or only worth knowing.
    #[serde(skip)]
    pub(super) is_fault: bool,
    /// A stable word, for programs.
    code: &'static str,
    creative_id: Option<CreativeId>,
    upload_id: Option<UploadId>,
    /// Where the file is or should be.
    file: String,
    /// The client's name for it, as it came.
    filename: Option<String>,
    /// What is wrong.
    problem: String,
    /// What to do about it.
    action: Cow<'static, str>,
}

/// What is wrong with the file of a creative.
#[derive(Debug)]
pub(super) enum Damage {
    /// It is not there, but the trash may have it.
    Missing(Option<TrashId>),
    /// It has so many bytes.
    Size(u64),
    /// Its bytes hash to this.
    Digest(FileDigest),
    /// The system does not let it be read, and says why.
    Unreadable(String),
}

impl Finding {
    /// The file of a creative is not what it was when it was published.
    pub(super) fn damaged(creative: &Creative, file: &Path, damage: &Damage) -> Self {
        let (code, problem) = match damage {
            Damage::Missing(_) => ("missing_file", "the file is not there".into()),
            Damage::Size(len) => {
                let size = creative.size;
                ("wrong_size", format!("the file has {len} bytes and should have {size}"))
            }
            Damage::Digest(found) => {
                let should = creative.digest;
                let code =
                    if found.sha256 == should.sha256 { "wrong_blake3" } else { "wrong_sha256" };
                (code, format!("the file hashes to {found}, not to {should}"))
            }
            Damage::Unreadable(why) => {
                ("unreadable_file", format!("the file cannot be read: {why}"))
            }
        };
        let action = match damage {
            Damage::Missing(Some(id)) => format!(
                "a file of its name is in the trash: start the server, which brings it back, or \
                 use `flowstitch trash restore {id}` while it runs"
            )
            .into(),
            Damage::Unreadable(_) => {
                Cow::from("look at the disk, and whether this user may read the file")
            }
            Damage::Missing(None) | Damage::Size(_) | Damage::Digest(_) => {
                "restore the file from a backup, or delete the creative".into()
            }
        };
        let mut fault = Self::new(true, code, file, problem, action);
        fault.creative_id = Some(creative.id);
        fault.filename = Some(creative.filename.as_str().to_owned());
        fault
    }

    /// A finished file that nothing in the catalog speaks of.
    pub(super) fn foreign(id: Option<CreativeId>, file: &Path) -> Self {
        let problem = "no creative has this file: it may be newer than the database".into();
        let action = "keep it: if there is a newer copy of the database, restore that; if not, \
                      copy the file to its owner before you move it out of the folder";
        Self { creative_id: id, ..Self::new(true, "foreign_file", file, problem, action) }
    }

    /// The finished file of an upload that is not finished by the catalog's account.
    pub(super) fn unrecorded(id: CreativeId, file: &Path) -> Self {
        let problem = "its upload was finished, but the database is older and does not know of it";
        let action = "start the server, or let it run: it reads the file and records it; do not \
                      delete it";
        let fault = Self::new(true, "unrecorded_file", file, problem.into(), action);
        Self { creative_id: Some(id), ..fault }
    }

    /// A file in the trash of which nothing is known.
    pub(super) fn unknown_trash(file: &Path, why: &str) -> Self {
        let problem = format!("the note about this file in the trash cannot be read: {why}");
        let action = "copy it out with `flowstitch trash restore ID --output FILE`, where ID is \
                      how its name begins";
        Self::new(true, "unknown_trash", file, problem, action)
    }

    /// Ranges of a running upload are recorded and their bytes are gone.
    pub(super) fn lost(record: &UploadRecord, file: &Path, len: Option<u64>, end: u64) -> Self {
        let (code, problem) = match len {
            None => ("missing_part", "its bytes are not there".into()),
            Some(len) => {
                ("short_part", format!("its file has {len} bytes and should have {end} or more"))
            }
        };
        let action = "nothing: the server asks the client for the bytes again; cancel the upload \
                      if nobody sends them";
        let mut fault = Self::new(true, code, file, problem, action);
        fault.upload_id = Some(record.id);
        fault.filename = Some(record.filename.as_str().to_owned());
        fault
    }

    /// Bytes of an upload that is not running: while a session is open it may be a first chunk
    /// under way. A start removes what is left of one that has ended, and sets aside the rest.
    pub(super) fn stray(id: UploadId, file: &Path, has_ended: bool, session_is_open: bool) -> Self {
        let problem = if has_ended {
            "no running upload owns these bytes: it has ended".into()
        } else {
            "no running upload owns these bytes: they may be newer than the database".into()
        };
        let action = match (has_ended, session_is_open) {
            (true, _) => "start the server, which removes them",
            (false, true) => {
                "nothing: a first chunk may be under way, and the next start moves what is left \
                 over to the trash"
            }
            (false, false) => {
                "if there is a newer copy of the database, restore that before you start the \
                 server; if not, start it: it moves them to the trash"
            }
        };
        let fault = Self::new(!session_is_open, "stray_part", file, problem, action);
        Self { upload_id: Some(id), ..fault }
    }

    /// Something else in the folder of uploads.
    pub(super) fn alien(file: &Path) -> Self {
        let problem = "it is none of the server's files".into();
        Self::new(false, "alien_file", file, problem, "move it elsewhere")
    }

    /// Something that is no file in one of the folders.
    pub(super) fn odd(file: &Path) -> Self {
        let problem = "it is no file, but a folder, a link or the like".into();
        Self::new(false, "odd_entry", file, problem, "move it elsewhere")
    }

    fn new(
        is_fault: bool,
        code: &'static str,
        file: &Path,
        problem: String,
        action: impl Into<Cow<'static, str>>,
    ) -> Self {
        let (file, action) = (file.display().to_string(), action.into());
        let (creative_id, upload_id, filename) = (None, None, None);
        Self { is_fault, code, creative_id, upload_id, file, filename, problem, action }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_fault { "fault: " } else { "note: " })?;
        if let Some(id) = self.creative_id {
            write!(f, "creative {id} ")?;
        }
        if let Some(id) = self.upload_id {
            write!(f, "upload {id} ")?;
        }
        if let Some(name) = &self.filename {
            write!(f, "\"{}\" ", escaped(name))?;
        }
        let (file, problem) = (escaped(&self.file), &self.problem);
        write!(f, "({file}): {problem}; {}", self.action)
    }
}
