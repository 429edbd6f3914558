//! Every bound in the system that is not a setting. A bound that is a setting has its default here.
//!
//! Invariant 9 of the design: every queue, body, field, count, wait and retry has a limit, and all
//! limits stand in one place.

mod callers;
mod catalog;
mod connections;
mod process;
mod room;
mod trash;
mod verify;

use std::time::Duration;

pub use self::{callers::*, catalog::*, connections::*, process::*, room::*, trash::*, verify::*};

/// One KiB, in bytes.
pub const KIB: u64 = 1 << 10;
/// One MiB, in bytes.
pub const MIB: u64 = 1 << 20;
/// One GiB, in bytes.
pub const GIB: u64 = 1 << 30;

// What a client may say.

/// Bytes of one text field of a form, and of a query string's value.
pub const FIELD_LEN_MAX: usize = 16 * 1024;
/// Fields of one form or query string.
pub const FIELD_COUNT_MAX: usize = 64;
/// Bytes of the head of one part of a form, and of what may stand before it. The head of a file
/// holds its name.
pub const PART_HEAD_LEN_MAX: usize = 2 * FIELD_LEN_MAX;
/// Bytes of the boundary of a form (RFC 2046).
pub const BOUNDARY_LEN_MAX: usize = 70;
/// Headers that a part of a form may have.
pub const PART_HEADER_COUNT_MAX: usize = 32;
/// Characters of a client's value that a refusal repeats.
pub const QUOTED_LEN_MAX: usize = 64;
/// Bytes of a path or method that stand in a log line.
pub const LOGGED_LEN_MAX: usize = 256;
/// Bytes of a file name in `Content-Disposition`: what file systems take.
pub const DISPOSITION_NAME_LEN_MAX: usize = 255;
/// Bytes of a file name. 4 KB of emoji are a legal name.
pub const NAME_LEN_MAX: usize = FIELD_LEN_MAX;
/// Bytes of a client's identifier, and of a relative path.
pub const IDENTIFIER_LEN_MAX: usize = FIELD_LEN_MAX;
/// Letters of an extension that may stand in `completed/`.
pub const EXTENSION_LEN_MAX: usize = 10;
/// Kinds of files that `accept` may list: a refusal names them all.
pub const ACCEPT_LEN_MAX: usize = 64;
/// Pieces of one upload.
pub const PIECE_COUNT_MAX: u64 = 1_000_000;
/// Bytes of a request head; flow.js puts every field into the query of a probe.
pub const REQUEST_HEAD_LEN_MAX: usize = 32 * 1024;
/// Bytes of the names and values of all text fields of one form.
pub const FIELDS_LEN_MAX: usize = 64 * 1024;
/// Bytes of a JSON request body.
pub const JSON_BODY_LEN_MAX: usize = 64 * 1024;
/// Bytes of a user's name, and of an e-mail address.
pub const USER_NAME_LEN_MAX: usize = 255;
/// Bytes of what the owner of a token calls it.
pub const TOKEN_LABEL_LEN_MAX: usize = 255;
/// Bytes of a ticket: a browser puts it into the query of every probe.
pub const TICKET_LEN_MAX: usize = 8 * 1024;
/// Bytes of what an issuer calls a ticket.
pub const TICKET_ID_LEN_MAX: usize = 255;
/// Bytes of a client's own request id that we are willing to repeat.
pub const REQUEST_ID_LEN_MAX: usize = 128;

// What one request may hold.

