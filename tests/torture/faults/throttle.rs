//! A slow disk: whoever waits for it waits, and nobody else.

use std::{fs, path::Path, pin::pin};

use async_trait::async_trait;

use super::Fault;
use crate::{
    audit,
    client::{Style, probe},
    failure::Failure,
    ledger::FileId,
    report::Kind,
    room::MIB,
    round::Round,
    server::{Server, in_time},
    tools::Lent,
    volume::{Format, Volume},
    wire::Connection,
};

/// Where the speed of disks is set, by control groups of the first kind.
const THROTTLE: &str = "/sys/fs/cgroup/blkio/blkio.throttle.write_bps_device";
/// Bytes that the disk writes in a second.
const SPEED: u64 = 20_000_000;
/// Probes that are answered at the least while everybody waits for the disk.
const PROBES_MIN: u64 = 10;
/// Memory that a server does not need, in KiB, whatever waits in it for the disk.
const MEMORY_MAX: u64 = 200 * 1024;

pub(crate) struct Throttled;

#[async_trait]
impl Fault for Throttled {
    fn name(&self) -> &'static str {
        "slow-disk"
    }

    fn about(&self) -> &'static str {
        "a disk of 20 MB/s, probes meanwhile, and kill -9 while everybody waits for it"
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        let volume = round.volume(Format::Ext4)?;
        let throttle = throttle(&volume)?;
        let mut server = round.setup.start().await?;
        let count = if round.thorough { 12 } else { 4 };
        round.add_large_files(count, 2 * MIB..=3 * MIB);
        let mut crew = round.send_all(&server, &Style::FLOW_JS);
        crew.answers(round.rng.u64(5..30)).await;
        check_memory(round, &server)?;
        (server, crew) = audit::crash(round, server, crew).await?;
        round.tally.hit();
        let probes = ask(round, &server, 0, crew.finished());
        let answered = in_time("uploads to a slow disk", probes).await??;
        round.note_refusals(crew.finished().await);
        if answered < PROBES_MIN {
            round.tally.broken(Kind::Other, format!("only {answered} probes were answered"));
        }
        check_memory(round, &server)?;
        drop(throttle);
        audit::conclude(round, server).await
    }
}

/// Slows a disk down, until this is dropped.
fn throttle(volume: &Volume) -> Result<Lent, Failure> {
    let device = volume.device()?;
    Lent::set(Path::new(THROTTLE), &format!("{device} {SPEED}"), format!("{device} 0"))
        .map_err(|error| Failure::not_run(format!("no control group slows a disk down: {error}")))
}

/// Probes one chunk after the other until the work is done. Returns how often.
async fn ask<T>(
    round: &Round,
    server: &Server,
    file: FileId,
    work: impl Future<Output = T>,
) -> Result<u64, Failure> {
    let mut work = pin!(work);
    let mut connection = Connection::open(server.address()).await?;
    let (plan, mut answered) = (round.ledger.plan(file), 0);
    loop {
        let asking = async { connection.ask(&probe(&plan, answered % plan.count() + 1)).await };
        tokio::select! {
            biased;
            _ = &mut work => return Ok(answered),
            answer = asking => drop(answer?),
        }
        answered += 1;
    }
}

/// The most memory that the server has ever held.
fn check_memory(round: &Round, server: &Server) -> Result<(), Failure> {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id()?.as_raw_nonzero()))?;
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let most = most.and_then(|most| most.trim().strip_suffix(" kB")?.parse().ok());
    let most: u64 = most.ok_or_else(|| Failure::broken("no figure of its memory"))?;
    if MEMORY_MAX < most {
        round.tally.broken(Kind::Other, format!("the server held {most} KiB of memory"));
    }
    Ok(())
}
