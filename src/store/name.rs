//! What our files are called: made of our own ids alone.

use super::{Origin, PublishedName, TrashKey};
use crate::upload::{Day, UploadId};

/// How the name of a note ends that lies beside a file in the trash.
const NOTE: &str = ".json";

/// The name of a file that we keep: the only names that a [`Folder`] takes.
#[derive(Debug)]
pub(super) struct Name(pub(super) String);

impl Name {
    /// Where an upload is written.
    pub(super) fn of_upload(upload: UploadId) -> Self {
        Self(format!("{upload}.part"))
    }

    /// Where a finished file lies.
    pub(super) fn of_published(name: &PublishedName) -> Self {
        Self(name.to_string())
    }

    /// What is written to try out a folder. No upload and no finished file has this name.
    pub(super) fn of_probe() -> Self {
        Self(".probe".into())
    }

    /// Where the mark of a deployment stands. Hidden, so that it is in no list.
    pub(super) fn of_mark() -> Self {
        Self(".flowstitch-deployment".into())
    }

    /// Where a mark is written before it takes the place of the former one.
    pub(super) fn of_next_mark() -> Self {
        Self(".flowstitch-deployment.next".into())
    }

    /// What stands in a folder's own listing, whoever put it there.
    pub(super) fn of_entry(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// Where a file was before it was set aside.
    pub(super) fn of_origin(origin: &Origin) -> Self {
        match origin {
            Origin::Incomplete(upload) => Self::of_upload(*upload),
            Origin::Completed(name) => Self::of_published(name),
        }
    }

    /// Where a file lies that was set aside.
    pub(super) fn of_trashed(key: &TrashKey) -> Self {
        Self(format!("{}.{}", key.id, Self::of_origin(&key.origin).0))
    }

    /// Where the note about it lies.
    pub(super) fn of_note(key: &TrashKey) -> Self {
        Self(Self::of_trashed(key).0 + NOTE)
    }

    /// The folder of what was set aside on this day.
    pub(super) fn of_day(day: Day) -> Self {
        Self(day.to_string())
    }

    /// What was set aside under this name, and whether the name is that of the note about it;
    /// nothing for any other name.
    pub(super) fn to_trashed(text: &str) -> Option<(TrashKey, bool)> {
        let file = |text: &str| {
            let (id, rest) = text.split_once('.')?;
            let origin = match Self::to_upload(rest) {
                Some(upload) => Origin::Incomplete(upload),
                None => Origin::Completed(PublishedName::parse(rest)?),
            };
            Some(TrashKey { id: id.parse().ok()?, origin })
        };
        // A finished file may end like a note does, but a note has the ending once more.
        let note = text.strip_suffix(NOTE).and_then(file).map(|key| (key, true));
        note.or_else(|| file(text).map(|key| (key, false)))
    }

    /// The upload that is written at this name; nothing for any other name.
    pub(super) fn to_upload(text: &str) -> Option<UploadId> {
        text.strip_suffix(".part")?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upload::{CreativeId, FileName, TrashId};

    #[test]
    fn a_name_in_the_trash_tells_the_file_from_its_note() {
        for filename in ["a.png", "a.json", "a"] {
            let filename = FileName::new(filename).expect("short");
            let name = PublishedName::new(CreativeId::new(), &filename);
            for origin in [Origin::Completed(name), Origin::Incomplete(UploadId::new())] {
                let key = TrashKey { id: TrashId::new(), origin };
                let (file, note) = (Name::of_trashed(&key).0, Name::of_note(&key).0);
                assert_eq!(Name::to_trashed(&note), Some((key.clone(), true)));
                assert_eq!(Name::to_trashed(&file), Some((key, false)));
            }
        }
        for other in ["", ".json", "x.part", &format!("{}.x.png", TrashId::new())] {
            assert_eq!(Name::to_trashed(other), None, "{other}");
        }
    }

    #[test]
    fn a_name_is_read_as_it_is_written() {
        let id = UploadId::new();
        assert_eq!(Name::to_upload(&Name::of_upload(id).0), Some(id));
        for other in [".part", "x.part", ".probe", &id.to_string(), &format!("{id}.part.part")] {
            assert_eq!(Name::to_upload(other), None, "{other}");
        }
    }
}
