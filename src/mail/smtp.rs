//! Mail by SMTP (RFC 5321): one connection for each, encrypted before anything is said.

use std::fmt;

use async_trait::async_trait;
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    transport::smtp::{
        authentication::Credentials,
        client::{Tls, TlsParameters},
    },
};
use uuid::Uuid;

use super::{Mail, Mailer, NotSent, Sender};

/// How the way to a mail server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// By STARTTLS: the server must offer it, or nothing is sent.
    StartTls,
    /// From the first byte on.
    Tls,
    /// Not at all.
    None,
}

/// A mail server, and who we are to it.
#[derive(Clone)]
pub struct SmtpServer {
    /// Its name, which its certificate must have.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection to the mail server is encrypted.
    pub encryption: Encryption,
    /// Name and password, where it wants them.
    pub credentials: Option<(String, String)>,
    /// Whom mail is from.
    pub from: Sender,
}

impl fmt::Debug for SmtpServer {
    /// Never the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmtpServer").field("host", &self.host).finish_non_exhaustive()
    }
}

/// Why a mail server cannot be used at all.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the mail server {host}")]
pub struct Unusable {
    host: String,
    #[source]
    source: lettre::transport::smtp::Error,
}

/// A mailer that hands mail to a mail server.
#[derive(Debug)]
pub struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Sender,
}

impl Smtp {
    /// Hands mail to this server. Does not connect yet.
    pub fn new(server: SmtpServer) -> Result<Self, Unusable> {
        let SmtpServer { host, port, encryption, credentials, from } = server;
        let tls = || {
            let parameters = TlsParameters::builder(host.clone()).build_rustls();
            parameters.map_err(|source| Unusable { host: host.clone(), source })
        };
        let tls = match encryption {
            Encryption::StartTls => Tls::Required(tls()?),
            Encryption::Tls => Tls::Wrapper(tls()?),
            Encryption::None => Tls::None,
        };
        // "Dangerous" is that the builder encrypts nothing by itself: `tls` does.
        let builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&host);
        let mut builder = builder.port(port).tls(tls);
        if let Some((name, password)) = credentials {
            builder = builder.credentials(Credentials::new(name, password));
        }
        Ok(Self { transport: builder.build(), from })
    }

    fn message(&self, mail: &Mail) -> Result<Message, NotSent> {
        let never = |error: Box<dyn std::error::Error + Send + Sync>| NotSent::ForGood(error);
        let from = self.from.mailbox.clone().ok_or_else(|| never("it has no sender".into()))?;
        let to =
            mail.to.parse().map_err(|error: lettre::address::AddressError| never(error.into()))?;
        let id = format!("<{}@{}>", Uuid::new_v4(), from.email.domain());
        let message = Message::builder().from(from).to(to).subject(&mail.subject);
        let message = message.message_id(Some(id)).body(mail.text.clone());
        message.map_err(|error| never(error.into()))
    }
}

#[async_trait]
impl Mailer for Smtp {
    async fn send(&self, mail: &Mail) -> Result<(), NotSent> {
        let message = self.message(mail)?;
        match self.transport.send(message).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_permanent() => Err(NotSent::ForGood(error.into())),
            Err(error) => Err(NotSent::ForNow(error.into())),
        }
    }
}
