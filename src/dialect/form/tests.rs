//! Forms as browsers and others send them, whole, in pieces and cut off.

use std::io;

use proptest::prelude::*;
use tokio::runtime;

use super::*;

const CHROMIUM: &str = "----WebKitFormBoundaryAbCdEfGh01234567";
const FIREFOX: &str = "----geckoformboundary8a5b7c9d0e1f2a3b4c5d6e7f8a9b0c1d";

fn field(name: &str, value: &str) -> (String, Vec<u8>) {
    (format!("Content-Disposition: form-data; name=\"{name}\""), value.into())
}

fn file(name: &str, content: impl Into<Vec<u8>>) -> (String, Vec<u8>) {
    let head = "Content-Disposition: form-data; name=\"file\"; filename=";
    (format!("{head}\"{name}\"\r\nContent-Type: image/png"), content.into())
}

fn body(boundary: &str, parts: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (head, content) in parts {
        body.extend_from_slice(format!("--{boundary}\r\n{head}\r\n\r\n").as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    body
}

/// All that a form says; its file comes last, with its bytes if it is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Read {
    fields: Vec<(String, String)>,
    file: Option<(FilePart, Vec<u8>)>,
    end: Result<(), &'static str>,
}

/// Reads the frames as one body; the error, if one comes, is its code or `body`.
fn read(boundary: &str, frames: Vec<Result<Bytes, BoxError>>) -> Read {
    let boundary = Boundary(boundary.into());
    let mut form = Form::new(boundary, stream::iter(frames));
    let mut read = Read { fields: vec![], file: None, end: Ok(()) };
    let runtime = runtime::Builder::new_current_thread().build().expect("a runtime");
    let end = runtime.block_on(async {
        while let Some(part) = form.next().await? {
            match part {
                Part::Field { name, value } => read.fields.push((name, value)),
                Part::File(part) => {
                    let mut content = Vec::new();
                    while let Some(bytes) = form.file().next().await {
                        content.extend_from_slice(&bytes?);
                    }
                    read.file = Some((part, content));
                }
            }
        }
        Ok(())
    });
    read.end = end.map_err(|error| match error {
        FormError::Body(_) => "body",
        FormError::Rejected(rejection) => rejection.code,
    });
    read
}

fn whole(boundary: &str, body: &[u8]) -> Read {
    read(boundary, vec![Ok(Bytes::copy_from_slice(body))])
}

fn refusal(parts: &[(String, Vec<u8>)]) -> &'static str {
    whole(CHROMIUM, &body(CHROMIUM, parts)).end.expect_err("refused")
}

/// What flow.js sends, file last, with content that looks like a boundary here and there.
fn flow_parts(boundary: &str) -> Vec<(String, Vec<u8>)> {
    let content = format!("\r\n--{}\r\n--\r\r\n-", &boundary[..boundary.len() - 1]);
    vec![
        field("flowChunkNumber", "1"),
        field("flowIdentifier", "14-a"),
        field("flowFilename", "a\"\r\nb.txt"),
        field("flowRelativePath", "文件/é.txt"),
        file("a%22%0D%0Ab.txt", content),
    ]
}

#[test]
fn a_form_of_flow_js_is_read_however_it_is_cut_into_frames() {
    for boundary in [CHROMIUM, FIREFOX] {
        let body = body(boundary, &flow_parts(boundary));
        let expected = whole(boundary, &body);
        assert_eq!(expected.end, Ok(()));
        assert_eq!(expected.fields[2], ("flowFilename".into(), "a\"\r\nb.txt".into()));
        let (part, content) = expected.file.clone().expect("a file");
        assert_eq!(part.name.as_deref(), Some("file"));
        assert_eq!(part.filename.as_deref(), Some("a%22%0D%0Ab.txt"));
        assert_eq!(part.content_type.as_deref(), Some("image/png"));
        assert_eq!(content, flow_parts(boundary)[4].1);

        let bytes = Bytes::from(body);
        for at in 0..=bytes.len() {
            let frames = vec![Ok(bytes.slice(..at)), Ok(bytes.slice(at..))];
            assert_eq!(read(boundary, frames), expected, "split at {at}");
        }
        let single = (0..bytes.len()).map(|at| Ok(bytes.slice(at..=at))).collect();
        assert_eq!(read(boundary, single), expected, "byte by byte");
    }
}

