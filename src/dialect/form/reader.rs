//! The parts of a multipart body (RFC 2046, section 5.1), frame by frame as it arrives.
//!
//! Nothing that lies between two delimiters is copied: it is handed on in the very frames in which
//! it came. What is gathered is the head of a part, up to a bound; what is held back is a count of
//! how much of a delimiter the last frame may have ended with.

use std::{
    fmt,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream::BoxStream};
use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::memmem::Finder;

use super::{BoxError, FormError, Rejection};
use crate::upload::limits::{PART_HEAD_LEN_MAX, PART_HEADER_COUNT_MAX};

/// What is copied at a time while the end of a head is looked for.
const STEP: usize = 512;
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// Reads a body part by part.
pub(super) struct Reader<'b> {
    body: BoxStream<'b, Result<Bytes, BoxError>>,
    /// What came and was not looked at yet.
    unread: Bytes,
    delimiter: Delimiter,
    place: Place,
    /// What stands behind a delimiter, up to the end of the head.
    head: BytesMut,
}

/// Where in the body we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the first delimiter, so many bytes behind the beginning.
    Preamble(usize),
    /// Behind a delimiter, or in the head that follows it.
    Head,
    /// In the content of a part.
    Content,
    /// Behind the last delimiter, so many bytes.
    Epilogue(usize),
    /// At the end of the body.
    End,
    /// Whatever comes, it is no form any more.
    Failed,
}

impl<'b> Reader<'b> {
    /// Reads this body, whose delimiters are made of this boundary.
    pub(super) fn new<S>(boundary: &str, body: S) -> Self
    where
        S: Stream<Item = Result<Bytes, BoxError>> + Send + 'b,
    {
        Self {
            body: body.fuse().boxed(),
            unread: Bytes::new(),
            delimiter: Delimiter::new(boundary),
            place: Place::Preamble(0),
            head: BytesMut::new(),
        }
    }

