//! Compares a file with what was sent, byte by byte, and finds out whose the wrong bytes are.

use std::collections::BTreeSet;

use crate::{
    ledger::Entry,
    plan::{Plan, WORD_LEN, seed_of, to_usize},
    report::{Kind, Tally},
};

/// Notes every way in which this content is not that of its plan.
pub(crate) fn content(tally: &Tally, entry: &Entry, entries: &[Entry], found: &[u8]) {
    let plan = &*entry.plan;
    let expected = plan.bytes(0, plan.total);
    if found == expected {
        return;
    }
    let name = &plan.name;
    let wrong = wrong_chunks(plan, &expected, found);
    let (came, total) = (found.len(), plan.total);
    let detail = format!("{name}: chunks {wrong:?} differ, {came} of {total} bytes");
    tally.broken(Kind::Inexact, detail);
    for number in wrong.intersection(&entry.affirmed) {
        tally.broken(Kind::Lied, format!("{name}: a probe had chunk {number}, and it is wrong"));
    }
    for number in wrong.intersection(&entry.acknowledged) {
        tally.broken(Kind::Lost, format!("{name}: acknowledged chunk {number} is wrong"));
    }
    for owner in owners(plan, entries, found) {
        tally.broken(Kind::Foreign, format!("{name}: holds bytes of {owner}"));
    }
}

/// The chunks that have a wrong or missing byte.
fn wrong_chunks(plan: &Plan, expected: &[u8], found: &[u8]) -> BTreeSet<u64> {
    let is_wrong = |number: &u64| {
        let (start, len) = plan.range(*number);
        let range = to_usize(start)..to_usize(start + len);
        found.get(range.clone()) != expected.get(range)
    };
    (1..=plan.count()).filter(is_wrong).collect()
}

/// The names of other files of which words stand at their own places in this one.
fn owners<'a>(plan: &Plan, entries: &'a [Entry], found: &[u8]) -> BTreeSet<&'a str> {
    let mut owners = BTreeSet::new();
    for (index, bytes) in (0..).zip(found.chunks_exact(to_usize(WORD_LEN))) {
        let word = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        let seed = seed_of(word, index);
        if seed == plan.seed {
            continue;
        }
        let owner = entries.iter().find(|entry| entry.plan.seed == seed);
        owners.extend(owner.map(|entry| entry.plan.name.as_str()));
    }
    owners
}
