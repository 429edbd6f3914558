//! What of the settings is whose.

use std::sync::Arc;

use crate::{
    access::{Anonymous, ForwardOptions, RateLimits},
    config::{Config, Schedule},
    engine::{Allowance, Options},
    http::{limits::Terms, pace::Pace, proxies::Proxies, server::ServerOptions},
    scan::{Clamd, CommandLine, Scanner},
    store::Folders,
    upload::Accept,
};

/// Who may come without credentials, by the configuration.
pub(super) fn anonymous(config: &Config) -> Anonymous {
    if config.allow_anonymous {
        tracing::warn!("Everybody is let in without credentials: allow_anonymous is set");
        Anonymous::Always
    } else {
        Anonymous::WhileOpen
    }
}

/// Who else is asked who a request comes from, by the configuration.
pub(super) fn forward(config: &Config) -> Option<ForwardOptions> {
    Some(ForwardOptions {
        url: config.auth_url.0.clone()?,
        user_header: config.auth_user_header.0.clone(),
        scopes: config.auth_scopes.0,
        cache: config.auth_cache,
        is_encrypted: config.tls_cert.is_some() || config.public_url.is_encrypted(),
    })
}

/// Where the configuration puts files.
#[must_use]
pub fn folders(config: &Config) -> Folders<'_> {
    Folders {
        incomplete: &config.incomplete_dir,
        completed: &config.completed_dir,
        trash: &config.trash_dir,
    }
}

/// What of the configuration is the engine's.
#[must_use]
pub fn options(config: &Config) -> Options {
    Options {
        durability: config.durability,
        digest: config.digest,
        schedule_required: config.schedule == Schedule::Required,
        stitch_workers: config.stitch_workers,
        stitch_reads_back: config.stitch_reads_back,
        stitch_queue: config.stitch_queue,
        memory_budget: config.memory_budget,
        max_file_size: config.max_file_size,
        accept: Accept::new(config.accept.iter().map(|kind| kind.0.clone()).collect()),
        quotas: config.quotas,
        reserved_share: config.max_reserved_share,
        public_uploads: config.allow_anonymous,
        reserve_free: config.reserve_free,
        upload_ttl: config.upload_ttl,
        result_ttl: config.result_ttl,
        cancel_grace: config.cancel_grace,
        tombstone_ttl: config.tombstone_ttl,
        audit_ttl: config.audit_ttl,
        trash_ttl: config.trash_ttl,
        sweep_interval: config.sweep_interval,
        completion_wait: config.completion_wait,
        scanners: scanners(config),
        scan_timeout: config.scan_timeout,
        adopt: config.adopt,
    }
}

/// What of the configuration is about connections.
pub(super) fn server_options(config: &Config, memory: Allowance) -> ServerOptions {
    ServerOptions {
        max_connections_per_address: config.max_connections_per_address,
        proxies: Arc::new(Proxies::new(&config.trusted_proxies)),
        pace: pace(config),
        memory,
        ..ServerOptions::default()
    }
}

/// How slowly bodies may come.
pub(super) fn pace(config: &Config) -> Pace {
    Pace {
        idle: config.body_idle_timeout,
        progress: config.min_progress,
        window: config.progress_window,
    }
}

/// What clients are told beside the limits of the engine.
pub(super) fn terms(config: &Config) -> Terms {
    Terms {
        connections: (config.max_connections, config.max_connections_per_address),
        rates: RateLimits {
            requests: config.max_requests,
            new_uploads: config.max_new_uploads,
            window: config.rate_window,
        },
        pace: pace(config),
    }
}

/// Who must let a file pass before it is published.
fn scanners(config: &Config) -> Vec<Arc<dyn Scanner>> {
    let mut scanners: Vec<Arc<dyn Scanner>> = Vec::new();
    if let Some(command) = CommandLine::parse(&config.scan_command) {
        scanners.push(Arc::new(command));
    }
    if !config.scan_clamd.as_os_str().is_empty() {
        scanners.push(Arc::new(Clamd::at(config.scan_clamd.clone())));
    }
    scanners
}
