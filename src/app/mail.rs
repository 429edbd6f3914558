//! The mailer, and the file with its password. Read once, at the start.

use std::{io, sync::Arc};

use super::{StartError, secret};
use crate::{
    config::{Config, SmtpTls},
    mail::{Encryption, Mailer, Smtp, SmtpServer},
};

/// The mailer that the settings name; nothing if they name none.
pub(super) fn mailer(config: &Config) -> Result<Option<Arc<dyn Mailer>>, StartError> {
    if config.mail.host.is_empty() {
        return Ok(None);
    }
    let encryption = match config.mail.tls {
        SmtpTls::Starttls => Encryption::StartTls,
        SmtpTls::Tls => Encryption::Tls,
        SmtpTls::None => Encryption::None,
    };
    let server = SmtpServer {
        host: config.mail.host.clone(),
        port: config.mail.port,
        encryption,
        credentials: credentials(config)?,
        from: config.mail.from.clone(),
    };
    Ok(Some(Arc::new(Smtp::new(server)?)))
}

fn credentials(config: &Config) -> Result<Option<(String, String)>, StartError> {
    let Some(path) = &config.mail.password_file else { return Ok(None) };
    let password = secret::read(path)
        .and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other))
        .map_err(|source| StartError::Password { path: path.display().to_string(), source })?;
    // Editors end a file with a line feed; no password does.
    let password = password.trim_end_matches(['\r', '\n']).to_owned();
    Ok(Some((config.mail.user.clone(), password)))
}
