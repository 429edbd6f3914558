//! The composition root: builds everything once, runs it, and stops it in order.

use std::{error::Error, io, path::Path, sync::Arc};

use tokio::{
    net::TcpListener,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    catalog::{CatalogError, SqliteCatalog},
    config::{Config, Schedule},
    engine::{Clock, Engine, Options, Parts, UploadError},
    http::{
        cors::CorsOrigins,
        middleware,
        server::{self, ServerOptions},
        service::{Service, State},
    },
    metrics::Metrics,
    store::{FsStore, OpenError},
};

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folders.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The database.
    #[error("cannot open the database {path}")]
    Catalog {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: CatalogError,
    },
    /// The address.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What the last session left could not be recovered.
    #[error("cannot recover what the last session left")]
    Recover(#[source] UploadError),
}

/// How the service ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Everything that had begun was brought to its end.
    InOrder,
    /// The deadline came first: what is left is resumed at the next start.
    AtDeadline,
}

/// The service, ready to take connections.
#[derive(Debug)]
pub struct App {
    config: Config,
    state: Arc<State>,
}

impl App {
    /// Opens the data, recovers, and starts the engine. Takes no connection yet.
    pub async fn open(config: Config) -> Result<Self, StartError> {
        let store = FsStore::open(&config.incomplete_dir, &config.completed_dir)?;
        let catalog = SqliteCatalog::open(&config.database).map_err(|source| {
            StartError::Catalog { path: config.database.display().to_string(), source }
        })?;
        let parts = Parts {
            store: Arc::new(store),
            catalog: Arc::new(catalog),
            clock: Clock::system(config.time_zone.clone()),
            metrics: Arc::new(Metrics::new()),
            options: options(&config),
        };
        Self::with_parts(config, parts).await
    }

    /// As [`Self::open`], on a store, a catalog and a clock of the caller's choice.
    pub async fn with_parts(config: Config, parts: Parts) -> Result<Self, StartError> {
        let metrics = parts.metrics.clone();
        let engine = Engine::start(parts, &machine_epoch()).await.map_err(StartError::Recover)?;
        let state = State { engine, metrics, stopping: CancellationToken::new() };
        Ok(Self { config, state: Arc::new(state) })
    }

    /// The engine, for a test that looks behind the service.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.state.engine
    }

    /// The service with its middleware, for a test that needs no socket.
    #[must_use]
    pub fn service(&self) -> middleware::Stack {
        let options = middleware::Options {
            cors: CorsOrigins::new(self.config.cors_origins.clone()),
            body_idle_timeout: self.config.body_idle_timeout,
        };
        middleware::stack(Service::new(self.state.clone()), &options)
    }

    /// Listens on the configured address.
    pub async fn listen(&self) -> Result<TcpListener, StartError> {
        let address = self.config.listen;
        TcpListener::bind(address)
            .await
            .map_err(|source| StartError::Listen { address: address.to_string(), source })
    }

    /// Serves until `stop`, and then stops in this order:
    ///
    /// 1. `/readyz` turns 503, and no connection is accepted any more;
    /// 2. requests in flight finish;
    /// 3. commits drain;
    /// 4. the stitches that run end;
    /// 5. the catalog is checkpointed and closed.
    ///
    /// All of it within `shutdown_timeout`. What has not ended by then the next start resumes.
    pub async fn run(self, listener: TcpListener, stop: CancellationToken) -> Ended {
        let state = &self.state;
        let timeout = self.config.shutdown_timeout;
        let options =
            ServerOptions { max_connections: self.config.max_connections, ..Default::default() };
        let stopping = state.stopping.clone();
        let serving = server::serve(listener, self.service(), options, stopping, timeout);
        let told = async {
            stop.cancelled().await;
            state.stopping.cancel();
            Instant::now() + timeout
        };
        let (outcome, deadline) = tokio::join!(serving, told);
        let ended = timeout_at(deadline, stop_engine(&state.engine)).await;
        if outcome.cut == 0 && ended.is_ok_and(|in_order| in_order) {
            Ended::InOrder
        } else {
            tracing::warn!(cut = outcome.cut, "Stopped at the deadline; the next start resumes");
            Ended::AtDeadline
        }
    }
}

async fn stop_engine(engine: &Engine) -> bool {
    match engine.stop().await {
        Ok(()) => true,
        Err(error) => {
            tracing::error!(error = &error as &dyn Error, "The catalog was not closed in order");
            false
        }
    }
}

/// What of the configuration is the engine's.
#[must_use]
pub fn options(config: &Config) -> Options {
    Options {
        durability: config.durability,
        schedule_required: config.schedule == Schedule::Required,
        stitch_workers: config.stitch_workers,
        stitch_queue: config.stitch_queue,
        memory_budget: config.memory_budget,
        max_file_size: config.max_file_size,
        upload_ttl: config.upload_ttl,
        result_ttl: config.result_ttl,
        cancel_grace: config.cancel_grace,
        tombstone_ttl: config.tombstone_ttl,
        sweep_interval: config.sweep_interval,
        completion_wait: config.completion_wait,
    }
}

/// A text that changes when the machine restarts: only then may bytes be lost that were written.
fn machine_epoch() -> String {
    let id = std::fs::read_to_string(Path::new("/proc/sys/kernel/random/boot_id"));
    // Where it cannot be told, every unclean end is taken for a restart: slower, never wrong.
    id.map_or_else(|_| uuid::Uuid::new_v4().to_string(), |id| id.trim().to_owned())
}
