//! Users, and the tokens with which they show who they are.

use std::{fmt, str::FromStr};

use super::{Principal, Sha256Digest, Timestamp, TokenId};

/// Somebody whom the service knows by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// What tells the user from others.
    pub name: Principal,
    /// Where a code can be sent with which to sign in to the page.
    pub email: Option<String>,
    /// When the service first heard of the user.
    pub created_at: Timestamp,
    /// Since when nothing is allowed any more, if that is so.
    pub disabled_at: Option<Timestamp>,
}

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Send files, see how they come in, cancel, reschedule and delete: of one's own.
    Upload,
    /// See what was published: of one's own.
    Read,
    /// Issue tickets for others, and see what is measured.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Upload, Self::Read, Self::Admin];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(word: &str) -> Result<Self, UnknownScope> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word).ok_or(UnknownScope)
    }
}

/// A word that is no scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a scope: use upload, read or admin, or several with commas between them")]
pub struct UnknownScope;

/// A set of scopes, written as words with commas between them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// Nothing at all.
    pub const NONE: Self = Self(0);

    /// These.
    #[must_use]
    pub fn of(scopes: &[Scope]) -> Self {
        Self(scopes.iter().fold(0, |bits, scope| bits | scope.bit()))
    }

    /// All there are.
    #[must_use]
    pub fn all() -> Self {
        Self::of(&Scope::ALL)
    }

    /// Whether this is one of them.
    #[must_use]
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }
}

impl FromStr for Scopes {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        let scopes: Vec<Scope> =
            text.split(',').map(|word| word.trim().parse()).collect::<Result<_, _>>()?;
        Ok(Self::of(&scopes))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = Scope::ALL.into_iter().filter(|scope| self.contains(*scope));
        f.write_str(&words.map(Scope::as_str).collect::<Vec<_>>().join(","))
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is kept of a token: never the token itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// What it is called by: it stands in the token, and is no secret.
    pub id: TokenId,
    /// Whose it is.
    pub user: Principal,
    /// What its owner calls it.
    pub label: String,
    /// The SHA-256 of its secret part.
    pub hash: Sha256Digest,
    /// What may be done with it.
    pub scopes: Scopes,
    /// How it came to be.
    pub kind: TokenKind,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was last used: the time is kept only roughly.
    pub used_at: Option<Timestamp>,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
}

/// How a token came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// Made by the operator, for programs.
    Key,
    /// Made by signing in to the page: short-lived and renewable.
    Session,
}

impl TokenKind {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Session => "session",
        }
    }

    /// The kind of this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Key, Self::Session].into_iter().find(|kind| kind.as_str() == word)
    }
}

impl TokenRecord {
    /// Whether it counts at this time.
    #[must_use]
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| now < at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_written_as_they_are_read() {
        for text in ["upload", "read", "admin", "upload,read", "upload,read,admin"] {
            assert_eq!(text.parse::<Scopes>().map(|it| it.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("read, upload".parse(), Ok(Scopes::of(&[Scope::Upload, Scope::Read])));
        for bad in ["", "write", "read,", "Read"] {
            assert_eq!(bad.parse::<Scopes>(), Err(UnknownScope), "{bad:?}");
        }
        assert!(!Scopes::NONE.contains(Scope::Read) && Scopes::all().contains(Scope::Admin));
    }
}
