//! The fields of flow.js as texts, wherever in the request they stood.
//!
//! Rules that hold for all of them:
//!
//! * An empty value is no value: the field counts as missing. Only an empty `flowIdentifier` is
//!   refused: a program that names files by it has no name for this one, and two files without a
//!   name would be one upload.
//! * The same field twice in one place, with different values, is refused: one of the two would be
//!   obeyed in silence, and nobody could say which.
//! * Unknown names are ignored, but they count.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::rejection::{Rejection, quote};
use crate::upload::limits;

/// A field that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    ChunkNumber,
    ChunkSize,
    CurrentChunkSize,
    TotalSize,
    Identifier,
    Filename,
    RelativePath,
    TotalChunks,
    ScheduledAt,
    Sha256,
    ChunkSha256,
    Ticket,
    FromChunk,
}

impl Field {
    pub(super) const ALL: [Self; 13] = [
        Self::ChunkNumber,
        Self::ChunkSize,
        Self::CurrentChunkSize,
        Self::TotalSize,
        Self::Identifier,
        Self::Filename,
        Self::RelativePath,
        Self::TotalChunks,
        Self::ScheduledAt,
        Self::Sha256,
        Self::ChunkSha256,
        Self::Ticket,
        Self::FromChunk,
    ];

    /// Its name in a request.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ChunkNumber => "flowChunkNumber",
            Self::ChunkSize => "flowChunkSize",
            Self::CurrentChunkSize => "flowCurrentChunkSize",
            Self::TotalSize => "flowTotalSize",
            Self::Identifier => "flowIdentifier",
            Self::Filename => "flowFilename",
            Self::RelativePath => "flowRelativePath",
            Self::TotalChunks => "flowTotalChunks",
            Self::ScheduledAt => "scheduled_at",
            Self::Sha256 => "sha256",
            Self::ChunkSha256 => "chunk_sha256",
            Self::Ticket => "ticket",
            Self::FromChunk => "from_chunk",
        }
    }

    /// The code of a rejection on its account.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::ChunkNumber => "invalid_chunk_number",
            Self::ChunkSize => "invalid_chunk_size",
            Self::CurrentChunkSize => "invalid_current_chunk_size",
            Self::TotalSize => "invalid_total_size",
            Self::Identifier => "invalid_identifier",
            Self::Filename => "invalid_filename",
            Self::RelativePath => "invalid_relative_path",
            Self::TotalChunks => "invalid_total_chunks",
            Self::ScheduledAt => "invalid_scheduled_at",
            Self::Sha256 => "invalid_sha256",
            Self::ChunkSha256 => "invalid_chunk_sha256",
            Self::Ticket => "invalid_ticket",
            Self::FromChunk => "invalid_from_chunk",
        }
    }

    /// A rejection on its account; `what` follows the name of the field.
    pub(super) fn invalid(self, what: impl AsRef<str>) -> Rejection {
        Rejection::malformed(self.code(), format!("`{}` {}", self.name(), what.as_ref()))
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }

    /// Whether this value says that the field is missing. flow.js makes a string of anything that
    /// an application's `query` function gives it, so what it leaves out may come as `undefined`.
    fn is_missing(self, value: &str) -> bool {
        let optional = matches!(
            self,
            Self::ScheduledAt | Self::Sha256 | Self::ChunkSha256 | Self::Ticket | Self::FromChunk
        );
        value.is_empty() || (optional && matches!(value, "undefined" | "null"))
    }
}

/// What a request says in the fields that we know, as texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlowFields {
    texts: [Option<String>; Field::ALL.len()],
    part_filename: Option<String>,
}

