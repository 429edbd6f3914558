//! What our files are called: made of our own ids alone.

use super::PublishedName;
use crate::upload::UploadId;

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

    /// The upload that is written at this name; nothing for any other name.
    pub(super) fn to_upload(text: &str) -> Option<UploadId> {
        text.strip_suffix(".part")?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        let id = UploadId::new();
        assert_eq!(Name::to_upload(&Name::of_upload(id).0), Some(id));
        for other in [".part", "x.part", ".probe", &id.to_string(), &format!("{id}.part.part")] {
            assert_eq!(Name::to_upload(other), None, "{other}");
        }
    }
}
