//! Which of the callers without credentials is asking.

use std::{fmt, net::IpAddr};

use sha2::{Digest, Sha256};

/// Tells callers without credentials apart. All of them are one principal, the public; but two of
/// them that send a file of the same name and size must not write into one upload.
///
/// A hash: nobody can make a cookie of what a catalog stores.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Visitor([u8; 32]);

impl Visitor {
    /// The visitor with this cookie.
    #[must_use]
    pub fn with_cookie(secret: &str) -> Self {
        Self::hash(&["cookie", secret])
    }

    /// Whoever comes without a cookie from this address, with a client that calls itself this.
    #[must_use]
    pub fn from_address(address: Option<IpAddr>, user_agent: &str) -> Self {
        let address = address.map(|address| address.to_string()).unwrap_or_default();
        Self::hash(&["address", &address, user_agent])
    }

    /// A visitor as a catalog stored it.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// As a catalog stores it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn hash(texts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for text in texts {
            // The length stands first, so that no two lists of texts run together to one.
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        Self(hash.finalize().into())
    }
}

impl fmt::Debug for Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0[..4]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visitors_differ_by_cookie_or_by_address_and_user_agent() {
        let [one, two] = [[10, 0, 0, 1], [10, 0, 0, 2]].map(|it| Some(IpAddr::from(it)));
        let visitors = [
            Visitor::with_cookie("a"),
            Visitor::with_cookie("b"),
            Visitor::with_cookie("10.0.0.1"),
            Visitor::from_address(one, ""),
            Visitor::from_address(one, "a"),
            Visitor::from_address(two, "a"),
            Visitor::from_address(None, "10.0.0.1"),
        ];
        for (index, visitor) in visitors.iter().enumerate() {
            assert!(!visitors[..index].contains(visitor), "{index}");
        }
        assert_eq!(Visitor::from_address(one, "a"), visitors[4]);
    }
}
