//! What a file is: what its name says, and what its first bytes show.
//!
//! Types have many names, and one container holds many types; the two tables below say which are
//! the same, and what may look like what. Neither a name nor a few bytes prove anything: a file can
//! be of two types at once. So whoever serves one still says `nosniff`.

use super::FileName;

/// The type of bytes of which nothing is known.
const OCTET_STREAM: &str = "application/octet-stream";
const SVG: &str = "image/svg+xml";
const ZIP: &str = "application/zip";
/// ISO base media of a brand that tells nothing more: film, sound or pictures (RFC 4337).
const ISO_MEDIA: &str = "application/mp4";

/// Names of types that mean the same, or what first bytes cannot tell apart; the second of each is
/// the one that is compared.
const SAME: [(&str, &str); 45] = [
    // Spellings that browsers, operators and the crates that we ask use besides the registered one.
    ("image/jpg", "image/jpeg"),
    ("image/pjpeg", "image/jpeg"),
    ("image/x-png", "image/png"),
    ("image/x-ms-bmp", "image/bmp"),
    ("image/x-icon", "image/vnd.microsoft.icon"),
    ("image/x-photoshop", "image/vnd.adobe.photoshop"),
    ("audio/mp3", "audio/mpeg"),
    ("audio/x-mpeg", "audio/mpeg"),
    ("audio/x-wav", "audio/wav"),
    ("audio/wave", "audio/wav"),
    ("audio/vnd.wave", "audio/wav"),
    ("audio/x-flac", "audio/flac"),
    ("audio/x-aac", "audio/aac"),
    ("audio/x-aiff", "audio/aiff"),
    ("audio/mid", "audio/midi"),
    ("audio/x-midi", "audio/midi"),
    ("audio/m4a", "audio/mp4"),
    ("audio/x-m4a", "audio/mp4"),
    ("audio/m4b", "audio/mp4"),
    ("video/avi", "video/x-msvideo"),
    ("video/x-mpeg", "video/mpeg"),
    ("application/x-pdf", "application/pdf"),
    ("text/rtf", "application/rtf"),
    ("application/xml", "text/xml"),
    ("application/javascript", "text/javascript"),
    ("application/x-javascript", "text/javascript"),
    ("application/x-sh", "text/x-shellscript"),
    ("application/x-zip-compressed", ZIP),
    ("application/x-gzip", "application/gzip"),
    ("application/x-compressed", "application/gzip"),
    ("application/x-bzip", "application/x-bzip2"),
    ("application/x-rar", "application/vnd.rar"),
    ("application/x-rar-compressed", "application/vnd.rar"),
    // One format, in which only the codec or the number of pictures differs.
    ("image/heic", "image/heif"),
    ("image/heic-sequence", "image/heif"),
    ("image/heif-sequence", "image/heif"),
    ("audio/opus", "audio/ogg"),
    // An `.m4v` is an MP4 by another name.
    ("video/x-m4v", "video/mp4"),
    // `infer` has one word for both versions of WOFF, and one for TrueType and OpenType.
    ("application/font-woff", "font/woff"),
    ("font/woff2", "font/woff"),
    ("application/font-sfnt", "font/sfnt"),
    ("application/x-font-ttf", "font/sfnt"),
    ("font/ttf", "font/sfnt"),
    ("font/otf", "font/sfnt"),
    ("font/collection", "font/sfnt"),
];

/// Extensions that `mime_guess` does not know.
const NAMED: [(&str, &str); 1] = [("psd", "image/vnd.adobe.photoshop")];

/// The name of a type by which it is compared with others.
pub(super) fn canonical(name: &str) -> &str {
    SAME.iter().find(|(other, _)| *other == name).map_or(name, |(_, canonical)| canonical)
}

/// All names of a type.
pub(super) fn spellings(name: &str) -> impl Iterator<Item = &str> {
    let name = canonical(name);
    let others = SAME.iter().filter(move |(_, canonical)| *canonical == name);
    std::iter::once(name).chain(others.map(|(other, _)| *other))
}

/// What a file with this extension is.
pub(super) fn named(extension: &str) -> Vec<&'static str> {
    let more = NAMED.iter().filter(|(known, _)| *known == extension).map(|(_, name)| *name);
    let guessed = mime_guess::from_ext(extension);
    guessed.iter_raw().filter(|name| *name != OCTET_STREAM).chain(more).collect()
}

/// Whether any extension stands for a type; or for one of a group, as `image/*`.
pub(super) fn has_name(name: &str) -> bool {
    let known = |name| mime_guess::get_mime_extensions_str(name).is_some_and(|it| !it.is_empty());
    spellings(name).any(|name| known(name) || NAMED.iter().any(|(_, named)| *named == name))
}

/// What the first bytes of a file show it to be, if they show anything.
pub(super) fn shown(head: &[u8]) -> Option<&'static str> {
    recognised(head).or_else(|| {
        let iso_media = 12 <= head.len() && &head[4..8] == b"ftyp";
        // Layer III of any version, with or without a checksum; `infer` knows some of them.
        let mp3 = matches!(head, [0xff, second, _, ..] if second & 0xe6 == 0xe2);
        if iso_media { Some(ISO_MEDIA) } else { mp3.then_some("audio/mpeg") }
    })
}

fn recognised(head: &[u8]) -> Option<&'static str> {
    let found = infer::get(head).map(|kind| kind.mime_type()).filter(|it| *it != OCTET_STREAM);
    // These two are told by how they begin, and so may an SVG begin.
    let open = matches!(found, None | Some("text/html" | "text/xml"));
    if open && is_svg(head) { Some(SVG) } else { found }
}