#[test]
fn a_form_that_is_cut_off_anywhere_has_no_complete_file() {
    let body = Bytes::from(body(FIREFOX, &flow_parts(FIREFOX)));
    let last_needed = body.len() - "\r\n".len();
    for at in 0..last_needed {
        let cut = read(FIREFOX, vec![Ok(body.slice(..at))]);
        assert_eq!((cut.file, cut.end), (None, Err("invalid_form")), "cut at {at}");

        let lost: BoxError = io::Error::from(io::ErrorKind::ConnectionReset).into();
        let cut = read(FIREFOX, vec![Ok(body.slice(..at)), Err(lost)]);
        assert_eq!((cut.file, cut.end), (None, Err("body")), "lost at {at}");
    }
    assert_eq!(read(FIREFOX, vec![Ok(body.slice(..last_needed))]).end, Ok(()));
}

#[test]
fn an_error_stays_an_error_when_it_is_asked_again() {
    let body = body(CHROMIUM, &flow_parts(CHROMIUM));
    let cut = Bytes::copy_from_slice(&body[..body.len() - 20]);
    let mut form = Form::new(Boundary(CHROMIUM.into()), stream::iter([Ok(cut)]));
    let runtime = runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        while !matches!(form.next().await, Ok(Some(Part::File(_)))) {}
        while matches!(form.file().next().await, Some(Ok(_))) {}
        assert!(matches!(form.file().next().await, Some(Err(FormError::Rejected(_)))));
        assert!(form.next().await.is_err());
    });
}

#[test]
fn a_boundary_that_goes_on_is_no_end_of_the_file() {
    let mut parts = flow_parts(CHROMIUM);
    parts[4].1 = format!("a\r\n--{CHROMIUM}x").into_bytes();
    let read = whole(CHROMIUM, &body(CHROMIUM, &parts));
    assert_eq!((read.file, read.end), (None, Err("invalid_form")));
}

#[test]
fn fields_may_follow_the_file_and_the_file_may_be_empty_or_left_unread() {
    let parts = [file("a.png", ""), field("flowIdentifier", "x")];
    let body = body(CHROMIUM, &parts);
    let read = whole(CHROMIUM, &body);
    assert_eq!(read.fields, [("flowIdentifier".into(), "x".into())]);
    assert_eq!(read.file.expect("a file").1, b"");
    assert_eq!(read.end, Ok(()));

    let mut unread = Form::new(Boundary(CHROMIUM.into()), stream::iter([Ok(body.into())]));
    let runtime = runtime::Builder::new_current_thread().build().expect("a runtime");
    let after = runtime.block_on(async { (unread.next().await.ok(), unread.next().await.ok()) });
    assert!(matches!(after, (Some(Some(Part::File(_))), Some(Some(Part::Field { .. })))));
}

#[test]
fn a_form_without_a_file_or_without_anything_is_a_form() {
    assert_eq!(whole(CHROMIUM, &body(CHROMIUM, &[field("a", "")])).fields.len(), 1);
    let empty = whole(CHROMIUM, &body(CHROMIUM, &[]));
    assert_eq!(empty, Read { fields: vec![], file: None, end: Ok(()) });
}

#[test]
fn a_preamble_and_an_epilogue_are_passed_over() {
    let form = body(CHROMIUM, &[file("a", "x")]);
    let body = [b"preamble\r\n", form.as_slice(), b"epilogue"].concat();
    assert_eq!(whole(CHROMIUM, &body), whole(CHROMIUM, &form));
}

