//! What every request and every answer goes through: the whole stack on one page.

use std::convert::Infallible;

use http::{HeaderName, HeaderValue, header};
use tower::{ServiceBuilder, layer::layer_fn, util::BoxCloneSyncService};
use tower_http::{
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    sensitive_headers::SetSensitiveRequestHeadersLayer,
};

use super::{
    Handler,
    body::{Request, Response},
    cors::{self, CorsOrigins},
    pace::{self, Pace},
    panic, request_id, strict, trace,
};

/// What of the stack is for the operator to choose.
#[derive(Debug, Clone)]
pub struct Options {
    /// The origins whose pages may use the service.
    pub cors: CorsOrigins,
    /// How slowly the body of a request may come.
    pub pace: Pace,
}

/// The service with everything around it.
pub type Stack = BoxCloneSyncService<Request, Response, Infallible>;

/// Puts everything around `inner` that requests and answers have in common. Outermost first: a
/// request passes the lines downwards, its answer upwards.
pub fn stack<S: Handler>(inner: S, options: &Options) -> Stack {
    let Options { cors, pace } = options.clone();
    let stack = ServiceBuilder::new()
        // First, so that whatever happens below can be told of by id.
        .map_request(request_id::drop_unfit)
        .layer(SetRequestIdLayer::new(request_id::X_REQUEST_ID, MakeRequestUuid))
        // Before anything that could print a request.
        .layer(SetSensitiveRequestHeadersLayer::new([header::AUTHORIZATION, header::COOKIE]))
        // Outside of all that makes answers: none goes unlogged, a panic's and a preflight's too.
        .layer(layer_fn(trace::trace))
        // Likewise: no answer without its id.
        .layer(PropagateRequestIdLayer::new(request_id::X_REQUEST_ID))
        // Unless the handler knows better: it does for pages and for published content.
        .map_response(complete_headers)
        // Outside of the panics: a script must be able to read that answer as well.
        .layer(layer_fn(move |inner| cors::allow(cors.clone(), inner)))
        // Before anything is made of a request that a proxy may have read differently.
        .layer(layer_fn(strict::refuse))
        // A handler's panic is that request's end, not its connection's.
        .layer(layer_fn(panic::catch))
        // Per frame, not in all: an honest upload may be slow. Innermost, where the body is read.
        .map_request(move |request: Request| request.map(|body| pace::paced(body, pace)))
        .service(inner);
    Stack::new(stack)
}

/// The headers of every answer that does not set them itself.
static DEFAULT_HEADERS: [(HeaderName, HeaderValue); 7] = [
    // Browsers cache test GETs, and a probe that is believed from a cache loses a chunk.
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    // What a client says that a file is must not be improved upon.
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    // Ids stand in paths.
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    // Nothing of ours is to be shown inside of another's page…
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    // …nor read by one that asks without CORS.
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    // A window that opened ours, or that ours opened, has no hand in it.
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    // An answer that is data runs nothing, whatever a browser takes it for.
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
];