/// Memory for request heads and the fields of forms, of all requests together, beside
/// `memory_budget`. What is free of it below is not counted.
pub const REQUESTS_MEMORY: u64 = 8 * MIB;
/// Bytes of a head for which no memory is leased: one read. hyper has a buffer for that for every
/// connection.
pub const HEAD_FREE_LEN: usize = 8 * 1024 - 1;
/// Bytes of the fields of a form for which no memory is leased: those of flow.js are fewer.
pub const FIELDS_FREE_LEN: usize = 2 * 1024;
/// Bytes that are read at a time from a connection whose caller was not let in yet. One less than
/// the buffer that hyper begins with, which therefore does not grow.
pub const STRANGER_READ_LEN_MAX: u64 = 8 * KIB - 1;
/// Bytes that are read from a connection at a time. One less than what hyper's buffer is to have,
/// for that doubles when a read fills it; a fast connection has up to three buffers.
pub const SOCKET_READ_LEN_MAX: u64 = 32 * KIB - 1;
/// Bytes of a body that are gathered before they are written.
pub const WRITE_BATCH_LEN_MAX: usize = 1024 * 1024;
/// Bytes of a file of undeclared size, or of one whose fields follow it, that are kept in memory.
pub const SPOOL_MEMORY_LEN_MAX: usize = 1024 * 1024;
/// Bytes of a chunk behind which a form may still name fields.
pub const LATE_FIELDS_LEN_MAX: u64 = 64 * KIB;
/// Bytes from the start of a file that tell what it is.
pub const HEAD_LEN: usize = 8 * 1024;
/// Bytes of what a scanner says that are kept.
pub const SCAN_ANSWER_LEN_MAX: usize = 1024;
/// Files that are checked before publishing at once, for each stitch worker.
pub const SCANS_PER_WORKER: usize = 4;
/// Characters of a scanner's reason that are shown to a client.
pub const SCAN_REASON_LEN_MAX: usize = 200;
/// Bytes that are read at a time from a stored file: what a processor still has at hand when it
/// hashes or sends them.
pub const READ_LEN_MAX: usize = 512 * 1024;
/// Memory for slices of files that are being sent, of all downloads together, beside
/// `memory_budget`.
pub const ANSWERS_MEMORY: u64 = 16 * MIB;
/// Bytes of a slice of a file that is sent while none of that memory is free.
pub const SMALL_READ_LEN: usize = 8 * 1024;
/// Bytes of a refused body that are read and dropped: Firefox sends a POST again by itself when the
/// connection closes before its body was read, and then reports no status at all.
pub const DRAIN_LEN_MAX: u64 = 64 * MIB;

/// The part of `memory_budget` that is for bodies which are kept until something else is known: one
/// in so many. It is taken at once or not at all, so that those who keep and those who wait for
/// memory cannot wait for each other.
pub const MEMORY_KEPT_PART: u64 = 4;

// Queues and batches.

/// Bytes of the marker file of a data folder.
pub const MARK_LEN_MAX: usize = 256;

