//! What a run may consist of: what clients do, what breaks, and how the machine ends.

use std::io::ErrorKind;

use flowstitch::store::StoreOp;
use proptest::prelude::*;

use super::{DAYS, FILES};
use crate::support::CatalogOp;

/// One step of a run. Every step means something at every point of a run, so that any of them can
/// be left out when a failure is made smaller.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Requests that are sent at the same time.
    Together(Vec<Deed>),
    /// The client names this day for the file from now on, or none.
    Name { file: usize, day: Option<usize> },
    /// Something will break.
    Break(Fault),
    /// The wall clock moves by so many seconds.
    Clock(i64),
    /// The kernel writes out what was not flushed: the facts, or the bytes.
    WriteOut { facts: bool },
    /// The process is told to stop, and does.
    Stop,
    /// The process is killed between two requests; and the power may go with it.
    Kill { power: bool },
}

/// What one client does, once.
#[derive(Debug, Clone)]
pub(super) enum Deed {
    /// Sends a chunk. Numbers count from 0 here and wrap around.
    Post {
        file: usize,
        chunk: usize,
        how: How,
    },
    Probe {
        file: usize,
        chunk: usize,
    },
    Lookup {
        file: usize,
    },
    /// Cancels the upload that the last answers spoke of.
    Cancel {
        file: usize,
    },
    /// Deletes the newest creative of the file.
    Delete {
        file: usize,
    },
    /// The server sweeps.
    Sweep,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Form,
    Octets,
    /// Bytes that were damaged on the way, and a checksum that says so.
    Damaged,
    /// Fewer or more bytes than belong to the chunk.
    OtherLength,
    /// The connection breaks after so many bytes.
    Cut(usize),
}

/// What breaks: a call of a sort, after so many more of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fault {
    pub(super) call: Call,
    pub(super) skip: usize,
    pub(super) strike: Strike,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Call {
    Store(StoreOp),
    Catalog(CatalogOp),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Strike {
    /// No effect; but a failed sync loses what it was to sync.
    Fails(ErrorKind),
    /// See [`flowstitch::store::MemoryStore::fail_halfway_next`].
    FailsHalfway,
    /// It takes effect, and says that it failed.
    FailsAfter,
    Panics,
    /// The process is killed there, before the call takes effect or after; the power may go, too.
    Kills {
        after: bool,
        power: bool,
    },
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..30)
}

fn step() -> impl Strategy<Value = Step> {
    let day = prop::option::of(0..DAYS.len());
    prop_oneof![
        16 => prop::collection::vec(deed(), 1..4).prop_map(Step::Together),
        1 => (file(), day).prop_map(|(file, day)| Step::Name { file, day }),
        6 => fault().prop_map(Step::Break),
        2 => prop::sample::select(vec![10, 40, 4000, 90_000, -40, -4000]).prop_map(Step::Clock),
        1 => any::<bool>().prop_map(|facts| Step::WriteOut { facts }),
        1 => Just(Step::Stop),
        2 => any::<bool>().prop_map(|power| Step::Kill { power }),
    ]
}

fn file() -> impl Strategy<Value = usize> {
    0..FILES.len()
}

fn deed() -> impl Strategy<Value = Deed> {
    let how = prop_oneof![
        4 => Just(How::Form),
        4 => Just(How::Octets),
        1 => Just(How::Damaged),
        1 => Just(How::OtherLength),
        1 => (0..8usize).prop_map(How::Cut),
    ];
    let post = (file(), 0..3usize, how);
    prop_oneof![
        12 => post.prop_map(|(file, chunk, how)| Deed::Post { file, chunk, how }),
        3 => (file(), 0..3usize).prop_map(|(file, chunk)| Deed::Probe { file, chunk }),
        2 => file().prop_map(|file| Deed::Lookup { file }),
        2 => file().prop_map(|file| Deed::Cancel { file }),
        1 => file().prop_map(|file| Deed::Delete { file }),
        1 => Just(Deed::Sweep),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    use {CatalogOp as C, StoreOp as S};
    let store = [S::Create, S::Write, S::Read, S::Sync, S::Publish, S::Discard, S::Unpublish];
    let store = store.into_iter().chain([S::Look]).map(Call::Store);
    let catalog = [C::Commit, C::Complete, C::End, C::Forget, C::Release, C::DropRanges];
    let catalog =
        catalog.into_iter().chain([C::HoldUp, C::DeleteCreative, C::Buried, C::Upload, C::Look]);
    let calls: Vec<Call> = store.chain(catalog.map(Call::Catalog)).collect();
    let kills = (any::<bool>(), any::<bool>());
    let strike = prop_oneof![
        2 => Just(Strike::Fails(ErrorKind::Other)),
        1 => Just(Strike::Fails(ErrorKind::StorageFull)),
        1 => Just(Strike::FailsHalfway),
        2 => Just(Strike::FailsAfter),
        1 => Just(Strike::Panics),
        3 => kills.prop_map(|(after, power)| Strike::Kills { after, power }),
    ];
    (prop::sample::select(calls), 0..3usize, strike).prop_map(|(call, skip, strike)| Fault {
        call,
        skip,
        strike,
    })
}
