//! Names and contents as they really are.

use super::*;

/// The beginnings of files, each as its format has it.
mod heads {
    pub(super) const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06";
    pub(super) const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0";
    pub(super) const GIF: &[u8] = b"GIF89a\x01\0\x01\0\x80\0\0\xff\xff\xff\0\0\0!";
    pub(super) const WEBP: &[u8] = b"RIFF\x24\0\0\0WEBPVP8 \x18\0\0\0";
    pub(super) const BMP: &[u8] = b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0";
    pub(super) const ICO: &[u8] = b"\0\0\x01\0\x01\0\x10\x10\0\0\x01\0\x20\0";
    pub(super) const TIFF: &[u8] = b"II*\0\x08\0\0\0\x0f\0\xfe\0\x04\0";
    pub(super) const PSD: &[u8] = b"8BPS\0\x01\0\0\0\0\0\0\0\x03\0\0";
    pub(super) const HEIC: &[u8] = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic\0\0\x01\0meta";
    pub(super) const AVIF: &[u8] = b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf\0\0\x01\0meta";
    pub(super) const MP4: &[u8] = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom\0\0\x01\0moov";
    pub(super) const MP4_NEW: &[u8] = b"\0\0\0\x18ftypiso9\0\0\0\0iso9mp41\0\0\x01\0moov";
    pub(super) const M4V: &[u8] = b"\0\0\0\x18ftypM4V \0\0\0\x01M4V isom\0\0\x01\0moov";
    pub(super) const M4A: &[u8] = b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42\0\0\x01\0moov";
    pub(super) const MOV: &[u8] = b"\0\0\0\x14ftypqt  \0\0\x02\0qt  \0\0\0\x08wide";
    pub(super) const AVI: &[u8] = b"RIFF\x24\0\0\0AVI LIST\x18\0\0\0hdrl";
    pub(super) const WAV: &[u8] = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0";
    pub(super) const MP3: &[u8] = b"ID3\x04\0\0\0\0\0\x23TSSE\0\0\0\x0f";
    pub(super) const MP3_BARE: &[u8] = b"\xff\xfa\x90\x64\0\0\0\0\0\0\0\0";
    pub(super) const FLAC: &[u8] = b"fLaC\0\0\0\x22\x10\0\x10\0\0\0";
    pub(super) const OGG: &[u8] = b"OggS\0\x02\0\0\0\0\0\0\0\0\x01\x02\x03\x04\0\0\0\0";
    pub(super) const OPUS: &[u8] =
        b"OggS\0\x02\0\0\0\0\0\0\0\0\x01\x02\x03\x04\0\0\0\0\x11\x22\x33\x44\x01\x13OpusHead\x01";
    pub(super) const PDF: &[u8] = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n";
    pub(super) const ZIP: &[u8] = b"PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
        \x05\0\0\0a.txt";
    pub(super) const OLE: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0\0\0\0\0\0\0";
    pub(super) const EXE: &[u8] = b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0";
    pub(super) const ELF: &[u8] =
        b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01\0\0\0\0\0\0\0\0\0\0\0\
        \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    pub(super) const GZIP: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\x03";
    pub(super) const WOFF2: &[u8] = b"wOF2\0\x01\0\0\0\0\0\0";
    pub(super) const HTML: &[u8] = b"<!DOCTYPE html>\n<html><script>alert(1)</script></html>";
    pub(super) const SVG: &[u8] = b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>";
    pub(super) const SVG_LONG: &[u8] = b"\xef\xbb\xbf<?xml version=\"1.0\"?>\n\
        <!-- Generator: a program -->\n<!DOCTYPE svg PUBLIC \"-//W3C//DTD SVG 1.1//EN\" \"\">\n\
        <svg xmlns=\"http://www.w3.org/2000/svg\"/>";
    pub(super) const XML: &[u8] = b"<?xml version=\"1.0\"?><rss/>";
    pub(super) const TEXT: &[u8] = b"name,size\ncat,3\n";
    pub(super) const SCRIPT: &[u8] = b"#!/bin/sh\nrm -rf /\n";
}
use heads::*;

