//! The mail server, which sends codes to sign in with.

use std::{net::IpAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{Contradiction, Sender, Settings, check::refuse, resolve::named};

/// How the way to the mail server is encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum SmtpTls {
    /// By STARTTLS; a server that does not offer it gets nothing.
    #[default]
    Starttls,
    /// From the first byte on.
    Tls,
    /// Not at all.
    None,
}

impl SmtpTls {
    /// The port that is usual for it.
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Self::Starttls => 587,
            Self::Tls => 465,
            Self::None => 25,
        }
    }
}

/// How to reach it: the settings that begin with `smtp_`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailServer {
    /// `smtp_host`; empty for none.
    pub host: String,
    /// `smtp_port`.
    pub port: u16,
    /// `smtp_tls`.
    pub tls: SmtpTls,
    /// `smtp_user`; empty for none.
    pub user: String,
    /// `smtp_password_file`.
    pub password_file: Option<PathBuf>,
    /// `smtp_from`.
    pub from: Sender,
}

impl MailServer {
    /// Fills in the defaults.
    pub(super) fn of(settings: &Settings) -> Self {
        let tls = settings.smtp_tls.unwrap_or_default();
        Self {
            host: settings.smtp_host.clone().unwrap_or_default(),
            port: settings.smtp_port.filter(|port| *port != 0).unwrap_or(tls.port()),
            tls,
            user: settings.smtp_user.clone().unwrap_or_default(),
            password_file: named(settings.smtp_password_file.clone()),
            from: settings.smtp_from.clone().unwrap_or_default(),
        }
    }

    pub(super) fn check(&self) -> Result<(), Contradiction> {
        let has_host = !self.host.is_empty();
        refuse(
            has_host && !self.from.is_somebody(),
            "smtp_from",
            "is not set, and mail needs a sender: set it to an address that smtp_host may send for",
        )?;
        refuse(
            has_host && self.tls == SmtpTls::None && !self.is_on_this_machine(),
            "smtp_tls",
            "is none, with which everybody on the way could read the codes; that is for a mail \
             server on this machine: use starttls or tls",
        )?;
        let (user, password) = (!self.user.is_empty(), self.password_file.is_some());
        refuse(user && !password, "smtp_user", "is of no use without smtp_password_file: set it")?;
        refuse(password && !user, "smtp_password_file", "is of no use without smtp_user: set it")
    }

    fn is_on_this_machine(&self) -> bool {
        let is_own = |address: IpAddr| address.is_loopback();
        self.host == "localhost" || self.host.parse().is_ok_and(is_own)
    }
}