#[test]
fn the_file_is_the_part_with_a_file_name() {
    let head = |head: &str| (head.to_owned(), b"x".to_vec());
    for (part, name, filename) in [
        (
            head("content-disposition: form-data; filename=a.png; name=pic"),
            Some("pic"),
            Some("a.png"),
        ),
        (head("Content-Disposition: form-data; name=file; filename=\"\""), Some("file"), None),
        (
            head("Content-Disposition: form-data; name=\"file\"; filename=\"a\\\""),
            Some("file"),
            Some("a\\"),
        ),
        (head("Content-Disposition: form-data; filename=b"), None, Some("b")),
        (
            head("Content-Disposition: form-data; name=f; filename*=utf-8''%C3%A9"),
            Some("f"),
            Some("é"),
        ),
        (
            head(
                "Content-Disposition: form-data; name=f; filename=a\r\n\
                 Content-Transfer-Encoding: Binary",
            ),
            Some("f"),
            Some("a"),
        ),
    ] {
        let read = whole(CHROMIUM, &body(CHROMIUM, std::slice::from_ref(&part)));
        let (file, content) = read.file.unwrap_or_else(|| panic!("no file: {part:?}"));
        assert_eq!((file.name.as_deref(), file.filename.as_deref()), (name, filename));
        assert_eq!((content.as_slice(), read.end), (b"x".as_slice(), Ok(())));
    }
}

#[test]
fn what_must_not_be_stored_is_refused() {
    let head = |head: &str| (head.to_owned(), b"x".to_vec());
    let many_headers = (0..40).fold(file("a", "").0, |head, n| format!("{head}\r\nX-{n}: 1"));
    let long_head = format!("Content-Disposition: form-data; name=\"{}\"", "n".repeat(1 << 20));
    for parts in [
        vec![file("a", "1"), file("b", "2")],
        vec![field("file", "data:image/png;base64,AAAA")],
        vec![(format!("{}\r\nContent-Transfer-Encoding: base64", file("a", "").0), vec![])],
        vec![head(
            "Content-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: quoted-printable",
        )],
        vec![head("Content-Disposition: form-data")],
        vec![head("Content-Type: text/plain")],
        vec![head("no header at all")],
        vec![head(&many_headers)],
        vec![head("Content-Disposition: form-data; name=\"a\u{1}\"")],
        vec![("Content-Disposition: form-data; name=a".into(), vec![0xff])],
        vec![field("a", &"x".repeat(limits::FIELD_LEN_MAX + 1))],
        vec![field("a", ""); limits::FIELD_COUNT_MAX + 1],
    ] {
        assert_eq!(refusal(&parts), "invalid_form", "{:?}", parts[0].0);
    }
    let full = vec![field("a", &"x".repeat(1023)); limits::FIELD_COUNT_MAX];
    assert_eq!(whole(CHROMIUM, &body(CHROMIUM, &full)).end, Ok(()));
    // In frames, as from a socket: neither the head of a part nor a preamble is gathered for ever.
    let long = body(CHROMIUM, &[(long_head, vec![])]);
    for endless in [long, vec![b'x'; 1 << 20]] {
        let frames = endless.chunks(1000).map(|frame| Ok(Bytes::copy_from_slice(frame)));
        let mut taken = 0;
        let counted = frames.inspect(|_| taken += 1);
        let mut form = Form::new(Boundary(CHROMIUM.into()), stream::iter(counted));
        let runtime = runtime::Builder::new_current_thread().build().expect("a runtime");
        let error = runtime.block_on(form.next()).expect_err("too long");
        assert!(matches!(error, FormError::Rejected(r) if r.detail.contains("too long a head")));
        drop(form);
        assert!(taken <= limits::PART_HEAD_LEN_MAX / 1000 + 2, "{taken} frames");
    }
}

