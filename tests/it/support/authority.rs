//! A service that is asked whom a request comes from: the other side of `auth_url`.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// A service that knows the cookie `session=NAME`, and what it was asked. It ends with its runtime.
#[derive(Clone)]
pub(crate) struct Authority {
    url: String,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    asked: Vec<HeaderMap>,
    troubles: VecDeque<u16>,
}

impl Authority {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let authority =
            Self { url: format!("http://{address}/verify?realm=up"), shared: Arc::default() };
        let shared = authority.shared.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let shared = shared.clone();
                let answer = service_fn(move |request: Request<Incoming>| {
                    let answer = shared.lock().expect("nobody panics").answer(&request);
                    async move { Ok::<_, Infallible>(answer) }
                });
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(socket), answer);
                tokio::spawn(connection);
            }
        });
        authority
    }

    /// The flag that names it.
    pub(crate) fn flag(&self) -> String {
        format!("--auth-url={}", self.url)
    }

    /// Answers with these statuses first, whatever it is asked.
    pub(crate) fn fail(&self, statuses: &[u16]) {
        self.shared.lock().expect("nobody panics").troubles.extend(statuses);
    }

    /// What it was asked since the last time.
    pub(crate) fn asked(&self) -> Vec<HeaderMap> {
        std::mem::take(&mut self.shared.lock().expect("nobody panics").asked)
    }
}

impl Shared {
    fn answer(&mut self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        assert_eq!((request.method().as_str(), request.uri().path()), ("GET", "/verify"));
        assert_eq!(request.uri().query(), Some("realm=up"));
        self.asked.push(request.headers().clone());
        let cookie = request.headers().get("cookie").and_then(|value| value.to_str().ok());
        let user = cookie.and_then(|text| text.strip_prefix("session="));
        let status = self.troubles.pop_front().or(match user {
            None => Some(401),
            Some("locked") => Some(403),
            Some("elsewhere") => Some(302),
            Some("odd") => Some(404),
            Some(_) => None,
        });
        let answer = Response::builder().status(status.unwrap_or(200));
        let answer = match (status, user) {
            (None, Some("mute")) => answer,
            (None, Some("twice")) => answer.header("remote-user", "a").header("remote-user", "b"),
            (None, Some(user)) => answer.header("remote-user", user),
            _ => answer,
        };
        answer.body(Full::from("nobody reads this")).expect("an answer")
    }
}
