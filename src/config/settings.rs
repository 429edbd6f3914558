//! What can be set, as it is written: by a flag, by a variable, or by a key of `flowstitch.toml`.
//!
//! Every field is optional and says nothing of its default; `super::resolve` does. The comment of
//! a field is its help text. Paths are texts here, because `flowstitch.toml` holds nothing else.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{
    AcceptedKind, AdminAddress, AllowedOrigin, AtMost, AuthUrl, ByteSize, FieldName, FreeRoom,
    LogFilter, LogFormat, PublicUrl, ReservedShare, Schedule, ScopeList, Sender, SmtpTls, TimeSpan,
    TrustedProxy, Zone, values::address,
};
use crate::upload::{DigestKind, Durability};

/// One layer of settings: what one source says.
#[derive(Debug, Clone, Default, PartialEq, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Address and port to listen on; port 0 picks a free port
    #[arg(long, value_name = "ADDR:PORT", value_parser = address)]
    #[serde(default, deserialize_with = "super::values::read_address")]
    pub listen: Option<SocketAddr>,

    /// Address and port for the operator: health, readiness, metrics and tickets; plain HTTP
    #[arg(long, value_name = "ADDR:PORT")]
    pub admin_listen: Option<AdminAddress>,

    /// Let everybody upload and read without credentials, on any address
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub allow_anonymous: Option<bool>,

    /// File with the secret that signs upload tickets (HS256): at least 32 bytes
    #[arg(long, value_name = "FILE")]
    pub ticket_key: Option<String>,

    /// File with the public keys (a JWK set) of applications that sign tickets themselves
    #[arg(long, value_name = "FILE")]
    pub ticket_jwks: Option<String>,

    /// URL of a service that is asked who sends a request; empty for none
    #[arg(long, value_name = "URL")]
    pub auth_url: Option<AuthUrl>,

    /// Response header of auth-url that has the user name
    #[arg(long, value_name = "NAME")]
    pub auth_user_header: Option<FieldName>,

    /// What users that auth-url names may do: upload, read, admin
    #[arg(long, value_name = "SCOPE,…")]
    pub auth_scopes: Option<ScopeList>,

    /// How long an answer of auth-url is cached
    #[arg(long, value_name = "TIME")]
    pub auth_cache: Option<TimeSpan>,

    /// Folder of all data; the next four are in it unless they are set
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,

    /// Folder of unfinished uploads; on the same file system as completed-dir
    #[arg(long, value_name = "DIR")]
    pub incomplete_dir: Option<String>,

    /// Folder of finished files
    #[arg(long, value_name = "DIR")]
    pub completed_dir: Option<String>,

    /// Folder of files that were set aside; on the same file system as incomplete-dir
    #[arg(long, value_name = "DIR")]
    pub trash_dir: Option<String>,

    /// File of the SQLite database
    #[arg(long, value_name = "FILE")]
    pub database: Option<String>,

    /// Let no other process read the database while the server runs; needed on btrfs
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub database_exclusive: Option<bool>,

    /// Unix socket for the operator's tools; only the user of the server can open it
    #[arg(long, value_name = "FILE")]
    pub control_socket: Option<String>,

    /// IANA time zone in which a day begins and ends
    #[arg(long, value_name = "ZONE")]
    pub time_zone: Option<Zone>,

    /// What an acknowledged chunk survives
    #[arg(long, value_name = "MODE")]
    pub durability: Option<Durability>,

    /// Digest that is computed of every file
    #[arg(long, value_name = "KIND")]
    pub digest: Option<DigestKind>,

    /// Whether an upload must name the day for which it is scheduled
    #[arg(long, value_name = "RULE")]
    pub schedule: Option<Schedule>,

    /// Size of the largest file that is accepted
    #[arg(long, value_name = "SIZE")]
    pub max_file_size: Option<ByteSize>,

    /// Accepted kinds of file, by name and content: image/*, image/png, .pdf; empty for all
    #[arg(long, value_name = "KIND,…", value_delimiter = ',')]
    pub accept: Option<Vec<AcceptedKind>>,

    /// Unfinished uploads of one user, or of all callers without credentials: a number, or none
    #[arg(long, value_name = "COUNT")]
    pub max_uploads: Option<AtMost<u64>>,

    /// Total size of the unfinished uploads of one user: a size, or none
    #[arg(long, value_name = "SIZE")]
    pub max_upload_bytes: Option<AtMost<ByteSize>>,

    /// Total size of all files of one user, with unfinished uploads: a size, or none
    #[arg(long, value_name = "SIZE")]
    pub max_stored_bytes: Option<AtMost<ByteSize>>,

    /// Number of all files of one user, with unfinished uploads: a number, or none
    #[arg(long, value_name = "COUNT")]
    pub max_stored_files: Option<AtMost<u64>>,

    /// Part of the free disk that unfinished uploads of one user may reserve: 25 %, none, or auto
    #[arg(long, value_name = "PERCENT")]
    pub max_reserved_share: Option<ReservedShare>,

    /// Disk space that uploads leave free: a size, or auto (5 % of the disk, at most 1 GiB)
    #[arg(long, value_name = "SIZE")]
    pub reserve_free: Option<FreeRoom>,

    /// Memory for the bodies of all requests together; clients wait when it is used up
    #[arg(long, value_name = "SIZE")]
    pub memory_budget: Option<ByteSize>,

    /// Open connections; others wait until one ends, or until an idle one is closed for them
    #[arg(long, value_name = "COUNT")]
    pub max_connections: Option<usize>,

    /// Open connections from one address; for one more, an idle one or the new one is closed
    #[arg(long, value_name = "COUNT")]
    pub max_connections_per_address: Option<usize>,

    /// Event streams that are open at a time; one more is refused
    #[arg(long, value_name = "COUNT")]
    pub max_streams: Option<usize>,

    /// Event streams of one user, or of callers without credentials from one address
    #[arg(long, value_name = "COUNT")]
    pub max_streams_per_caller: Option<usize>,

    /// Requests of one user, or from one address, in a rate-window; further ones are delayed
    #[arg(long, value_name = "COUNT")]
    pub max_requests: Option<AtMost<u64>>,

    /// Uploads that one user or address may begin in a rate-window; further ones are delayed
    #[arg(long, value_name = "COUNT")]
    pub max_new_uploads: Option<AtMost<u64>>,

    /// Time over which max-requests and max-new-uploads are counted
    #[arg(long, value_name = "TIME")]
    pub rate_window: Option<TimeSpan>,

    /// Bytes per second that the body of a request must bring on average: a size, or none
    #[arg(long, value_name = "SIZE")]
    pub min_progress: Option<AtMost<ByteSize>>,

    /// How long a body may be slower than min-progress
    #[arg(long, value_name = "TIME")]
    pub progress_window: Option<TimeSpan>,

    /// Proxies whose X-Forwarded-For is believed: addresses, or networks such as 10.0.0.0/8
    #[arg(long, value_name = "ADDR,…", value_delimiter = ',')]
    pub trusted_proxies: Option<Vec<TrustedProxy>>,

    /// Uploads that are read back and hashed at the same time
    #[arg(long, value_name = "COUNT")]
    pub stitch_workers: Option<usize>,

    /// Read every chunk back from its file and check it before the file is published
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub stitch_reads_back: Option<bool>,

    /// Length of the queue of uploads that wait for a stitch worker
    #[arg(long, value_name = "COUNT")]
    pub stitch_queue: Option<usize>,

    /// How long an unfinished upload is kept after its last byte
    #[arg(long, value_name = "TIME")]
    pub upload_ttl: Option<TimeSpan>,

    /// How long a finished upload answers a client that sends it again
    #[arg(long, value_name = "TIME")]
    pub result_ttl: Option<TimeSpan>,

    /// How long late chunks of a cancelled, failed or expired upload are refused
    #[arg(long, value_name = "TIME")]
    pub cancel_grace: Option<TimeSpan>,

    /// How long the state of an ended upload can be looked up
    #[arg(long, value_name = "TIME")]
    pub tombstone_ttl: Option<TimeSpan>,

    /// How long lines of the audit trail are kept: a time, or none for ever
    #[arg(long, value_name = "TIME")]
    pub audit_ttl: Option<AtMost<TimeSpan>>,

    /// How long files that were set aside stay in the trash
    #[arg(long, value_name = "TIME")]
    pub trash_ttl: Option<TimeSpan>,

    /// Time between two sweeps, which remove what has expired
    #[arg(long, value_name = "TIME")]
    pub sweep_interval: Option<TimeSpan>,

    /// How long the answer to the last chunk waits for the finished file
    #[arg(long, value_name = "TIME")]
    pub completion_wait: Option<TimeSpan>,

    /// Program that checks each file before it is published; it reads it from standard input
    #[arg(long, value_name = "COMMAND")]
    pub scan_command: Option<String>,

    /// Unix socket of a clamd that checks each file before it is published
    #[arg(long, value_name = "FILE")]
    pub scan_clamd: Option<String>,

    /// Time limit of one check; after that the file is checked again later
    #[arg(long, value_name = "TIME")]
    pub scan_timeout: Option<TimeSpan>,

    /// How long the body of a request may bring no byte
    #[arg(long, value_name = "TIME")]
    pub body_idle_timeout: Option<TimeSpan>,

    /// How long a stop waits for requests and stitches that run
    #[arg(long, value_name = "TIME")]
    pub shutdown_timeout: Option<TimeSpan>,

    /// Origins whose pages may use the service: scheme://host:port, *.host for one label, or *
    #[arg(long, value_name = "ORIGIN,…", value_delimiter = ',')]
    pub cors_origins: Option<Vec<AllowedOrigin>>,

    /// URL at which browsers reach the service; needed if a proxy does not pass on their Host
    #[arg(long, value_name = "URL")]
    pub public_url: Option<PublicUrl>,

    /// Mail server for sign-in codes; empty if nobody signs in by mail
    #[arg(long, value_name = "HOST")]
    pub smtp_host: Option<String>,

    /// Port of the mail server; 0 for the usual port of smtp-tls: 587, 465 or 25
    #[arg(long, value_name = "PORT")]
    pub smtp_port: Option<u16>,

    /// Encryption to the mail server; none only for one on this machine
    #[arg(long, value_name = "HOW")]
    pub smtp_tls: Option<SmtpTls>,

    /// SMTP user name, if the mail server requires a login; needs smtp-password-file
    #[arg(long, value_name = "NAME")]
    pub smtp_user: Option<String>,

    /// File with the password of smtp-user
    #[arg(long, value_name = "FILE")]
    pub smtp_password_file: Option<String>,

    /// Sender address of mail: name@example.com, or Name <name@example.com>
    #[arg(long, value_name = "ADDRESS")]
    pub smtp_from: Option<Sender>,

    /// When an unused session of the page ends
    #[arg(long, value_name = "TIME")]
    pub session_ttl: Option<TimeSpan>,

    /// When every session of the page ends, used or not
    #[arg(long, value_name = "TIME")]
    pub session_max: Option<TimeSpan>,

    /// File with the certificate chain in PEM, for HTTPS; needs tls-key; empty for HTTP
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<String>,

    /// File with the private key in PEM; both files are read again on SIGHUP and when they change
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<String>,

    /// Format of log lines
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,

    /// Log lines to write: a level, or target=level, separated by commas
    #[arg(long, value_name = "FILTER")]
    pub log: Option<LogFilter>,
}