/// Whether content of this type would be recognised, so that what is not recognised is not of it.
/// Of text, and so of XML, there is nothing to recognise.
pub(super) fn is_recognisable(name: &str) -> bool {
    let text = name.starts_with("text/") || name.ends_with("+xml");
    !text && (is_zipped(name) || spellings(name).any(infer::is_mime_supported))
}

/// Whether content that shows itself as `found` may be what a file of type `expected` has.
pub(super) fn may_be(found: &str, expected: &str) -> bool {
    let (found, expected) = (canonical(found), canonical(expected));
    found == expected
        || match found {
            // Documents in a ZIP are told by the order of its entries, which is free.
            ZIP => is_zipped(expected),
            _ if expected == ZIP => is_zipped(found),
            "application/x-ole-storage" => is_compound(expected),
            "text/xml" => expected.ends_with("+xml"),
            "text/html" => matches!(expected, "application/xhtml+xml" | "text/markdown"),
            // `#!` begins a script in any language.
            "text/x-shellscript" => expected.starts_with("text/"),
            "application/gzip" => expected == "application/x-compressed-tar",
            // Illustrator's files are PDF; their type is older.
            "application/pdf" => expected == "application/postscript",
            "image/png" => expected == "image/apng",
            // The raw files of cameras are TIFF.
            "image/tiff" => expected.starts_with("image/x-"),
            "audio/ogg" => matches!(expected, "video/ogg" | "application/ogg"),
            "video/webm" => expected == "audio/webm",
            "video/x-matroska" => expected == "audio/x-matroska",
            // One container for film and for sound.
            "video/x-ms-wmv" => matches!(expected, "audio/x-ms-wma" | "video/x-ms-asf"),
            // QuickTime came first: its players take an MP4 that is called `.mov`; the reverse is
            // not so.
            "video/mp4" => is_iso_media(expected) && !expected.starts_with("image/"),
            ISO_MEDIA => is_iso_media(expected),
            _ => false,
        }
}

/// Formats that are ZIP files.
fn is_zipped(name: &str) -> bool {
    const ALSO: [&str; 4] = [
        "application/epub+zip",
        "application/java-archive",
        "application/vnd.android.package-archive",
        "image/openraster",
    ];
    name.starts_with("application/vnd.openxmlformats-officedocument.")
        || name.starts_with("application/vnd.oasis.opendocument.")
        || name.ends_with(".macroenabled.12")
        || ALSO.contains(&name)
}

/// Formats that are OLE compound files.
fn is_compound(name: &str) -> bool {
    let office = ["excel", "powerpoint", "project", "outlook"];
    let office = |rest: &str| office.contains(&rest);
    name.strip_prefix("application/vnd.ms-").is_some_and(office)
        || matches!(name, "application/msword" | "application/vnd.visio" | "application/x-msi")
}

fn is_iso_media(name: &str) -> bool {
    matches!(
        name,
        "video/mp4" | "video/quicktime" | "video/3gpp" | "video/3gpp2" | "audio/mp4" | "audio/3gpp"
    ) || matches!(name, "application/mp4" | "image/heif" | "image/avif")
}

/// The media type that a file is published with: what its first bytes show, or else what its name
/// says. But what begins as markup does is no picture, sound or film, whatever it is called.
#[must_use]
pub fn media_type(filename: &FileName, head: &[u8]) -> String {
    if let Some(found) = recognised(head) {
        return found.to_owned();
    }
    let extension = filename.extension().unwrap_or_default();
    let named = named(&extension).first().copied().unwrap_or(OCTET_STREAM);
    let pretends = is_markup(head) && can_be_shown(named);
    if pretends { OCTET_STREAM.into() } else { named.to_owned() }
}

/// Whether a browser may show a file of this type itself: pictures, sound and film. SVG is a
/// picture that runs scripts, as whatever else is XML may be, and does not count.
#[must_use]
pub fn can_be_shown(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.split_once('/').is_some_and(|(group, kind)| {
        let runs = kind.starts_with("svg") || kind == "xml" || kind.ends_with("+xml");
        matches!(group, "image" | "audio" | "video") && !runs
    })
}

/// Whether this begins as HTML or XML does, in any encoding that a browser tries.
fn is_markup(head: &[u8]) -> bool {
    let mut text = text(head).iter().filter(|byte| **byte != 0);
    let opens = text.next() == Some(&b'<');
    opens && text.next().is_some_and(|byte| byte.is_ascii_alphabetic() || b"!?/".contains(byte))
}

/// Whether this is an SVG: its root element, behind whatever may stand before it.
fn is_svg(head: &[u8]) -> bool {
    let mut text = text(head);
    loop {
        text = text.trim_ascii_start();
        let end: &[u8] = if text.starts_with(b"<?") {
            b"?>"
        } else if text.starts_with(b"<!--") {
            b"-->"
        } else {
            return [&b"<svg"[..], b"<!doctype svg"].iter().any(|root| begins(text, root));
        };
        match text.windows(end.len()).position(|window| window == end) {
            Some(at) => text = &text[at + end.len()..],
            None => return false,
        }
    }
}

/// Whether `text` begins with this word, in any case.
fn begins(text: &[u8], word: &[u8]) -> bool {
    let Some((start, rest)) = text.split_at_checked(word.len()) else { return false };
    start.eq_ignore_ascii_case(word) && !rest.first().is_some_and(u8::is_ascii_alphanumeric)
}

/// What follows byte order mark, white space and zeros.
fn text(head: &[u8]) -> &[u8] {
    let marks: [&[u8]; 3] = [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"];
    let text = marks.iter().find_map(|mark| head.strip_prefix(*mark)).unwrap_or(head);
    let space = |byte: &&u8| byte.is_ascii_whitespace() || **byte == 0;
    &text[text.iter().take_while(space).count()..]
}
