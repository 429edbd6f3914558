//! The composition root: builds everything once, runs it, and stops it in order.

mod access;
mod backup;
mod catalog;
mod certificate;
mod control;
mod deployment;
mod ended;
mod epoch;
mod error;
mod listen;
mod mail;
mod openness;
mod options;
mod secret;
mod tickets;

use std::{convert::Infallible, error::Error, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

pub use self::{
    catalog::migrate,
    certificate::CertificateError,
    deployment::Mismatch,
    ended::Ended,
    error::StartError,
    listen::listen,
    options::{folders, options},
};
use self::{
    certificate::Certificate,
    control::ControlSocket,
    epoch::{disk_epoch, machine_epoch},
};
use crate::{
    access::Rates,
    catalog::DatabaseLock,
    config::Config,
    engine::{Allowance, Clock, Engine, Parts, UploadError},
    http::{
        control::{Control, Cutter},
        cors::CorsOrigins,
        cross_site::Sites,
        middleware,
        readiness::Readiness,
        server::{self, Outcome, ServerOptions},
        service::Service,
        side::Side,
        state::State,
        stop::Stop,
        streams::Streams,
        visitors::Visitors,
    },
    mail::Mailer,
    metrics::Metrics,
    store::FsStore,
    telemetry,
    upload::limits,
};

/// The service, ready to take connections.
#[derive(Debug)]
pub struct App {
    config: Config,
    state: Arc<State>,
    /// What makes the cuts of backups, where the data are on the local disk.
    cutter: Option<Arc<dyn Cutter>>,
    control: Option<ControlSocket>,
    operator: Option<TcpListener>,
    certificate: Option<Certificate>,
    /// Dropped last: see there.
    _database: Option<DatabaseLock>,
}

/// What an application is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To serve.
    Serve,
    /// To do one thing for the operator: nobody else can reach it.
    OneThing,
}

impl App {
    /// Opens the data, recovers, and starts the engine. Takes no connection yet.
    ///
    /// Everything that can be refused is refused before anything is made or changed.
    pub async fn open(config: Config, purpose: Purpose) -> Result<Self, StartError> {
        // Before the data is touched, and again in what follows: a wrong pair is a wrong setting.
        Certificate::of(&config)?;
        tickets::keys(&config)?;
        mail::mailer(&config)?;
        let passed = deployment::check(&config)?;
        let known = passed.catalog.unwrap_or_default();
        if purpose == Purpose::Serve {
            openness::decide(&config, known.access(), known.has_users)?;
        }
        let store = FsStore::open(folders(&config))?;
        // Behind the folders: a new database is as a rule in a folder that is made with them.
        let database = passed.lock(&config.database)?;
        let catalog = catalog::open(&config).map_err(StartError::of(&config.database))?;
        let (store, clock) = (Arc::new(store), Clock::system(config.time_zone.clone()));
        let cuts = backup::Cuts::new(&config, store.clone(), clock.clone());
        let parts = Parts {
            store,
            catalog: Arc::new(catalog),
            clock,
            metrics: Arc::new(Metrics::with_lost_lines(telemetry::lost_lines())),
            options: options(&config),
        };
        let epoch = disk_epoch(&config.incomplete_dir);
        let app = Self::with_epoch(config, parts, (&epoch, purpose), None).await?;
        Ok(Self { cutter: Some(Arc::new(cuts)), _database: Some(database), ..app })
    }

    /// As [`Self::open`], on a store, a catalog and a clock of the caller's choice.
    pub async fn with_parts(config: Config, parts: Parts) -> Result<Self, StartError> {
        Self::with_epoch(config, parts, (&machine_epoch(), Purpose::Serve), None).await
    }

    /// The same, with a mailer of the caller's choice, too.
    pub async fn with_mailer(
        config: Config,
        parts: Parts,
        mailer: Arc<dyn Mailer>,
    ) -> Result<Self, StartError> {
        Self::with_epoch(config, parts, (&machine_epoch(), Purpose::Serve), Some(mailer)).await
    }

