//! Tokens as they are written: `fst_<id>_<secret>`, in hexadecimal digits.
//!
//! The prefix lets scanners for leaked secrets know one. The secret has 256 random bits, so a plain
//! SHA-256 is what is kept of it: nothing can be guessed that a slow hash would have to guard.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::upload::{Sha256Digest, TokenId};

const PREFIX: &str = "fst_";

/// A token, with its secret. Written out once, by [`Token::reveal`], to whoever it is made for.
// Equal only in tests: elsewhere secrets are compared by `Token::fits`.
#[cfg_attr(test, derive(PartialEq, Eq))]
#[derive(Clone)]
pub struct Token {
    /// Which.
    pub id: TokenId,
    secret: [u8; 32],
}

/// A text that is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a token")]
pub struct InvalidToken;

impl Token {
    /// A new one, that nobody can guess. Errors: the system has no random numbers.
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)?;
        Ok(Self { id: TokenId::new(), secret })
    }

    /// What is kept of its secret.
    pub(super) fn hash(&self) -> Sha256Digest {
        Sha256Digest(Sha256::digest(self.secret).into())
    }

    /// Whether this is what was kept of its secret; takes as long whatever the answer is.
    pub(super) fn fits(&self, hash: &Sha256Digest) -> bool {
        self.hash().0.ct_eq(&hash.0).into()
    }

    /// Whether a text is meant to be a token.
    pub(super) fn looks_like_one(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// The token in full.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}_{}", hex::encode(self.id.as_bytes()), hex::encode(self.secret))
    }
}

impl FromStr for Token {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let parts = text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_'));
        let (id, secret) = parts.ok_or(InvalidToken)?;
        let (mut id_bytes, mut secret_bytes) = ([0; 16], [0; 32]);
        hex::decode_to_slice(id, &mut id_bytes).map_err(|_| InvalidToken)?;
        hex::decode_to_slice(secret, &mut secret_bytes).map_err(|_| InvalidToken)?;
        Ok(Self { id: TokenId::from_bytes(id_bytes), secret: secret_bytes })
    }
}

impl fmt::Debug for Token {
    /// Never the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Token").field(&self.id).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written_and_shows_its_secret_to_nobody() {
        let token = Token::new().expect("random numbers");
        let text = token.reveal();
        assert_eq!(text.parse::<Token>(), Ok(token.clone()));
        assert!(token.fits(&token.hash()));
        assert!(!token.fits(&Token::new().expect("random numbers").hash()));
        let secret = text.rsplit('_').next().expect("the last part");
        assert!(!format!("{token:?}").contains(secret));
        for end in 0..text.len() {
            assert_eq!(text[..end].parse::<Token>(), Err(InvalidToken), "cut at {end}");
        }
        for bad in [format!("{text}0"), text.replace("fst_", "FST_"), format!(" {text}")] {
            assert_eq!(bad.parse::<Token>(), Err(InvalidToken), "{bad}");
        }
    }
}
