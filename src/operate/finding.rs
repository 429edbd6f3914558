//! What `verify` found, in words for people and in words for programs.

use std::{fmt, path::Path};

use serde::Serialize;

use crate::upload::{Creative, CreativeId, FileDigest, UploadId, UploadRecord, escaped};

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
    action: &'static str,
}

/// What is wrong with the file of a creative.
#[derive(Debug)]
pub(super) enum Damage {
    /// It is not there.
    Missing,
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
            Damage::Missing => ("missing_file", "the file is not there".into()),
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
            Damage::Unreadable(_) => "look at the disk, and whether this user may read the file",
            Damage::Missing | Damage::Size(_) | Damage::Digest(_) => {
                "restore the file from a backup, or delete the creative"
            }
        };
        let mut fault = Self::new(true, code, file, problem, action);
        fault.creative_id = Some(creative.id);
        fault.filename = Some(creative.filename.as_str().to_owned());
        fault
    }

    /// A finished file that nothing in the catalog speaks of.
    pub(super) fn foreign(id: Option<CreativeId>, file: &Path) -> Self {
        let problem = "no creative has this file".into();
        let action = "move it elsewhere, or delete it; if a creative was lost, restore the \
                      database from a backup";
        Self { creative_id: id, ..Self::new(true, "foreign_file", file, problem, action) }
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
    /// under way, or what a crash left, which the next start removes.
    pub(super) fn stray(id: UploadId, file: &Path, session_is_open: bool) -> Self {
        let problem = "no running upload owns these bytes".into();
        let action = if session_is_open {
            "nothing: a first chunk may be under way, and the next start removes what is left over"
        } else {
            "start the server, which removes them"
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
        action: &'static str,
    ) -> Self {
        let file = file.display().to_string();
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
