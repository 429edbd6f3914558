//! What settings must not say, alone or together.

use std::{fmt, time::Duration};

use super::{AllowedOrigin, ByteSize, Config, TimeSpan};
use crate::upload::limits;

/// A setting that is out of bounds or at odds with another one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {reason}")]
pub struct Contradiction {
    /// The setting to change.
    pub key: &'static str,
    /// What is wrong with it, and what would be right.
    pub reason: String,
}

impl Config {
    /// Errors: the first that is out of bounds, or at odds with another.
    pub(super) fn check(&self) -> Result<(), Contradiction> {
        self.check_places()?;
        self.check_amounts()?;
        self.check_times()?;
        self.check_origins()?;
        self.check_tls()?;
        self.mail.check()
    }

    fn check_places(&self) -> Result<(), Contradiction> {
        refuse(
            self.admin_listen == Some(self.listen) && self.listen.port() != 0,
            "admin_listen",
            "is the same address as listen; use another port",
        )?;
        for (key, path) in [
            ("data_dir", &self.data_dir),
            ("incomplete_dir", &self.incomplete_dir),
            ("completed_dir", &self.completed_dir),
            ("trash_dir", &self.trash_dir),
            ("database", &self.database),
            ("control_socket", &self.control_socket),
        ] {
            refuse(path.as_os_str().is_empty(), key, "is empty; use . for the working directory")?;
        }
        refuse(
            self.incomplete_dir == self.completed_dir,
            "completed_dir",
            "is the same folder as incomplete_dir; a file there could be whole or not: use two",
        )?;
        refuse(
            [&self.incomplete_dir, &self.completed_dir].contains(&&self.trash_dir),
            "trash_dir",
            "is the same folder as incomplete_dir or completed_dir; give the trash its own",
        )
    }

    fn check_amounts(&self) -> Result<(), Contradiction> {
        for (key, count) in [
            ("max_connections", self.max_connections),
            ("max_connections_per_address", self.max_connections_per_address),
            ("max_streams", self.max_streams),
            ("max_streams_per_caller", self.max_streams_per_caller),
        ] {
            within(key, count, 1, limits::CONNECTIONS_BOUND)?;
        }
        for (key, most) in [
            ("max_uploads", self.quotas.uploads),
            ("max_upload_bytes", self.quotas.upload_bytes),
            ("max_stored_bytes", self.quotas.stored_bytes),
            ("max_stored_files", self.quotas.stored_files),
            ("max_requests", self.max_requests),
            ("max_new_uploads", self.max_new_uploads),
            ("min_progress", self.min_progress),
        ] {
            refuse(most == Some(0), key, "is 0, which makes no sense; use none, or more")?;
        }
        for (key, most) in
            [("max_requests", self.max_requests), ("max_new_uploads", self.max_new_uploads)]
        {
            within(key, most.unwrap_or(1), 1, limits::RATE_BOUND)?;
        }
        let proxies = "more than can be looked through for each request; use networks";
        refuse(limits::PROXIES_MAX < self.trusted_proxies.len(), "trusted_proxies", proxies)?;
        within("stitch_workers", self.stitch_workers, 1, limits::STITCH_WORKERS_MAX)?;
        within("stitch_queue", self.stitch_queue, 1, limits::STITCH_QUEUE_LEN_MAX)?;
        let (least, most) = (limits::MEMORY_BUDGET_MIN, limits::MEMORY_BUDGET_MAX);
        within("memory_budget", ByteSize(self.memory_budget), ByteSize(least), ByteSize(most))?;
        let kinds = "more kinds of file than a refusal can list; use groups, such as image/*";
        refuse(limits::ACCEPT_LEN_MAX < self.accept.len(), "accept", kinds)?;
        let most = ByteSize(limits::FILE_LEN_BOUND);
        within("max_file_size", ByteSize(self.max_file_size), ByteSize(1), most)
    }

    fn check_times(&self) -> Result<(), Contradiction> {
        for (key, span) in [
            ("upload_ttl", self.upload_ttl),
            ("audit_ttl", self.audit_ttl.unwrap_or(Duration::MAX)),
            ("trash_ttl", self.trash_ttl),
            ("sweep_interval", self.sweep_interval),
            ("rate_window", self.rate_window),
            ("progress_window", self.progress_window),
            ("scan_timeout", self.scan_timeout),
            ("body_idle_timeout", self.body_idle_timeout),
        ] {
            refuse(span.is_zero(), key, "is zero, which leaves no time at all; use 1s or more")?;
        }
        let most = TimeSpan(limits::COMPLETION_WAIT_MAX);
        within("completion_wait", TimeSpan(self.completion_wait), TimeSpan(Duration::ZERO), most)?;
        let (auth_cache, most) = (TimeSpan(self.auth_cache), TimeSpan(limits::FORWARD_CACHE_MAX));
        within("auth_cache", auth_cache, TimeSpan(Duration::ZERO), most)?;
        let (ttl, most) = (TimeSpan(self.session_ttl), TimeSpan(self.session_max));
        within("session_ttl", ttl, TimeSpan(Duration::from_mins(1)), most)?;
        let tombstone = TimeSpan(self.tombstone_ttl);
        for (key, span) in [("result_ttl", self.result_ttl), ("cancel_grace", self.cancel_grace)] {
            let span = TimeSpan(span);
            let reason = format!(
                "{span} is longer than tombstone_ttl ({tombstone}), after which nothing is known \
                 of the upload; shorten it, or set tombstone_ttl to {span} or more"
            );
            refuse(tombstone < span, key, reason)?;
        }
        Ok(())
    }

    fn check_origins(&self) -> Result<(), Contradiction> {
        let any = self.cors_origins.contains(&AllowedOrigin::Any);
        refuse(
            any && 1 < self.cors_origins.len(),
            "cors_origins",
            "has * beside others, which it makes meaningless; use * alone, or leave it out",
        )
    }

    fn check_tls(&self) -> Result<(), Contradiction> {
        let (cert, key) = (self.tls_cert.is_some(), self.tls_key.is_some());
        refuse(cert && !key, "tls_cert", "is of no use without its private key: set tls_key, too")?;
        refuse(key && !cert, "tls_key", "is of no use without its certificate: set tls_cert, too")
    }
}

pub(super) fn refuse(
    wrong: bool,
    key: &'static str,
    reason: impl Into<String>,
) -> Result<(), Contradiction> {
    if wrong { Err(Contradiction { key, reason: reason.into() }) } else { Ok(()) }
}

fn within<T: Copy + PartialOrd + fmt::Display>(
    key: &'static str,
    value: T,
    least: T,
    most: T,
) -> Result<(), Contradiction> {
    let fits = least <= value && value <= most;
    refuse(!fits, key, format!("{value} is not within {least} and {most}"))
}
