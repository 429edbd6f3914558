//! What makes two requests belong to one upload.

use std::{fmt, sync::Arc};

use sha2::{Digest, Sha256};

use super::{Plan, Principal, Visitor, limits};

/// An identity that is too long to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("at most {max} bytes are kept of it", max = limits::IDENTIFIER_LEN_MAX)]
pub struct InvalidIdentity;

/// Everything that two requests must share to belong to one upload.
///
/// Never the client's identifier alone: flow.js's default one collides between users, between
/// non-Latin names, and between every `image.jpg` of one size. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    principal: Principal,
    visitor: Option<Visitor>,
    identifier: Arc<str>,
    relative_path: Arc<str>,
    plan: Plan,
}

impl Identity {
    /// Errors: [`InvalidIdentity`] if a text is longer than [`limits::IDENTIFIER_LEN_MAX`].
    pub fn new(
        principal: Principal,
        identifier: impl Into<Arc<str>>,
        relative_path: impl Into<Arc<str>>,
        plan: Plan,
    ) -> Result<Self, InvalidIdentity> {
        let (identifier, relative_path) = (identifier.into(), relative_path.into());
        let longest = identifier.len().max(relative_path.len());
        if limits::IDENTIFIER_LEN_MAX < longest {
            return Err(InvalidIdentity);
        }
        Ok(Self { principal, visitor: None, identifier, relative_path, plan })
    }

    /// The same file of this visitor: whoever has credentials is none.
    #[must_use]
    pub fn of_visitor(self, visitor: Option<Visitor>) -> Self {
        Self { visitor, ..self }
    }

    /// Who uploads.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Which of the callers without credentials uploads, if it is one of them.
    #[must_use]
    pub fn visitor(&self) -> Option<Visitor> {
        self.visitor
    }

    /// The client's own word for the file. Hostile text.
    #[must_use]
    pub fn identifier(&self) -> &str {
        &self.identifier
    }

    /// Where the file stood on the client's side. Hostile text, never a path of ours.
    #[must_use]
    pub fn relative_path(&self) -> &str {
        &self.relative_path
    }

    /// How the file is cut.
    #[must_use]
    pub fn plan(&self) -> Plan {
        self.plan
    }

    /// The identity as one fixed-size key.
    #[must_use]
    pub fn key(&self) -> IdentityKey {
        let mut hash = Sha256::new();
        for text in [self.principal.as_str(), &self.identifier, &self.relative_path] {
            // The length stands first, so that no two lists of texts run together to one.
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        for number in [self.plan.total(), self.plan.stride(), self.plan.count()] {
            hash.update(number.to_be_bytes());
        }
        // Behind what always has the same form: the keys of users are what they were before there
        // were visitors.
        if let Some(visitor) = self.visitor {
            hash.update(visitor.as_bytes());
        }
        IdentityKey(hash.finalize().into())
    }
}

/// The SHA-256 of an [`Identity`]: equal if and only if the identities are.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct IdentityKey([u8; 32]);

impl IdentityKey {
    /// The key as a catalog stores it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0[..4]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(principal: &str, identifier: &str, path: &str, plan: (u64, u64, u64)) -> IdentityKey {
        let plan = Plan::new(plan.0, plan.1, plan.2).expect("a plan");
        let principal = Principal::named(principal);
        Identity::new(principal, identifier, path, plan).expect("short").key()
    }

    #[test]
    fn every_part_tells_uploads_apart() {
        let one = key("a", "10-x", "x", (10, 5, 2));
        assert_eq!(one, key("a", "10-x", "x", (10, 5, 2)));
        for other in [
            key("b", "10-x", "x", (10, 5, 2)),
            key("a", "10-y", "x", (10, 5, 2)),
            key("a", "10-x", "y", (10, 5, 2)),
            key("a", "10-x", "x", (11, 5, 2)),
            key("a", "10-x", "x", (10, 4, 2)),
            key("a", "10-x", "x", (10, 10, 1)),
            key("a1", "0-x", "x", (10, 5, 2)),
            key("a", "10-xx", "", (10, 5, 2)),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn a_visitor_tells_uploads_of_the_public_apart() {
        let plan = Plan::new(10, 5, 2).expect("a plan");
        let public = Identity::new(Principal::anonymous(), "10-x", "x", plan).expect("short");
        let of = |cookie| public.clone().of_visitor(Some(Visitor::with_cookie(cookie)));
        assert_eq!(of("a").key(), of("a").key());
        assert_ne!(of("a").key(), of("b").key());
        assert_ne!(of("a").key(), public.key());
    }
}
