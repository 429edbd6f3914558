//! Whoever signs tickets: keys for tests, which protect nothing.

use std::time::Duration;

use flowstitch::upload::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use serde_json::{Value, json};

use super::NOW;

/// The secret of the service in tests.
pub(crate) const SECRET: &[u8] = b"not a secret, for everybody can read it here";

/// Somebody who signs tickets.
pub(crate) struct Signer {
    algorithm: Algorithm,
    key: EncodingKey,
    id: Option<&'static str>,
}

impl Signer {
    /// With a secret.
    pub(crate) fn hs256(secret: &[u8]) -> Self {
        Self { algorithm: Algorithm::HS256, key: EncodingKey::from_secret(secret), id: None }
    }

    /// With the Ed25519 key of this seed.
    pub(crate) fn ed25519(seed: u8) -> Self {
        // PKCS #8 around a seed (RFC 8410).
        let mut der = hex::decode("302e020100300506032b657004220420").expect("digits");
        der.extend([seed; 32]);
        Self { algorithm: Algorithm::EdDSA, key: EncodingKey::from_ed_der(&der), id: None }
    }

    /// With an RSA key of 2048 bits.
    pub(crate) fn rs256() -> Self {
        let der = hex::decode(RSA).expect("digits");
        Self { algorithm: Algorithm::RS256, key: EncodingKey::from_rsa_der(&der), id: None }
    }

    /// With a key of the curve P-256.
    pub(crate) fn es256() -> Self {
        let der = hex::decode(P256).expect("digits");
        Self { algorithm: Algorithm::ES256, key: EncodingKey::from_ec_der(&der), id: None }
    }

    /// The same key for another algorithm of its kind.
    pub(crate) fn instead(self, algorithm: Algorithm) -> Self {
        Self { algorithm, ..self }
    }

    /// A name for the key, which stands in tickets and in the set.
    pub(crate) fn named(self, id: &'static str) -> Self {
        Self { id: Some(id), ..self }
    }

    /// The public key, as a JWK.
    pub(crate) fn public(&self) -> Value {
        let jwk = Jwk::from_encoding_key(&self.key, self.algorithm).expect("a key");
        let mut jwk = serde_json::to_value(jwk).expect("JSON");
        if let Some(id) = self.id {
            jwk["kid"] = id.into();
        }
        jwk
    }

    /// A ticket that says this.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_under(claims, |_| {})
    }

    /// The same, with a head of its own.
    pub(crate) fn sign_under(&self, claims: &Value, change: impl Fn(&mut Header)) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = self.id.map(str::to_owned);
        change(&mut header);
        encode(&header, claims, &self.key).expect("signed")
    }
}

/// The set of these keys.
pub(crate) fn jwks(signers: &[&Signer]) -> Vec<u8> {
    let keys: Vec<Value> = signers.iter().map(|signer| signer.public()).collect();
    json!({ "keys": keys }).to_string().into_bytes()
}

/// The claims of a ticket of Ann's that ends in a quarter of an hour, and `more`.
pub(crate) fn claims(more: &Value) -> Value {
    let mut claims = json!({ "sub": "ann", "exp": at(Duration::from_mins(15)) });
    let fields = claims.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    claims
}

/// So long after the beginning of a test, as tickets write it.
pub(crate) fn at(after: Duration) -> i64 {
    let now: Timestamp = NOW.parse().expect("a timestamp");
    now.as_second() + i64::try_from(after.as_secs()).expect("a short time")
}

const P256: &str = "\
    308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b020101042079f62726a56f77f0\
    902ec2c5de62243d128f54f22592746167e8c7c39a301d50a14403420004e65f8f5f477b101bd4bb197664fc\
    f25c6752b5c6d52de13c183830c153c46dfed3026c790abbed45ab04b2fbe33e2facaff23fda639f8692c4fd\
    c1b76cd727dc";