/// Ranges that wait for the next group commit; more wait before this queue.
pub const COMMIT_QUEUE_LEN: usize = 1024;
/// Ranges that one group commit may hold.
pub const COMMIT_BATCH_LEN_MAX: usize = 512;
/// Default of `stitch_queue`: hints that wait for a worker. A lost hint costs a tick, no work.
pub const STITCH_QUEUE_LEN: usize = 256;
/// Writes to the disk at a time. One for a file; and files that share one wait for each other,
/// which costs little: a write copies into the page cache, and while the disk is behind, none ends
/// sooner for being one of many.
pub const WRITERS_MAX: usize = 32;
/// Uploads that are published at a time: that waits for the disk, and those who wait at the same
/// time share its flushes.
pub const FINISHES_AT_ONCE_MAX: usize = 64;
/// Default of `stitch_workers`.
pub const STITCH_WORKERS: usize = 2;
/// New bytes in the prefix of a running upload after which a worker is told of them: one chunk of
/// flow.js, so that its bytes are hashed while they are warm.
pub const STITCH_AHEAD_LEN: u64 = MIB;
/// Frames shorter than this are copied out of the buffer that they came in, which is up to four
/// times as large and is otherwise held as long as the frame.
pub const SMALL_FRAME_LEN: usize = 8 * 1024;
/// The shortest range whose bytes are kept in memory for the stitch; shorter ones are read back,
/// but for those that are a whole file.
pub const WARM_LEN_MIN: u64 = 256 * KIB;
/// Bytes that are written to a file before it is synced although nobody waits for that.
pub const UNSYNCED_LEN_MAX: u64 = 64 * MIB;
/// Ranges that are forgotten in the transaction that completes their upload: so few that it costs
/// nothing.
pub const FEW_RANGES: u32 = 4;
/// Ranges of an upload that has ended that are forgotten in one transaction.
pub const RANGES_SLICE: u32 = 10_000;
/// Bytes that are hashed on a thread that must not block: some 40 µs.
pub const HASH_HERE_LEN_MAX: u64 = 64 * KIB;
/// How far ahead of the stitch a range may end whose bytes are kept for it.
pub const WARM_AHEAD_LEN: u64 = 16 * MIB;
/// Open files that a file store keeps at hand.
pub const OPEN_FILES_MAX: usize = 512;
/// Files that are open besides those of uploads and connections: database, folders, the runtime,
/// finished files that are being read.
pub const OTHER_FILES_MAX: usize = 128;
/// Files that a file store flushes to the disk at the same time.
pub const SYNCS_AT_ONCE_MAX: usize = 16;
/// Rows that a list may hold at most, and by default.
pub const PAGE_LEN_MAX: usize = 1000;
/// Default length of a list.
pub const PAGE_LEN: usize = 100;
/// Pairs of missing chunks that one answer lists: it says how to ask for the rest.
pub const MISSING_LEN_MAX: usize = 1000;
/// Uploads that a probe by hand may be answered from.
pub const RESEMBLING_MAX: usize = 100;
/// Uploads in each state, the newest, among which a probe by hand is answered.
pub const RESEMBLING_CANDIDATES_MAX: usize = 256;
/// Rows that one pass of the sweep works on.
pub const SWEEP_BATCH_LEN_MAX: usize = 256;

// Waits.

/// How long a writer may bring nothing before a newer request for its range takes over.
pub const CLAIM_STALL: Duration = Duration::from_millis(500);
/// Bytes that a writer must bring meanwhile to keep its range: fewer are no progress.
pub const CLAIM_PROGRESS_LEN: u64 = 8 * KIB;
/// How often the uploads that are being stitched are looked through for work that lost its hint.
pub const STITCH_TICK: Duration = Duration::from_secs(2);
/// First and longest pause between two attempts to stitch one upload.
pub const STITCH_RETRY_MIN: Duration = Duration::from_secs(1);
/// See [`STITCH_RETRY_MIN`].
pub const STITCH_RETRY_MAX: Duration = Duration::from_mins(1);
/// How often a range is read that cannot be read, before it counts as lost.
pub const READ_ATTEMPTS_MAX: u32 = 3;
/// How long an upload that nobody uses stays in memory.
pub const LIVE_IDLE: Duration = Duration::from_mins(1);
/// How long a client may take nothing of its answer before its connection is cut.
pub const RESPONSE_STALL_TIMEOUT: Duration = Duration::from_mins(1);
/// How long the rest of a refused body is read and dropped.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// When a client may try again what failed for a moment.
pub const RETRY_AFTER: Duration = Duration::from_secs(2);
/// How long the answer to a refused request waits for the rest of its body.
pub const DRAIN_AHEAD: Duration = Duration::from_millis(250);
/// How often an event stream tells of changes at most; of the end it tells at once.
pub const EVENT_INTERVAL: Duration = Duration::from_millis(250);
/// How often an event stream that has nothing to say shows that it is alive.
pub const EVENT_KEEP_ALIVE: Duration = Duration::from_secs(15);

// The operator's tools.

