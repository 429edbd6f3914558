//! Whether what is set of the mail server and of sessions fits together.

use std::{net::IpAddr, time::Duration};

use super::{
    Config, Contradiction, SmtpTls, TimeSpan,
    resolve::{refuse, within},
};

impl Config {
    pub(super) fn check_mail(&self) -> Result<(), Contradiction> {
        let has_host = !self.smtp_host.is_empty();
        refuse(
            has_host && !self.smtp_from.is_somebody(),
            "smtp_from",
            "is not set, and mail needs a sender: set it to an address that smtp_host may send for",
        )?;
        refuse(
            has_host && self.smtp_tls == SmtpTls::None && !is_this_machine(&self.smtp_host),
            "smtp_tls",
            "is none, with which everybody on the way could read the codes; that is for a mail \
             server on this machine: use starttls or tls",
        )?;
        let (user, password) = (!self.smtp_user.is_empty(), self.smtp_password_file.is_some());
        refuse(user && !password, "smtp_user", "is of no use without smtp_password_file: set it")?;
        refuse(password && !user, "smtp_password_file", "is of no use without smtp_user: set it")?;
        let (ttl, most) = (TimeSpan(self.session_ttl), TimeSpan(self.session_max));
        within("session_ttl", ttl, TimeSpan(Duration::from_mins(1)), most)
    }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
