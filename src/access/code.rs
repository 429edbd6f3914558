//! One-time codes: how they are made, and what is kept of them.
//!
//! A salted SHA-256 is what is kept. Six digits cannot be guarded by any hash, however slow, from
//! whoever reads the database while they count; but that is for minutes and a few tries, and what
//! was copied of it, as into a backup, says nothing of a code that anybody could still use.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::upload::{
    CodeRecord, Principal, Sha256Digest, Timestamp,
    limits::{CODE_DIGITS, CODE_TRIES},
};

/// How many codes there are.
const CODES: u32 = 10_u32.pow(CODE_DIGITS);

/// The digits of a new code, each as likely as any other.
pub(super) fn digits() -> Result<String, getrandom::Error> {
    // Above the last whole multiple some codes would be likelier than others.
    const FAIR: u32 = u32::MAX - u32::MAX % CODES;
    loop {
        let number = getrandom::u32()?;
        if number < FAIR {
            return Ok(format!("{:0width$}", number % CODES, width = CODE_DIGITS as usize));
        }
    }
}

/// What is kept of a code of this user.
pub(super) fn record(
    digits: &str,
    user: Principal,
    expires_at: Timestamp,
) -> Result<CodeRecord, getrandom::Error> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt)?;
    let hash = hash(&salt, digits);
    Ok(CodeRecord { user, salt, hash, expires_at, tries_left: CODE_TRIES, sent: false })
}

/// Whether this is the code of which that was kept; takes as long whatever the answer is.
pub(super) fn fits(kept: Option<&CodeRecord>, digits: &str) -> bool {
    let (salt, kept_hash) = kept.map_or(([0; 16], Sha256Digest([0; 32])), |it| (it.salt, it.hash));
    let same: bool = hash(&salt, digits).0.ct_eq(&kept_hash.0).into();
    same & kept.is_some()
}

fn hash(salt: &[u8; 16], digits: &str) -> Sha256Digest {
    Sha256Digest(Sha256::new().chain_update(salt).chain_update(digits).finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_six_digits_and_fits_what_was_kept_of_it_alone() {
        let user = || Principal::named("ann");
        let (one, other) = ("000042", "000043");
        let kept = record(one, user(), Timestamp::MAX).expect("random numbers");
        assert!(fits(Some(&kept), one));
        for bad in [other, "", "42", "0000420", " 000042"] {
            assert!(!fits(Some(&kept), bad), "{bad:?}");
        }
        assert!(!fits(None, one));
        let again = record(one, user(), Timestamp::MAX).expect("random numbers");
        assert_ne!(kept.hash, again.hash, "the same code looks different each time");
        for _ in 0..100 {
            let digits = digits().expect("random numbers");
            assert!(digits.len() == 6 && digits.bytes().all(|it| it.is_ascii_digit()), "{digits}");
        }
    }
}