    /// The head of the next part; nothing if there is none and the body has ended. What was not
    /// read of the part before is read and dropped.
    pub(super) fn poll_head(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<HeaderMap>, FormError>> {
        let head = ready!(self.find_head(context));
        if head.is_err() {
            self.place = Place::Failed;
        }
        Poll::Ready(head)
    }

    /// The next bytes of a part's content, at least one; nothing at its end, behind a delimiter.
    pub(super) fn poll_content(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, FormError>>> {
        while self.place == Place::Content {
            match ready!(self.poll_frame(context)) {
                Ok(frame) => {
                    let bytes = self.cut(frame);
                    if !bytes.is_empty() {
                        return Poll::Ready(Some(Ok(bytes)));
                    }
                }
                Err(error) => {
                    self.place = Place::Failed;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        Poll::Ready(None)
    }

    fn find_head(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<HeaderMap>, FormError>> {
        loop {
            match self.place {
                Place::Content => {
                    while let Some(bytes) = ready!(self.poll_content(context)) {
                        bytes?;
                    }
                }
                Place::Preamble(before) => {
                    let frame = ready!(self.poll_frame(context))?;
                    let len = before + self.cut(frame).len();
                    if let Place::Preamble(before) = &mut self.place {
                        *before = within_bound(len)?;
                    }
                }
                Place::Head => {
                    let frame = ready!(self.poll_frame(context))?;
                    if let Some(head) = self.gather(&frame)? {
                        self.place = Place::Content;
                        return Poll::Ready(Ok(Some(head)));
                    }
                }
                Place::Epilogue(before) => {
                    // A body that breaks off here has not come whole: its sender will send it
                    // again, and must not find it here.
                    self.place = match ready!(self.body.poll_next_unpin(context)) {
                        Some(frame) => {
                            let len = before + frame.map_err(FormError::Body)?.len();
                            Place::Epilogue(within_bound(len)?)
                        }
                        None => Place::End,
                    };
                }
                Place::End => return Poll::Ready(Ok(None)),
                Place::Failed => return Poll::Ready(Err(cut_off())),
            }
        }
    }

    /// The next frame, or what is left of the last. Errors: there is none.
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Result<Bytes, FormError>> {
        if !self.unread.is_empty() {
            return Poll::Ready(Ok(std::mem::take(&mut self.unread)));
        }
        let frame = ready!(self.body.poll_next_unpin(context));
        Poll::Ready(frame.map_or_else(|| Err(cut_off()), |frame| frame.map_err(FormError::Body)))
    }

    /// Cuts a frame at the next delimiter, or where one may begin. What stands before it is given.
    fn cut(&mut self, frame: Bytes) -> Bytes {
        let Cut { before, is_found, rest } = self.delimiter.cut(frame);
        self.unread = rest;
        if is_found {
            self.place = Place::Head;
            self.head.clear();
        }
        before
    }

    /// Takes what belongs to the head, which is given once it is whole. Behind the last delimiter
    /// there is none.
    fn gather(&mut self, frame: &Bytes) -> Result<Option<HeaderMap>, FormError> {
        let step = frame.slice(..frame.len().min(STEP));
        self.head.extend_from_slice(&step);
        self.unread = frame.slice(step.len()..);
        if self.head.starts_with(b"--") {
            let behind = self.head.len() - 2 + self.unread.len();
            self.place = Place::Epilogue(within_bound(behind)?);
            return Ok(None);
        }
        let from = self.head.len().saturating_sub(step.len() + END_OF_HEAD.len());
        let Some(at) = memchr::memmem::find(&self.head[from..], END_OF_HEAD) else {
            within_bound(self.head.len())?;
            return Ok(None);
        };
        let end = from + at + END_OF_HEAD.len();
        within_bound(end)?;
        // What was copied and lies behind the head is content.
        self.unread = frame.slice(step.len() - (self.head.len() - end)..);
        self.head.truncate(end);
        headers(&self.head).map(Some)
    }
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("place", &self.place).finish_non_exhaustive()
    }
}

/// What stands between two parts: a line break, two dashes and the boundary.
struct Delimiter {
    text: Bytes,
    finder: Finder<'static>,
    /// How much of a delimiter the last frame ended with.
    held: usize,
}

/// A frame that was cut.
struct Cut {
    before: Bytes,
    is_found: bool,
    rest: Bytes,
}

impl Delimiter {
    fn new(boundary: &str) -> Self {
        let text = Bytes::from(format!("\r\n--{boundary}"));
        let finder = Finder::new(&text).into_owned();
        // A body may begin with a delimiter, without a line before it to end.
        Self { text, finder, held: 2 }
    }

    fn cut(&mut self, frame: Bytes) -> Cut {
        if self.held != 0 {
            return self.go_on(frame);
        }
        if let Some(at) = self.finder.find(&frame) {
            let rest = frame.slice(at + self.text.len()..);
            return Cut { before: frame.slice(..at), is_found: true, rest };
        }
        self.held = self.held_at_the_end_of(&frame);
        let before = frame.slice(..frame.len() - self.held);
        Cut { before, is_found: false, rest: Bytes::new() }
    }

    /// A frame behind one that ended with a part of a delimiter.
    fn go_on(&mut self, frame: Bytes) -> Cut {
        let missing = &self.text[self.held..];
        let len = missing.len().min(frame.len());
        if frame[..len] != missing[..len] {
            // None begins within what was held: the first byte of a delimiter is not in the rest.
            let before = self.text.slice(..std::mem::take(&mut self.held));
            return Cut { before, is_found: false, rest: frame };
        }
        let is_found = len == missing.len();
        self.held = if is_found { 0 } else { self.held + len };
        Cut { before: Bytes::new(), is_found, rest: frame.slice(len..) }
    }

    fn held_at_the_end_of(&self, frame: &[u8]) -> usize {
        let end = &frame[frame.len().saturating_sub(self.text.len() - 1)..];
        // A boundary comes from a header, and so has no line break in it.
        let begin = memchr::memrchr(b'\r', end).map(|at| &end[at..]);
        begin.filter(|begin| self.text.starts_with(begin)).map_or(0, <[u8]>::len)
    }
}

/// The headers of a part, from the end of its delimiter's line on.
fn headers(head: &[u8]) -> Result<HeaderMap, FormError> {
    // Spaces may stand behind a delimiter, and nothing else.
    let line = head.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(head.len());
    let Some(lines) = head[line..].strip_prefix(b"\r\n") else { return Err(cut_off()) };
    let mut parsed = [httparse::EMPTY_HEADER; PART_HEADER_COUNT_MAX];
    let parsed = match httparse::parse_headers(lines, &mut parsed) {
        Ok(httparse::Status::Complete((_, parsed))) => parsed,
        Ok(httparse::Status::Partial) | Err(_) => return Err(malformed_head()),
    };
    let mut headers = HeaderMap::with_capacity(parsed.len());
    for header in parsed {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| malformed_head())?;
        let value = HeaderValue::from_bytes(header.value).map_err(|_| malformed_head())?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn within_bound(len: usize) -> Result<usize, FormError> {
    if len <= PART_HEAD_LEN_MAX {
        return Ok(len);
    }
    let detail =
        "the form has too much before, between or behind its parts, or a part with too long a head";
    Err(Rejection::form(detail).into())
}

fn malformed_head() -> FormError {
    let detail = "a part of the form has a head that is malformed: each of its lines must be a \
                  header, and no name in it may have a control character";
    Rejection::form(detail).into()
}

fn cut_off() -> FormError {
    let detail = "the form is cut off or malformed: it must end with its closing boundary";
    Rejection::form(detail).into()
}

#[cfg(test)]
mod tests {
    use std::mem;

    use futures_util::stream;
    use tokio::runtime;

    use super::super::{Boundary, Form, FormError, Part};
    use super::*;
    use crate::upload::limits;

    /// A browser's chunk in frames as large as a busy server reads them, the first a moment late.
    #[test]
    fn large_frames_that_come_at_once_are_no_long_head() {
        const FILE_LEN: usize = 1 << 20;
        let file = "x".repeat(FILE_LEN);
        let field = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n";
        let head = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n";
        let body = Bytes::from(format!("{field}{field}{head}{file}\r\n--b--\r\n"));
        for frame_len in [limits::PART_HEAD_LEN_MAX, 400 * 1024] {
            let mut frames = body.chunks(frame_len).map(Bytes::copy_from_slice);
            let mut late = true;
            let frames = stream::poll_fn(|context| {
                if mem::take(&mut late) {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(frames.next().map(Ok))
            });
            let mut form = Form::new(Boundary("b".into()), frames);
            let runtime = runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(async {
                for _ in 0..2 {
                    assert!(matches!(form.next().await, Ok(Some(Part::Field { .. }))));
                }
                assert!(matches!(form.next().await, Ok(Some(Part::File(_)))));
                let mut len = 0;
                while let Some(bytes) = form.file().next().await {
                    let bytes = bytes.expect("whole");
                    assert!(bytes.len() <= frame_len, "frames pile up: {}", bytes.len());
                    len += bytes.len();
                }
                assert_eq!(len, FILE_LEN);
            });
        }
    }

    /// A valid form in any three packets, at once or each a moment late, is read as it is.
    #[test]
    fn a_form_in_packets_of_any_length_is_never_refused() {
        let content = "\r\n--bou\r\n--bound\r\r\n-\r";
        let field = "--boundary\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n";
        let head = "Content-Disposition: form-data; name=\"file\"; filename=\"a\"";
        let whole = format!("{field}--boundary\r\n{head}\r\n\r\n{content}\r\n--boundary--\r\n");
        let whole = Bytes::from(whole);
        let runtime = runtime::Builder::new_current_thread().build().expect("a runtime");
        for first in 0..=whole.len() {
            for second in (first..=whole.len()).step_by(5) {
                let packets = [0..first, first..second, second..whole.len()];
                let packets = packets.map(|range| whole.slice(range));
                let late = (first + second) % 2 == 0;
                let read = runtime.block_on(read(in_packets(packets, late)));
                assert_eq!(read.as_deref(), Ok(content.as_bytes()), "{first}, {second}, {late}");
            }
        }
    }

    fn in_packets(
        packets: [Bytes; 3],
        late: bool,
    ) -> impl Stream<Item = Result<Bytes, BoxError>> + Send {
        let (mut packets, mut is_late) = (packets.into_iter(), late);
        stream::poll_fn(move |context| {
            if mem::take(&mut is_late) {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            is_late = late;
            Poll::Ready(packets.next().map(Ok))
        })
    }

    /// A field, and the bytes of the file behind it.
    async fn read(
        packets: impl Stream<Item = Result<Bytes, BoxError>> + Send,
    ) -> Result<Vec<u8>, String> {
        let told = |error: FormError| error.to_string();
        let mut form = Form::new(Boundary("boundary".into()), packets);
        let mut content = Vec::new();
        while let Some(part) = form.next().await.map_err(told)? {
            if let Part::Field { name, value } = part {
                assert_eq!((&*name, &*value), ("a", "b"));
                continue;
            }
            while let Some(bytes) = form.file().next().await {
                content.extend(bytes.map_err(told)?);
            }
        }
        Ok(content)
    }

    /// All of the form is there, and yet its body has not come whole.
    #[test]
    fn a_body_that_breaks_off_behind_the_last_delimiter_is_broken() {
        let form = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--b--";
        let broken = stream::iter([Ok(Bytes::from(form)), Err("reset".into())]);
        let long = vec![b'x'; limits::PART_HEAD_LEN_MAX + 1];
        let long = stream::iter([Ok(Bytes::from(form)), Ok(Bytes::from(long))]);
        let runtime = runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let mut form = Form::new(Boundary("b".into()), broken);
            assert!(matches!(form.next().await, Ok(Some(Part::Field { .. }))));
            assert!(matches!(form.next().await, Err(FormError::Body(_))));
            let mut form = Form::new(Boundary("b".into()), long);
            assert!(matches!(form.next().await, Ok(Some(Part::Field { .. }))));
            assert!(matches!(form.next().await, Err(FormError::Rejected(_))));
        });
    }
}