impl FlowFields {
    /// The fields of a query string.
    ///
    /// Percent-encoded bytes of a known field that are not UTF-8 are refused. A real U+FFFD is
    /// welcome: browsers send it for half a surrogate pair in the name of a file.
    pub fn from_query(query: &str) -> Result<Self, Rejection> {
        let mut fields = Self::default();
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        for (index, pair) in pairs.enumerate() {
            if limits::FIELD_COUNT_MAX <= index {
                let detail = format!("a query may have at most {} fields", limits::FIELD_COUNT_MAX);
                return Err(Rejection::malformed("invalid_query", detail));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if let Some(field) = decode(name).and_then(|name| Field::named(&name)) {
                let not_utf8 = || field.invalid("is not UTF-8");
                fields.put(field, decode(value).ok_or_else(not_utf8)?.into_owned())?;
            }
        }
        Ok(fields)
    }

    /// Takes in one field of a form.
    pub fn set(&mut self, name: &str, value: String) -> Result<(), Rejection> {
        Field::named(name).map_or(Ok(()), |field| self.put(field, value))
    }

    /// These fields, and where they are missing, those of the query: a form wins.
    #[must_use]
    pub fn over(self, mut query: Self) -> Self {
        for (text, under) in self.texts.into_iter().zip(&mut query.texts) {
            if text.is_some() {
                *under = text;
            }
        }
        Self { part_filename: self.part_filename.or(query.part_filename), ..query }
    }

    /// What the file's own part of the form calls it. Used for the name of the file if no field
    /// has one, and never for its identity: a probe has no such part.
    pub fn suggest_filename(&mut self, filename: &str) {
        self.part_filename = Some(filename.to_owned()).filter(|name| !name.is_empty());
    }

    /// The ticket with which its sender comes, if it is among the fields.
    pub(super) fn ticket(&self) -> Option<&str> {
        self.get(Field::Ticket)
    }

    pub(super) fn get(&self, field: Field) -> Option<&str> {
        self.texts[field as usize].as_deref()
    }

    pub(super) fn part_filename(&self) -> Option<&str> {
        self.part_filename.as_deref()
    }

    fn put(&mut self, field: Field, value: String) -> Result<(), Rejection> {
        if limits::FIELD_LEN_MAX < value.len() {
            let what = format!("may be at most {} bytes long", limits::FIELD_LEN_MAX);
            return Err(field.invalid(what));
        }
        if field.is_missing(&value) {
            return match field {
                Field::Identifier => Err(field.invalid(
                    "is empty: give each file an identifier of its own, or leave the field out",
                )),
                _ => Ok(()),
            };
        }
        match &self.texts[field as usize] {
            Some(other) if *other != value => {
                let (one, two) = (quote(other), quote(&value));
                Err(field.invalid(format!("is there twice: as {one} and as {two}")))
            }
            _ => {
                self.texts[field as usize] = Some(value);
                Ok(())
            }
        }
    }
}

/// Undoes the encoding of `application/x-www-form-urlencoded`; nothing if that gives no UTF-8.
///
/// The crate `form_urlencoded` would put U+FFFD in the place of what is not UTF-8, and two files
/// with different names would become one upload.
fn decode(text: &str) -> Option<Cow<'_, str>> {
    // Most have no space, and need no copy: each probe has a dozen of them.
    if !text.contains('+') {
        return percent_decode_str(text).decode_utf8().ok();
    }
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(|text| text.into_owned().into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn query(text: &str) -> FlowFields {
        FlowFields::from_query(text).expect("a good query")
    }

    fn code(text: &str) -> &'static str {
        FlowFields::from_query(text).expect_err(text).code
    }

    #[test]
    fn a_query_is_decoded_as_browsers_encode_it() {
        let fields = query(
            "target=x&&flowFilename=a%20%2B+b%26%22%0D%0A.txt&flowIdentifier=%E6%96%87-_.!~*'()\
             &flowRelativePath=%EF%BF%BD&scheduled_at&flowchunknumber=7",
        );
        assert_eq!(fields.get(Field::Filename), Some("a + b&\"\r\n.txt"));
        assert_eq!(fields.get(Field::Identifier), Some("文-_.!~*'()"));
        assert_eq!(fields.get(Field::RelativePath), Some("\u{fffd}"));
        assert_eq!(fields.get(Field::ScheduledAt), None);
        assert_eq!(fields.get(Field::ChunkNumber), None, "names are case-sensitive");
    }

