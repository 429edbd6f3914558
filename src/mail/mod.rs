//! Mail: what is sent, and who takes it: the [`Mailer`], and what implements it.
//!
//! A mailer hands a mail on, once. When to try again is for whoever sends it to say.

mod smtp;

use std::{error::Error, fmt, str::FromStr};

use async_trait::async_trait;
use lettre::message::Mailbox;

pub use self::smtp::{Encryption, Smtp, SmtpServer, Unusable};

/// A mail in plain text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The address that it is for.
    pub to: String,
    /// What it is about, in one line.
    pub subject: String,
    /// What it says.
    pub text: String,
}

/// Whoever takes mail to deliver it.
///
/// Cancel safety: a call that is dropped may have handed the mail on.
#[async_trait]
pub trait Mailer: fmt::Debug + Send + Sync + 'static {
    /// Hands a mail on. Errors: it was not taken.
    async fn send(&self, mail: &Mail) -> Result<(), NotSent>;
}

/// Why a mail was not taken.
#[derive(Debug, thiserror::Error)]
pub enum NotSent {
    /// For a reason that may pass.
    #[error("the mail server cannot take it for now")]
    ForNow(#[source] Box<dyn Error + Send + Sync>),
    /// For a reason that stays.
    #[error("the mail server refuses it")]
    ForGood(#[source] Box<dyn Error + Send + Sync>),
    /// Nobody answered.
    #[error("the mail server takes too long")]
    TimedOut,
}

/// Whom mail is from: an address, or `Name <address>`; empty for nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sender {
    /// As it was written.
    text: String,
    mailbox: Option<Mailbox>,
}

/// A text that is neither.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an e-mail address: write it as name@example.com, or as Uploads <name@example.com>")]
pub struct InvalidSender;

impl Sender {
    /// Whether it names anybody.
    #[must_use]
    pub fn is_somebody(&self) -> bool {
        self.mailbox.is_some()
    }
}

impl FromStr for Sender {
    type Err = InvalidSender;

    fn from_str(text: &str) -> Result<Self, InvalidSender> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let mailbox = text.parse().map_err(|_| InvalidSender)?;
        Ok(Self { text: text.to_owned(), mailbox: Some(mailbox) })
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_an_address_with_or_without_a_name() {
        for good in ["", "up@example.com", "Uploads <up@example.com>"] {
            assert_eq!(good.parse::<Sender>().map(|it| it.to_string()), Ok(good.to_owned()));
        }
        for bad in ["up", "up@", "@example.com", "a@example.com, b@example.com", "a\n@b.com"] {
            assert_eq!(bad.parse::<Sender>(), Err(InvalidSender), "{bad:?}");
        }
    }
}