impl Settings {
    /// What this layer says, and where it says nothing, what `lower` says.
    #[must_use]
    pub fn or(self, lower: Self) -> Self {
        macro_rules! first_of {
            ($($setting:ident)*) => { Self { $($setting: self.$setting.or(lower.$setting)),* } };
        }
        // One that is forgotten here does not compile.
        first_of! {
            listen admin_listen allow_anonymous ticket_key ticket_jwks auth_url auth_user_header
            auth_scopes auth_cache data_dir incomplete_dir completed_dir trash_dir database
            database_exclusive control_socket time_zone durability digest schedule max_file_size
            accept max_uploads max_upload_bytes max_stored_bytes max_stored_files
            max_reserved_share reserve_free memory_budget max_connections
            max_connections_per_address max_streams max_streams_per_caller max_requests
            max_new_uploads rate_window min_progress progress_window trusted_proxies
            stitch_workers stitch_reads_back stitch_queue upload_ttl result_ttl cancel_grace
            tombstone_ttl audit_ttl trash_ttl sweep_interval completion_wait scan_command
            scan_clamd scan_timeout body_idle_timeout shutdown_timeout cors_origins public_url
            smtp_host smtp_port smtp_tls smtp_user smtp_password_file smtp_from session_ttl
            session_max tls_cert tls_key log_format log
        }
    }
}
