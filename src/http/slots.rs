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
//! Promise: an answer that was begun is written to its end before its connection gives way.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
    time::{Instant, timeout_at},
};

use super::body::{self, BoxError, Response, ResponseBody};
use crate::access::place;

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
    /// the address has as many as it may have, all of them busy.
    ///
    /// Cancel safety: may be dropped at any `.await`; nobody holds a slot then.
    pub(super) async fn take(self: &Arc<Self>, from: Option<IpAddr>) -> Option<Slot> {
        let place = from.map(place);
        loop {
            let changed = self.changed.notified();
            let wish = {
                let mut table = self.table();
                let at_limit = |crowd: &Crowd| self.max_per_place <= crowd.open;
                if place.is_some_and(|place| table.places.get(&place).is_some_and(at_limit)) {
                    match table.ask(place, self.grace) {
                        Wish::Vain => return None,
                        wish => wish,
                    }
                } else if self.max <= table.all.open {
                    table.ask(None, self.grace)
                } else {
                    return Some(self.seat(&mut table, place));
                }
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

    /// Asks the one that is idle for the longest time to give way, unless one was asked already.
    fn ask(&mut self, place: Option<IpAddr>, grace: Duration) -> Wish {
        let crowd = place.map_or(Some(&self.all), |place| self.places.get(&place));
        let Some(crowd) = crowd else { return Wish::Vain };
        if crowd.asked != 0 {
            return Wish::Asked;
        }
        let Some((since, seat)) = crowd.idle.values().next().cloned() else { return Wish::Vain };
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
    /// Watches a connection for the end of its answers.
    pub(super) fn watch<T>(self: &Arc<Self>, io: T) -> Watched<T> {
        Watched { io, slot: self.clone() }
    }

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
        response.map(|body| body::boxed(Ending { body, _ended: ended }))
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

/// The body of an answer, with what its end means.
struct Ending {
    body: ResponseBody,
    _ended: Answered,
}

impl Body for Ending {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection that is idle when its answers are written: hyper flushes when it has nothing left.
pub(super) struct Watched<T> {
    io: T,
    slot: Arc<Slot>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        let seat = &self.slot.seat;
        if flushed.is_ready() && seat.answered.swap(false, Ordering::AcqRel) {
            self.slot.slots.table().rest(seat);
            self.slot.slots.changed.notify_one();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nobody_gives_way_before_it_has_been_idle_for_the_grace() {
        const GRACE: Duration = Duration::from_secs(5);
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
}
