//! The claim of completion under every schedule: a small model of commit, full, hint, stitch and
//! cancel, with the locks that the engine has and nothing else. Shuttle decides who runs when.
//!
//! Two ways to get it wrong show that the model would notice.

use std::collections::BTreeSet;

use shuttle::{
    check_pct, check_random,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

const COUNT: usize = 3;
const SCHEDULES: usize = 2000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Receiving,
    Stitching,
    Complete,
    Cancelled,
}

/// What is built wrongly on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// Store, and then look whether all are there.
    LooksAfterwards,
    /// Cancels whatever a stitch is at.
    CancelsWithoutClaim,
}

/// `engine::live`: one upload in memory.
struct Live {
    state: State,
    coverage: BTreeSet<usize>,
}

/// The catalog, and the store.
struct Facts {
    state: State,
    ranges: BTreeSet<usize>,
    creatives: usize,
}

struct Engine {
    flaw: Flaw,
    /// `Shared::ledger`.
    ledger: Mutex<()>,
    live: Mutex<Live>,
    facts: Mutex<Facts>,
    published: AtomicBool,
    /// `Live::claims`, one for each range.
    claims: [Mutex<()>; COUNT],
    /// `Live::progress`, the claim to stitch.
    progress: Mutex<()>,
    cancelling: AtomicBool,
    filled: AtomicUsize,
}

impl Engine {
    fn new(flaw: Flaw) -> Self {
        let live = Live { state: State::Receiving, coverage: BTreeSet::new() };
        let facts = Facts { state: State::Receiving, ranges: BTreeSet::new(), creatives: 0 };
        Self {
            flaw,
            ledger: Mutex::new(()),
            live: Mutex::new(live),
            facts: Mutex::new(facts),
            published: AtomicBool::new(false),
            claims: std::array::from_fn(|_| Mutex::new(())),
            progress: Mutex::new(()),
            cancelling: AtomicBool::new(false),
            filled: AtomicUsize::new(0),
        }
    }

    fn state(&self) -> State {
        self.live.lock().expect("no panic").state
    }

    /// A chunk: claim, commit, hint.
    fn receive(&self, range: usize) {
        let _claim = self.claims[range].lock().expect("no panic");
        if self.live.lock().expect("no panic").coverage.contains(&range) {
            return;
        }
        let filled = if self.flaw == Flaw::LooksAfterwards {
            self.commit_and_look(range)
        } else {
            self.commit(range)
        };
        if filled {
            self.filled.fetch_add(1, Ordering::SeqCst);
            self.stitch();
        }
    }

    /// `engine::commit`: facts and coverage change together under the ledger.
    fn commit(&self, range: usize) -> bool {
        let _ledger = self.ledger.lock().expect("no panic");
        let fills = {
            let live = self.live.lock().expect("no panic");
            if live.state != State::Receiving {
                return false;
            }
            live.coverage.len() + 1 == COUNT
        };
        {
            let mut facts = self.facts.lock().expect("no panic");
            facts.ranges.insert(range);
            if fills && facts.state == State::Receiving {
                facts.state = State::Stitching;
            }
        }
        let mut live = self.live.lock().expect("no panic");
        live.coverage.insert(range);
        if fills {
            live.state = State::Stitching;
        }
        fills
    }

    fn commit_and_look(&self, range: usize) -> bool {
        self.live.lock().expect("no panic").coverage.insert(range);
        self.facts.lock().expect("no panic").ranges.insert(range);
        let full = self.facts.lock().expect("no panic").ranges.len() == COUNT;
        if full {
            self.facts.lock().expect("no panic").state = State::Stitching;
            self.live.lock().expect("no panic").state = State::Stitching;
        }
        full
    }

    /// `engine::stitch`, and `engine::publish` at its end.
    fn stitch(&self) {
        while self.state() == State::Stitching && !self.cancelling.load(Ordering::SeqCst) {
            let Ok(_progress) = self.progress.try_lock() else { return };
            // The pass took a while: how does it stand now?
            if self.state() != State::Stitching {
                return;
            }
            self.published.store(true, Ordering::SeqCst);
            let mut facts = self.facts.lock().expect("no panic");
            if facts.state != State::Stitching {
                return;
            }
            facts.state = State::Complete;
            facts.creatives += 1;
            drop(facts);
            self.live.lock().expect("no panic").state = State::Complete;
        }
    }

    /// `Shared::cancel`, and `Shared::end`.
    fn cancel(&self) {
        self.cancelling.store(true, Ordering::SeqCst);
        let claimed = self.flaw != Flaw::CancelsWithoutClaim;
        let progress = claimed.then(|| self.progress.lock().expect("no panic"));
        let ledger = self.ledger.lock().expect("no panic");
        if matches!(self.state(), State::Receiving | State::Stitching) {
            self.facts.lock().expect("no panic").state = State::Cancelled;
            self.live.lock().expect("no panic").state = State::Cancelled;
            self.published.store(false, Ordering::SeqCst);
        }
        drop(ledger);
        self.cancelling.store(false, Ordering::SeqCst);
        drop(progress);
    }

    /// What must hold when everything has come to rest.
    fn check(&self, cancelled: bool) {
        let facts = self.facts.lock().expect("no panic");
        let published = self.published.load(Ordering::SeqCst);
        let filled = self.filled.load(Ordering::SeqCst);
        match facts.state {
            State::Complete => assert_eq!((facts.creatives, published, filled), (1, true, 1)),
            State::Cancelled => {
                assert!(cancelled);
                assert_eq!((facts.creatives, published), (0, false));
            }
            State::Receiving | State::Stitching => panic!("it stands at {:?}", facts.state),
        }
        assert_eq!(self.live.lock().expect("no panic").state, facts.state);
    }
}

/// Every chunk twice, a second worker with a hint of its own and, perhaps, somebody who cancels.
fn race(flaw: Flaw, cancels: bool) {
    let engine = Arc::new(Engine::new(flaw));
    let mut threads = Vec::new();
    for range in (0..COUNT).chain(0..COUNT) {
        let engine = engine.clone();
        threads.push(thread::spawn(move || engine.receive(range)));
    }
    let worker = engine.clone();
    threads.push(thread::spawn(move || worker.stitch()));
    if cancels {
        let engine = engine.clone();
        threads.push(thread::spawn(move || engine.cancel()));
    }
    for thread in threads {
        thread.join().expect("no panic");
    }
    // The tick, for hints that were lost.
    engine.stitch();
    engine.check(cancels);
}

#[test]
fn an_upload_completes_once_under_every_schedule() {
    check_random(|| race(Flaw::None, false), SCHEDULES);
}

#[test]
fn an_upload_that_is_cancelled_meanwhile_ends_one_way_under_every_schedule() {
    check_random(|| race(Flaw::None, true), SCHEDULES);
    check_pct(|| race(Flaw::None, true), SCHEDULES, 3);
}

#[test]
#[should_panic(expected = "right: (1, true, 1)")]
fn the_model_notices_who_stores_and_then_looks() {
    check_random(|| race(Flaw::LooksAfterwards, false), SCHEDULES);
}

#[test]
#[should_panic(expected = "right: (0, false)")]
fn the_model_notices_who_cancels_under_a_stitch() {
    check_pct(|| race(Flaw::CancelsWithoutClaim, true), SCHEDULES, 3);
}