/// Not tower-http's layers for this: each request copies the stack, and their lists with it.
fn complete_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    // Room for all that is still to come, at once.
    headers.reserve(DEFAULT_HEADERS.len() + 2);
    for (name, value) in &DEFAULT_HEADERS {
        headers.entry(name).or_insert_with(|| value.clone());
    }
    // Even where nothing varies: a cache that keeps one answer without CORS headers would give it
    // to an origin that needs them.
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    response
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, LazyLock, Mutex},
        time::Duration,
    };

    use bytes::Bytes;
    use http::{Method, StatusCode};
    use http_body_util::BodyExt;
    use serde_json::Value;
    use tower::{ServiceExt, service_fn};
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;
    use crate::http::{body, pace::is_timeout, problem::Problem};

    const ORIGIN: &str = "https://app.example.com";

    /// A service with something of everything, by path.
    async fn desk(request: Request) -> Result<Response, Infallible> {
        let id = request_id::of(request.extensions()).to_owned();
        Ok(match request.uri().path() {
            "/panic" => panic!("a bug"),
            "/refused" => Problem::not_found().into_response(&id),
            "/busy" => Problem::unavailable(Duration::from_secs(1)).into_response(&id),
            "/never" => std::future::pending().await,
            "/page" => {
                let mut response = Response::new(body::full("a page"));
                let headers = response.headers_mut();
                headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
                headers.insert(header::VARY, HeaderValue::from_static("Accept"));
                response
            }
            "/body" => match request.into_body().collect().await {
                Ok(bytes) => Response::new(body::full(bytes.to_bytes())),
                Err(error) if is_timeout(error.as_ref()) => {
                    Problem::request_timeout().into_response(&id)
                }
                Err(_) => Problem::internal().into_response(&id),
            },
            _ => Response::new(body::full(id)),
        })
    }

    fn service() -> Stack {
        let cors = CorsOrigins::new([ORIGIN.parse().expect("an origin")]);
        let (idle, window) = (Duration::from_secs(30), Duration::from_mins(1));
        let options = Options { cors, pace: Pace { idle, progress: None, window } };
        stack(service_fn(desk), &options)
    }

    async fn call(request: Request) -> Response {
        LazyLock::force(&LOG);
        match service().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    fn request(method: Method, path: &str) -> Request {
        http::Request::builder().method(method).uri(path).body(body::empty()).expect("a request")
    }

    fn get(path: &str) -> Request {
        request(Method::GET, path)
    }

    fn with(mut request: Request, name: &'static str, value: &'static str) -> Request {
        request.headers_mut().append(name, HeaderValue::from_static(value));
        request
    }

    fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
        response.headers().get(name).map(|it| it.to_str().expect("text"))
    }

    async fn bytes(response: Response) -> Bytes {
        response.into_body().collect().await.expect("a whole body").to_bytes()
    }

    #[tokio::test]
    async fn every_answer_has_the_headers_of_every_answer() {
        let preflight = with(request(Method::OPTIONS, "/"), "access-control-request-method", "PUT");
        for request in
            [get("/"), get("/refused"), get("/panic"), get("/page"), preflight, get("/busy")]
        {
            let path = request.uri().path().to_owned();
            let response = call(with(request, "origin", ORIGIN)).await;
            for (name, value) in [
                ("access-control-allow-origin", ORIGIN),
                ("access-control-allow-credentials", "true"),
                ("x-content-type-options", "nosniff"),
                ("referrer-policy", "no-referrer"),
                ("x-frame-options", "DENY"),
                ("cross-origin-resource-policy", "same-origin"),
                ("cross-origin-opener-policy", "same-origin"),
                ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
                ("cache-control", if path == "/page" { "no-cache" } else { "no-store" }),
            ] {
                assert_eq!(header(&response, name), Some(value), "{path}: {name}");
            }
            let id = header(&response, "x-request-id").map(str::len);
            assert_eq!(id, Some("00000000-0000-0000-0000-000000000000".len()), "{path}");
            let vary = response.headers().get_all(header::VARY);
            assert!(vary.iter().any(|it| it == "Origin"), "{path}: {vary:?}");
        }
    }

    #[tokio::test]
    async fn without_an_origin_there_is_vary_but_no_cors() {
        let response = call(get("/refused")).await;
        assert_eq!(header(&response, "vary"), Some("Origin"));
        assert!(!response.headers().keys().any(|it| it.as_str().starts_with("access-control")));
    }

    #[tokio::test]
    async fn the_handler_knows_the_id_that_the_client_gets() {
        let response = call(with(get("/"), "x-request-id", "mine-1")).await;
        assert_eq!(header(&response, "x-request-id"), Some("mine-1"));
        assert_eq!(bytes(response).await, "mine-1");

        let response = call(with(get("/"), "x-request-id", "not mine")).await;
        let id = header(&response, "x-request-id").map(str::to_owned).unwrap_or_default();
        assert_ne!(id, "not mine");
        assert_eq!(bytes(response).await, id);
    }

    #[tokio::test]
    async fn a_panic_is_a_problem_with_the_id_of_its_request() {
        let response = call(with(get("/panic"), "x-request-id", "mine-1")).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let problem: Value = serde_json::from_slice(&bytes(response).await).expect("JSON");
        assert_eq!(problem["code"], "internal");
        assert_eq!(problem["request_id"], "mine-1");
        assert!(!problem.to_string().contains("a bug"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_coming_is_noticed_by_the_handler() {
        let silent =
            request(Method::POST, "/body").map(|_| body::stream(futures_util::stream::pending()));
        assert_eq!(call(silent).await.status(), StatusCode::REQUEST_TIMEOUT);
        let whole = request(Method::POST, "/body").map(|_| body::full("whole"));
        assert_eq!(bytes(call(whole).await).await, "whole");
    }

    /// What was logged, by all tests.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    /// One for all threads: tracing remembers whether anyone listens to a line, and a subscriber of
    /// one thread is not always asked when another thread comes by that line first.
    static LOG: LazyLock<Log> = LazyLock::new(|| {
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(log.clone())
            .finish();
        tracing::subscriber::set_global_default(subscriber).expect("no other test sets one");
        log
    });

    impl Log {
        /// The lines of the request with this id.
        fn lines_of(&self, request_id: &str) -> Vec<Value> {
            let bytes = self.0.lock().expect("no panic").clone();
            let lines = bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty());
            lines
                .map(|line| serde_json::from_slice::<Value>(line).expect("JSON"))
                .filter(|line| line["span"]["request_id"] == request_id)
                .collect()
        }
    }

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Log {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    #[tokio::test]
    async fn a_request_is_logged_once_by_what_became_of_it() {
        for (path, id, level, status, code) in [
            ("/", "logged-1", "DEBUG", 200, None),
            ("/refused", "logged-2", "INFO", 404, Some("not_found")),
            ("/busy", "logged-3", "WARN", 503, Some("unavailable")),
        ] {
            let request = get(&format!("{path}?flowFilename=secret.png"));
            call(with(with(request, "x-request-id", id), "authorization", "secret")).await;
            let lines = LOG.lines_of(id);
            let [line] = lines.as_slice() else { panic!("one line for {path}: {lines:?}") };
            assert_eq!(line["level"], level, "{path}");
            assert_eq!(line["fields"]["status"], status, "{path}");
            assert_eq!(line["fields"]["code"].as_str(), code, "{path}");
            assert!(line["fields"]["latency_ms"].is_u64(), "{path}");
            assert_eq!(line["span"]["method"], "GET", "{path}");
            assert_eq!(line["span"]["path"], path);
            assert!(!line.to_string().contains("secret"), "{line}");
        }
    }

    #[tokio::test]
    async fn a_panic_is_logged_with_its_request() {
        call(with(get("/panic"), "x-request-id", "panicked")).await;
        let lines = LOG.lines_of("panicked");
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!(lines[0]["fields"]["panic"], "a bug");
        assert_eq!(lines[1]["fields"]["status"], 500);
        assert!(lines.iter().all(|line| line["level"] == "ERROR"), "{lines:?}");
    }

    #[tokio::test]
    async fn a_client_that_leaves_is_logged_as_499() {
        let mut answer = Box::pin(call(with(get("/never"), "x-request-id", "left")));
        assert!(futures_util::poll!(&mut answer).is_pending());
        drop(answer);
        let lines = LOG.lines_of("left");
        let [line] = lines.as_slice() else { panic!("one line: {lines:?}") };
        assert_eq!(line["level"], "DEBUG");
        assert_eq!(line["fields"]["status"], 499);
    }
}
