//! A caller: the answer to the question who is asking.

use super::Ticket;
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
