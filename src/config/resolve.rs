//! From what was written to what is valid: defaults, and types ready for use.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::tz::TimeZone;

use super::{
    AcceptedKind, AdminAddress, AllowedOrigin, AtMost, AuthUrl, ByteSize, Contradiction, FieldName,
    FreeRoom, LogFilter, LogFormat, MailServer, PublicUrl, ReservedShare, Schedule, ScopeList,
    Settings, TimeSpan, TrustedProxy, Zone,
};
use crate::upload::{
    DigestKind, Durability, Quotas, Reserve, Share,
    limits::{
        self, CONNECTIONS_PER_ADDRESS_MAX as PER_ADDRESS, STREAMS_PER_CALLER_MAX as PER_CALLER,
    },
};

/// Settings that fit together. Each field is the setting of that name: see [`Settings`].
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the fields of Settings have the words, which are the help text")]
#[expect(clippy::struct_excessive_bools, reason = "settings, each of which is one choice")]
pub struct Config {
    pub listen: SocketAddr,
    pub admin_listen: Option<SocketAddr>,
    pub allow_anonymous: bool,
    pub ticket_key: Option<PathBuf>,
    pub ticket_jwks: Option<PathBuf>,
    pub auth_url: AuthUrl,
    pub auth_user_header: FieldName,
    pub auth_scopes: ScopeList,
    pub auth_cache: Duration,
    pub data_dir: PathBuf,
    pub incomplete_dir: PathBuf,
    pub completed_dir: PathBuf,
    pub trash_dir: PathBuf,
    pub database: PathBuf,
    pub database_exclusive: bool,
    pub control_socket: PathBuf,
    pub time_zone: TimeZone,
    pub durability: Durability,
    pub digest: DigestKind,
    pub schedule: Schedule,
    /// In bytes.
    pub max_file_size: u64,
    pub accept: Vec<AcceptedKind>,
    /// The settings `max_uploads`, `max_upload_bytes`, `max_stored_bytes` and `max_stored_files`.
    pub quotas: Quotas,
    pub max_reserved_share: Share,
    pub reserve_free: Reserve,
    /// In bytes.
    pub memory_budget: u64,
    pub max_connections: usize,
    pub max_connections_per_address: usize,
    pub max_streams: usize,
    pub max_streams_per_caller: usize,
    pub max_requests: Option<u64>,
    pub max_new_uploads: Option<u64>,
    pub rate_window: Duration,
    /// In bytes per second.
    pub min_progress: Option<u64>,
    pub progress_window: Duration,
    pub trusted_proxies: Vec<TrustedProxy>,
    pub stitch_workers: usize,
    pub stitch_reads_back: bool,
    pub stitch_queue: usize,
    pub upload_ttl: Duration,
    pub result_ttl: Duration,
    pub cancel_grace: Duration,
    pub tombstone_ttl: Duration,
    /// For ever, if nothing is said.
    pub audit_ttl: Option<Duration>,
    pub trash_ttl: Duration,
    pub sweep_interval: Duration,
    pub completion_wait: Duration,
    /// Empty for none.
    pub scan_command: String,
    /// Empty for none.
    pub scan_clamd: PathBuf,
    pub scan_timeout: Duration,
    pub body_idle_timeout: Duration,
    pub shutdown_timeout: Duration,
    pub cors_origins: Vec<AllowedOrigin>,
    pub public_url: PublicUrl,
    /// Empty for none.
    pub mail: MailServer,
    pub session_ttl: Duration,
    pub session_max: Duration,
    pub tls_cert: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    pub log_format: LogFormat,
    pub log: LogFilter,
    /// Whether folders of another deployment become this one's: `--adopt`, which is no setting, so
    /// that it is meant each time.
    pub adopt: bool,
}

impl Default for Config {
    /// What holds when nothing is set.
    fn default() -> Self {
        Settings::default().fill()
    }
}

impl Settings {
    /// Fills in the defaults, and checks that the whole makes sense.
    pub fn resolve(self) -> Result<Config, Contradiction> {
        let config = self.fill();
        config.check()?;
        Ok(config)
    }

