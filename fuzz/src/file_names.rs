//! File names: what a client may call its file, and what becomes of that.
//!
//! * Nothing of a name gets into a path but an extension of ASCII letters and digits.
//! * The `Content-Disposition` that we write is one line of ASCII, and says the name that we meant
//!   to whoever reads it: our own reader of forms, and one that is written here by the RFCs.
//! * What browsers write into the head of a part is read as it was meant.

use bytes::Bytes;
use flowstitch::{
    dialect::form::{BodyKind, BoxError, FilePart, Form, Part},
    http::content::content_disposition,
    store::PublishedName,
    upload::{CreativeId, FileName, limits},
};
use futures_util::stream;
use percent_encoding::percent_decode_str;

use crate::service;

/// The input is a name, and also the value of a part's `Content-Disposition`.
pub fn check(data: &[u8]) {
    check_head(data);
    let Ok(name) = FileName::new(String::from_utf8_lossy(data)) else { return };
    check_path(&name);
    check_header(&name);
    check_part(&name);
}

fn check_path(name: &FileName) {
    let published = PublishedName::new(CreativeId::new(), name);
    let text = published.to_string();
    let (id, extension) = text.split_once('.').expect("every name has an extension");
    assert_eq!(id, published.id().to_string());
    assert!((1..=limits::EXTENSION_LEN_MAX).contains(&extension.len()), "{text:?}");
    let harmless = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    assert!(extension.bytes().all(harmless), "{text:?}");
    assert_eq!(PublishedName::parse(&text), Some(published));
    // A name of ours is a name of ours only if it is written in our way.
    if let Some(ours) = PublishedName::parse(name.as_str()) {
        assert_eq!(ours.to_string(), name.as_str());
    }
}

fn check_header(name: &FileName) {
    let shown = name.display_name();
    assert!(!shown.is_empty() && !shown.starts_with('.'), "{shown:?}");
    assert!(!shown.contains(|c: char| c.is_control() || "/\\".contains(c)), "{shown:?}");
    for inline in [true, false] {
        let value = content_disposition(name, inline);
        let text = value.to_str().expect("it is ASCII");
        assert!(!text.contains(|c: char| c.is_control() || "/\\".contains(c)), "{text:?}");
        let (plain, extended) = read(text);
        // Long names are cut, but never within a character, and keep their extension.
        assert!(extended.len() <= limits::DISPOSITION_NAME_LEN_MAX, "{extended:?}");
        if shown.len() <= limits::DISPOSITION_NAME_LEN_MAX {
            assert_eq!(extended, shown);
        } else {
            let stem = extended.rsplit_once('.').map_or(&*extended, |(stem, _)| stem);
            assert!(shown.starts_with(&*extended) || shown.starts_with(stem), "{extended:?}");
        }
        assert_eq!(plain.chars().count(), extended.chars().count(), "{text:?}");
        let part = part_of(text).expect("what we write can be read");
        assert_eq!(part.filename.as_deref(), Some(&*extended), "{text:?}");
    }
}

/// Both names of a header of ours, read as the RFCs say.
fn read(text: &str) -> (String, String) {
    let (how, rest) = text.split_once("; filename=\"").expect("it names the file");
    assert!(["inline", "attachment"].contains(&how), "{text:?}");
    let (plain, encoded) = rest.split_once("\"; filename*=UTF-8''").expect("and twice");
    assert!(!plain.contains(['"', '\\', '%']), "{text:?}");
    let attr_char = |c: char| c.is_ascii_alphanumeric() || "!#$&+-.^_`|~%".contains(c);
    assert!(encoded.chars().all(attr_char), "{text:?}");
    let decoded = percent_decode_str(encoded).decode_utf8().expect("it is UTF-8");
    (plain.to_owned(), decoded.into_owned())
}

/// A file with this name, as a browser sends it.
fn check_part(name: &FileName) {
    let escaped = name.as_str().replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A");
    let part = part_of(&format!("form-data; name=\"file\"; filename=\"{escaped}\""));
    if escaped.contains(|c: char| c.is_ascii_control() && c != '\t') {
        assert_eq!(part, None, "no head may have a control character");
        return;
    }
    let part = part.expect("a browser may call a file as it likes");
    assert_eq!(part.name.as_deref(), Some("file"));
    assert_eq!(part.filename.as_deref(), Some(&*escaped).filter(|name| !name.is_empty()));
}

/// Any bytes as the head of a part: a file if they name one, and never a file that is lost.
fn check_head(data: &[u8]) {
    let first_line = data.split(|byte| b"\r\n".contains(byte)).next().unwrap_or_default();
    let head = [b"form-data; name=\"file\"; filename=\"a\"; x=\"", first_line, b"\""].concat();
    let readable = !first_line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t');
    assert_eq!(read_head(&head).is_some(), readable, "{:?}", String::from_utf8_lossy(&head));
    _ = read_head(data);
}

fn part_of(disposition: &str) -> Option<FilePart> {
    read_head(disposition.as_bytes())
}

/// The file of a form with this one part, if it can be read and is a file.
fn read_head(disposition: &[u8]) -> Option<FilePart> {
    let kind = BodyKind::of(Some("multipart/form-data; boundary=flow"));
    let Ok(BodyKind::Multipart(boundary)) = kind else { panic!("{kind:?}") };
    let head = [b"--flow\r\nContent-Disposition: ", disposition, b"\r\n\r\n"].concat();
    let body = Bytes::from([&head[..], b"bytes\r\n--flow--\r\n"].concat());
    let mut form = Form::new(boundary, stream::iter([Ok::<_, BoxError>(body)]));
    match service::run(form.next()) {
        Ok(Some(Part::File(part))) => Some(part),
        Ok(Some(Part::Field { .. }) | None) | Err(_) => None,
    }
}