/// Characters of a text in a line of the audit trail.
pub const AUDIT_TEXT_LEN_MAX: usize = 200;
/// Default of `audit_ttl`.
pub const AUDIT_TTL: Duration = Duration::from_hours(365 * 24);
/// Files that `verify` reads at the same time: a disk serves few readers best, and the server, too,
/// wants to be served.
pub const VERIFY_AT_ONCE: usize = 2;
/// Ids that `verify` takes from the catalog at a time.
pub const VERIFY_PAGE_LEN: usize = 256;
/// How long `verify` lets a running server go on before it calls what it saw a fault.
pub const VERIFY_SECOND_LOOK: Duration = Duration::from_secs(1);
/// Uploads that the plan of a sweep lists.
pub const SWEEP_PLAN_LEN_MAX: usize = 10_000;
/// How long a tool waits for the outcome of what it set going.
pub const OPERATOR_WAIT: Duration = Duration::from_secs(30);
/// How long a tool waits for the server's answer.
pub const CONTROL_ANSWER_TIMEOUT: Duration = Duration::from_mins(10);
/// After how long it says that it waits.
pub const CONTROL_ANSWER_NOTICE: Duration = Duration::from_secs(3);
/// Tools that the server serves at a time.
pub const CONTROL_CONNECTIONS_MAX: usize = 16;
/// Bytes of an answer that a tool reads.
pub const CONTROL_ANSWER_LEN_MAX: usize = 16 * 1024 * 1024;
/// How often a progress bar is drawn.
pub const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// How often a backup tries to lock a folder for its cut that a server removes at that moment.
pub const CUT_CLAIMS_MAX: usize = 5;
/// Files that are remembered as newer than the cut of a backup. Of those beyond, the server keeps
/// what it need not keep.
pub const CUT_NEWER_MAX: usize = 100_000;
/// How long ago a file must have changed for its time to tell whether it has changed since: file
/// systems count in steps, of two seconds at most.
pub const COPY_SETTLED: Duration = Duration::from_secs(2);
/// Bytes of a line in the manifest of a backup.
pub const MANIFEST_LINE_LEN_MAX: u64 = 4 * KIB;
/// Pages of the catalog that are copied at a time into its snapshot.
pub const SNAPSHOT_PAGES: i32 = 1024;

/// Free bytes under which the service says that it is not ready.
pub const READY_FREE_MIN: u64 = 64 * MIB;
/// How long the result of a readiness check is given to everybody who asks.
pub const READY_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How long a readiness check may take before the service says that it is not ready.
pub const READY_CHECK_TIMEOUT: Duration = Duration::from_secs(10);

// Defaults of settings.

/// Default of `max_file_size`, in bytes.
pub const FILE_LEN_MAX: u64 = 1024 * GIB;
/// Default of `max_uploads`.
pub const UPLOADS_MAX: Option<u64> = Some(10_000);
/// Default of `rate_window`.
pub const RATE_WINDOW: Duration = Duration::from_mins(1);
/// Default of `min_progress`, in bytes per second: a tenth of what the slowest phones brought, so
/// that nobody honest is below it, and drips are.
pub const PROGRESS_MIN: Option<u64> = Some(64);
/// Default of `progress_window`.
pub const PROGRESS_WINDOW: Duration = Duration::from_mins(1);
/// Default of `memory_budget`, in bytes.
pub const MEMORY_BUDGET: u64 = 32 * MIB;
/// Default of `upload_ttl`: how long an upload waits for its next byte.
pub const UPLOAD_TTL: Duration = Duration::from_hours(24);
/// Default of `result_ttl`: how long a finished upload answers for its identity.
pub const RESULT_TTL: Duration = Duration::from_mins(10);
/// Default of `cancel_grace`: how long late chunks of an ended upload are refused.
pub const CANCEL_GRACE: Duration = Duration::from_secs(30);
/// Default of `tombstone_ttl`: how long anything at all is known of an ended upload.
pub const TOMBSTONE_TTL: Duration = Duration::from_hours(24);
/// Default of `sweep_interval`.
pub const SWEEP_INTERVAL: Duration = Duration::from_mins(1);
/// How long nothing expires after a start, or after a jump of the wall clock, unless `upload_ttl`
/// is shorter: whoever waited for the server has that long to come back.
pub const EXPIRY_GRACE: Duration = Duration::from_hours(1);
/// By how much the wall clock may leave the monotonic one between two sweeps and still be believed.
pub const CLOCK_JUMP_MIN: Duration = Duration::from_mins(1);
/// Default of `completion_wait`: how long the last answer waits for the stitch.
pub const COMPLETION_WAIT: Duration = Duration::from_secs(10);
/// Default of `body_idle_timeout`: how long a body may bring nothing.
pub const BODY_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Default of `scan_timeout`.
pub const SCAN_TIMEOUT: Duration = Duration::from_mins(5);
/// Default of `shutdown_timeout`.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);
/// How much of it the engine has for itself, at most, when clients use up their part.
pub const ENGINE_STOP_TIMEOUT: Duration = Duration::from_secs(5);