    /// The layer as keys and values, without what it does not say.
    #[must_use]
    pub(super) fn to_table(&self) -> toml::Table {
        toml::Table::try_from(self).expect("texts, numbers and lists, which a table can hold")
    }

    fn fill(self) -> Config {
        let (mail, quotas) = (MailServer::of(&self), quotas(&self));
        let places = Places::of(&self);
        Config {
            listen: self.listen.unwrap_or_else(|| ([127, 0, 0, 1], 8080).into()),
            admin_listen: self.admin_listen.unwrap_or_default().0,
            allow_anonymous: self.allow_anonymous.unwrap_or_default(),
            ticket_key: named(self.ticket_key),
            ticket_jwks: named(self.ticket_jwks),
            auth_url: self.auth_url.unwrap_or_default(),
            auth_user_header: self.auth_user_header.unwrap_or_default(),
            auth_scopes: self.auth_scopes.unwrap_or_default(),
            auth_cache: span(self.auth_cache, limits::FORWARD_CACHE),
            incomplete_dir: places.of_data(self.incomplete_dir, "incomplete"),
            completed_dir: places.of_data(self.completed_dir, "completed"),
            trash_dir: places.of_data(self.trash_dir, "trash"),
            control_socket: self.control_socket.map_or_else(|| places.socket(), PathBuf::from),
            database: places.database,
            database_exclusive: self.database_exclusive.unwrap_or_default(),
            data_dir: places.data,
            time_zone: self.time_zone.map_or(TimeZone::UTC, |zone| zone.0),
            durability: self.durability.unwrap_or_default(),
            digest: self.digest.unwrap_or_default(),
            schedule: self.schedule.unwrap_or_default(),
            max_file_size: size(self.max_file_size, limits::FILE_LEN_MAX),
            accept: self.accept.unwrap_or_default(),
            quotas,
            max_reserved_share: self.max_reserved_share.unwrap_or_default().0,
            reserve_free: self.reserve_free.unwrap_or_default().0,
            memory_budget: size(self.memory_budget, limits::MEMORY_BUDGET),
            max_connections: self.max_connections.unwrap_or(limits::CONNECTIONS_MAX),
            max_connections_per_address: self.max_connections_per_address.unwrap_or(PER_ADDRESS),
            max_streams: self.max_streams.unwrap_or(limits::STREAMS_MAX),
            max_streams_per_caller: self.max_streams_per_caller.unwrap_or(PER_CALLER),
            max_requests: self.max_requests.and_then(|most| most.0),
            max_new_uploads: self.max_new_uploads.and_then(|most| most.0),
            rate_window: span(self.rate_window, limits::RATE_WINDOW),
            min_progress: self.min_progress.map_or(limits::PROGRESS_MIN, |it| it.0.map(|it| it.0)),
            progress_window: span(self.progress_window, limits::PROGRESS_WINDOW),
            trusted_proxies: self.trusted_proxies.unwrap_or_default(),
            stitch_workers: self.stitch_workers.unwrap_or(limits::STITCH_WORKERS),
            stitch_reads_back: self.stitch_reads_back.unwrap_or_default(),
            stitch_queue: self.stitch_queue.unwrap_or(limits::STITCH_QUEUE_LEN),
            upload_ttl: span(self.upload_ttl, limits::UPLOAD_TTL),
            result_ttl: span(self.result_ttl, limits::RESULT_TTL),
            cancel_grace: span(self.cancel_grace, limits::CANCEL_GRACE),
            tombstone_ttl: span(self.tombstone_ttl, limits::TOMBSTONE_TTL),
            audit_ttl: self.audit_ttl.map_or(Some(limits::AUDIT_TTL), |it| it.0.map(|it| it.0)),
            trash_ttl: span(self.trash_ttl, limits::TRASH_TTL),
            sweep_interval: span(self.sweep_interval, limits::SWEEP_INTERVAL),
            completion_wait: span(self.completion_wait, limits::COMPLETION_WAIT),
            scan_command: self.scan_command.unwrap_or_default(),
            scan_clamd: self.scan_clamd.map_or_else(PathBuf::new, PathBuf::from),
            scan_timeout: span(self.scan_timeout, limits::SCAN_TIMEOUT),
            body_idle_timeout: span(self.body_idle_timeout, limits::BODY_IDLE_TIMEOUT),
            shutdown_timeout: span(self.shutdown_timeout, limits::SHUTDOWN_TIMEOUT),
            cors_origins: self.cors_origins.unwrap_or_default(),
            public_url: self.public_url.unwrap_or_default(),
            mail,
            session_ttl: span(self.session_ttl, limits::SESSION_TTL),
            session_max: span(self.session_max, limits::SESSION_MAX),
            tls_cert: named(self.tls_cert),
            tls_key: named(self.tls_key),
            log_format: self.log_format.unwrap_or_default(),
            log: self.log.unwrap_or_default(),
            adopt: false,
        }
    }
}

