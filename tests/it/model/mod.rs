//! The whole service against a reference that knows only what the design promises.
//!
//! A run is a list of steps (`plan`): requests, several at a time; calls of store and catalog that
//! fail, fail half-way, fail after they took effect, panic or are the last of their process; a wall
//! clock that jumps; stops, kills, loss of power. `world` carries it out on a machine in memory and
//! tells the `reference` what was sent and what was answered, and that one says whether it may be.
//! In the end nothing breaks any more, the clients resume as flow.js does, and every file must have
//! arrived, once, bit by bit, with nothing left over.
//!
//! A run that fails is made smaller and printed; what it found becomes a test of its own, here or
//! with the tests of its subject, because a list of steps says more than a seed. For more runs than
//! the few of every day: `PROPTEST_CASES=50000 cargo test --release --test it model::`.

mod plan;
mod reference;
mod world;

use flowstitch::upload::limits;
use proptest::{prelude::*, test_runner::RngSeed};

use self::{plan::Step, world::World};

/// The files: names, contents, numbers of chunks of four bytes.
const FILES: [(&str, &str, usize); 3] =
    [("three.bin", "aaaabbbbcccc", 3), ("two.bin", "AAAABBBBCCC", 2), ("none.bin", "", 1)];
/// The days that clients name. The clock never comes so far.
const DAYS: [&str; 2] = ["2031-06-01", "2031-07-01"];

// In seconds.
const RESULT_TTL: i64 = limits::RESULT_TTL.as_secs().cast_signed();
const UPLOAD_TTL: i64 = limits::UPLOAD_TTL.as_secs().cast_signed();
const CANCEL_GRACE: i64 = limits::CANCEL_GRACE.as_secs().cast_signed();

/// A few runs, and the same ones every day; others, and as many as the environment asks for, if it
/// asks for more than proptest does by itself.
fn cases() -> ProptestConfig {
    let default = ProptestConfig::default();
    let (cases, rng_seed) = match default.cases {
        256 => (80, RngSeed::Fixed(1)),
        more => (more, default.rng_seed),
    };
    ProptestConfig { cases, rng_seed, failure_persistence: None, ..default }
}

fn hold(durability: &str, steps: Vec<Step>) {
    World::new(durability).run(steps);
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn strict_promises_hold(steps in plan::steps()) {
        hold("strict", steps);
    }

    #[test]
    fn relaxed_promises_hold(steps in plan::steps()) {
        hold("relaxed", steps);
    }
}