// Bounds of settings, where the default is not the bound.

/// Most of `stitch_workers`: each may keep a processor busy.
pub const STITCH_WORKERS_MAX: usize = 256;
/// Most of `stitch_queue`.
pub const STITCH_QUEUE_LEN_MAX: usize = 1_000_000;
/// Most of `max_requests` and `max_new_uploads`.
pub const RATE_BOUND: u64 = 1_000_000_000;
/// Most of `trusted_proxies`.
pub const PROXIES_MAX: usize = 256;
/// Least of `memory_budget`: one request fills a batch while another one writes its own.
pub const MEMORY_BUDGET_MIN: u64 = 2 * WRITE_BATCH_LEN_MAX as u64;
/// Most of `memory_budget`.
pub const MEMORY_BUDGET_MAX: u64 = 1024 * GIB;
/// Most of `max_file_size`: offsets in files and integers in databases are signed.
pub const FILE_LEN_BOUND: u64 = i64::MAX as u64;
/// Most of `completion_wait`: browsers and proxies give a silent request up after minutes.
pub const COMPLETION_WAIT_MAX: Duration = Duration::from_mins(5);
/// Most of any span of time, so that no sum with a date leaves the calendar: ten years.
pub const SPAN_MAX: Duration = Duration::from_hours(10 * 366 * 24);

const _: () = assert!(NAME_LEN_MAX <= FIELD_LEN_MAX && IDENTIFIER_LEN_MAX <= FIELD_LEN_MAX);
const _: () = assert!(SPOOL_MEMORY_LEN_MAX as u64 <= MEMORY_BUDGET);
const _: () = assert!(WRITE_BATCH_LEN_MAX as u64 <= MEMORY_BUDGET);
const _: () = assert!(COMMIT_BATCH_LEN_MAX <= COMMIT_QUEUE_LEN);
const _: () = assert!(PAGE_LEN <= PAGE_LEN_MAX);
const _: () = assert!(CATALOG_SCANS < CATALOG_READERS);
const _: () = assert!(CANCEL_GRACE.as_secs() <= TOMBSTONE_TTL.as_secs());
const _: () = assert!(RESULT_TTL.as_secs() <= TOMBSTONE_TTL.as_secs());
const _: () = assert!(MEMORY_BUDGET_MIN <= MEMORY_BUDGET && MEMORY_BUDGET <= MEMORY_BUDGET_MAX);
const _: () = assert!(FILE_LEN_MAX <= FILE_LEN_BOUND);
const _: () = assert!(COMPLETION_WAIT.as_secs() <= COMPLETION_WAIT_MAX.as_secs());
const _: () = assert!(HEAD_LEN <= WRITE_BATCH_LEN_MAX && HEAD_LEN <= READ_LEN_MAX);
const _: () = assert!(TICKET_LEN_MAX <= FIELD_LEN_MAX);
const _: () = assert!(TICKET_LIFETIME.as_secs() <= TICKET_LIFETIME_MAX.as_secs());
const _: () = assert!(EXTENSION_LEN_MAX < DISPOSITION_NAME_LEN_MAX);