/// What one user may have.
fn quotas(settings: &Settings) -> Quotas {
    Quotas {
        uploads: settings.max_uploads.map_or(limits::UPLOADS_MAX, |most| most.0),
        upload_bytes: bytes(settings.max_upload_bytes),
        stored_bytes: bytes(settings.max_stored_bytes),
        stored_files: settings.max_stored_files.and_then(|most| most.0),
    }
}

impl Config {
    /// The settings that give this configuration again, none left out.
    #[must_use]
    pub fn to_settings(&self) -> Settings {
        Settings {
            listen: Some(self.listen),
            admin_listen: Some(AdminAddress(self.admin_listen)),
            allow_anonymous: Some(self.allow_anonymous),
            ticket_key: Some(text_of(self.ticket_key.as_ref())),
            ticket_jwks: Some(text_of(self.ticket_jwks.as_ref())),
            auth_url: Some(self.auth_url.clone()),
            auth_user_header: Some(self.auth_user_header.clone()),
            auth_scopes: Some(self.auth_scopes),
            auth_cache: Some(TimeSpan(self.auth_cache)),
            data_dir: Some(place(&self.data_dir)),
            incomplete_dir: Some(place(&self.incomplete_dir)),
            completed_dir: Some(place(&self.completed_dir)),
            trash_dir: Some(place(&self.trash_dir)),
            database: Some(place(&self.database)),
            database_exclusive: Some(self.database_exclusive),
            control_socket: Some(place(&self.control_socket)),
            time_zone: Some(Zone(self.time_zone.clone())),
            durability: Some(self.durability),
            digest: Some(self.digest),
            schedule: Some(self.schedule),
            max_file_size: Some(ByteSize(self.max_file_size)),
            accept: Some(self.accept.clone()),
            max_uploads: Some(AtMost(self.quotas.uploads)),
            max_upload_bytes: Some(AtMost(self.quotas.upload_bytes.map(ByteSize))),
            max_stored_bytes: Some(AtMost(self.quotas.stored_bytes.map(ByteSize))),
            max_stored_files: Some(AtMost(self.quotas.stored_files)),
            max_reserved_share: Some(ReservedShare(self.max_reserved_share)),
            reserve_free: Some(FreeRoom(self.reserve_free)),
            memory_budget: Some(ByteSize(self.memory_budget)),
            max_connections: Some(self.max_connections),
            max_connections_per_address: Some(self.max_connections_per_address),
            max_streams: Some(self.max_streams),
            max_streams_per_caller: Some(self.max_streams_per_caller),
            max_requests: Some(AtMost(self.max_requests)),
            max_new_uploads: Some(AtMost(self.max_new_uploads)),
            rate_window: Some(TimeSpan(self.rate_window)),
            min_progress: Some(AtMost(self.min_progress.map(ByteSize))),
            progress_window: Some(TimeSpan(self.progress_window)),
            trusted_proxies: Some(self.trusted_proxies.clone()),
            stitch_workers: Some(self.stitch_workers),
            stitch_reads_back: Some(self.stitch_reads_back),
            stitch_queue: Some(self.stitch_queue),
            upload_ttl: Some(TimeSpan(self.upload_ttl)),
            result_ttl: Some(TimeSpan(self.result_ttl)),
            cancel_grace: Some(TimeSpan(self.cancel_grace)),
            tombstone_ttl: Some(TimeSpan(self.tombstone_ttl)),
            audit_ttl: Some(AtMost(self.audit_ttl.map(TimeSpan))),
            trash_ttl: Some(TimeSpan(self.trash_ttl)),
            sweep_interval: Some(TimeSpan(self.sweep_interval)),
            completion_wait: Some(TimeSpan(self.completion_wait)),
            scan_command: Some(self.scan_command.clone()),
            scan_clamd: Some(place(&self.scan_clamd)),
            scan_timeout: Some(TimeSpan(self.scan_timeout)),
            body_idle_timeout: Some(TimeSpan(self.body_idle_timeout)),
            shutdown_timeout: Some(TimeSpan(self.shutdown_timeout)),
            cors_origins: Some(self.cors_origins.clone()),
            public_url: Some(self.public_url.clone()),
            session_ttl: Some(TimeSpan(self.session_ttl)),
            session_max: Some(TimeSpan(self.session_max)),
            tls_cert: Some(text_of(self.tls_cert.as_ref())),
            tls_key: Some(text_of(self.tls_key.as_ref())),
            log_format: Some(self.log_format),
            log: Some(self.log.clone()),
            ..self.mail_settings()
        }
    }