    #[test]
    fn what_is_not_utf_8_is_refused_where_it_matters() {
        assert_eq!(code("flowFilename=a%FFb"), "invalid_filename");
        assert_eq!(code("flowIdentifier=%ED%A0%80"), "invalid_identifier");
        assert_eq!(code("flowFilename=a+%FF"), "invalid_filename");
        assert_eq!(query("flowFilename=+%E6%96%87+").get(Field::Filename), Some(" 文 "));
        assert_eq!(query("other=%FF&%FF=1"), FlowFields::default());
        assert_eq!(query("flowFilename=100%").get(Field::Filename), Some("100%"));
    }

    #[test]
    fn a_field_may_come_twice_only_if_it_says_the_same() {
        assert_eq!(query("sha256=a&sha256=a&sha256=").get(Field::Sha256), Some("a"));
        assert_eq!(code("flowChunkNumber=1&flowChunkNumber=2"), "invalid_chunk_number");
        let mut form = FlowFields::default();
        form.set("flowTotalSize", "1".into()).expect("the first");
        assert!(form.set("flowTotalSize", "2".into()).is_err());
        assert!(form.set("unknown", "1".into()).and(form.set("unknown", "2".into())).is_ok());
    }

    #[test]
    fn what_an_application_left_out_is_missing() {
        let fields = query("scheduled_at=undefined&sha256=null&chunk_sha256=&flowFilename=null");
        assert_eq!(fields, query("flowFilename=null"));
    }

    #[test]
    fn an_empty_identifier_is_refused() {
        for text in
            ["flowIdentifier=&flowFilename=a", "flowIdentifier", "flowIdentifier=a&flowIdentifier="]
        {
            assert_eq!(code(text), "invalid_identifier", "{text}");
        }
        let empty = FlowFields::default().set("flowIdentifier", String::new());
        assert_eq!(empty.expect_err("refused").code, "invalid_identifier");
    }

    #[test]
    fn the_form_wins_over_the_query() {
        let mut form = query("flowFilename=form&scheduled_at=undefined");
        form.suggest_filename("part");
        let both = form.over(query("flowFilename=query&scheduled_at=x&flowIdentifier=id"));
        assert_eq!(both.get(Field::Filename), Some("form"));
        assert_eq!(both.get(Field::ScheduledAt), Some("x"));
        assert_eq!(both.get(Field::Identifier), Some("id"));
        assert_eq!(both.part_filename(), Some("part"));
    }

    #[test]
    fn fields_are_short_and_few() {
        let long = "x".repeat(limits::FIELD_LEN_MAX);
        assert!(FlowFields::from_query(&format!("flowFilename={long}")).is_ok());
        assert_eq!(code(&format!("flowFilename={long}x")), "invalid_filename");
        let many = "a=b&".repeat(limits::FIELD_COUNT_MAX);
        assert!(FlowFields::from_query(&many).is_ok());
        assert_eq!(code(&format!("{many}c")), "invalid_query");
    }

    proptest! {
        #[test]
        fn no_query_panics(
            text in "\\PC{0,80}|(flow(Filename|ChunkNumber)=[%a-f0-9+&]{0,9}&){0,5}",
        ) {
            let _ = FlowFields::from_query(&text);
        }

        #[test]
        fn what_a_browser_encodes_comes_back(text in "\\PC{1,40}|[\\x00-\\x7f]{1,40}") {
            let encoded = percent_encoding::utf8_percent_encode(
                &text, percent_encoding::NON_ALPHANUMERIC);
            let fields = query(&format!("flowFilename={encoded}"));
            prop_assert_eq!(fields.get(Field::Filename), Some(text.as_str()));
        }
    }
}
