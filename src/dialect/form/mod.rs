//! Bodies of `multipart/form-data`, read part by part as they arrive.
//!
//! Promise: the file of a form ends (`None`) only after the delimiter behind it was read and found
//! good; a body that is cut off at any byte gives an error instead. What is held in memory is one
//! text field, or one frame of the body and the head of one part.

mod disposition;
mod keep;
mod reader;

use std::{
    future, mem,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE},
};

pub(in crate::dialect) use self::keep::keep;
use self::{disposition::Disposition, reader::Reader};
use super::rejection::{Rejection, quote};
use crate::{
    engine::{Allowance, BodyError, Lease},
    upload::limits,
};

/// Whatever goes wrong below a form: the client is gone, or too slow.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The name under which flow.js sends the file if it is not told otherwise.
const FILE_FIELD: &str = "file";

/// How the bytes of a file lie in a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyKind {
    /// In a part of a form.
    Multipart(Boundary),
    /// As they are: with `method: 'octet'` the content type is that of the file.
    Octet,
}

/// What stands between the parts of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boundary(String);

impl BodyKind {
    /// What the header `Content-Type` says of the body.
    pub fn of(content_type: Option<&str>) -> Result<Self, Rejection> {
        let content_type = content_type.unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("multipart/form-data") {
            return Ok(Self::Octet);
        }
        match multer::parse_boundary(content_type) {
            Ok(text) if (1..=limits::BOUNDARY_LEN_MAX).contains(&text.len()) => {
                Ok(Self::Multipart(Boundary(text)))
            }
            _ => Err(Rejection::form("the Content-Type of a form must name a valid boundary")),
        }
    }
}

/// One part of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// A text.
    Field {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// The file: its bytes are read from the form, by [`Form::file`].
    File(FilePart),
}

/// What the head of the file's part says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePart {
    /// The name of the field.
    pub name: Option<String>,
    /// The name of the file. Hostile text; nothing if it is empty, as it is in an HTML form in
    /// which no file was chosen.
    pub filename: Option<String>,
    /// The media type, as the client guesses it.
    pub content_type: Option<String>,
}

/// Why a form cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum FormError {
    /// The body itself broke off: the client hung up, stalled or sent too much.
    #[error("the body of the form broke off")]
    Body(#[source] BoxError),
    /// The body is all there but not the form that it should be.
    #[error(transparent)]
    Rejected(#[from] Rejection),
}

/// A form on its way in.
///
/// Which part is the file:
///
/// * The part that has a file name, whatever its field is called. There may be one.
/// * A part called `file` without a file name is refused. It is a text, and most likely the
///   data URL of a client that was set to base64; stored as it is, it would be another file.
///   For the same reason a part whose headers change what its bytes mean is refused.
#[derive(Debug)]
pub struct Form<'b> {
    /// Boxed: forms are moved about, and it is large.
    reader: Box<Reader<'b>>,
    position: Position,
    field_count: usize,
    /// Bytes of the names and values of all fields so far.
    fields_len: usize,
    /// What fields are kept in that are more than a few bytes: the memory, and what is held of it.
    memory: Option<(Allowance, Vec<Lease>)>,
    had_file: bool,
}

/// Where in the form we are.
#[derive(Debug)]
enum Position {
    /// Before the head of a part.
    Between,
    /// Behind the head of a part that is not the file.
    Part(HeaderMap),
    /// In the bytes of the file.
    File,
    /// Behind the last byte of the file; whether the delimiter is good is not known.
    FileEnd,
    /// Behind the last delimiter.
    End,
}

impl<'b> Form<'b> {
    /// The form in this body.
    pub fn new<S>(Boundary(boundary): Boundary, body: S) -> Self
    where
        S: Stream<Item = Result<Bytes, BoxError>> + Send + 'b,
    {
        let (reader, position) = (Box::new(Reader::new(&boundary, body)), Position::Between);
        Self { reader, position, field_count: 0, fields_len: 0, memory: None, had_file: false }
    }

    /// The same, whose fields are kept in this memory: it is held until the form is dropped.
    #[must_use]
    pub fn within(self, memory: Allowance) -> Self {
        Self { memory: Some((memory, Vec::new())), ..self }
    }

    /// The next part, or nothing when the form is complete. What was not read of a file is read
    /// and dropped.
    ///
    /// Cancel safety: a form whose `next` was dropped has lost a part, and is of no more use.
    pub async fn next(&mut self) -> Result<Option<Part>, FormError> {
        while self.file().next().await.transpose()?.is_some() {}
        let position = mem::replace(&mut self.position, Position::Between);
        let headers = match position {
            Position::Part(headers) => Some(headers),
            Position::End => None,
            Position::Between | Position::File | Position::FileEnd => {
                future::poll_fn(|context| self.reader.poll_head(context)).await?
            }
        };
        let Some(headers) = headers else {
            self.position = Position::End;
            return Ok(None);
        };
        self.part(&headers).await.map(Some)
    }

    /// The bytes of the file whose part [`Self::next`] has just given; nothing anywhere else.
    ///
    /// Cancel safety: may be dropped and taken up again.
    pub fn file(&mut self) -> impl Stream<Item = Result<Bytes, FormError>> + Send + Unpin {
        stream::poll_fn(|context| self.poll_file(context))
    }

