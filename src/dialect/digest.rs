//! The header `Content-Digest` (RFC 9530).

use sfv::{BareItem, Dictionary, Item, ListEntry, Parser};

use super::rejection::{Rejection, quote};
use crate::upload::{DeclaredDigest, Sha256Digest, Sha512Digest};

/// The digests that a `Content-Digest` names: SHA-256, SHA-512 or both. Beside one of them, other
/// algorithms are ignored. Errors: it is malformed, or it names others only; then nothing of it
/// could be checked, and its sender must not believe that it was.
///
/// Several header lines are given as one value, joined by commas.
pub(in crate::dialect) fn content_digest(value: &str) -> Result<DeclaredDigest, Rejection> {
    let dictionary: Dictionary = Parser::new(value).parse().map_err(|_| malformed(value))?;
    let declared = DeclaredDigest {
        sha256: named(&dictionary, "sha-256", value)?.map(Sha256Digest),
        sha512: named(&dictionary, "sha-512", value)?.map(Sha512Digest),
    };
    if declared.is_empty() && !dictionary.is_empty() {
        let detail = "Content-Digest names no algorithm that is checked here: send sha-256 or \
                      sha-512";
        return Err(Rejection::malformed("unsupported_digest", detail));
    }
    Ok(declared)
}

/// The digest that a dictionary has of this algorithm, which has as many bytes.
fn named<const LEN: usize>(
    dictionary: &Dictionary,
    algorithm: &str,
    value: &str,
) -> Result<Option<[u8; LEN]>, Rejection> {
    match dictionary.get(algorithm) {
        None => Ok(None),
        Some(ListEntry::Item(Item { bare_item: BareItem::ByteSequence(bytes), .. })) => {
            bytes.as_slice().try_into().map(Some).map_err(|_| malformed(value))
        }
        Some(_) => Err(malformed(value)),
    }
}

fn malformed(value: &str) -> Rejection {
    let value = quote(value);
    let detail = format!("Content-Digest must be like sha-256=:<base64>:, not {value}");
    Rejection::malformed("invalid_content_digest", detail)
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
            format!("md5=:YQ==:, sha-256=:{HELLO_BASE64}:;note=\"a,b\""),
            format!("sha-256=:YQ==:, sha-256=:{HELLO_BASE64}:"),
        ] {
            let declared = content_digest(&value).expect("a digest");
            assert_eq!((declared.sha256, declared.sha512), (hello, None), "{value}");
        }
        assert_eq!(content_digest(""), Ok(DeclaredDigest::default()));
    }

    #[test]
    fn the_sha_512_is_read_alone_and_beside_the_sha_256() {
        let sha512 = format!("sha-512=:{}==:", "A".repeat(86));
        let declared = content_digest(&sha512).expect("a digest");
        assert_eq!((declared.sha256, declared.sha512), (None, Some(Sha512Digest([0; 64]))));
        let both = content_digest(&format!("{sha512}, sha-256=:{HELLO_BASE64}:"));
        let both = both.expect("two digests");
        assert!(both.sha256.is_some() && both.sha512.is_some());
    }

    #[test]
    fn what_names_other_algorithms_only_is_refused() {
        for value in ["unixsum=30637", "md5=?0", "md5=:YQ==:, crc32c=:YQ==:"] {
            let code = content_digest(value).map_err(|rejection| rejection.code);
            assert_eq!(code, Err("unsupported_digest"), "{value}");
        }
    }

    #[test]
    fn a_malformed_digest_is_refused() {
        for value in [
            format!("sha-256={HELLO_BASE64}"),
            format!("sha-256=\"{HELLO}\""),
            format!("SHA-256=:{HELLO_BASE64}:"),
            format!("sha-256=:{HELLO_BASE64}"),
            "sha-256".into(),
            "sha-256=:YQ==:".into(),
            "sha-512=:YQ==:".into(),
            format!("sha-512=:{HELLO_BASE64}:"),
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
