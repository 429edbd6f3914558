//! `flowstitch trash`: what was set aside, and the ways back.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

use serde::Serialize;

use super::{
    Data, Failure, control,
    control::{Answer, target},
    counted, refuse, table, tell,
    users::told,
};
use crate::{
    config::{Config, TrashCommand},
    http::control::{EmptiedBody, RestoredBody},
    store::{Origin, Trashed},
    upload::{TrashId, TrashNote, escaped, limits::READ_LEN_MAX},
};

/// A file in the trash, as it is listed.
#[derive(Debug, Serialize)]
struct Entry {
    id: TrashId,
    /// Whether it is a finished file.
    finished: bool,
    /// Where it lies, below the trash folder.
    file: String,
    trashed_at: String,
    /// Its length; nothing if only the note about it is here.
    bytes: Option<u64>,
    occupied_bytes: u64,
    /// All that was known of it; nothing if that is lost.
    known: Option<TrashNote>,
}

/// `flowstitch trash …`. Returns whether it was done.
pub async fn trash(config: &Config, command: &TrashCommand) -> Result<bool, Failure> {
    match command {
        TrashCommand::List { limit, json } => list(config, *limit, *json).await,
        TrashCommand::Restore { id, output: Some(path), json, .. } => {
            copy(config, *id, path, *json).await
        }
        TrashCommand::Restore { id, to, json, .. } => {
            let id = id.to_string();
            let mut parameters = vec![("id", id.as_str())];
            parameters.extend(to.as_ref().map(|to| ("to", to.as_str())));
            let target = target("/trash/restore", &parameters);
            told(control::post::<RestoredBody>(config, &target).await?, in_words, *json)
        }
        TrashCommand::Empty { older_than, json } => {
            let seconds = older_than.map(|span| span.0.as_secs().to_string());
            let parameters: Vec<_> =
                seconds.iter().map(|seconds| ("older_than", seconds.as_str())).collect();
            let answer: Answer<EmptiedBody> =
                control::post(config, &target("/trash/empty", &parameters)).await?;
            let words = |it: &EmptiedBody| {
                let bytes = bytesize::ByteSize(it.bytes);
                format!("removed {} ({bytes}) for good\n", counted(it.files, "file"))
            };
            told(answer, words, *json)
        }
    }
}

fn in_words(restored: &RestoredBody) -> String {
    match (restored.creative_id, &restored.user_id, restored.upload_id) {
        (Some(id), user, _) => {
            let user = escaped(user.as_deref().unwrap_or_default());
            format!("brought back creative {id} of {user}, {} bytes\n", restored.bytes)
        }
        (None, _, Some(id)) => {
            format!("brought back the file of upload {id}: {} bytes count\n", restored.bytes)
        }
        (None, _, None) => "brought back\n".into(),
    }
}

async fn list(config: &Config, limit: usize, as_json: bool) -> Result<bool, Failure> {
    let data = Arc::new(Data::open(config)?);
    let (total, entries) = data
        .blocking(move |data| {
            let trash = data.files.trash()?;
            let shown = trash.iter().rev().take(limit);
            Ok((trash.len(), shown.map(|trashed| describe(data, trashed)).collect::<Vec<_>>()))
        })
        .await?;
    let document = serde_json::json!({ "files": entries, "total": total });
    tell(&document, |_| as_table(&entries, total), as_json)?;
    Ok(true)
}

fn describe(data: &Data, trashed: &Trashed) -> Entry {
    let note = data.files.read_note(&trashed.key).ok();
    Entry {
        id: trashed.key.id,
        finished: matches!(trashed.key.origin, Origin::Completed(_)),
        file: trashed.key.to_string(),
        trashed_at: trashed.key.id.time().to_string(),
        bytes: trashed.len,
        occupied_bytes: trashed.occupied,
        known: note.and_then(|note| TrashNote::parse(&note)),
    }
}

fn as_table(entries: &[Entry], total: usize) -> String {
    let head = ["ID", "SINCE", "WHAT", "BYTES", "USER", "NAME", "WHY"].map(str::to_owned);
    let none = || "-".to_owned();
    let row = |entry: &Entry| {
        let known = entry.known.as_ref();
        [
            entry.id.to_string(),
            super::uploads::seconds(entry.id.time()),
            if entry.finished { "file".into() } else { "part".into() },
            entry.bytes.map_or_else(none, |bytes| bytes.to_string()),
            known.and_then(|it| it.user_id.as_deref()).map_or_else(none, escaped),
            known
                .and_then(|it| it.filename.as_deref())
                .map_or_else(none, |name| table::shortened(name, 40)),
            known.map_or_else(|| "nothing is known of it".into(), |it| it.reason.to_string()),
        ]
    };
    let rows: Vec<_> = [head].into_iter().chain(entries.iter().map(row)).collect();
    let rest = total - entries.len();
    let more = if rest == 0 {
        String::new()
    } else {
        format!("and {}\n", counted(rest as u64, "more file"))
    };
    table::aligned(&rows, &[3]) + &more
}

/// Writes the bytes of a file to a new one of the operator's. Returns whether there is such a file.
async fn copy(config: &Config, id: TrashId, to: &Path, as_json: bool) -> Result<bool, Failure> {
    let (data, path) = (Arc::new(Data::open(config)?), to.to_owned());
    let copied = data
        .blocking(move |data| {
            let trash = data.files.trash()?;
            let Some(found) = trash.into_iter().find(|trashed| trashed.key.id == id) else {
                return Ok(None);
            };
            let Some(len) = found.len else { return Ok(None) };
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            let (mut buffer, mut offset) = (vec![0; READ_LEN_MAX], 0);
            while offset < len {
                let step = usize::try_from(len - offset).unwrap_or(READ_LEN_MAX).min(READ_LEN_MAX);
                data.files.read_trashed(&found.key, offset, &mut buffer[..step])?;
                file.write_all(&buffer[..step])?;
                offset += step as u64;
            }
            file.sync_all()?;
            Ok::<_, Failure>(Some(len))
        })
        .await;
    let copied = match copied {
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::AlreadyExists => {
            let why = format!("{} is there already: name a file that is not.", to.display());
            return refuse(&why, as_json).map(|()| false);
        }
        copied => copied?,
    };
    let Some(bytes) = copied else {
        let why = "Nothing in the trash has this id: `flowstitch trash list` shows what is there.";
        return refuse(why, as_json).map(|()| false);
    };
    let file = to.display().to_string();
    let document = serde_json::json!({ "file": file, "bytes": bytes });
    let words = |_: &serde_json::Value| format!("wrote {bytes} bytes to {}\n", escaped(&file));
    tell(&document, words, as_json).map(|()| true)
}
