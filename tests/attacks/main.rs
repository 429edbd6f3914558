//! What attacks by sheer patience cost an honest upload: slow heads, slow bodies, idle connections,
//! probes that name little, wrong bytes for stored chunks.
//!
//! Without arguments, as `cargo test` runs it, it is quick and small, and sees that the upload ends
//! under each attack. `make bench-attacks` gives it rounds, in each of which every attack has its
//! turn, on a server of its own, and prints medians: how fast the upload was, and what part that is
//! of its speed without an attack in the same round.

mod attack;
mod honest;
mod past;
#[path = "../e2e/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests of the binary use the rest of it")]
mod support;

use std::{
    io::{self, Write},
    time::Duration,
};

use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{runtime::Runtime, time::timeout};

use crate::{
    attack::{ATTACKS, Attack, STORED_LEN},
    honest::{Upload, upload},
    support::Setup,
};

/// Attacks a server by patience, and measures an honest upload meanwhile.
#[derive(Debug, Parser)]
#[command(name = "attacks")]
struct Arguments {
    /// Measure so many rounds; without it, only look whether uploads end
    #[arg(long)]
    rounds: Option<usize>,

    /// MiB of the honest upload
    #[arg(long, default_value_t = 256)]
    mib: usize,

    /// Idle connections; slow ones are fewer
    #[arg(long, default_value_t = 10_000)]
    connections: usize,

    /// A part of the names of attacks, as `cargo test NAME` gives it to every test program
    filter: Option<String>,

    /// Nothing is captured here; for `cargo test -- --nocapture`
    #[arg(long, hide = true)]
    nocapture: bool,

    /// For `cargo test -- --test-threads=…`
    #[arg(long, hide = true)]
    test_threads: Option<usize>,
}

/// Connections and MiB of a run without arguments.
const QUICK: (usize, usize) = (300, 4);
/// Ended uploads in the catalog that is asked by hand, and in a run without arguments.
const PAST: usize = 300_000;
/// See [`PAST`].
const QUICK_PAST: usize = 5_000;
/// Files that this program has open besides the attackers' connections.
const OTHER_FILES: usize = 200;
/// Longer than a connection is idle before it may have to give way: an attack that is older is what
/// it will be.
const SETTLED: Duration = Duration::from_secs(7);

fn main() {
    let mut arguments = Arguments::parse();
    let wanted = |attack: &Attack| {
        let filter = arguments.filter.as_deref().unwrap_or_default();
        *attack == Attack::Nothing || attack.name().contains(filter)
    };
    let attacks: Vec<Attack> = ATTACKS.into_iter().filter(wanted).collect();
    let runtime = Runtime::new().expect("a runtime");
    let Some(rounds) = arguments.rounds else {
        for attack in attacks {
            // As many as there is room for: one more waits for one to give way.
            let setup = Setup::new().flag(format!("--max-connections={}", QUICK.0));
            measure(&runtime, &setup, attack, QUICK, Duration::ZERO);
            say(&format!("an upload ends in spite of: {}", attack.name()));
        }
        return;
    };
    arguments.connections = affordable(arguments.connections);
    let mut uploads: Vec<Vec<Upload>> = vec![Vec::new(); attacks.len()];
    for round in 0..rounds {
        for turn in 0..attacks.len() {
            let which = (round + turn) % attacks.len();
            let size = (arguments.connections, arguments.mib);
            let upload = measure(&runtime, &Setup::new(), attacks[which], size, SETTLED);
            say(&format!("round {}: {:30} {upload:?}", round + 1, attacks[which].name()));
            uploads[which].push(upload);
        }
    }
    say(&format!("\n{}", table(&attacks, &uploads, arguments.mib)));
}

/// An honest upload to a server that is under attack.
fn measure(
    runtime: &Runtime,
    setup: &Setup,
    attack: Attack,
    (connections, mib): (usize, usize),
    settled: Duration,
) -> Upload {
    if attack == Attack::ProbesByHand {
        past::make(setup, if settled.is_zero() { QUICK_PAST } else { PAST });
    }
    if attack == Attack::Unverified {
        past::make_unverified(setup, attack::UNVERIFIED);
    }
    let server = setup.start();
    let attackers = runtime.block_on(async {
        let attackers = attack.start(server.address(), connections).await;
        let nothing = std::future::pending::<()>();
        // What is measured is the attack as it goes on, not its first seconds.
        let _ = timeout(settled, nothing).await;
        attackers
    });
    let upload = upload(&server, mib, || attackers.open());
    runtime.block_on(attackers.stop());
    if attack == Attack::WrongBytes {
        // The stitch may read what the honest client sent. Twenty attackers send a few KiB.
        let bound = ((mib << 20) + STORED_LEN / 2) as u64;
        assert!(upload.read <= bound, "{} bytes were read from files", upload.read);
    }
    upload
}

/// As many connections as this process may have, and says so if they are fewer.
fn affordable(connections: usize) -> usize {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Where it cannot be raised, the limit that there is holds.
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).ok();
    let current = getrlimit(Resource::Nofile)
        .current
        .map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    let affordable = connections.min(current.saturating_sub(OTHER_FILES));
    if affordable < connections {
        say(&format!("The limit of open files allows {affordable} connections only."));
    }
    affordable
}

/// A row for each attack, in medians.
fn table(attacks: &[Attack], uploads: &[Vec<Upload>], mib: usize) -> String {
    let columns =
        ["attack", "connections held", "first answer", "server's CPU", "MiB read", "MiB/s"];
    let head =
        format!("| {} | of the speed without |\n{}|", columns.join(" | "), "| --- ".repeat(7));
    let own = attacks.iter().zip(uploads);
    let rows = own.map(|(attack, own)| row(*attack, own, &uploads[0], mib));
    std::iter::once(head).chain(rows).collect::<Vec<_>>().join("\n")
}

#[expect(clippy::cast_precision_loss, reason = "all far below 2^52")]
fn row(attack: Attack, uploads: &[Upload], without: &[Upload], mib: usize) -> String {
    let of = |value: &dyn Fn(&Upload) -> f64| median(uploads.iter().map(value).collect());
    let took = |upload: &Upload| upload.took.as_secs_f64();
    // Each with its own round's: what else the machine does changes slowly.
    let ratios = without.iter().zip(uploads).map(|(without, with)| took(without) / took(with));
    let (name, open) = (attack.name(), of(&|upload| upload.open as f64));
    let first = of(&|upload| upload.first_answer.as_secs_f64() * 1000.0);
    let cpu = of(&|upload| upload.cpu.as_secs_f64());
    let read = of(&|upload| upload.read as f64 / f64::from(1 << 20));
    let (speed, percent) = (mib as f64 / of(&took), median(ratios.collect()) * 100.0);
    format!(
        "| {name} | {open:.0} | {first:.0} ms | {cpu:.2} s | {read:.0} | {speed:.0} | \
         {percent:.0} % |"
    )
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}

/// A line for whoever runs it.
fn say(line: &str) {
    // If standard output is closed, nobody reads it.
    let _ = writeln!(io::stdout(), "{line}");
}
