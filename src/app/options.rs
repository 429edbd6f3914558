//! What of the settings is whose.

use std::sync::Arc;

use crate::{
    access::Anonymous,
    config::{Config, Schedule},
    engine::Options,
    scan::{Clamd, CommandLine, Scanner},
    upload::{Accept, Quotas},
};

/// Who may come without credentials, by the configuration.
pub(super) fn anonymous(config: &Config) -> Anonymous {
    if config.allow_anonymous {
        tracing::warn!("Everybody is let in without credentials: allow_anonymous is set");
        Anonymous::Always
    } else if config.listen.ip().is_loopback() {
        Anonymous::UntilUsers
    } else {
        Anonymous::Never
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
        accept: Accept::new(config.accept.iter().map(|kind| kind.0.clone()).collect()),
        quotas: Quotas {
            uploads: config.max_uploads,
            upload_bytes: config.max_upload_bytes,
            stored_bytes: config.max_stored_bytes,
        },
        reserve_free: config.reserve_free,
        upload_ttl: config.upload_ttl,
        result_ttl: config.result_ttl,
        cancel_grace: config.cancel_grace,
        tombstone_ttl: config.tombstone_ttl,
        audit_ttl: config.audit_ttl,
        sweep_interval: config.sweep_interval,
        completion_wait: config.completion_wait,
        scanners: scanners(config),
        scan_timeout: config.scan_timeout,
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