    async fn with_epoch(
        config: Config,
        parts: Parts,
        (epoch, purpose): (&str, Purpose),
        mailer: Option<Arc<dyn Mailer>>,
    ) -> Result<Self, StartError> {
        let certificate = Certificate::of(&config)?;
        let metrics = parts.metrics.clone();
        let access = access::access(&config, &parts, purpose, mailer).await?;
        let engine = Engine::start(parts, epoch).await.map_err(StartError::Recover)?;
        let sites =
            Sites::new(&config.cors_origins, config.public_url.clone(), certificate.is_some());
        let visitors = Visitors::new(certificate.is_some() || config.public_url.is_encrypted());
        let stop = Stop::new(for_requests(&config));
        let terms = options::terms(&config);
        let rates = Rates::new(terms.rates);
        let readiness = Readiness::default();
        let streams = Streams::new(config.max_streams, config.max_streams_per_caller);
        let state = Arc::new(State {
            engine,
            access,
            rates,
            terms,
            metrics,
            visitors,
            sites,
            readiness,
            answers: Allowance::new(limits::ANSWERS_MEMORY),
            streams,
            stop,
        });
        let (cutter, control, operator) = (None, None, None);
        Ok(Self { config, state, cutter, control, operator, certificate, _database: None })
    }

    /// Listens to the operator's tools, too, from now on: at `control_socket`, unless it cannot be
    /// used, which is said and is no reason not to serve.
    pub async fn with_control(mut self) -> Self {
        self.control = ControlSocket::bind(&self.config.control_socket).await;
        self
    }

    /// Serves the operator's routes on this listener, too: that of the setting `admin_listen`.
    #[must_use]
    pub fn with_operator(mut self, listener: Option<TcpListener>) -> Self {
        self.operator = listener;
        self
    }

