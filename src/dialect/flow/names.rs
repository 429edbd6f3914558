//! What a request calls its file.
//!
//! How the fields fill in for each other:
//!
//! * Without `flowRelativePath`: `flowFilename`, else the last component of `flowIdentifier`.
//! * Without `flowIdentifier`: the relative path as it stands. flow.js's own rule deletes
//!   characters, and so makes different files one.
//! * Without `flowFilename`: the last component of `flowRelativePath`, else the name of the file's
//!   part, else the last component of `flowIdentifier`.

use super::{
    fields::{Field, FlowFields},
    rejection::Rejection,
};
use crate::upload::{FileName, Identity, Plan, Principal};

/// What a request calls its file, with nothing missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    identifier: String,
    relative_path: String,
    pub(super) filename: FileName,
}

impl Names {
    /// The identity of the file that has these names and is cut like this.
    pub(super) fn identity(
        &self,
        principal: &Principal,
        plan: Plan,
    ) -> Result<Identity, Rejection> {
        Identity::new(principal.clone(), &*self.identifier, &*self.relative_path, plan)
            .map_err(|error| Field::Identifier.invalid(format!("is too long: {error}")))
    }
}

impl FlowFields {
    /// The names of the file, of which one at least must be there.
    pub(super) fn names(&self) -> Result<Names, Rejection> {
        let identifier = self.get(Field::Identifier);
        let filename = self.get(Field::Filename);
        let path = self.get(Field::RelativePath);
        let Some(relative_path) = path.or(filename).or(identifier.map(last_component)) else {
            let what = "is missing, and `flowFilename`, too: name the file by one of them";
            return Err(Field::Identifier.invalid(what));
        };
        let filename = filename.or(path.map(last_component)).or(self.part_filename());
        Ok(Names {
            identifier: one_newline(identifier.unwrap_or(relative_path)),
            relative_path: one_newline(relative_path),
            filename: FileName::new(filename.unwrap_or(relative_path))
                .map_err(|error| Field::Filename.invalid(format!("is too long: {error}")))?,
        })
    }
}

/// The text with every line break as one LF.
///
/// A form turns each break inside a value into CRLF, a query string does not. Without this the
/// probe and the post of a file with a line break in its name would be of two uploads.
pub(super) fn one_newline(text: &str) -> String {
    if !text.contains('\r') {
        return text.to_owned();
    }
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// The last component of a path that is no path of ours: `/` separates, as flow.js has it.
fn last_component(path: &str) -> &str {
    path.rsplit('/').find(|component| !component.is_empty()).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Identifier, relative path and file name of a query.
    fn names(query: &str) -> [String; 3] {
        let mut fields = FlowFields::from_query(query).expect("a good query");
        fields.suggest_filename("part.png");
        let names = fields.names().expect("a name");
        [names.identifier, names.relative_path, names.filename.as_str().into()]
    }

    #[test]
    fn names_fill_in_for_each_other() {
        for (query, expected) in [
            ("flowIdentifier=i&flowFilename=f&flowRelativePath=d/r", ["i", "d/r", "f"]),
            ("flowIdentifier=i&flowFilename=f", ["i", "f", "f"]),
            ("flowIdentifier=i&flowRelativePath=d/r", ["i", "d/r", "r"]),
            ("flowFilename=f&flowRelativePath=d/r", ["d/r", "d/r", "f"]),
            ("flowFilename=a b.c", ["a b.c", "a b.c", "a b.c"]),
            ("flowRelativePath=d/e//", ["d/e//", "d/e//", "e"]),
            ("flowIdentifier=../i", ["../i", "i", "part.png"]),
            ("flowIdentifier=/", ["/", "/", "part.png"]),
        ] {
            assert_eq!(names(query), expected, "{query}");
        }
        let nameless = FlowFields::from_query("flowChunkNumber=1").expect("a good query");
        let rejection = nameless.names().expect_err("no name");
        assert_eq!(rejection.code, "invalid_identifier");
    }

    #[test]
    fn a_line_break_is_the_same_in_a_query_and_in_a_form() {
        let probe = names("flowFilename=a%0Ab.txt");
        let post = names("flowFilename=a%0D%0Ab.txt");
        assert_eq!(probe[..2], post[..2]);
        assert_eq!(post[2], "a\r\nb.txt", "the name is kept as it came");
    }

    #[test]
    fn the_name_of_the_part_may_be_too_long() {
        let mut fields = FlowFields::from_query("flowIdentifier=i").expect("a good query");
        fields.suggest_filename(&"x".repeat(crate::upload::limits::NAME_LEN_MAX + 1));
        assert_eq!(fields.names().expect_err("too long").code, "invalid_filename");
    }
}