fn accept(list: &str) -> Accept {
    Accept::new(list.split(',').map(|it| it.parse().expect(it)).collect())
}

fn name(text: &str) -> FileName {
    FileName::new(text).expect("short enough")
}

/// Asserts that these are taken, and those are not, though their names are.
#[track_caller]
fn check(list: &str, taken: &[(&str, &[u8])], refused: &[(&str, &[u8])]) {
    let accept = accept(list);
    for (text, head) in taken {
        assert!(accept.takes(&name(text), head), "{list}: {text} is to be taken");
    }
    for (text, head) in taken.iter().chain(refused) {
        assert!(accept.takes_name(&name(text)), "{list}: {text} is to be taken by its name");
        let shown = media::shown(head);
        let expected = taken.iter().any(|it| it == &(*text, *head));
        assert_eq!(accept.takes(&name(text), head), expected, "{list}: {text} shows {shown:?}");
    }
}

#[test]
fn patterns_are_read_and_written() {
    for (text, written) in [
        ("image/*", "image/*"),
        (" Image/PNG ", "image/png"),
        (".PDF", ".pdf"),
        ("image/jpg", "image/jpg"),
        ("application/vnd.oasis.opendocument.text", "application/vnd.oasis.opendocument.text"),
        ("image/vnd.adobe.photoshop", "image/vnd.adobe.photoshop"),
        (".7z", ".7z"),
        (".sketch", ".sketch"),
    ] {
        let pattern: Pattern = text.parse().expect(text);
        assert_eq!(pattern.to_string(), written);
        assert_eq!(written.parse(), Ok(pattern));
    }
    assert_eq!(accept("image/*,.pdf").to_string(), "image/*, .pdf");
}

