//! Who holds which connection slot, and who gives way when there are too few.
//!
//! A connection is *idle* from its acceptance to its first request, and from the moment at which
//! its last answer is on its way to the next request; whoever sends half a head is idle, too. Idle
//! connections give way to newcomers, the longest idle first: of the same address when that has as
//! many as it may have, of all when the house is full; but none before it has been idle for a
//! while: what it has sent may not have been read yet. So silent connections, however many, keep
//! nobody out for longer than that. A connection that has a request is never closed for another
//! one's sake.
//!
//! Promise: an answer that was begun is written to its end before its connection gives way, unless
//! it is an event stream: that is idle from each event to the next.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http_body_util::BodyExt;
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use super::body::{self, Response};
use crate::{access::place, upload::limits};

/// All slots of a server.
#[derive(Debug)]
pub(super) struct Slots {
    max: usize,
    max_per_place: usize,
    /// How long a connection is idle before it gives way.
    grace: Duration,
    table: Mutex<Table>,
    /// A slot came free, or somebody who could give way is there.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Table {
    /// Counts the moments at which connections became idle, and so orders them.
    moments: u64,
    all: Crowd,
    places: HashMap<IpAddr, Crowd>,
}

/// Connections that share a limit.
#[derive(Debug, Default)]
struct Crowd {
    open: usize,
    /// How many of them were asked to give way, and have neither done so nor become busy again.
    asked: usize,
    /// Those that are idle and were not asked, the longest idle first.
    idle: BTreeMap<u64, (Instant, Arc<Seat>)>,
}

/// A connection, as its slot sees it.
#[derive(Debug)]
struct Seat {
    place: Option<IpAddr>,
    state: Mutex<SeatState>,
    give_way: Notify,
    /// An answer is given and may not be written to its end.
    answered: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SeatState {
    Idle(u64),
    Asked,
    Busy,
}

/// What came of the wish that somebody gives way.
enum Wish {
    /// Somebody was asked.
    Asked,
    /// Somebody may be asked from then on.
    From(Instant),
    /// All are busy.
    Vain,
}

/// One slot, held by a connection as long as this lives.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    seat: Arc<Seat>,
}

impl Slots {
    pub(super) fn new(max: usize, max_per_place: usize, grace: Duration) -> Arc<Self> {
        let (table, changed) = (Mutex::default(), Notify::new());
        Arc::new(Self { max, max_per_place, grace, table, changed })
    }

    /// A slot for a newcomer from this address; waits while all are taken by the busy. Nothing if
    /// the address has as many as it may have, and none of them can give way by now.
    ///
    /// Cancel safety: may be dropped at any `.await`; nobody holds a slot then.
    pub(super) async fn take(self: &Arc<Self>, from: Option<IpAddr>) -> Option<Slot> {
        let place = from.map(place);
        loop {
            let changed = self.changed.notified();
            let wish = {
                let mut table = self.table();
                if place.is_some_and(|it| !table.admits(it, self.max_per_place, self.grace)) {
                    return None;
                }
                if table.all.open < self.max {
                    return Some(self.seat(&mut table, place));
                }
                if table.all.asked == 0 { table.ask(None, self.grace) } else { Wish::Asked }
            };
            if let Wish::From(moment) = wish {
                // Whichever comes first: it is looked again.
                let _ = timeout_at(moment, changed).await;
            } else {
                changed.await;
            }
        }
    }

    fn seat(self: &Arc<Self>, table: &mut Table, place: Option<IpAddr>) -> Slot {
        let seat = Arc::new(Seat {
            place,
            state: Mutex::new(SeatState::Busy),
            give_way: Notify::new(),
            answered: AtomicBool::new(false),
        });
        table.crowds(place, |crowd| crowd.open += 1);
        table.rest(&seat);
        Slot { slots: self.clone(), seat }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("no code panics while it holds this lock")
    }
}

impl Table {
    /// Does it for all connections and for those of one address.
    fn crowds(&mut self, place: Option<IpAddr>, mut change: impl FnMut(&mut Crowd)) {
        change(&mut self.all);
        if let Some(place) = place {
            let crowd = self.places.entry(place).or_default();
            change(crowd);
            if crowd.open == 0 {
                self.places.remove(&place);
            }
        }
    }

    /// Whether an address may have one more connection, for which another one of its may be asked
    /// to give way. Whoever was asked counts no more; but if many of them become busy at that
    /// moment, there are too many, and so they must not be many.
    fn admits(&mut self, place: IpAddr, max: usize, grace: Duration) -> bool {
        if self.stay(place) < max {
            return true;
        }
        self.ask(Some(place), grace);
        let open = self.places.get(&place).map_or(0, |crowd| crowd.open);
        self.stay(place) < max && open < max.saturating_add(limits::GIVING_WAY_MAX)
    }

    /// How many connections of an address were not asked to give way.
    fn stay(&self, place: IpAddr) -> usize {
        self.places.get(&place).map_or(0, |crowd| crowd.open - crowd.asked)
    }

    /// Asks the one that is idle for the longest time to give way.
    fn ask(&mut self, place: Option<IpAddr>, grace: Duration) -> Wish {
        let crowd = place.map_or(Some(&self.all), |place| self.places.get(&place));
        let longest = crowd.and_then(|crowd| crowd.idle.values().next().cloned());
        let Some((since, seat)) = longest else { return Wish::Vain };
        let from = since + grace;
        if Instant::now() < from {
            return Wish::From(from);
        }
        self.leave_state(&seat);
        self.crowds(seat.place, |crowd| crowd.asked += 1);
        *seat.state() = SeatState::Asked;
        seat.give_way.notify_one();
        Wish::Asked
    }