#[test]
fn a_body_is_a_form_only_if_it_says_so() {
    let multipart = |text: &str| BodyKind::of(Some(text)).map_err(|rejection| rejection.code);
    let form = |text: &str| Ok(BodyKind::Multipart(Boundary(text.into())));
    assert_eq!(multipart("multipart/form-data; boundary=AbC"), form("AbC"));
    assert_eq!(multipart("Multipart/Form-Data;charset=utf-8; Boundary=\"a b\""), form("a b"));
    for octet in ["", "image/png", "multipart/mixed; boundary=a", "multipart/form-database", "??"] {
        assert_eq!(multipart(octet), Ok(BodyKind::Octet), "{octet}");
    }
    assert_eq!(BodyKind::of(None), Ok(BodyKind::Octet));
    let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
    for bad in [
        "multipart/form-data",
        "multipart/form-data; boundary",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"\"",
        "multipart/form-data; charset=utf-8",
        &long,
    ] {
        assert_eq!(multipart(bad), Err("invalid_form"), "{bad}");
    }
}

#[test]
fn reading_a_form_can_be_spawned_and_leaves_the_rest_of_a_borrowed_body() {
    fn spawnable<T: Send>(future: T) -> T {
        future
    }
    let whole = Bytes::from(body(CHROMIUM, &[field("a", "b")]));
    let mut rest = stream::iter([Ok(whole), Ok(Bytes::from_static(b"rest"))]);
    let mut form = Form::new(Boundary(CHROMIUM.into()), &mut rest);
    let runtime = runtime::Builder::new_current_thread().build().expect("a runtime");
    assert!(matches!(runtime.block_on(spawnable(form.next())), Ok(Some(Part::Field { .. }))));
    drop(form);
    assert!(matches!(runtime.block_on(spawnable(rest.next())), Some(Ok(bytes)) if bytes == "rest"));
}

#[test]
fn a_fast_body_is_taken_frame_by_frame() {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };
    let body = body(CHROMIUM, &[file("a", vec![7; 100_000])]);
    let taken = Arc::new(AtomicUsize::new(0));
    let frames: Vec<_> = body.chunks(100).map(Bytes::copy_from_slice).collect();
    let counter = Arc::clone(&taken);
    let frames = frames.into_iter().map(move |frame| {
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(frame)
    });
    let mut form = Form::new(Boundary(CHROMIUM.into()), stream::iter(frames));
    let runtime = runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        assert!(matches!(form.next().await, Ok(Some(Part::File(_)))));
        let mut len = 0;
        while let Some(bytes) = form.file().next().await {
            len += bytes.expect("whole").len();
            let ahead = taken.load(Ordering::Relaxed) * 100 - len;
            assert!(ahead < 1000, "{ahead} bytes read ahead");
        }
        assert_eq!(len, 100_000);
    });
}

proptest! {
    #[test]
    fn any_content_comes_through(
        content in prop::collection::vec(
            prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'-'), any::<u8>()],
            0..300,
        ),
        frame_len in 1usize..64,
    ) {
        let body = body("-", &[field("a", "b"), file("c", content.clone())]);
        let frames = body.chunks(frame_len).map(|frame| Ok(Bytes::copy_from_slice(frame)));
        let read = read("-", frames.collect());
        // With so short a boundary some contents hold it; those must fail, and not come out short.
        let delimited = content.windows(5).any(|window| window == b"\r\n---");
        if delimited {
            prop_assert!(read.file.is_none_or(|(_, read)| read.len() < content.len()));
        } else {
            prop_assert_eq!(read.end, Ok(()));
            prop_assert_eq!(read.file.expect("a file").1, content);
        }
    }

    #[test]
    fn no_body_panics(
        body in prop::collection::vec(any::<u8>(), 0..200),
        text in "(--b|\r\n|Content-Disposition: form-data; name=a|--|x){0,20}",
    ) {
        let _ = whole("b", &body);
        let _ = whole("b", text.as_bytes());
    }
}