#[test]
fn what_is_no_pattern_is_refused_with_what_to_write_instead() {
    for (text, words) in [
        ("", "image/png"),
        ("pdf", "or .pdf"),
        ("*", "or .pdf"),
        ("*.pdf", "or .pdf"),
        ("image/", "image/*"),
        ("/png", "image/png"),
        ("image/p*", "image/*"),
        ("image/png; q=1", "image/png"),
        ("image / png", "image/png"),
        ("*/*", "name no kind"),
        (".", "is no extension"),
        (".tar.gz", ".gz, not .tar.gz"),
        (".abcdefghijk", "up to 10"),
        (".p\u{202e}ng", "letters and digits"),
        ("image/pgn", "correct the type"),
        ("imgae/*", "correct the type"),
    ] {
        let error = text.parse::<Pattern>().expect_err(text).to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn nothing_listed_is_everything() {
    for (text, head) in [("a.exe", EXE), ("a", TEXT), ("a.png", HTML), ("a.svg", &[])] {
        assert!(Accept::default().takes_name(&name(text)));
        assert!(Accept::default().takes(&name(text), head));
    }
}

#[test]
fn a_name_is_judged_by_its_last_extension() {
    let accept = accept("image/*,.pdf,.sketch");
    for taken in ["a.png", "A.PNG", "../x/b.JpEg", "a.exe.png", "a.pdf", "a.SKETCH", "é.svg"] {
        assert!(accept.takes_name(&name(taken)), "{taken}");
    }
    for not in
        ["a", "png", ".", "a.png.exe", "a.txt", "a.png ", "a.png\0", "a.pdfx", "", "a.p\u{301}ng"]
    {
        assert!(!accept.takes_name(&name(not)), "{not:?}");
        assert!(!accept.takes(&name(not), PNG), "{not:?}");
    }
}

#[test]
fn a_group_takes_its_types_whatever_each_is_called() {
    let pictures: &[(&str, &[u8])] = &[
        ("a.png", PNG),
        ("a.jpg", JPEG),
        ("a.jpeg", JPEG),
        ("a.gif", GIF),
        ("a.webp", WEBP),
        ("a.bmp", BMP),
        ("a.ico", ICO),
        ("a.tif", TIFF),
        ("a.nef", TIFF),
        ("a.psd", PSD),
        ("a.heic", HEIC),
        ("a.avif", AVIF),
        ("a.apng", PNG),
        ("a.svg", SVG),
        ("a.svg", SVG_LONG),
        // A picture under another picture's name is a picture.
        ("a.png", JPEG),
    ];
    let not: &[(&str, &[u8])] = &[
        ("a.png", HTML),
        ("a.png", EXE),
        ("a.png", ELF),
        ("a.png", PDF),
        ("a.png", MP4),
        ("a.png", ZIP),
        ("a.png", TEXT),
        ("a.png", b""),
        ("a.png", &PNG[1..]),
        ("a.svg", HTML),
        ("a.svg", EXE),
        ("a.svg", GZIP),
        ("a.gif", SCRIPT),
    ];
    check("image/*", pictures, not);
}

#[test]
fn one_type_takes_only_itself_by_all_its_names() {
    check("image/png", &[("a.png", PNG)], &[("a.png", JPEG), ("a.png", SVG)]);
    for list in ["image/jpg", "image/jpeg", "image/pjpeg"] {
        check(list, &[("a.jpg", JPEG), ("a.jpeg", JPEG), ("a.jfif", JPEG)], &[("a.jpg", PNG)]);
    }
    check("image/heic", &[("a.heic", HEIC), ("a.heif", HEIC)], &[("a.heic", AVIF)]);
    check("image/x-icon", &[("a.ico", ICO)], &[("a.ico", BMP)]);
    check("application/zip", &[("a.zip", ZIP)], &[("a.zip", GZIP), ("a.zip", TEXT)]);
    check("application/xml", &[("a.xml", XML), ("a.xml", b"<rss/>")], &[("a.xml", PNG)]);
    check("font/woff2", &[("a.woff2", WOFF2)], &[("a.woff2", TEXT)]);
}

#[test]
fn an_extension_wants_what_such_files_have() {
    check(".pdf", &[("a.pdf", PDF), ("A.PDF", PDF)], &[("a.pdf", PNG), ("a.pdf", TEXT)]);
    check(".jpg", &[("a.jpg", JPEG)], &[("a.jpg", PNG), ("a.jpg", b"\xff\xd8")]);
    check(".ai", &[("a.ai", PDF), ("a.ai", b"%!PS-Adobe-3.0 ")], &[("a.ai", PNG)]);
    assert!(!accept(".jpg").takes_name(&name("a.jpeg")), "another extension");
}

#[test]
fn documents_in_containers_may_show_the_container() {
    let refused: &[(&str, &[u8])] =
        &[("a.docx", TEXT), ("a.docx", OLE), ("a.docx", HTML), ("a.docx", EXE)];
    check(".docx", &[("a.docx", ZIP)], refused);
    check(".epub", &[("a.epub", ZIP)], &[("a.epub", PDF)]);
    check(".jar", &[("a.jar", ZIP)], &[("a.jar", TEXT)]);
    check(".doc", &[("a.doc", OLE)], &[("a.doc", ZIP), ("a.doc", HTML)]);
    // A ZIP that holds what a document holds is still a ZIP; one document is not another.
    assert!(media::may_be("application/epub+zip", "application/zip"));
    let document = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
    assert!(!media::may_be("application/epub+zip", document));
}

#[test]
fn sound_and_film_share_their_containers() {
    check("video/mp4", &[("a.mp4", MP4), ("a.mp4", MP4_NEW), ("a.m4v", M4V)], &[("a.mp4", MOV)]);
    check("video/quicktime", &[("a.mov", MOV), ("a.mov", MP4)], &[("a.mov", AVI)]);
    check("video/*", &[("a.mp4", MOV), ("a.ogv", OGG), ("a.avi", AVI)], &[("a.mp4", M4A)]);
    let sounds: &[(&str, &[u8])] = &[
        ("a.mp3", MP3),
        ("a.mp3", MP3_BARE),
        ("a.m4a", M4A),
        ("a.m4a", MP4),
        ("a.wav", WAV),
        ("a.flac", FLAC),
        ("a.ogg", OGG),
        ("a.ogg", OPUS),
        ("a.opus", OPUS),
    ];
    check("audio/*", sounds, &[("a.mp3", TEXT), ("a.wav", AVI), ("a.ogg", HTML)]);
    check("audio/x-wav", &[("a.wav", WAV)], &[("a.wav", MP3)]);
    check("audio/mp4", &[("a.m4a", M4A)], &[("a.m4a", PNG)]);
}

#[test]
fn of_text_there_is_nothing_to_recognise_but_that_it_is_something_else() {
    for extension in ["txt", "csv", "json"] {
        let file = format!("a.{extension}");
        let (file, list) = (file.as_str(), format!(".{extension}"));
        let refused: &[(&str, &[u8])] =
            &[(file, PNG), (file, HTML), (file, EXE), (file, ZIP), (file, PDF)];
        check(&list, &[(file, TEXT), (file, b"")], refused);
    }
    check(".sh", &[("a.sh", SCRIPT)], &[("a.sh", ELF)]);
    check(".gpx", &[("a.gpx", XML), ("a.gpx", b"<gpx/>")], &[("a.gpx", HTML)]);
    check(".md", &[("a.md", TEXT), ("a.md", b"<p align=center>")], &[("a.md", PDF)]);
    // Nobody knows what these are: the operator who names them does.
    check(".sketch,.bin", &[("a.sketch", ZIP), ("a.bin", TEXT)], &[]);
}

#[test]
fn one_kind_must_agree_with_both_name_and_content() {
    check("image/*,.pdf", &[("a.png", PNG), ("a.pdf", PDF)], &[("a.png", PDF), ("a.pdf", PNG)]);
}

#[test]
fn the_type_that_is_published_runs_nothing_that_it_does_not_say() {
    for (text, head, media_type) in [
        ("a.png", PNG, "image/png"),
        ("a.html", PNG, "image/png"),
        ("a.png", SVG, "image/svg+xml"),
        ("a.png", SVG_LONG, "image/svg+xml"),
        ("a.svg", SVG_LONG, "image/svg+xml"),
        ("a.gif", HTML, "text/html"),
        ("a.svg", b"<svg:svg xmlns:svg=\"\"/>", "image/svg+xml"),
        ("a.png", b"\xef\xbb\xbf<html>", "application/octet-stream"),
        ("a.png", b"\xff\xfe<\0s\0v\0g\0 \0", "application/octet-stream"),
        ("a.png", b"\xfe\xff\0<\0?\0x\0m\0l", "application/octet-stream"),
        ("a.mp4", b" \n<x:script xmlns:x=\"\">", "application/octet-stream"),
        ("a.png", b"<!doctype nonsense>", "application/octet-stream"),
        ("a.xhtml", b"<x/>", "application/xhtml+xml"),
        ("a.txt", b"<3", "text/plain"),
        ("a.mp3", TEXT, "audio/mpeg"),
        ("a.mp4", MP4_NEW, "video/mp4"),
        ("a", TEXT, "application/octet-stream"),
        ("a", b"", "application/octet-stream"),
    ] {
        assert_eq!(media::media_type(&name(text), head), media_type, "{text}: {head:?}");
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_and_no_name_are_too_strange(
        head in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64),
        markup in "<[!?a-z/-]{0,12}[> \\-?svgSVG]{0,12}",
        text in "\\PC{0,12}(\\.[a-z0-9]{0,5})?",
    ) {
        let accept = accept("image/*,.pdf,text/*");
        for head in [head.as_slice(), markup.as_bytes()] {
            let taken = accept.takes(&name(&text), head);
            proptest::prop_assert!(!taken || accept.takes_name(&name(&text)));
            proptest::prop_assert!(!media::media_type(&name(&text), head).is_empty());
        }
    }
}
