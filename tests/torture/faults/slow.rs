//! A slow disk: everything that waits for it is to wait, and nothing else.

use std::fs;

use async_trait::async_trait;
use tokio::task::JoinHandle;

use super::Fault;
use crate::{
    audit,
    client::Style,
    failure::Failure,
    image::{Format, Image, Lent, MIB},
    report::Kind,
    round::Round,
    server::{Server, in_time},
    wire::{Connection, PATIENCE, request},
};

/// Where the speed of disks is set, by control groups of the first kind.
const THROTTLE: &str = "/sys/fs/cgroup/blkio/blkio.throttle.write_bps_device";
/// What the disk writes in a second.
const SPEED: u64 = 20 * MIB;
/// Questions that are answered at the least while everybody waits for the disk.
const ANSWERS_MIN: u64 = 20;
/// Memory that a server never needs, in KiB.
const MEMORY_MAX: u64 = 200 * 1024;

pub(crate) struct Slow;

#[async_trait]
impl Fault for Slow {
    fn name(&self) -> &'static str {
        "slow-disk"
    }

    fn about(&self) -> &'static str {
        "a disk of 20 MB/s, and kill -9 while everybody waits for it"
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        let image = round.image(Format::Ext4, 128 * MIB)?;
        let throttle = throttle(&image)?;
        let mut server = round.setup.start().await?;
        round.add_large_files(if round.thorough { 12 } else { 4 }, 3 * MIB..=4 * MIB);
        let mut crew = round.send_all(&server, &Style::FLOW_JS);
        crew.answers(round.rng.u64(5..30)).await;
        remember(round, &server)?;
        (server, crew) = audit::crash(round, server, crew).await?;
        round.tally.hit();
        let asking = ask_all_the_time(round, &server);
        let ended = in_time("uploads to a slow disk", crew.finished()).await?;
        round.note_refusals(ended);
        asking.abort();
        remember(round, &server)?;
        drop(throttle);
        audit::conclude(round, server).await
    }
}

/// Slows the disk of an image down, until this is dropped.
fn throttle(image: &Image) -> Result<Lent, Failure> {
    if !fs::exists(THROTTLE)? {
        return Err(Failure::not_run("no control groups that slow a disk down"));
    }
    let device = image.device()?;
    Ok(Lent::set(THROTTLE.into(), &format!("{device} {SPEED}"), format!("{device} 0"))?)
}
