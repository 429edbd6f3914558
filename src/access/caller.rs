//! A caller: the answer to the question who is asking.

use super::{Denied, Ticket, Token};
use crate::upload::{self, Principal, Scope, Scopes, TokenId};

/// Who is asking, and what they may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub principal: Principal,
    /// What they may do.
    pub scopes: Scopes,
    /// What they showed.
    pub means: Means,
}

/// What a caller showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Means {
    /// Nothing.
    Nothing,
    /// A token.
    Token(TokenId),
    /// A ticket.
    Ticket(Ticket),
    /// Something that somebody else knows.
    Forwarded,
}

impl From<&Means> for upload::Means {
    fn from(means: &Means) -> Self {
        match means {
            Means::Nothing => Self::Nothing,
            Means::Token(id) => Self::Token(*id),
            Means::Ticket(ticket) => Self::Ticket(ticket.id.clone()),
            Means::Forwarded => Self::Forwarded,
        }
    }
}

impl Caller {
    /// The public, with these scopes.
    pub(super) fn anonymous(scopes: Scopes) -> Self {
        Self { principal: Principal::anonymous(), scopes, means: Means::Nothing }
    }

    /// Whoever it is, where it does not matter.
    #[must_use]
    pub fn nobody() -> Self {
        Self::anonymous(Scopes::NONE)
    }

    /// The ticket that was shown, if it was one.
    #[must_use]
    pub fn ticket(&self) -> Option<&Ticket> {
        match &self.means {
            Means::Ticket(ticket) => Some(ticket),
            Means::Nothing | Means::Token(_) | Means::Forwarded => None,
        }
    }

    /// Whether one of these is among what the caller may do.
    #[must_use]
    pub fn may(&self, any_of: &[Scope]) -> bool {
        any_of.iter().any(|scope| self.scopes.contains(*scope))
    }
}

/// What a request shows of its sender: one thing, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown<'a> {
    /// Nothing.
    Nothing,
    /// A token or a ticket, in the header `Authorization`.
    Header(&'a str),
    /// A ticket, in the field `ticket` of a query or a form.
    Field(&'a str),
}

impl<'a> Shown<'a> {
    /// Of a request that has this in its header, and this in its field `ticket`.
    ///
    /// Errors: they differ, or the field has a token. Neither of two credentials goes before the
    /// other: their sender may mean either.
    pub fn of(header: Option<&'a str>, field: Option<&'a str>) -> Result<Self, Denied> {
        match (header, field) {
            // Addresses stand in histories and in the logs of proxies.
            (_, Some(field)) if Token::looks_like_one(field) => Err(Denied::Misplaced),
            (Some(header), Some(field)) if header != field => Err(Denied::Ambiguous),
            (Some(header), _) => Ok(Self::Header(header)),
            (None, Some(field)) => Ok(Self::Field(field)),
            (None, None) => Ok(Self::Nothing),
        }
    }

    /// Whether somebody else may know what this is, if it is none of ours.
    pub(super) fn may_be_foreign(self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Header(text) => !Token::looks_like_one(text),
            Self::Field(_) => false,
        }
    }
}
