//! What costs are on this machine that no server can avoid: hashing, and syncing one after another.

use std::{
    fs::{self, File},
    hint::black_box,
    io::{self, Write},
    path::Path,
    time::Instant,
};

use sha2::{Digest, Sha256};

use crate::statistics::own_cpu;

/// Processor seconds of SHA-256 per GB, of bytes in memory, in pieces as a chunk has them.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
pub(crate) fn sha256_cpu_s_per_gb(bytes: u64) -> f64 {
    let piece = vec![0x5a; 1 << 20];
    let pieces = bytes.div_ceil(piece.len() as u64);
    let (before, mut sha256) = (own_cpu(), Sha256::new());
    for _ in 0..pieces {
        sha256.update(black_box(&piece));
    }
    black_box(sha256.finalize());
    let cpu = own_cpu().saturating_sub(before);
    cpu.as_secs_f64() / ((pieces * piece.len() as u64) as f64 / 1e9)
}

/// Files per second if each is made, written, synced, and its folder synced, before the next.
pub(crate) fn synced_files_per_s(folder: &Path, size: usize, count: u32) -> io::Result<f64> {
    let (bytes, open) = (vec![0x5a; size], File::open(folder)?);
    let begun = Instant::now();
    for number in 0..count {
        let mut file = File::create_new(folder.join(format!("{number}")))?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        open.sync_all()?;
    }
    let rate = f64::from(count) / begun.elapsed().as_secs_f64();
    for number in 0..count {
        fs::remove_file(folder.join(format!("{number}")))?;
    }
    Ok(rate)
}

/// Times per second that so many bytes are appended to one file and synced.
pub(crate) fn syncs_per_s(folder: &Path, size: usize, count: u32) -> io::Result<f64> {
    let path = folder.join("appended");
    let (bytes, mut file) = (vec![0x5a; size], File::create_new(&path)?);
    let begun = Instant::now();
    for _ in 0..count {
        file.write_all(&bytes)?;
        file.sync_data()?;
    }
    let rate = f64::from(count) / begun.elapsed().as_secs_f64();
    fs::remove_file(path)?;
    Ok(rate)
}
