//! What the operator decides about uploads.

use std::{sync::Arc, time::Duration};

use crate::{
    scan::Scanner,
    upload::{Accept, DigestKind, Durability, Quotas, Reserve, Share, limits},
};

/// What the operator decides.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "settings, each of which is one choice")]
pub struct Options {
    /// What an acknowledgement promises.
    pub durability: Durability,
    /// Which digest is taken of every file.
    pub digest: DigestKind,
    /// Whether every upload must name a day.
    pub schedule_required: bool,
    /// How many uploads are stitched at once; at least 1.
    pub stitch_workers: usize,
    /// Whether the stitch reads every range back, also those that are still in memory.
    pub stitch_reads_back: bool,
    /// How many hints may wait for a worker; at least 1.
    pub stitch_queue: usize,
    /// Memory that bodies may hold, in bytes.
    pub memory_budget: u64,
    /// The largest file that is taken, in bytes.
    pub max_file_size: u64,
    /// The kinds of file that are taken.
    pub accept: Accept,
    /// What one principal may have.
    pub quotas: Quotas,
    /// The part of the free disk that the unfinished uploads of one principal may reserve.
    pub reserved_share: Share,
    /// Whether callers without credentials may upload beside the users.
    pub public_uploads: bool,
    /// The room on the disk that uploads leave alone.
    pub reserve_free: Reserve,
    /// How long an upload waits for its next byte.
    pub upload_ttl: Duration,
    /// How long a complete upload answers for its identity.
    pub result_ttl: Duration,
    /// How long late ranges of an upload that ended without a file are refused.
    pub cancel_grace: Duration,
    /// How long anything is known of an upload that has ended.
    pub tombstone_ttl: Duration,
    /// How long lines of the audit trail are kept; for ever, if nothing is said.
    pub audit_ttl: Option<Duration>,
    /// How long files that were set aside stay in the trash.
    pub trash_ttl: Duration,
    /// How often the sweep runs.
    pub sweep_interval: Duration,
    /// How long an answer waits for the stitch.
    pub completion_wait: Duration,
    /// Who must let a file pass before it is published: all of them, in this order.
    pub scanners: Vec<Arc<dyn Scanner>>,
    /// How long each may take.
    pub scan_timeout: Duration,
    /// Whether folders of another deployment become this one's.
    pub adopt: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Strict,
            digest: DigestKind::Sha256,
            schedule_required: false,
            stitch_workers: limits::STITCH_WORKERS,
            stitch_reads_back: false,
            stitch_queue: limits::STITCH_QUEUE_LEN,
            memory_budget: limits::MEMORY_BUDGET,
            max_file_size: limits::FILE_LEN_MAX,
            accept: Accept::default(),
            quotas: Quotas::NONE,
            reserved_share: Share::Auto,
            public_uploads: false,
            reserve_free: Reserve::Auto,
            upload_ttl: limits::UPLOAD_TTL,
            result_ttl: limits::RESULT_TTL,
            cancel_grace: limits::CANCEL_GRACE,
            tombstone_ttl: limits::TOMBSTONE_TTL,
            audit_ttl: None,
            trash_ttl: limits::TRASH_TTL,
            sweep_interval: limits::SWEEP_INTERVAL,
            completion_wait: limits::COMPLETION_WAIT,
            scanners: Vec::new(),
            scan_timeout: limits::SCAN_TIMEOUT,
            adopt: false,
        }
    }
}
