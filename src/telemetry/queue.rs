//! Log lines on their way to standard error.
//!
//! Whoever logs never waits: a line that does not fit into the queue is dropped and counted. The
//! thread that writes tells how many were lost as soon as it can write again.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use prometheus_client::metrics::counter::Counter;

/// A bounded queue of lines, with one thread that empties it.
#[derive(Debug)]
pub(super) struct LogQueue {
    /// Bytes that it holds at most.
    room: usize,
    state: Mutex<State>,
    changed: Condvar,
    is_open: AtomicBool,
    lost: Counter,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    /// Bytes of these lines.
    len: usize,
    /// Whether lines are dropped until all those that are here are written, so that what is missing
    /// is missing in one place.
    is_full: bool,
    /// Whether a line is being written.
    is_writing: bool,
    /// Lines that were lost and that nobody was told of.
    untold: u64,
}

/// Collects what is written to it, and queues it as one line.
#[derive(Debug)]
pub(super) struct Line<'a>(&'a LogQueue);

impl Write for Line<'_> {
    /// A log line is written by one call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl LogQueue {
    pub(super) fn new(room: usize) -> Self {
        Self {
            room,
            state: Mutex::default(),
            changed: Condvar::new(),
            is_open: AtomicBool::new(false),
            lost: Counter::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that a thread writes what is queued.
    pub(super) fn open(&self) {
        self.is_open.store(true, Ordering::Release);
    }

    pub(super) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    pub(super) fn lost_lines(&self) -> Counter {
        self.lost.clone()
    }

    /// A place to write the next line to.
    pub(super) fn line(&self) -> Line<'_> {
        Line(self)
    }

    /// Queues a line, or drops and counts it.
    pub(super) fn push(&self, line: Vec<u8>) {
        let mut state = self.lock();
        if state.is_full || self.room < state.len + line.len() {
            state.is_full = true;
            self.lose(&mut state);
        } else {
            state.len += line.len();
            state.lines.push_back(line);
        }
        drop(state);
        self.changed.notify_all();
    }

    fn lose(&self, state: &mut State) {
        state.untold += 1;
        self.lost.inc();
    }

    /// Writes what is queued, for ever. `report` logs how many lines were lost.
    pub(super) fn write_to(&self, out: &mut impl Write, report: impl Fn(u64)) {
        loop {
            self.write_next(out, &report);
        }
    }

    /// Waits for a line, and writes it.
    fn write_next(&self, out: &mut impl Write, report: &impl Fn(u64)) {
        let mut state = self.lock();
        if state.lines.is_empty() {
            state.is_writing = false;
            self.changed.notify_all();
        }
        let wait = self.changed.wait_while(state, |state| state.lines.is_empty());
        let mut state = wait.unwrap_or_else(PoisonError::into_inner);
        state.is_writing = true;
        let line = state.lines.pop_front().unwrap_or_default();
        drop(state);
        let is_written = out.write_all(&line).is_ok();
        let mut state = self.lock();
        // Not before: a line that is being written is still in memory.
        state.len -= line.len();
        if !is_written {
            self.lose(&mut state);
        }
        if !state.lines.is_empty() {
            return;
        }
        state.is_full = false;
        // Only after a line was written: where none can be, a report would be lost, too.
        let untold = if is_written { std::mem::take(&mut state.untold) } else { 0 };
        drop(state);
        if 0 < untold {
            report(untold);
        }
    }

    /// Waits until all lines are written, or for so long.
    pub(super) fn flush(&self, patience: Duration) {
        let is_busy = |state: &mut State| state.is_writing || !state.lines.is_empty();
        drop(self.changed.wait_timeout_while(self.lock(), patience, is_busy));
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, sync::mpsc, thread};

    use super::*;

    fn push(queue: &LogQueue, lines: &[&str]) {
        for line in lines {
            queue.line().write_all(line.as_bytes()).expect("it never fails");
        }
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_told_of_when_the_rest_is_written() {
        let queue = LogQueue::new(10);
        let (mut out, told) = (Vec::new(), RefCell::new(Vec::new()));
        let report = |lost| told.borrow_mut().push(lost);
        push(&queue, &["12345\n", "678\n", "too much\n"]);
        queue.write_next(&mut out, &report);
        // There is room again, but it would stand behind the gap as if nothing were missing.
        push(&queue, &["9\n"]);
        queue.write_next(&mut out, &report);
        assert_eq!(
            (String::from_utf8_lossy(&out).as_ref(), told.take()),
            ("12345\n678\n", vec![2])
        );
        push(&queue, &["more\n"]);
        queue.write_next(&mut out, &report);
        assert!(out.ends_with(b"678\nmore\n") && told.take().is_empty());
        assert_eq!(queue.lost_lines().get(), 2);
    }

    #[test]
    fn where_nothing_can_be_written_lines_are_counted_and_tried_on() {
        struct Broken;
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let queue = LogQueue::new(10);
        push(&queue, &["a\n", "b\n"]);
        let never = |_| panic!("a report cannot be written either");
        queue.write_next(&mut Broken, &never);
        queue.write_next(&mut Broken, &never);
        let (mut out, told) = (Vec::new(), RefCell::new(0));
        push(&queue, &["c\n"]);
        queue.write_next(&mut out, &|lost| *told.borrow_mut() = lost);
        assert_eq!((out.as_slice(), told.take()), (b"c\n".as_slice(), 2));
    }

    /// Takes nothing until it is told to.
    struct Stalled(mpsc::Receiver<()>);

    impl Write for Stalled {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Fails if the test is over.
            self.0.recv().ok();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_flush_waits_for_a_line_that_is_being_written_but_not_for_ever() {
        let queue = LogQueue::new(10);
        let (go, stalled) = mpsc::sync_channel(0);
        thread::scope(|scope| {
            push(&queue, &["a\n"]);
            scope.spawn(|| {
                let mut out = Stalled(stalled);
                queue.write_next(&mut out, &|_| ());
                queue.write_next(&mut out, &|_| ());
            });
            queue.flush(Duration::ZERO);
            assert_eq!(queue.lock().len, 2, "it is not written yet");
            go.send(()).expect("awaited");
            queue.flush(Duration::from_mins(1));
            assert_eq!(queue.lock().len, 0);
            push(&queue, &["b\n"]);
            go.send(()).expect("awaited");
        });
    }
}
