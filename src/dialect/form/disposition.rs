//! The header `Content-Disposition` of a part.
//!
//! Read here and not by a library, because what makes a part a file is that it has a file name, and
//! a name that is hard to read must not turn a file into a field: browsers write a trailing
//! backslash raw (`"a\"`), and some libraries send `filename*` alone.

use percent_encoding::percent_decode_str;

/// What a part is called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Disposition {
    /// The name of the field.
    pub(super) name: Option<String>,
    /// The name of the file; empty if it is there but says nothing.
    pub(super) filename: Option<String>,
}

impl Disposition {
    /// Reads the header. Bytes that are not UTF-8 become U+FFFD; the first of two parameters with
    /// one name counts.
    pub(super) fn parse(header: &[u8]) -> Self {
        let text = String::from_utf8_lossy(header);
        let (mut name, mut filename, mut extended) = (None, None, None);
        let mut rest = text.split_once(';').map_or("", |(_, parameters)| parameters);
        while let Some((key, value)) = rest.split_once('=') {
            let (value, after) = cut_value(value.trim_start());
            match key.trim().to_ascii_lowercase().as_str() {
                "name" => _ = name.get_or_insert(value),
                "filename" => _ = filename.get_or_insert(value),
                "filename*" => _ = extended.get_or_insert_with(|| decode_extended(&value)),
                _ => {}
            }
            rest = after;
        }
        Self { name, filename: extended.or(filename) }
    }
}

/// The value at the start of `text`, and what follows the next semicolon.
///
/// A quoted value ends at the first quote that is followed by a semicolon or by nothing: browsers
/// escape a quote as `%22` and leave backslashes and semicolons raw, others write `\"`.
fn cut_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, after) = text.split_once(';').unwrap_or((text, ""));
        return (value.trim_end().to_owned(), after);
    };
    let closed = quoted.match_indices('"').find_map(|(at, _)| {
        let after = quoted[at + 1..].trim_start();
        let after = if after.is_empty() { Some("") } else { after.strip_prefix(';') };
        after.map(|after| (&quoted[..at], after))
    });
    let (value, after) = closed.unwrap_or((quoted, ""));
    (value.replace("\\\"", "\""), after)
}

/// A value as in `UTF-8''%E2%82%AC.png` (RFC 8187).
fn decode_extended(value: &str) -> String {
    let encoded = value.splitn(3, '\'').nth(2).unwrap_or(value);
    percent_decode_str(encoded).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_clients_write_is_read() {
        for (header, name, filename) in [
            (r#"form-data; name="file"; filename="a.png""#, "file", Some("a.png")),
            (
                r#"form-data; name="file"; filename="a%22%0D%0A;b\c.png""#,
                "file",
                Some(r"a%22%0D%0A;b\c.png"),
            ),
            (r#"form-data; name="file"; filename="a\""#, "file", Some(r"a\")),
            (r#"form-data; name="file"; filename="a\"b.png""#, "file", Some("a\"b.png")),
            (r#"form-data; name="file"; filename="x; name=y""#, "file", Some("x; name=y")),
            (r#"form-data; filename="x; name=y"; name="file""#, "file", Some("x; name=y")),
            (r#"form-data; name="file"; filename="""#, "file", Some("")),
            (r#"form-data; name="file"; filename="a"#, "file", Some("a")),
            (r#"form-data; name="x; filename=y""#, "x; filename=y", None),
            ("form-data; Name = file ;FILENAME=a.png", "file", Some("a.png")),
            ("form-data; name=file; filename*=UTF-8''%e2%82%ac.png", "file", Some("€.png")),
            (r#"form-data; name="文"; filename="件""#, "文", Some("件")),
        ] {
            let read = Disposition::parse(header.as_bytes());
            let expected =
                Disposition { name: Some(name.into()), filename: filename.map(Into::into) };
            assert_eq!(read, expected, "{header}");
        }
        let latin = Disposition::parse(b"form-data; name=file; filename=\"\xe9.png\"");
        assert_eq!(latin.filename.as_deref(), Some("\u{fffd}.png"));
        for header in ["", "form-data", "form-data;", "form-data; name", ";;;"] {
            assert_eq!(Disposition::parse(header.as_bytes()), Disposition::default());
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(header in "[a-z=;\"'*\\\\ %é]{0,60}|\\PC{0,60}") {
            let _ = Disposition::parse(header.as_bytes());
        }

        #[test]
        fn what_a_browser_writes_comes_back(
            name in "[^\"\r\n\\\\]{0,20}",
            file in "[^\"\r\n]{0,20}",
        ) {
            let header = format!("form-data; name=\"{name}\"; filename=\"{file}\"");
            let read = Disposition::parse(header.as_bytes());
            prop_assert_eq!(read, Disposition { name: Some(name), filename: Some(file) });
        }
    }
}
