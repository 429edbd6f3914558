//! Has the one process that owns the data do something: the server, if one runs, or else this one.

use std::{
    io::{self, Write},
    path::Path,
    pin::pin,
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{net::UnixStream, time::timeout};
use tower::ServiceExt;

use super::{Data, Failure};
use crate::{
    app::{App, Purpose, StartError},
    catalog::CatalogError,
    config::{Config, MailServer},
    http::body,
    store::OpenError,
    upload::limits::{CONTROL_ANSWER_LEN_MAX, CONTROL_ANSWER_NOTICE, CONTROL_ANSWER_TIMEOUT},
};

/// What came of a request.
#[derive(Debug)]
pub(super) enum Answer<T> {
    /// It was done.
    Done(T),
    /// It was not, and this is why.
    Refused(String),
}

/// A target with parameters.
pub(super) fn target(path: &str, parameters: &[(&str, &str)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    format!("{path}?{query}")
}

/// Has it done: by the server that answers at the control socket; by this process, which takes the
/// data for as long as it takes, if there is none; not at all if there is one that does not answer.
pub(super) async fn post<T: DeserializeOwned>(
    config: &Config,
    target: &str,
) -> Result<Answer<T>, Failure> {
    if let Some(answer) = ask_server(&config.control_socket, target).await? {
        return read(answer);
    }
    // Looked for first: the server would make what is not there, and a name that was mistyped would
    // be answered as if it were data.
    let own = config.clone();
    tokio::task::spawn_blocking(move || Data::open(&own).map(drop)).await??;
    do_it_here(&for_one_thing(config), target).await
}

/// As [`post`], on data that need not be there yet.
pub(super) async fn post_or_begin<T: DeserializeOwned>(
    config: &Config,
    target: &str,
) -> Result<Answer<T>, Failure> {
    match ask_server(&config.control_socket, target).await? {
        Some(answer) => read(answer),
        None => do_it_here(&for_one_thing(config), target).await,
    }
}

/// The server's answer; nothing if no server answers there.
pub(super) async fn ask_server(
    socket: &Path,
    target: &str,
) -> Result<Option<(StatusCode, Bytes)>, Failure> {
    let Some(stream) = connect(socket).await? else { return Ok(None) };
    let mut exchange = pin!(exchange(stream, target));
    if let Ok(answer) = timeout(CONTROL_ANSWER_NOTICE, exchange.as_mut()).await {
        return Ok(Some(answer?));
    }
    writeln!(io::stderr(), "flowstitch: waiting for the server to answer")?;
    match timeout(CONTROL_ANSWER_TIMEOUT, exchange).await {
        Ok(answer) => Ok(Some(answer?)),
        Err(_) => Err(Failure::Silent { path: socket.display().to_string() }),
    }
}

async fn connect(socket: &Path) -> Result<Option<UnixStream>, Failure> {
    use io::ErrorKind::{ConnectionRefused, InvalidInput, NotFound};
    match UnixStream::connect(socket).await {
        Ok(stream) => Ok(Some(stream)),
        // A path that is too long for a socket is too long for the server, too.
        Err(error) if [ConnectionRefused, InvalidInput, NotFound].contains(&error.kind()) => {
            Ok(None)
        }
        Err(source) => Err(Failure::Socket { path: socket.display().to_string(), source }),
    }
}

async fn exchange(stream: UnixStream, target: &str) -> Result<(StatusCode, Bytes), Failure> {
    let broken = |error: hyper::Error| Failure::Broken(error.into());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let answer = async {
        let answer = sender.send_request(request(target, Empty::<Bytes>::new())).await;
        whole(answer.map_err(broken)?).await
    };
    let (answer, _) = tokio::join!(answer, connection);
    answer
}

fn request<B>(target: &str, body: B) -> Request<B> {
    let request = Request::builder().method(Method::POST).uri(target);
    let request = request.header(header::HOST, "control").header(header::CONNECTION, "close");
    request.body(body).expect("made of our own words and an id")
}

async fn whole<B>(answer: http::Response<B>) -> Result<(StatusCode, Bytes), Failure>
where
    B: Body<Data = Bytes, Error: Into<body::BoxError>>,
{
    let status = answer.status();
    let bytes = Limited::new(answer.into_body(), CONTROL_ANSWER_LEN_MAX).collect().await;
    Ok((status, bytes.map_err(Failure::Broken)?.to_bytes()))
}

/// The same service answers, in this process.
pub(super) async fn do_it_here<T: DeserializeOwned>(
    config: &Config,
    target: &str,
) -> Result<Answer<T>, Failure> {
    let app = App::open(config.clone(), Purpose::OneThing).await.map_err(|error| match error {
        StartError::Store(OpenError::InUse { .. })
        | StartError::Catalog { source: CatalogError::InUse, .. } => {
            Failure::Unreachable { path: config.control_socket.display().to_string() }
        }
        other => other.into(),
    })?;
    let answered = app.control().oneshot(request(target, body::empty())).await;
    let answer = match answered {
        Ok(answer) => whole(answer).await,
        Err(never) => match never {},
    };
    let closed = app.close().await;
    let answer = read(answer?);
    closed.map_err(Failure::Close)?;
    answer
}

pub(super) fn read<T: DeserializeOwned>(
    (status, bytes): (StatusCode, Bytes),
) -> Result<Answer<T>, Failure> {
    /// What is read of a problem.
    #[derive(Deserialize)]
    struct Problem {
        detail: String,
    }

    let malformed = |error: serde_json::Error| Failure::Broken(error.into());
    if status == StatusCode::OK {
        return serde_json::from_slice(&bytes).map(Answer::Done).map_err(malformed);
    }
    let Problem { detail } = serde_json::from_slice(&bytes).map_err(malformed)?;
    // That there is no such upload, or that it has ended, is an answer; the rest is none.
    if status.is_client_error() {
        Ok(Answer::Refused(detail))
    } else {
        Err(Failure::Server(detail))
    }
}

/// The settings for doing one thing without a server: what else has expired meanwhile, and codes
/// that were not sent, are the server's when it is back, and not a side effect of this.
fn for_one_thing(config: &Config) -> Config {
    let never = Duration::MAX;
    let mail = MailServer { host: String::new(), ..config.mail.clone() };
    let base = config.clone();
    Config {
        upload_ttl: never,
        tombstone_ttl: never,
        trash_ttl: never,
        audit_ttl: None,
        mail,
        ..base
    }
}
