//! Who is asking.

use std::{fmt, str::FromStr, sync::Arc};

use super::limits;

/// What the public is called.
const ANONYMOUS: &str = "anonymous";

/// Who is asking: a user, or the anonymous public. Whatever belongs to one principal does not
/// exist for any other (invariant 12). Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Principal(Arc<str>);

/// A text that cannot name a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPrincipal {
    /// The length.
    #[error("a user's name has 1 to {max} bytes", max = limits::USER_NAME_LEN_MAX)]
    Length,
    /// Characters that nobody sees.
    #[error(
        "a user's name has no control, direction or invisible characters, and no space at its ends"
    )]
    Character,
    /// The name of the public.
    #[error("{ANONYMOUS:?} is what callers without a name are called: choose another name")]
    Reserved,
}

impl Principal {
    /// The public: every caller without credentials. They share one namespace.
    #[must_use]
    pub fn anonymous() -> Self {
        Self(ANONYMOUS.into())
    }

    /// The principal with this name, as a catalog stored it.
    #[must_use]
    pub fn named(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name: what creatives call `user_id`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the public.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        &*self.0 == ANONYMOUS
    }
}

impl FromStr for Principal {
    type Err = InvalidPrincipal;

    /// The user with this name.
    fn from_str(name: &str) -> Result<Self, InvalidPrincipal> {
        if name.is_empty() || limits::USER_NAME_LEN_MAX < name.len() {
            return Err(InvalidPrincipal::Length);
        }
        if name.trim() != name || name.chars().any(is_unseen) {
            return Err(InvalidPrincipal::Character);
        }
        if name == ANONYMOUS {
            return Err(InvalidPrincipal::Reserved);
        }
        Ok(Self(name.into()))
    }
}

/// What an operator calls a user who is stored: the name, or the name as lists show it
/// ([`super::escaped`]). It need not follow today's rule: the user may be older than that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownName(String);

impl KnownName {
    /// The text as it was typed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The users that may be meant, the likeliest first: a name that is typed as it is goes before
    /// one that is typed as lists show it.
    pub fn meant(&self) -> impl Iterator<Item = Principal> + use<> {
        let shown = unescaped(&self.0).filter(|name| *name != self.0);
        [Some(self.0.clone()), shown].into_iter().flatten().map(Principal::named)
    }
}

impl FromStr for KnownName {
    type Err = InvalidPrincipal;

    fn from_str(text: &str) -> Result<Self, InvalidPrincipal> {
        match text {
            "" => Err(InvalidPrincipal::Length),
            ANONYMOUS => Err(InvalidPrincipal::Reserved),
            _ => Ok(Self(text.into())),
        }
    }
}

/// The text that [`super::escaped`] shows like this, if there is one.
fn unescaped(shown: &str) -> Option<String> {
    let (mut text, mut rest) = (String::new(), shown);
    while let Some((before, escape)) = rest.split_once('\\') {
        text.push_str(before);
        let (c, len) = match escape.chars().next()? {
            'n' => ('\n', 1),
            'r' => ('\r', 1),
            't' => ('\t', 1),
            '\\' => ('\\', 1),
            _ => {
                let (code, _) = escape.strip_prefix("u{")?.split_once('}')?;
                (char::from_u32(u32::from_str_radix(code, 16).ok()?)?, "u{}".len() + code.len())
            }
        };
        text.push(c);
        rest = escape.get(len..)?;
    }
    text.push_str(rest);
    Some(text)
}

/// Whether a character is not seen, or changes how others are shown: with one of them, two names
/// look alike.
pub(super) fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_user_is_named_as_stored_or_as_shown() {
        let meant = |text: &str| {
            let name = text.parse::<KnownName>().expect("a name");
            name.meant().map(|it| it.as_str().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(meant("ann"), ["ann"]);
        for stored in ["mi\u{200c}ra", "a\nb", "DOM\\nina", "\u{feff}\\", "x\u{ad}\u{e0041}"] {
            let shown = crate::upload::escaped(stored);
            assert!(shown.chars().all(|c| !is_unseen(c)), "{shown:?}");
            assert!(meant(stored).first().is_some_and(|it| it == stored));
            assert!(meant(&shown).iter().any(|it| it == stored), "{shown:?}");
        }
        for no_escape in ["a\\", "a\\x", "a\\u{", "a\\u{110000}", "a\\u{}"] {
            assert_eq!(meant(no_escape), [no_escape]);
        }
        assert_eq!("".parse::<KnownName>(), Err(InvalidPrincipal::Length));
        assert_eq!("anonymous".parse::<KnownName>(), Err(InvalidPrincipal::Reserved));
    }

    #[test]
    fn a_user_has_a_name_that_can_be_seen_and_is_not_the_publics() {
        for good in ["ann", "Zoë Müller", "ann@example.com", "42", "auth0|5f7c8ec7"] {
            assert_eq!(good.parse::<Principal>().map(|it| it.0), Ok(good.into()));
        }
        let long = "x".repeat(limits::USER_NAME_LEN_MAX + 1);
        for (bad, why) in [
            ("", InvalidPrincipal::Length),
            (&long, InvalidPrincipal::Length),
            ("a\nb", InvalidPrincipal::Character),
            (" a", InvalidPrincipal::Character),
            ("a\u{a0}", InvalidPrincipal::Character),
            ("a\u{202e}nn", InvalidPrincipal::Character),
            ("an\u{200b}n", InvalidPrincipal::Character),
            ("an\u{200d}n", InvalidPrincipal::Character),
            ("\u{feff}ann", InvalidPrincipal::Character),
            ("an\u{2066}n", InvalidPrincipal::Character),
            ("an\u{e0041}n", InvalidPrincipal::Character),
            ("an\u{2028}n", InvalidPrincipal::Character),
            ("anonymous", InvalidPrincipal::Reserved),
        ] {
            assert_eq!(bad.parse::<Principal>(), Err(why), "{bad:?}");
        }
    }
}
