//! Which files are taken: by what their names say and by what their first bytes show.

use std::{fmt, str::FromStr};

use super::{FileName, limits, media};

/// One kind of file that is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// `.pdf`: files whose names end so, and whose content is what such files have.
    Extension(String),
    /// `image/*`: all types of a group.
    Group(String),
    /// `image/png`: one type.
    Type(String),
}

/// A text that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// It looks like nothing that is known.
    #[error("{0:?} is no kind of file: write a type (image/png), a group (image/*) or .pdf")]
    Unknown(String),
    /// An extension that no name can have.
    #[error(
        "{0:?} is no extension: write a point and the last part of the name, which is up to {max} \
         letters and digits: .gz, not .tar.gz",
        max = limits::EXTENSION_LEN_MAX
    )]
    Extension(String),
    /// A type that no extension stands for.
    #[error("no name of a file says that it is {0:?}: correct the type, or write an extension")]
    Nameless(String),
    /// Everything.
    #[error("{0:?} is every file: name no kind at all to accept all")]
    Everything(String),
    /// More than a refusal can list.
    #[error("too many kinds of file: at most {} can be listed; use groups", limits::ACCEPT_LEN_MAX)]
    TooMany,
}

impl FromStr for Pattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let pattern = text.trim().to_ascii_lowercase();
        if let Some(extension) = pattern.strip_prefix('.') {
            let name = FileName::new(pattern.as_str()).ok();
            return match name.and_then(|name| name.extension()) {
                Some(whole) if whole == extension => Ok(Self::Extension(whole)),
                _ => Err(InvalidPattern::Extension(pattern)),
            };
        }
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$&-^_.+".contains(c);
        let is_token = |part: &str| !part.is_empty() && part.chars().all(token);
        match pattern.split_once('/') {
            Some(("*", _)) => Err(InvalidPattern::Everything(pattern)),
            Some((group, kind)) if is_token(group) && (kind == "*" || is_token(kind)) => {
                let group = group.to_owned();
                match (media::has_name(&pattern), kind) {
                    (false, _) => Err(InvalidPattern::Nameless(pattern)),
                    (true, "*") => Ok(Self::Group(group)),
                    (true, _) => Ok(Self::Type(pattern)),
                }
            }
            Some(_) | None => Err(InvalidPattern::Unknown(pattern)),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Extension(extension) => write!(f, ".{extension}"),
            Self::Group(group) => write!(f, "{group}/*"),
            Self::Type(name) => f.write_str(name),
        }
    }
}

impl Pattern {
    /// Whether this type is meant.
    fn covers(&self, name: &str) -> bool {
        match self {
            Self::Extension(_) => false,
            Self::Group(group) => [name, media::canonical(name)]
                .iter()
                .any(|name| name.split_once('/').is_some_and(|(of, _)| of == group)),
            Self::Type(wanted) => media::canonical(name) == media::canonical(wanted),
        }
    }

    /// What a file with this extension must show itself to be. Nothing if the extension is not
    /// meant; an empty list if nobody knows what such files are.
    fn expected(&self, extension: &str) -> Option<Vec<&'static str>> {
        let mut named = media::named(extension);
        if let Self::Extension(wanted) = self {
            return (wanted == extension).then_some(named);
        }
        named.retain(|name| self.covers(name));
        (!named.is_empty()).then_some(named)
    }

    /// Whether a file of this extension with this beginning is meant.
    fn agrees(&self, extension: &str, head: &[u8]) -> bool {
        let Some(expected) = self.expected(extension) else { return false };
        if expected.is_empty() {
            return true;
        }
        match media::shown(head) {
            Some(found) => {
                self.covers(found) || expected.iter().any(|name| media::may_be(found, name))
            }
            // What would be recognised, and is not, is not what its name says.
            None => !expected.iter().all(|name| media::is_recognisable(name)),
        }
    }
}

/// The kinds of file that are taken; none named means all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accept(Vec<Pattern>);

impl Accept {
    /// Files of any of these kinds; of every kind, if there are none.
    #[must_use]
    pub fn new(patterns: Vec<Pattern>) -> Self {
        Self(patterns)
    }

    /// Files of the kinds that these texts name, at most [`limits::ACCEPT_LEN_MAX`] of them.
    pub fn of<'a>(kinds: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidPattern> {
        let kinds: Vec<Pattern> = kinds.into_iter().map(str::parse).collect::<Result<_, _>>()?;
        if limits::ACCEPT_LEN_MAX < kinds.len() {
            return Err(InvalidPattern::TooMany);
        }
        Ok(Self(kinds))
    }

    /// The texts for [`Self::of`].
    #[must_use]
    pub fn kinds(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }

    /// Whether every file is taken.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a file of this name may be taken.
    #[must_use]
    pub fn takes_name(&self, name: &FileName) -> bool {
        let extension = name.extension().unwrap_or_default();
        let meant = |pattern: &Pattern| pattern.expected(&extension).is_some();
        self.is_everything() || self.0.iter().any(meant)
    }

    /// Whether a file of this name that begins so is taken: one kind must agree with both. The
    /// beginning is [`limits::HEAD_LEN`] bytes, or the whole of a shorter file.
    #[must_use]
    pub fn takes(&self, name: &FileName, head: &[u8]) -> bool {
        let extension = name.extension().unwrap_or_default();
        self.is_everything() || self.0.iter().any(|pattern| pattern.agrees(&extension, head))
    }
}

impl FromStr for Accept {
    type Err = InvalidPattern;

    /// Kinds, separated by commas; nothing means all.
    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        Self::of(text.split(','))
    }
}

impl fmt::Display for Accept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kinds().join(", "))
    }
}

#[cfg(test)]
mod tests;
