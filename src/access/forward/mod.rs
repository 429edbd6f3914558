//! Forward authentication: a service of the operator's is asked who sends a request, as reverse
//! proxies ask it (nginx's `auth_request`, Traefik's `forwardAuth`).
//!
//! It is asked who somebody is, not what they may do here: its answer counts for a moment for all
//! requests that look the same to it. What is found out is written down nowhere.

mod known;
mod question;

use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderName, Request, Response, StatusCode, Uri, request};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{
    sync::Mutex,
    time::{sleep, timeout},
};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore, crypto::ring};

use self::{known::Known, question::Question};
use super::{Access, Caller, Denied, Means};
use crate::upload::{
    By, Principal, Scopes, Sha256Digest,
    limits::{
        FORWARD_ANSWER_LEN_MAX, FORWARD_DEADLINE, FORWARD_LINES, FORWARD_PAUSE_MIN, FORWARD_TIMEOUT,
    },
};

/// How to ask.
#[derive(Debug, Clone)]
pub struct ForwardOptions {
    /// Whom; `http` or `https`.
    pub url: Uri,
    /// The field of its answer that names the user.
    pub user_header: HeaderName,
    /// What users may do that it names.
    pub scopes: Scopes,
    /// How long an answer counts.
    pub cache: Duration,
    /// Whether requests reach this service encrypted, by itself or by its proxy.
    pub is_encrypted: bool,
}

/// Why nobody can be asked.
#[derive(Debug, thiserror::Error)]
pub enum ForwardSetUpError {
    /// The system trusts nobody, or does not say whom.
    #[error("the system names no certificate authority that it trusts, so https cannot be used")]
    NoRoots(#[source] Option<rustls_native_certs::Error>),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// Why it is not known who somebody is.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// There is no answer.
    #[error("cannot ask auth_url")]
    Unreachable(#[source] hyper_util::client::legacy::Error),
    /// There was none in time.
    #[error("auth_url did not answer in time")]
    TimedOut,
    /// It is neither a yes nor a no.
    #[error("auth_url answered {0}: it must answer 2xx, 401 or 403")]
    Status(StatusCode),
    /// A yes, but for whom?
    #[error("auth_url let a request pass without one {header} that can be used: {reason}")]
    Nobody {
        /// The field that must name the user.
        header: HeaderName,
        /// What is wrong with it.
        reason: String,
    },
}

/// Whom it takes a request for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    /// This user.
    User(Principal),
    /// Nobody whom it knows: who asks is to sign in.
    Unknown,
    /// Somebody whom it does not let pass.
    Refused,
}

/// Whoever is asked.
#[derive(Debug)]
pub struct Forward {
    options: ForwardOptions,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    known: Known,
    lines: [Mutex<()>; FORWARD_LINES],
}

impl Forward {
    /// Must be called inside a tokio runtime.
    pub fn new(options: ForwardOptions) -> Result<Self, ForwardSetUpError> {
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots(&options.url)?)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let connector = connector.enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let lines = std::array::from_fn(|_| Mutex::default());
        Ok(Self { known: Known::new(options.cache), options, client, lines })
    }

    /// Asks about a request, unless the answer is known. One that does not come is waited for, as
    /// the request can: clients take a failure for the end.
    async fn ask(
        &self,
        request: &request::Parts,
        peer: Option<IpAddr>,
    ) -> Result<Answer, ForwardError> {
        let question = Question::about(request, peer, &self.options);
        let key = question.key();
        if let Some(user) = self.known.user(&key) {
            return Ok(Answer::User(user));
        }
        let asked = timeout(FORWARD_DEADLINE, self.find_out(&question, key)).await;
        asked.unwrap_or(Err(ForwardError::TimedOut))
    }

    /// Asks in turn with those who share a line: not more than there are lines ask at a time, and
    /// of several who want to know the same, one.
    async fn find_out(
        &self,
        question: &Question,
        key: Sha256Digest,
    ) -> Result<Answer, ForwardError> {
        let _line = self.lines[usize::from(key.0[0]) % FORWARD_LINES].lock().await;
        if let Some(user) = self.known.user(&key) {
            return Ok(Answer::User(user));
        }
        let mut pause = FORWARD_PAUSE_MIN;
        let answer = loop {
            match self.attempt(question).await {
                Ok(answer) => break answer,
                Err(error) if !error.may_pass() => return Err(error),
                // Until the deadline.
                Err(_) => sleep(pause).await,
            }
            pause *= 2;
        };
        if let Answer::User(user) = &answer {
            self.known.learn(key, user.clone());
        }
        Ok(answer)
    }

