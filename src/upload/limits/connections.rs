//! Bounds of connections: how many there are, and how long they may wait or be silent.

use std::time::Duration;

/// How long a request head may take, with the TLS handshake before it, and how long a
/// connection may stay idle between requests.
pub const REQUEST_HEAD_TIMEOUT: Duration = Duration::from_mins(1);
/// Time between two looks at the files of the certificate and the key.
pub const TLS_CHECK_INTERVAL: Duration = Duration::from_secs(3);
/// How long a connection is idle before it may have to give way to a newcomer.
pub const IDLE_GRACE: Duration = Duration::from_secs(5);
/// Connections of one address that were asked to give way and are still there; until they are gone,
/// it may have as many more than `max_connections_per_address`.
pub const GIVING_WAY_MAX: usize = 64;
/// Connections for health and readiness beside `max_connections`, one request each.
pub const RESERVED_CONNECTIONS: usize = 16;
/// Connections at `admin_listen`.
pub const OPERATOR_CONNECTIONS_MAX: usize = 64;
/// Bytes that are read of a connection that waits for a slot.
pub const READ_AHEAD_LEN_MAX: usize = 256;
/// How long a connection may be silent while the server is full, and how long it may take to send
/// the head of a health check.
pub const DOOR_PATIENCE: Duration = Duration::from_secs(5);
/// Connections that wait to be accepted; the system may allow fewer. More than those are not
/// refused, but they try again after seconds.
pub const BACKLOG_LEN: u32 = 4096;
/// How long the accept loop rests when the process is out of file descriptors.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often it is said that connections cannot be accepted.
pub const ACCEPT_WARN_INTERVAL: Duration = Duration::from_mins(1);
/// Default of `max_connections_per_address`: well below the former, so that no one address has all,
/// and far above what the clients behind one household's or office's address need.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 4096;
/// Default of `max_connections`.
pub const CONNECTIONS_MAX: usize = 10_000;
/// Most of `max_connections`: no process has more file descriptors.
pub const CONNECTIONS_BOUND: usize = 1_000_000;

/// Connections that wait for one of `max_connections`; as many more may not have sent anything.
#[must_use]
pub const fn door_len(max_connections: usize) -> usize {
    let len = max_connections / 8;
    if len < 16 { 16 } else { len }
}

/// As many connections as leave room for those who wait for them, of so many files.
#[must_use]
pub const fn connections_of(files: usize) -> usize {
    files.saturating_sub(RESERVED_CONNECTIONS) / 5 * 4
}
