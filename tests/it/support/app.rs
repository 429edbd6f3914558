//! The whole application in this process, on a data directory of its own; no socket.

use std::{os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use bytes::Bytes;
use flowstitch::{
    app::{self, App, Ended, StartError, options},
    catalog::{Catalog, SqliteCatalog},
    config::{self, Cli, Config},
    engine::{Clock, Parts},
    http::{body, middleware::Stack},
    mail::Mailer,
    metrics::Metrics,
    store::{ChunkStore, FsStore},
    upload::Timestamp,
};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{FlowFile, StagedStore};

/// When the tests take place: noon of a Tuesday, in UTC.
pub(crate) const NOW: &str = "2026-12-01T12:00:00Z";

/// An application under test.
pub(crate) struct TestApp {
    app: App,
    clock: Clock,
    builder: TestAppBuilder,
}

/// How to start one.
#[derive(Clone)]
pub(crate) struct TestAppBuilder {
    dir: Arc<TempDir>,
    flags: Vec<String>,
    clock: Option<Clock>,
    store: Option<Arc<dyn ChunkStore>>,
    catalog: Option<Arc<dyn Catalog>>,
    mailer: Option<Arc<dyn Mailer>>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl TestAppBuilder {
    /// A setting, as on the command line: `.flag("--durability=relaxed")`.
    pub(crate) fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// A setting that names a file of this content: `.file("--ticket-key", secret)`.
    pub(crate) fn file(self, flag: &str, content: &[u8]) -> Self {
        let path = self.dir.path().join(flag.trim_start_matches('-'));
        std::fs::write(&path, content).expect("it can be written");
        let secret = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&path, secret).expect("ours");
        self.flag(&format!("{flag}={}", path.display()))
    }

    /// A store of the test's own instead of the one on disk.
    pub(crate) fn store(mut self, store: Arc<dyn ChunkStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// A catalog of the test's own instead of SQLite.
    pub(crate) fn catalog(mut self, catalog: Arc<dyn Catalog>) -> Self {
        self.catalog = Some(catalog);
        self
    }

    /// A mailer of the test's own: then codes can be sent.
    pub(crate) fn mailer(mut self, mailer: Arc<dyn Mailer>) -> Self {
        self.mailer = Some(mailer);
        self
    }

    /// A clock that other applications share.
    pub(crate) fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    pub(crate) async fn start(self) -> TestApp {
        self.try_start().await.expect("the application starts")
    }

    /// Errors: the store or the catalog failed.
    pub(crate) async fn try_start(self) -> Result<TestApp, StartError> {
        let config = self.config();
        let now: Timestamp = NOW.parse().expect("a timestamp");
        let clock =
            self.clock.clone().unwrap_or_else(|| Clock::manual(config.time_zone.clone(), now));
        let store = self
            .store
            .clone()
            .unwrap_or_else(|| Arc::new(FsStore::open(app::folders(&config)).expect("a store")));
        let catalog = self
            .catalog
            .clone()
            .unwrap_or_else(|| Arc::new(SqliteCatalog::open(&config.database).expect("a catalog")));
        let parts = Parts {
            store,
            catalog,
            clock: clock.clone(),
            metrics: Arc::new(Metrics::new()),
            options: options(&config),
        };
        let app = match self.mailer.clone() {
            Some(mailer) => App::with_mailer(config, parts, mailer).await?,
            None => App::with_parts(config, parts).await?,
        };
        Ok(TestApp { app, builder: Self { clock: Some(clock.clone()), ..self }, clock })
    }

    /// The store on disk that a start would open, with a stage in front.
    pub(crate) fn staged_files(&self) -> Arc<StagedStore> {
        let files = FsStore::open(app::folders(&self.config())).expect("a store");
        Arc::new(StagedStore::new(Arc::new(files)))
    }

    /// As [`TestApp::files`].
    pub(crate) fn files(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path().join(folder)).expect("the folder is there");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort();
        names
    }

    fn config(&self) -> Config {
        let mut line = vec!["flowstitch".to_owned()];
        line.push(format!("--data-dir={}", self.dir.path().display()));
        line.extend(self.flags.iter().cloned());
        let cli = Cli::read(line).expect("a command line");
        config::load(&cli, [], Path::new("no such file")).expect("a configuration")
    }
}

impl TestApp {
    /// With defaults, on an empty directory.
    pub(crate) async fn start() -> Self {
        Self::builder().start().await
    }

    pub(crate) fn builder() -> TestAppBuilder {
        let dir = Arc::new(tempfile::tempdir().expect("a directory"));
        let flags = Vec::new();
        TestAppBuilder { dir, flags, clock: None, store: None, catalog: None, mailer: None }
    }

    /// The application itself, for what no request shows.
    pub(crate) fn app(&self) -> &App {
        &self.app
    }

    /// The clock, which stands still unless it is moved.
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The directory of its data.
    pub(crate) fn dir(&self) -> &Path {
        self.builder.dir.path()
    }

    /// A file that is to be uploaded as flow.js would.
    pub(crate) fn flow(&self, content: impl Into<Vec<u8>>) -> FlowFile<'_> {
        FlowFile::new(self, content.into())
    }

    /// Stops in order and starts again on the same data.
    pub(crate) async fn restart(self) -> Self {
        let builder = self.stop().await;
        builder.start().await
    }

    /// Stops in order; the builder starts another on the same data.
    pub(crate) async fn stop(self) -> TestAppBuilder {
        let Self { app, builder, .. } = self;
        app.close().await.expect("it stops in order");
        builder
    }

    /// Serves on a socket until it is told to stop, which it is at once: the way of a signal.
    pub(crate) async fn shut_down(self) -> Ended {
        let listener = app::listen(([127, 0, 0, 1], 0).into()).expect("a free port");
        let stop = CancellationToken::new();
        stop.cancel();
        self.app.run(listener, stop).await
    }

    /// What answers requests; it outlives the application.
    pub(crate) fn service(&self) -> Stack {
        self.app.service()
    }

    /// Sends a request through the whole stack.
    pub(crate) async fn send(&self, request: Request<Bytes>) -> Reply {
        let request = request.map(|bytes| body::boxed(http_body_util::Full::new(bytes)));
        self.send_streaming(request).await
    }

    /// As [`Self::send`], with a body of any kind.
    pub(crate) async fn send_streaming(&self, mut request: body::Request) -> Reply {
        // As every client does.
        request.headers_mut().entry("host").or_insert(HeaderValue::from_static("localhost"));
        Reply::read(self.service().oneshot(request).await.expect("it always answers")).await
    }

    /// The answer to a GET, with its body still to be read.
    pub(crate) async fn open(&self, path: &str) -> body::Response {
        let request = Request::builder().uri(path).header("host", "localhost");
        let request = request.body(body::empty()).expect("a request");
        self.service().oneshot(request).await.expect("it always answers")
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.call(Method::GET, path).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.call(Method::DELETE, path).await
    }

    pub(crate) async fn patch(&self, path: &str, body: impl Into<Bytes>) -> Reply {
        let request = Request::builder().method(Method::PATCH).uri(path);
        let request = request.header("content-type", "application/json").body(body.into());
        self.send(request.expect("a request")).await
    }

    /// A request without a body.
    pub(crate) async fn call(&self, method: Method, path: &str) -> Reply {
        self.ask(method, path, &[]).await
    }

    /// A request with headers, without a body.
    pub(crate) async fn ask(&self, method: Method, path: &str, lines: &[(&str, &str)]) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        self.send(request.body(Bytes::new()).expect("a request")).await
    }

    /// What an operator's tool is answered.
    pub(crate) async fn control(&self, target: &str) -> Reply {
        let request = Request::builder().method(Method::POST).uri(target);
        let request = request.body(body::empty()).expect("a request");
        let answered = self.app.control().oneshot(request).await;
        Reply::read(answered.expect("it always answers")).await
    }

    /// A new token of this user, with these scopes.
    pub(crate) async fn token(&self, user: &str, scopes: &str) -> String {
        let reply = self.control(&format!("/tokens/create?name={user}&scopes={scopes}")).await;
        reply.assert_status(200).json()["token"].as_str().expect("a token").to_owned()
    }

    /// As [`Self::call`], by whoever has this token.
    pub(crate) async fn call_as(&self, token: &str, method: Method, path: &str) -> Reply {
        self.ask(method, path, &[("authorization", &format!("Bearer {token}"))]).await
    }

    /// Sends JSON, by nobody in particular.
    pub(crate) async fn tell(&self, path: &str, body: &Value) -> Reply {
        let request = Request::builder().method(Method::POST).uri(path);
        let request = request.header("content-type", "application/json");
        self.send(request.body(body.to_string().into()).expect("a request")).await
    }

    /// Sends JSON, by whoever has this token.
    pub(crate) async fn post_json(&self, token: &str, path: &str, body: &Value) -> Reply {
        let request = Request::builder().method(Method::POST).uri(path);
        let request = request.header("authorization", format!("Bearer {token}"));
        let request = request.header("content-type", "application/json");
        self.send(request.body(body.to_string().into()).expect("a request")).await
    }

    /// The creatives there are, by `GET /creatives`.
    pub(crate) async fn creatives(&self) -> Vec<Value> {
        let list = self.get("/creatives?limit=1000").await.json();
        list["creatives"].as_array().expect("a list").clone()
    }

    /// The names in `incomplete/` and `completed/`, sorted, without the dotted ones.
    pub(crate) fn files(&self, folder: &str) -> Vec<String> {
        self.builder.files(folder)
    }

    /// What was published for this creative.
    pub(crate) fn published(&self, creative: &Value) -> Vec<u8> {
        let id = creative["id"].as_str().expect("an id");
        let name = self.files("completed").into_iter().find(|name| name.starts_with(id));
        let path = self.dir().join("completed").join(name.expect("the creative has its file"));
        std::fs::read(path).expect("it can be read")
    }
}

impl Reply {
    pub(crate) async fn read(response: body::Response) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("the answer's body is whole").to_bytes();
        Self { status: parts.status, headers: parts.headers, body }
    }

    /// A header that is there at most once.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().map(|value| value.to_str().expect("text"));
        assert_eq!(values.next(), None, "{name} comes twice");
        value
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(&self.body)))
    }

    /// Asserts a problem of this status and code, and that it says what every problem says. Gives
    /// what it says to do.
    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16, code: &str) -> String {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status.as_u16(), status, "{text}");
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["code"], code, "{text}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["request_id"].as_str(), self.headers["x-request-id"].to_str().ok());
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(detail.len() > 10, "{text}");
        assert_eq!(problem["type"], "about:blank");
        assert_eq!(problem["title"].as_str(), self.status.canonical_reason());
        self.assert_common_headers();
        detail.to_owned()
    }

    #[track_caller]
    pub(crate) fn assert_status(&self, status: u16) -> &Self {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status.as_u16(), status, "{text}");
        self
    }
}