    /// What addresses of the service begin with.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.certificate.is_some() { "https" } else { "http" }
    }

    /// The engine, for a test that looks behind the service.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.state.engine
    }

    /// The service with its middleware, for a test that needs no socket.
    #[must_use]
    pub fn service(&self) -> middleware::Stack {
        let cors = CorsOrigins::new(self.config.cors_origins.clone());
        let own = self.config.admin_listen.is_some();
        let side = if own { Side::Clients } else { Side::Only };
        middleware::stack(Service::new(self.state.clone(), side), &self.around(cors))
    }

    /// What is served at `admin_listen`, with its middleware.
    #[must_use]
    pub fn operator_service(&self) -> middleware::Stack {
        let nobody_else = CorsOrigins::new([]);
        let service = Service::new(self.state.clone(), Side::Operator);
        middleware::stack(service, &self.around(nobody_else))
    }

    /// What answers the operator's tools.
    #[must_use]
    pub fn control(&self) -> middleware::Stack {
        let nobody_else = CorsOrigins::new([]);
        middleware::stack(
            Control::new(self.state.clone(), self.cutter.clone()),
            &self.around(nobody_else),
        )
    }

    fn around(&self, cors: CorsOrigins) -> middleware::Options {
        middleware::Options { cors, pace: options::pace(&self.config) }
    }

    /// Stops in order without having served: see 3 to 5 of [`Self::run`].
    pub async fn close(self) -> Result<(), UploadError> {
        self.state.stop.begun.cancel();
        self.state.access.stop().await;
        self.state.engine.stop().await
    }

    /// Serves until `stop`, and then stops in this order:
    ///
    /// 1. `/readyz` turns 503, and no connection is accepted any more;
    /// 2. requests in flight finish; those whose bodies come too slowly are answered 503;
    /// 3. commits drain, and codes that the mail server is taking are handed over;
    /// 4. the stitches that run end;
    /// 5. the catalog is checkpointed and closed.
    ///
    /// All of it within `shutdown_timeout`. A client that takes no answer is cut a moment earlier,
    /// so that 3 to 5 are still done in order. What has not ended by then the next start resumes.
    ///
    /// A panic in one of the engine's own tasks stops it, too: better to be started anew than to go
    /// on in part.
    pub async fn run(mut self, listener: TcpListener, stop: CancellationToken) -> Ended {
        let (control, certificate) = (self.control.take(), self.certificate.take());
        let operator = self.operator.take();
        let state = &self.state;
        let (in_all, for_requests) = (self.config.shutdown_timeout, for_requests(&self.config));
        let serving = self.serve(listener, certificate, for_requests);
        let controlling = async {
            if let Some(control) = control {
                control.serve(self.control(), state.stop.begun.clone(), for_requests).await;
            }
        };
        let operating = Box::pin(async {
            if let Some(listener) = operator {
                let options = self.server_options(limits::OPERATOR_CONNECTIONS_MAX);
                let (service, stop) = (self.operator_service(), state.stop.begun.clone());
                server::serve(listener, service, options, stop, for_requests).await;
            }
        });
        let mailing = async {
            state.stop.begun.cancelled().await;
            // What is not sent by then is sent after the next start.
            let _ = timeout(for_requests, state.access.stop()).await;
        };
        let told = async {
            let failed = tokio::select! {
                () = stop.cancelled() => false,
                () = state.engine.failed() => true,
            };
            if failed {
                tracing::error!("A task of the engine panicked: stopping; the next start recovers");
            }
            state.stop.begun.cancel();
            (failed, Instant::now() + in_all)
        };
        let stopping = async {
            let (outcome, (), (), (), (failed, deadline)) =
                tokio::join!(serving, controlling, operating, mailing, told);
            (outcome, failed, timeout_at(deadline, state.engine.stop()).await)
        };
        let (outcome, failed, closed) = tokio::select! {
            stopped = stopping => stopped,
            never = end_waits(state) => match never {},
        };
        if let Ok(Err(error)) = &closed {
            tracing::error!(error = error as &dyn Error, "The catalog was not closed in order");
        }
        if outcome.cut != 0 {
            let connections = outcome.cut;
            tracing::warn!(connections, "Cut connections whose clients took no answer in time");
        }
        if failed || matches!(closed, Ok(Err(_))) {
            Ended::InTrouble
        } else if closed.is_err() {
            tracing::warn!("Stopped at the deadline; the next start resumes");
            Ended::AtDeadline
        } else {
            Ended::InOrder
        }
    }

    fn server_options(&self, max_connections: usize) -> ServerOptions {
        let memory = self.state.engine.allowance();
        ServerOptions { max_connections, ..options::server_options(&self.config, memory) }
    }

    /// Takes connections, encrypted ones if there is a certificate.
    async fn serve(
        &self,
        listener: TcpListener,
        certificate: Option<Certificate>,
        deadline: Duration,
    ) -> Outcome {
        let (service, stop) = (self.service(), self.state.stop.begun.clone());
        let options = self.server_options(self.config.max_connections);
        let Some(certificate) = certificate else {
            return server::serve(listener, service, options, stop, deadline).await;
        };
        let listener = certificate.listener(listener);
        tokio::select! {
            outcome = server::serve(listener, service, options, stop, deadline) => outcome,
            never = certificate.keep_fresh() => match never {},
        }
    }
}

/// How much of the time of a stop requests have; the rest is the engine's.
fn for_requests(config: &Config) -> Duration {
    let in_all = config.shutdown_timeout;
    in_all.saturating_sub((in_all / 4).min(limits::ENGINE_STOP_TIMEOUT))
}

