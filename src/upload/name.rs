//! The name a client gave its file: metadata, never a path.

use std::{fmt, sync::Arc};

use super::{limits, principal::is_unseen};

/// A name that is too long to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a file name may be at most {max} bytes long", max = limits::NAME_LEN_MAX)]
pub struct InvalidName;

/// A client's file name, kept as it came: any Unicode text up to [`limits::NAME_LEN_MAX`] bytes.
///
/// It is stored, compared and shown (escaped by whoever shows it). What may stand in a header or a
/// download dialogue is [`FileName::display_name`]; what may stand in a path is nothing but
/// [`FileName::extension`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FileName(Arc<str>);

impl FileName {
    /// The name, if it is not too long. An empty name becomes `file`.
    pub fn new(name: impl Into<Arc<str>>) -> Result<Self, InvalidName> {
        let name = name.into();
        if limits::NAME_LEN_MAX < name.len() {
            return Err(InvalidName);
        }
        Ok(Self(if name.is_empty() { "file".into() } else { name }))
    }

    /// The name as the client gave it. Hostile until escaped.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The extension if it is harmless: 1 to 10 ASCII letters and digits, in lower case.
    #[must_use]
    pub fn extension(&self) -> Option<String> {
        let (_, extension) = self.0.rsplit_once('.')?;
        let harmless = (1..=limits::EXTENSION_LEN_MAX).contains(&extension.len())
            && extension.bytes().all(|b| b.is_ascii_alphanumeric());
        harmless.then(|| extension.to_ascii_lowercase())
    }

    /// The last component of the name, without control characters and direction marks: fit for a
    /// download folder, still to be encoded for a header. Joiners stay: Persian and Sinhala words
    /// are spelt with them, and many emoji are made of several characters joined.
    #[must_use]
    pub fn display_name(&self) -> String {
        let base = self.0.rsplit(['/', '\\']).next().unwrap_or_default();
        let clean: String = base.chars().filter(|c| !turns_text(*c)).collect();
        let clean = clean.trim().trim_start_matches('.').trim_end_matches('.');
        if clean.chars().all(is_invisible) { "file".into() } else { clean.into() }
    }
}

/// A text of unknown origin as it may be shown on a terminal or in a line of text: what cannot be
/// seen, and what reorders what can, is written as an escape.
#[must_use]
pub fn escaped(text: &str) -> String {
    let escape = |c: char| match c {
        '\\' => vec!['\\', '\\'],
        c if is_unseen(c) => c.escape_default().collect(),
        c => vec![c],
    };
    text.chars().flat_map(escape).collect()
}

/// Whether this character has no shape of its own.
fn is_invisible(c: char) -> bool {
    turns_text(c) || matches!(c, '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}')
}

/// Control characters, line separators, and the marks that change the direction of text and so
/// make one extension look like another (the `Bidi_Control` characters of Unicode).
fn turns_text(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2066}'..='\u{2069}')
}

impl fmt::Debug for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> FileName {
        FileName::new(text).expect("short enough")
    }

    #[test]
    fn a_name_is_kept_as_it_came() {
        let emoji = "🦀".repeat(1024);
        for text in ["../../etc/passwd", "C:\\x\\y.png", "a\0b", "a\"\r\nb.txt", "e\u{301}", &emoji]
        {
            assert_eq!(name(text).as_str(), text);
        }
        assert!(FileName::new("x".repeat(limits::NAME_LEN_MAX + 1)).is_err());
        assert_eq!(name("").as_str(), "file");
    }

    #[test]
    fn what_is_shown_cannot_move_the_cursor_nor_turn_the_text() {
        let hostile = "a\u{1b}[2J\n\u{202e}gnp.exe \u{feff}é🦀\\";
        assert_eq!(escaped(hostile), r"a\u{1b}[2J\n\u{202e}gnp.exe \u{feff}é🦀\\");
    }

    #[test]
    fn only_a_harmless_extension_is_one() {
        for (text, extension) in [
            ("a.PNG", Some("png")),
            ("a.tar.gz", Some("gz")),
            (".hidden", Some("hidden")),
            ("a", None),
            ("a.", None),
            ("a./../../x", None),
            ("a.p\u{202e}ng", None),
            ("a.ｐｎｇ", None),
            ("a.abcdefghijk", None),
        ] {
            assert_eq!(name(text).extension().as_deref(), extension, "{text:?}");
        }
    }

    #[test]
    fn a_display_name_is_one_component() {
        for (text, display) in [
            ("../../etc/passwd", "passwd"),
            ("C:\\pictures\\cat.png", "cat.png"),
            ("a\"\r\nb.txt", "a\"b.txt"),
            ("cat\u{202e}gnp.exe", "catgnp.exe"),
            ("..", "file"),
            ("a/", "file"),
            ("文件.txt", "文件.txt"),
            // Letters of Persian and Sinhala that must not, or must, join; a family of four.
            ("می\u{200c}خواهم.txt", "می\u{200c}خواهم.txt"),
            ("ශ්\u{200d}රී.png", "ශ්\u{200d}රී.png"),
            ("👨\u{200d}👩\u{200d}👧\u{200d}👦.png", "👨\u{200d}👩\u{200d}👧\u{200d}👦.png"),
            ("a\u{61c}\u{200e}\u{200f}\u{202a}\u{202e}\u{2066}\u{2069}\u{2028}b", "ab"),
            ("\u{200b}\u{200d}", "file"),
        ] {
            assert_eq!(name(text).display_name(), display, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_of_a_name_can_escape(text in "\\PC{0,40}|[./\\\\a-z\\x00]{0,40}") {
            let name = name(&text);
            let display = name.display_name();
            prop_assert!(!display.contains(['/', '\\', '\0', '\r', '\n']));
            prop_assert!(!display.starts_with('.') && !display.is_empty());
            if let Some(extension) = name.extension() {
                let harmless = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
                prop_assert!(extension.bytes().all(harmless));
            }
        }
    }
}