const RSA: &str = "\
    308204a40201000282010100d2655536f7d8342a2e8c78ae5573981e7497f2ea6407e4989a30084ccb2c5b41\
    bda629d32936515acb2244970eff789f21ec5b7101c2f5e59606bebae7fde30710f0165bf9e27e452934067e\
    9b7bb6d1491a2841c55d850cbfefc4960c16c7f9e47f66f0d0f9d0dd75c6298f4b3fef789a528a1d76072f64\
    52556f17a03fb6ac2bc77ff9bb9189ba4b71ccfb8152208dff30ada2aab1cc8880f76dc3b83ba1ff4369fdfd\
    62d66724681fde1d0abe1160f2bd36e5704c8bf0be2bc7b1925faa1d85520de361d75847c303cae2c4bc0643\
    aa873cfa68ebed1889baae448e42d0ae9df3c98145954ed4b1b0b65c15d917742b50ec0d1b54c067fbf7c027\
    aac0c1850203010001028201003c4f33c817ef6fb48fb7507898a213fed6e91f86b4b9d67b2fe788d98a7be2\
    84cbba2fcf09c73a36ce77ba359ae4fc4c914ad143697fdb40be6a9c8db32681c76ac1878741effcc6127389\
    510d7cbf00eaf58688a3ec94d0fccbdc0c2ed6f0e7dee9ee36259116a004bc92f93256d76c38c0643ae1b459\
    8f66527b0fc8adbaccc6496315f8a6214a4c5d96d523aadc462e0a6d357eb3fbdc3895560d37a353c9c51bc1\
    98e019c90343e347f9873533b67da875b103ba124488f233b1cdf780df449163ce6887a96ded11d404d751a7\
    0bb763a27a217e82d7b2fb73915bc35d88c80ed75c43846e87429c51856c74cd33edc4d78552bc4a9d53baca\
    e78be6d81902818100f6dfcfb0a22462ad88a8c9dd9e54c6397a78579dafa4cb4bd931be4e93240b324635d5\
    6dd364335fe591aa3a7bc806ae28afc6d6cc94d0ff61fdf6bd5fd2ebfd3dd39d3b083dd6dba4bf0c25751d30\
    e24cc5b3bde933f34ca0df24cdf417c213a19c546dae4a19e35b63fe238168f225ceda21bc2e4d8aec195bd9\
    32754b71cb02818100da2c52d6d353aba9e3075396c0bb2027bc3a983fa21988be227a2ea563a92292c2f7b9\
    d85562a6ee1d763187b42046020daf4f62eaf91612b3ed8ab12f0421ebc48e1b30d5cbf4322b30c0b84e2458\
    f90ed61671ba1daf32d309d5a7c735b221231a3989ba019e95b147c8e778a2b509183c64d89136aae69bc5f9\
    67879fefef02818070a96aca9cf425e433bd738223c36442ced52486dda542f17648f1244299ec522120682a\
    1a925bafa3c07a02fe82262a4c7f0b2af369e686e55d54c0cf7e1e1c0f9f06ddedc0ead089ba75fc9219a439\
    61f7c7331fbd8986aad3aaa42284c518d863d353ca7a1e9e5712a6e3e526d37ad58f4e5de67394b6724c2c2e\
    8ec0c349028181009c87a87790ef3afe8c70393cb3d28de3745ce5d6e1ca481d8246ff2892344b25d8d43b76\
    46ec9cafc25b8675c27a55402be9579fb4ce3953f9dbb7e21fc56b40e8a8bc417162ff34ef5fef254c8b2f7a\
    a176606c00084426c6db0b7b70a5c9c39497c0285c57c51bc931a3a6cf1a8da094cedfdbb173f371b8d97573\
    1e0f55e902818100f66498e2d2277d4278f666baa00a98c5f2a018586c463cc11d8eb1a10162e02be434e43a\
    0cbe1b2b28bbdb0322f87ea425121d88b349962cbc901ddee124cd26e5521216ff9bad5aa5e4971449c25c42\
    9f633b129d010d8c35a20aae00c8f4055eb99ff97767a25d107c19f53021441c41714fac4fe0c9eb3d64c587\
    f0134cdc";
