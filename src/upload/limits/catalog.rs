//! Bounds of the embedded catalog.

use std::time::Duration;

/// Calls that wait for the one writer of the catalog; more wait before this queue.
pub const CATALOG_QUEUE_LEN: usize = 256;
/// Identities without an upload that are remembered, so that probes need not ask the catalog: 32
/// bytes each.
pub const ABSENT_LEN_MAX: usize = 32 * 1024;
/// Calls that share one transaction of the catalog at most.
pub const CATALOG_GROUP_LEN_MAX: usize = 64;
/// Queries of the catalog that run at the same time.
pub const CATALOG_READERS: u16 = 4;
/// How many of them may read lists, or answer probes by hand: a reader is left for what is asked
/// for by its key.
pub const CATALOG_SCANS: u16 = 2;
/// How long one query may take, and how long it may wait for its turn.
pub const CATALOG_READ_TIME: Duration = Duration::from_secs(5);
/// Steps of SQLite after each of which a query looks at the clock.
pub const CATALOG_STEPS_PER_LOOK: i32 = 10_000;
/// Principals whose turns are remembered before those for which nobody waits are forgotten.
pub const CATALOG_TURNS_LEN: usize = 1024;
/// Rows that are counted or listed before the reader is given to others.
pub const CATALOG_SLICE: usize = 1000;
/// Statements that a connection keeps parsed.
pub const CATALOG_STATEMENTS: usize = 128;
/// Pages (of 4 KiB) of the catalog's journal after which it is folded into the file.
pub const CATALOG_JOURNAL_PAGES: u32 = 4096;
/// How long the catalog waits for another process that holds its lock.
pub const CATALOG_BUSY_TIMEOUT: Duration = Duration::from_secs(5);
