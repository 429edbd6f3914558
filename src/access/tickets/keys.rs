//! The keys of tickets: a secret of our own, and public keys of those who sign for themselves.
//!
//! Each key is for one algorithm, chosen when it is read: what a ticket says of its algorithm can
//! only select among our keys, and never makes a public key a secret.

use std::fmt;

use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind, EncodingKey, Header, Validation, decode,
    decode_header,
    errors::ErrorKind,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse},
};

use super::{Claims, Unusable};
use crate::{
    access::Denied,
    upload::limits::{RSA_BITS_MIN, TICKET_KEYS_MAX, TICKET_LEN_MAX, TICKET_SECRET_LEN_MIN},
};

/// The keys with which tickets may be signed.
#[derive(Default)]
pub struct TicketKeys {
    /// With which we sign, too.
    own: Option<EncodingKey>,
    keys: Vec<Key>,
}

/// A key, and the one algorithm that it is for.
struct Key {
    /// What a ticket may call it.
    id: Option<String>,
    algorithm: Algorithm,
    verifies: DecodingKey,
}

/// Why a file of keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Too short.
    #[error(
        "the secret has {0} bytes and must have {TICKET_SECRET_LEN_MIN} or more: make one with \
         `openssl rand -hex 32`"
    )]
    Short(usize),
    /// Something else.
    #[error("this is not a JWK set (RFC 7517), such as {{\"keys\": [{{\"kty\": \"OKP\", …}}]}}")]
    NotASet(#[source] serde_json::Error),
    /// Nothing in it, or too much.
    #[error("a JWK set must have 1 to {TICKET_KEYS_MAX} keys that are for signing; this has {0}")]
    Count(usize),
    /// One of the keys.
    #[error("key {number} of the set {why}")]
    Key {
        /// Its place, from 1.
        number: usize,
        /// What is wrong with it.
        why: String,
    },
}

impl TicketKeys {
    /// Adds our own secret, for HS256. White space behind a secret that is text is not part of it.
    pub fn with_secret(mut self, secret: &[u8]) -> Result<Self, KeyError> {
        let secret = std::str::from_utf8(secret).map_or(secret, |text| text.trim_end().as_bytes());
        if secret.len() < TICKET_SECRET_LEN_MIN {
            return Err(KeyError::Short(secret.len()));
        }
        self.own = Some(EncodingKey::from_secret(secret));
        let verifies = DecodingKey::from_secret(secret);
        self.keys.push(Key { id: None, algorithm: Algorithm::HS256, verifies });
        Ok(self)
    }

    /// Adds the public keys of a JWK set: Ed25519 for `EdDSA`, P-256 for ES256, RSA for RS256. Keys
    /// that are for encryption are passed over.
    pub fn with_set(mut self, text: &[u8]) -> Result<Self, KeyError> {
        let set: JwkSet = serde_json::from_slice(text).map_err(KeyError::NotASet)?;
        let for_signing =
            |jwk: &Jwk| jwk.common.public_key_use.as_ref() != Some(&PublicKeyUse::Encryption);
        let count = set.keys.iter().filter(|jwk| for_signing(jwk)).count();
        if !(1..=TICKET_KEYS_MAX).contains(&count) {
            return Err(KeyError::Count(count));
        }
        for (number, jwk) in (1..).zip(&set.keys).filter(|(_, jwk)| for_signing(jwk)) {
            let wrong = |why| KeyError::Key { number, why };
            self.keys.push(public(jwk).map_err(wrong)?);
        }
        Ok(self)
    }

    /// Signs with our own secret, if there is one.
    pub(super) fn sign(&self, claims: &Claims) -> Option<String> {
        let header = Header::new(Algorithm::HS256);
        let signed = jsonwebtoken::encode(&header, claims, self.own.as_ref()?);
        Some(signed.expect("claims are JSON, and a secret signs everything"))
    }

    /// What a ticket says, if one of our keys signed it.
    pub(super) fn verify(&self, text: &str) -> Result<Claims, Denied> {
        if TICKET_LEN_MAX < text.len() {
            return Err(Denied::Invalid);
        }
        let header = decode_header(text).map_err(|_| Denied::Invalid)?;
        if header.crit.is_some() {
            // It demands to be refused by whoever does not understand all of it (RFC 7515, 4.1.11).
            return Err(Denied::Invalid);
        }
        for key in self.keys.iter().filter(|key| key.may_have_signed(&header)) {
            match decode(text, &key.verifies, &signature_only(key.algorithm)) {
                Ok(ticket) => return Ok(ticket.claims),
                // Only what was signed is read.
                Err(error) if matches!(error.kind(), ErrorKind::Json(_)) => {
                    return Err(Unusable::Unreadable.into());
                }
                Err(_) => {}
            }
        }
        Err(Denied::Invalid)
    }
}

impl Key {
    fn may_have_signed(&self, header: &Header) -> bool {
        let named = self.id.is_none() || header.kid.is_none() || self.id == header.kid;
        self.algorithm == header.alg && named
    }
}

impl fmt::Debug for TicketKeys {
    /// Never a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKeys").field("count", &self.keys.len()).finish_non_exhaustive()
    }
}

/// The claims are ours to judge, by our own clock.
fn signature_only(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    (validation.validate_exp, validation.validate_aud) = (false, false);
    validation
}

/// A public key. Errors: what is wrong with it.
fn public(jwk: &Jwk) -> Result<Key, String> {
    let algorithm = algorithm(jwk)?;
    if let Some(said) = jwk.common.key_algorithm
        && said != algorithm.into()
    {
        return Err(format!(
            "is of the wrong kind for its `alg`: it can only be used for {algorithm:?}, not {said}"
        ));
    }
    let verifies = DecodingKey::from_jwk(jwk).map_err(|_| "has a part that is not base64url")?;
    let whole = match verifies.kind() {
        // An uncompressed point of P-256 has 65 bytes, one of Ed25519 has 32.
        DecodingKeyKind::SecretOrDer(bytes) if algorithm == Algorithm::ES256 => bytes.len() == 65,
        DecodingKeyKind::SecretOrDer(bytes) => bytes.len() == 32,
        DecodingKeyKind::RsaModulusExponent { n, .. } => RSA_BITS_MIN <= bits(n),
    };
    if !whole {
        let least = format!("is not whole, or too short: RSA keys need {RSA_BITS_MIN} bits");
        return Err(least);
    }
    Ok(Key { id: jwk.common.key_id.clone(), algorithm, verifies })
}

/// The algorithm that a key of this kind is for.
fn algorithm(jwk: &Jwk) -> Result<Algorithm, String> {
    match &jwk.algorithm {
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            Ok(Algorithm::EdDSA)
        }
        AlgorithmParameters::EllipticCurve(point) if point.curve == EllipticCurve::P256 => {
            Ok(Algorithm::ES256)
        }
        AlgorithmParameters::RSA(_) => Ok(Algorithm::RS256),
        AlgorithmParameters::OctetKey(_) => {
            Err("is a secret and no public key: secrets belong into the file of `ticket_key`"
                .into())
        }
        _ => Err("is of no kind that is known: use Ed25519, P-256 or RSA".into()),
    }
}

/// How many bits a number has, the highest byte first.
fn bits(number: &[u8]) -> usize {
    let digits = number.iter().skip_while(|byte| **byte == 0);
    let highest = digits.clone().next().map_or(0, |byte| byte.leading_zeros() as usize);
    digits.count() * 8 - highest
}
