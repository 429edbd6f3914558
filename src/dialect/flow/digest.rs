//! The header `Content-Digest` (RFC 9530).

use sfv::{BareItem, Dictionary, Item, ListEntry, Parser};

use super::rejection::{Rejection, quote};
use crate::upload::Sha256Digest;

/// The SHA-256 that a `Content-Digest` names, if it names one; other algorithms are ignored.
///
/// Several header lines are given as one value, joined by commas.
pub(super) fn content_digest(value: &str) -> Result<Option<Sha256Digest>, Rejection> {
    let malformed = || {
        let value = quote(value);
        let detail = format!("Content-Digest must be like sha-256=:<base64>:, not {value}");
        Rejection::malformed("invalid_content_digest", detail)
    };
    let dictionary: Dictionary = Parser::new(value).parse().map_err(|_| malformed())?;
    match dictionary.get("sha-256") {
        None => Ok(None),
        Some(ListEntry::Item(Item { bare_item: BareItem::ByteSequence(bytes), .. })) => {
            let digest = bytes.as_slice().try_into().map_err(|_| malformed())?;
            Ok(Some(Sha256Digest(digest)))
        }
        Some(_) => Err(malformed()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    const HELLO_BASE64: &str = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=";

    #[test]
    fn the_sha_256_of_a_content_digest_is_read() {
        let hello = HELLO.parse::<Sha256Digest>().ok();
        for value in [
            format!("sha-256=:{HELLO_BASE64}:"),
            format!("  sha-256=:{HELLO_BASE64}:  "),
            format!("sha-512=:YQ==:, sha-256=:{HELLO_BASE64}:;note=\"a,b\""),
            format!("sha-256=:YQ==:, sha-256=:{HELLO_BASE64}:"),
        ] {
            assert_eq!(content_digest(&value), Ok(hello), "{value}");
        }
        for value in ["", "sha-512=:YQ==:", "unixsum=30637", "md5=?0"] {
            assert_eq!(content_digest(value), Ok(None), "{value}");
        }
    }

    #[test]
    fn a_malformed_sha_256_is_refused() {
        for value in [
            format!("sha-256={HELLO_BASE64}"),
            format!("sha-256=\"{HELLO}\""),
            format!("SHA-256=:{HELLO_BASE64}:"),
            format!("sha-256=:{HELLO_BASE64}"),
            "sha-256".into(),
            "sha-256=:YQ==:".into(),
            "sha-256=:%%%%:".into(),
            "sha-256=(:YQ==:)".into(),
            "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:,".into(),
            "ü".into(),
        ] {
            let code = content_digest(&value).map_err(|rejection| rejection.code);
            assert_eq!(code, Err("invalid_content_digest"), "{value}");
        }
    }

    proptest! {
        #[test]
        fn no_value_panics(value in "\\PC{0,60}|[a-z0-9=:\",; -]{0,60}") {
            let _ = content_digest(&value);
        }
    }
}