    fn mail_settings(&self) -> Settings {
        Settings {
            smtp_host: Some(self.mail.host.clone()),
            smtp_port: Some(self.mail.port),
            smtp_tls: Some(self.mail.tls),
            smtp_user: Some(self.mail.user.clone()),
            smtp_password_file: Some(text_of(self.mail.password_file.as_ref())),
            smtp_from: Some(self.mail.from.clone()),
            ..Settings::default()
        }
    }

    /// The configuration as a `flowstitch.toml` that gives it again.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(&self.to_settings()).expect("texts, numbers and lists, which TOML can hold")
    }
}

/// The socket of the tools, if no other place is named: next to the database.
/// Where things are that are not placed by a setting of their own.
struct Places {
    data: PathBuf,
    database: PathBuf,
}

impl Places {
    fn of(settings: &Settings) -> Self {
        let data = PathBuf::from(settings.data_dir.as_deref().unwrap_or("."));
        let database = settings.database.as_ref();
        let database = database.map_or_else(|| data.join("flowstitch.db"), PathBuf::from);
        Self { data, database }
    }

    /// Where it is set to be, or else in the folder of all data.
    fn of_data(&self, set: Option<String>, name: &str) -> PathBuf {
        set.map_or_else(|| self.data.join(name), PathBuf::from)
    }

    /// Beside the database.
    fn socket(&self) -> PathBuf {
        PathBuf::from([self.database.as_os_str(), ".sock".as_ref()].join("".as_ref()))
    }
}

fn span(set: Option<TimeSpan>, default: Duration) -> Duration {
    set.map_or(default, |span| span.0)
}

/// In bytes.
fn size(set: Option<ByteSize>, default: u64) -> u64 {
    set.map_or(default, |size| size.0)
}

/// In bytes; nothing for no bound.
fn bytes(set: Option<AtMost<ByteSize>>) -> Option<u64> {
    set.and_then(|most| most.0).map(|it| it.0)
}

/// A place that need not be named: an empty text names none.
pub(super) fn named(text: Option<String>) -> Option<PathBuf> {
    text.filter(|text| !text.is_empty()).map(PathBuf::from)
}

fn place(path: &Path) -> String {
    path.display().to_string()
}

fn text_of(path: Option<&PathBuf>) -> String {
    path.map(|path| path.display().to_string()).unwrap_or_default()
}