    /// As [`Self::file`].
    pub fn poll_file(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, FormError>>> {
        loop {
            match &mut self.position {
                Position::File => match ready!(self.reader.poll_content(context)) {
                    Some(bytes) => return Poll::Ready(Some(bytes)),
                    None => self.position = Position::FileEnd,
                },
                Position::FileEnd => {
                    self.position = match ready!(self.reader.poll_head(context)) {
                        Ok(Some(headers)) => Position::Part(headers),
                        Ok(None) => Position::End,
                        Err(error) => return Poll::Ready(Some(Err(error))),
                    };
                }
                Position::Between | Position::Part(_) | Position::End => return Poll::Ready(None),
            }
        }
    }

    async fn part(&mut self, headers: &HeaderMap) -> Result<Part, FormError> {
        let disposition = headers.get(CONTENT_DISPOSITION);
        let Disposition { name, filename } =
            disposition.map(|value| Disposition::parse(value.as_bytes())).unwrap_or_default();
        refuse_encoded(headers)?;
        if let Some(filename) = filename {
            if mem::replace(&mut self.had_file, true) {
                return Err(Rejection::form("one file per request: a second file came").into());
            }
            let filename = Some(filename).filter(|filename| !filename.is_empty());
            let content_type = header_text(headers, &CONTENT_TYPE).map(str::to_owned);
            self.position = Position::File;
            return Ok(Part::File(FilePart { name, filename, content_type }));
        }
        let name = name.ok_or_else(|| Rejection::form("a part of the form has no name"))?;
        if name == FILE_FIELD {
            let detail = "the part called file has no file name: send a file and not a text";
            return Err(Rejection::form(detail).into());
        }
        refuse_charset(header_text(headers, &CONTENT_TYPE).unwrap_or_default())?;
        self.field_count += 1;
        if limits::FIELD_COUNT_MAX < self.field_count {
            let detail = format!("a form may have at most {} fields", limits::FIELD_COUNT_MAX);
            return Err(Rejection::form(detail).into());
        }
        self.take_fields(name.len())?;
        let value = self.text(&name).await?;
        Ok(Part::Field { name, value })
    }

    /// The value of a text field.
    async fn text(&mut self, name: &str) -> Result<String, FormError> {
        let mut value = Vec::new();
        while let Some(bytes) = future::poll_fn(|context| self.reader.poll_content(context)).await {
            let bytes = bytes?;
            if limits::FIELD_LEN_MAX < value.len() + bytes.len() {
                let (name, max) = (quote(name), limits::FIELD_LEN_MAX);
                let detail = format!("the field {name} may be at most {max} bytes long");
                return Err(Rejection::form(detail).into());
            }
            value.extend_from_slice(&bytes);
            self.take_fields(bytes.len())?;
        }
        let not_utf8 = |_| Rejection::form(format!("the field {} is not UTF-8", quote(name)));
        Ok(String::from_utf8(value).map_err(not_utf8)?)
    }
}

impl Form<'_> {
    /// So many more bytes of fields are here. Errors: they are too many, or there is no memory.
    fn take_fields(&mut self, len: usize) -> Result<(), FormError> {
        let before = self.fields_len;
        self.fields_len += len;
        if limits::FIELDS_LEN_MAX < self.fields_len {
            let max = limits::FIELDS_LEN_MAX;
            let detail = format!("all fields of a form together may be at most {max} bytes long");
            return Err(Rejection::form(detail).into());
        }
        let free = limits::FIELDS_FREE_LEN;
        let Some((memory, leases)) = self.memory.as_mut().filter(|_| free < self.fields_len) else {
            return Ok(());
        };
        // Twice: they are copied while the request is understood.
        let lease = memory.try_lease(2 * (self.fields_len - before.max(free)));
        leases.push(lease.ok_or_else(|| FormError::Body(BodyError::NoMemory.into()))?);
        Ok(())
    }
}

/// Headers of a part that change what its bytes mean, each with the values that do not.
static ENCODINGS: [(HeaderName, &[&str]); 5] = [
    (HeaderName::from_static("content-transfer-encoding"), &["binary", "8bit", "7bit"]),
    (CONTENT_ENCODING, &["identity"]),
    (CONTENT_RANGE, &[]),
    // Nobody checks these; that of the request is checked.
    (HeaderName::from_static("content-digest"), &[]),
    (HeaderName::from_static("content-md5"), &[]),
];

/// Refuses a part whose bytes are not the bytes that are meant. RFC 7578 has no such parts.
fn refuse_encoded(headers: &HeaderMap) -> Result<(), Rejection> {
    let is_plain = |value: &HeaderValue, plain: &[&str]| {
        plain.iter().any(|it| value.as_bytes().trim_ascii().eq_ignore_ascii_case(it.as_bytes()))
    };
    let encoded = ENCODINGS
        .iter()
        .find(|(name, plain)| headers.get_all(name).iter().any(|value| !is_plain(value, plain)));
    let Some((name, _)) = encoded else { return Ok(()) };
    let detail = format!("send the parts of the form as they are, whole and without `{name}`");
    Err(Rejection::form(detail))
}

/// Refuses a text that is said to be in another encoding than UTF-8.
fn refuse_charset(content_type: &str) -> Result<(), Rejection> {
    let mut parameters = content_type.split(';').skip(1).filter_map(|it| it.split_once('='));
    let charset = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    let Some((_, charset)) = charset else { return Ok(()) };
    let charset = charset.trim().trim_matches('"');
    if ["utf-8", "utf8", "us-ascii"].iter().any(|it| charset.eq_ignore_ascii_case(it)) {
        return Ok(());
    }
    let detail = format!("send the fields of the form in UTF-8, not in {}", quote(charset));
    Err(Rejection::form(detail))
}

fn header_text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

impl From<FormError> for BodyError {
    /// A form that is read as the body of a chunk. The way back is `rejection_in`.
    fn from(error: FormError) -> Self {
        match error {
            FormError::Body(source) => match source.downcast::<Self>() {
                Ok(error) => *error,
                Err(source) => Self::Broken(source),
            },
            FormError::Rejected(rejection) => Self::Broken(rejection.into()),
        }
    }
}

#[cfg(test)]
mod tests;