/// A moment before connections would be cut, ends all bodies that are still coming, and all waits
/// for stitches, so that clients are answered and no request holds up the engine.
async fn end_waits(state: &State) -> Infallible {
    let stop = &state.stop;
    stop.begun.cancelled().await;
    sleep(stop.within.saturating_sub(stop.within / limits::STOP_PATIENCE_PART)).await;
    stop.over.cancel();
    state.engine.hurry();
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use std::{io, time::Duration};

    use http::{Request, StatusCode};
    use tower::ServiceExt;

    use super::*;
    use crate::{
        catalog::MemoryCatalog,
        http::body,
        store::{MemoryStore, StoreOp},
    };

    /// An application in memory, and a request that brings it a whole file.
    async fn app(store: &Arc<MemoryStore>) -> (App, body::Request) {
        configured(store, Config::default()).await
    }

    /// The same with other settings.
    async fn configured(store: &Arc<MemoryStore>, config: Config) -> (App, body::Request) {
        let config = Config { listen: ([127, 0, 0, 1], 0).into(), ..config };
        let parts = Parts {
            store: store.clone(),
            catalog: Arc::new(MemoryCatalog::new()),
            clock: Clock::system(config.time_zone.clone()),
            metrics: Arc::new(Metrics::new()),
            options: options(&config),
        };
        let app = App::with_parts(config, parts).await.expect("it starts");
        let upload = Request::post("/upload?flowIdentifier=a&flowFilename=a&flowTotalSize=3");
        let upload = upload.header("host", "localhost");
        (app, upload.body(body::full("abc")).expect("a request"))
    }

    async fn run(app: App, stop: &CancellationToken) -> Ended {
        let listener = listen(app.config.listen).expect("a free port");
        // A service that never ends fails its test and does not hang it: time is paused, and the
        // hour passes as soon as there is nothing left to do.
        let ended = tokio::time::timeout(Duration::from_hours(1), app.run(listener, stop.clone()));
        ended.await.expect("it ends by itself")
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_of_the_group_commit_stops_the_service_instead_of_half_of_it() {
        let store = Arc::new(MemoryStore::new());
        let (app, upload) = app(&store).await;
        let service = app.service();
        store.panic_next(StoreOp::Sync);
        let nobody_stops_it = CancellationToken::new();
        let (answer, ended) = tokio::join!(service.oneshot(upload), run(app, &nobody_stops_it));
        let status = answer.expect("it always answers").status();
        assert_eq!((status, ended), (StatusCode::SERVICE_UNAVAILABLE, Ended::InTrouble));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_answers_slow_bodies_and_ends_in_order() {
        let forever = futures_util::stream::repeat(());
        let drips = futures_util::StreamExt::then(forever, async |()| {
            sleep(Duration::from_millis(100)).await;
            Ok("x".into())
        });
        let silent = body::stream(futures_util::stream::pending());
        for body in [silent, body::stream(drips)] {
            let store = Arc::new(MemoryStore::new());
            let (app, upload) = app(&store).await;
            let (mut upload, _) = upload.into_parts();
            let larger = "/upload?flowIdentifier=a&flowFilename=a&flowTotalSize=1000000";
            upload.uri = larger.parse().expect("an address");
            let upload = Request::from_parts(upload, body);
            let (service, stop) = (app.service(), CancellationToken::new());
            let time = app.config.shutdown_timeout;
            stop.cancel();
            let begun = Instant::now();
            let answer = async {
                let answer = service.oneshot(upload).await.expect("it always answers");
                assert!(begun.elapsed() < time / 10, "{:?}", begun.elapsed());
                (answer.status(), answer.headers().contains_key("retry-after"))
            };
            let (answer, ended) = tokio::join!(answer, run(app, &stop));
            assert_eq!((answer, ended), ((StatusCode::SERVICE_UNAVAILABLE, true), Ended::InOrder));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_waits_for_its_file_to_be_published_does_not_hold_up_the_stop() {
        let store = Arc::new(MemoryStore::new());
        for _ in 0..1000 {
            store.fail_next(StoreOp::Publish, io::ErrorKind::Other);
        }
        let config = Config { completion_wait: Duration::from_hours(1), ..Config::default() };
        let (app, upload) = configured(&store, config).await;
        let service = app.service();
        let stop = CancellationToken::new();
        stop.cancel();
        let (answer, ended) = tokio::join!(service.oneshot(upload), run(app, &stop));
        let status = answer.expect("it always answers").status();
        assert_eq!((status, ended), (StatusCode::OK, Ended::InOrder));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_in_flight_at_the_stop_is_brought_to_its_end() {
        let store = Arc::new(MemoryStore::new());
        let (app, upload) = app(&store).await;
        let service = app.service();
        let stop = CancellationToken::new();
        stop.cancel();
        let (answer, ended) = tokio::join!(service.oneshot(upload), run(app, &stop));
        let status = answer.expect("it always answers").status();
        assert_eq!((status, ended), (StatusCode::CREATED, Ended::InOrder));
    }
}