    async fn attempt(&self, question: &Question) -> Result<Answer, ForwardError> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = self.options.url.clone();
        *request.headers_mut() = question.headers().clone();
        let asked = timeout(FORWARD_TIMEOUT, self.client.request(request)).await;
        let response = asked.map_err(|_| ForwardError::TimedOut)?;
        let response = response.map_err(ForwardError::Unreachable)?;
        let answer = self.read(&response);
        finish(response).await;
        answer
    }

    fn read<B>(&self, response: &Response<B>) -> Result<Answer, ForwardError> {
        match response.status() {
            status if status.is_success() => self.user(response).map(Answer::User),
            // A redirect leads to where people sign in, which no program can follow for them.
            status if status == StatusCode::UNAUTHORIZED || status.is_redirection() => {
                Ok(Answer::Unknown)
            }
            StatusCode::FORBIDDEN => Ok(Answer::Refused),
            status => Err(ForwardError::Status(status)),
        }
    }

    fn user<B>(&self, response: &Response<B>) -> Result<Principal, ForwardError> {
        let header = &self.options.user_header;
        let nobody = |reason: &dyn ToString| ForwardError::Nobody {
            header: header.clone(),
            reason: reason.to_string(),
        };
        let mut values = response.headers().get_all(header).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(nobody(&"it must be there, and once"));
        };
        let text = std::str::from_utf8(value.as_bytes()).map_err(|error| nobody(&error))?;
        text.trim().parse().map_err(|error| nobody(&error))
    }
}

impl ForwardError {
    /// Whether asking once more may help: a wrong answer stays one.
    fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::TimedOut => true,
            Self::Status(status) => {
                let busy = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
                status.is_server_error() || busy.contains(status)
            }
            Self::Nobody { .. } => false,
        }
    }
}

impl Access {
    /// Asks somebody else about requests that show no credentials of ours. From now on there are
    /// credentials, as with [`Access::with_tickets`].
    #[must_use]
    pub fn with_forward(self, forward: Forward) -> Self {
        Self { forward: Some(forward), ..self }
    }

    /// Whether credentials that are not ours may be somebody else's.
    #[must_use]
    pub fn asks_elsewhere(&self) -> bool {
        self.forward.is_some()
    }

    /// Who sends this request, by somebody else's word.
    pub(super) async fn forwarded(
        &self,
        forward: &Forward,
        request: &request::Parts,
        by: &By,
    ) -> Result<Caller, Denied> {
        let user = match forward.ask(request, by.address).await? {
            Answer::User(user) => user,
            Answer::Unknown => return Err(Denied::Unknown),
            Answer::Refused => return Err(Denied::Refused),
        };
        let means = Means::Forwarded;
        let by = By { means: (&means).into(), ..by.clone() };
        let known = self.known_user(&user, &by).await?;
        if known.is_none_or(|user| user.disabled_at.is_some()) {
            return Err(Denied::Refused);
        }
        Ok(Caller { principal: user, scopes: forward.options.scopes, means })
    }
}

/// Whom the system trusts, if that matters.
fn roots(url: &Uri) -> Result<RootCertStore, ForwardSetUpError> {
    let mut roots = RootCertStore::empty();
    if url.scheme_str() == Some("https") {
        let mut found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            return Err(ForwardSetUpError::NoRoots(found.errors.pop()));
        }
    }
    Ok(roots)
}

/// Reads what nobody needs, so that the connection can be used again.
async fn finish(response: Response<Incoming>) {
    let rest = Limited::new(response.into_body(), FORWARD_ANSWER_LEN_MAX).collect();
    // Whatever comes of it: if it is too long or too slow, the connection is closed.
    let _ = timeout(FORWARD_TIMEOUT, rest).await;
}