    /// From now on it may be asked to give way.
    fn rest(&mut self, seat: &Arc<Seat>) {
        self.leave_state(seat);
        self.moments += 1;
        let moment = self.moments;
        self.crowds(seat.place, |crowd| {
            crowd.idle.insert(moment, (Instant::now(), seat.clone()));
        });
        *seat.state() = SeatState::Idle(moment);
    }

    /// Takes back what the present state says of it, which is busy then.
    fn leave_state(&mut self, seat: &Seat) {
        let before = std::mem::replace(&mut *seat.state(), SeatState::Busy);
        self.crowds(seat.place, |crowd| match before {
            SeatState::Idle(moment) => {
                crowd.idle.remove(&moment);
            }
            SeatState::Asked => crowd.asked -= 1,
            SeatState::Busy => {}
        });
    }
}

impl Seat {
    /// Changed only by whoever holds the table.
    fn state(&self) -> MutexGuard<'_, SeatState> {
        self.state.lock().expect("no code panics while it holds this lock")
    }
}

impl Slot {
    /// A request has come. Its answer, once there is one, is to be [`Self::answered`].
    pub(super) fn busy(&self) {
        let mut table = self.slots.table();
        table.leave_state(&self.seat);
        self.seat.answered.store(false, Ordering::Release);
        drop(table);
        // If it was asked to give way, another one must be.
        self.slots.changed.notify_one();
    }

    /// An answer that ends the request when its body has been sent.
    pub(super) fn answered(self: &Arc<Self>, response: Response) -> Response {
        let ended = Answered(self.clone());
        // The way to give a body something to drop at its end, and change nothing else of it.
        let keep = move |body: body::ResponseBody| {
            body.map_err(move |error| {
                let _ = &ended;
                error
            })
        };
        response.map(|body| body::boxed(keep(body)))
    }

    /// What there was to write has been handed over: if that was the end of an answer, the
    /// connection is idle, and this is true. (hyper flushes when it has nothing left.)
    pub(super) fn flushed(&self) -> bool {
        let is_answered = self.seat.answered.swap(false, Ordering::AcqRel);
        if is_answered {
            self.slots.table().rest(&self.seat);
            self.slots.changed.notify_one();
        }
        is_answered
    }

    /// An event of a stream is on its way, and nobody knows when the next one comes: the connection
    /// is idle, and may be asked to give way although its answer has not ended.
    pub(super) fn may_give_way(&self) {
        self.slots.table().rest(&self.seat);
        self.slots.changed.notify_one();
    }

    /// Waits until this connection is to make room for another one.
    pub(super) async fn gives_way(&self) {
        loop {
            self.seat.give_way.notified().await;
            // It may have been asked and then have become busy.
            if *self.seat.state() == SeatState::Asked {
                return;
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut table = self.slots.table();
        table.leave_state(&self.seat);
        table.crowds(self.seat.place, |crowd| crowd.open -= 1);
        drop(table);
        self.slots.changed.notify_one();
    }
}

/// Dropped with the body of an answer: all of it has been handed over to be written.
struct Answered(Arc<Slot>);

impl Drop for Answered {
    fn drop(&mut self) {
        self.0.seat.answered.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const GRACE: Duration = Duration::from_secs(5);
    const ONE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)));
    const OTHER: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)));

    #[tokio::test(start_paused = true)]
    async fn nobody_gives_way_before_it_has_been_idle_for_the_grace() {
        let slots = Slots::new(1, 9, GRACE);
        let first = slots.take(None).await.expect("there is room");
        let began = Instant::now();
        let asked = async {
            first.gives_way().await;
            drop(first);
            began.elapsed()
        };
        let (second, after) = tokio::join!(slots.take(None), asked);
        assert!(second.is_some() && GRACE <= after, "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_stream_gives_way_when_it_was_idle_for_the_grace() {
        let slots = Slots::new(1, 9, GRACE);
        let stream = slots.take(None).await.expect("there is room");
        stream.busy();
        tokio::time::advance(GRACE).await;
        stream.may_give_way();
        let began = Instant::now();
        let asked = async {
            stream.gives_way().await;
            drop(stream);
            began.elapsed()
        };
        let (second, after) = tokio::join!(slots.take(None), asked);
        assert!(second.is_some() && GRACE <= after, "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn newcomers_of_a_full_address_hold_up_nobody() {
        let slots = Slots::new(9, 2, GRACE);
        let now = |from| slots.take(from).now_or_never().expect("without a wait");
        let (idle, busy) = (now(ONE).expect("the first"), now(ONE).expect("the second"));
        busy.busy();
        assert!(now(ONE).is_none(), "the idle one came a moment ago");
        assert!(now(OTHER).is_some());
        tokio::time::advance(GRACE).await;
        // It is asked and has not left yet: nobody waits for it.
        let third = now(ONE).expect("one is to give way");
        idle.gives_way().now_or_never().expect("asked");
        assert!(now(ONE).is_none(), "of the others none can");
        assert!(now(OTHER).is_some());
        // It became busy instead: then there is one too many, and as soon as it can be, no more.
        idle.busy();
        tokio::time::advance(GRACE).await;
        assert!(now(ONE).is_none(), "two stay even if the third gives way");
        third.gives_way().now_or_never().expect("asked");
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_were_asked_to_give_way_are_never_many() {
        let slots = Slots::new(9 * limits::GIVING_WAY_MAX, 2 * limits::GIVING_WAY_MAX, GRACE);
        let now = || slots.take(ONE).now_or_never().expect("without a wait");
        let mut all: Vec<_> = (0..2 * limits::GIVING_WAY_MAX).map_while(|_| now()).collect();
        tokio::time::advance(GRACE).await;
        all.extend(std::iter::from_fn(now));
        assert_eq!(all.len(), 3 * limits::GIVING_WAY_MAX);
    }
}
