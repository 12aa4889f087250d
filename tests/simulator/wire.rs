//! One connection as the kernel presents it: what has arrived, what was taken, and which events are due.
//!
//! It does not know what the bytes mean. Its events are those of an edge-triggered epoll: readable when bytes or the
//! end arrive, writable when room appears after a short write. A short read has drained the stream, or else more bytes
//! arrive at once and an event is due, or the event has told of urgent data.

use fleeting::engine::Readiness;
use fleeting::testing::stream::{Direction, Link, MemoryStream, Pipe, write_to};
use fleeting::transport::{Submission, Submit};
use fleeting_testkit::random::Random;
use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::RawFd;
use std::rc::Rc;

/// The engine's end of a [`Wire`].
pub type SimStream = MemoryStream<Wire>;

/// The state that a client and the engine's stream share.
pub struct Wire {
    pub pipe: Pipe,
    /// Its number among the wires that can be written to together.
    socket: Option<RawFd>,
    clock: Rc<Cell<u64>>,
    random: Random,
    /// Everything the client will ever send.
    pub sent: Vec<u8>,
    /// How much of `sent` has arrived; `read <= arrived <= sent.len()`.
    pub arrived: usize,
    /// Where in `sent` the last urgent byte came, if no read has come to it yet.
    mark: Option<usize>,
    /// How much of `written` the client has taken; `taken <= written.len()`.
    pub taken: usize,
    /// Maximum number of bytes between `taken` and `written`.
    capacity: usize,
    /// Writes are never cut short.
    pub takes_all: bool,
    /// The last write was short: the engine has more to write.
    pub behind: bool,
    pub due: Readiness,
    /// Reads and writes, in a thousand, that are interrupted or cut short.
    pub trouble: usize,
    /// When the engine ended its side, in milliseconds.
    pub write_ended: Option<u64>,
    /// How much the engine had read when it ended its side. It discards the rest.
    pub read_in_time: Option<usize>,
    /// How much the engine had read at the last comparison.
    pub seen: usize,
    /// When the engine dropped the stream, in milliseconds.
    pub dropped: Option<u64>,
    /// When the engine has accepted it, in milliseconds.
    pub began_ms: u64,
    pub last_read_ms: u64,
    pub last_write_ms: u64,
    /// The rule that the engine has broken. It is recorded because the guard around a handler might catch a panic.
    pub violation: Option<String>,
}

impl Wire {
    pub fn new(clock: &Rc<Cell<u64>>, random: Random, sent: Vec<u8>) -> Wire {
        Wire {
            pipe: Pipe::with_room(usize::MAX),
            socket: None,
            clock: clock.clone(),
            random,
            sent,
            arrived: 0,
            mark: None,
            taken: 0,
            capacity: usize::MAX,
            takes_all: false,
            behind: false,
            due: Readiness::default(),
            trouble: 0,
            write_ended: None,
            read_in_time: None,
            seen: 0,
            dropped: None,
            began_ms: clock.get(),
            last_read_ms: clock.get(),
            last_write_ms: clock.get(),
            violation: None,
        }
    }

    /// Sets how much fits before anything is written.
    pub fn set_capacity(&mut self, bytes: usize) {
        self.capacity = bytes;
        self.pipe.room = bytes;
    }

    /// Returns a new end for the engine.
    pub fn stream(shared: &Rc<RefCell<Wire>>) -> SimStream {
        MemoryStream::new(shared)
    }

    /// The engine accepts it now.
    pub fn begin(&mut self) {
        self.began_ms = self.clock.get();
        (self.last_read_ms, self.last_write_ms) = (self.began_ms, self.began_ms);
    }

    /// The next `bytes` bytes of `sent` arrive.
    pub fn arrive(&mut self, bytes: usize) {
        let from = self.arrived;
        self.arrived += bytes;
        self.pipe.deliver(&self.sent[from..self.arrived]);
        self.due.readable |= bytes > 0;
    }

    /// An urgent byte arrives somewhere within the next `bytes` bytes of `sent`, which follow at once. It is not part of the
    /// stream, but the read that comes to it stops there.
    pub fn arrive_around_a_mark(&mut self, bytes: usize) {
        self.mark = Some(self.arrived + self.random.within(0, bytes));
        self.due.urgent = true;
        self.arrive(bytes);
    }

    /// The client ends its side.
    pub fn finish(&mut self) {
        self.pipe.ended = true;
        self.due.readable = true;
        self.due.ended = true;
    }

    /// The client resets the connection.
    pub fn reset(&mut self) {
        self.pipe.reset = true;
        self.due = Readiness { readable: true, writable: true, ended: true, ..self.due };
    }

    /// The client takes `bytes` of what was written.
    pub fn take(&mut self, bytes: usize) {
        self.taken += bytes;
        if bytes > 0 {
            self.pipe.room = self.capacity.saturating_sub(self.waiting());
        }
        if self.pipe.room > 0 && std::mem::take(&mut self.pipe.short) {
            self.due.writable = true;
        }
    }

    /// Returns the number of bytes that were written and not taken.
    pub fn waiting(&self) -> usize {
        self.pipe.written.len() - self.taken
    }

    /// The client has ended its side or is gone.
    pub fn is_over(&self) -> bool {
        self.pipe.ended || self.pipe.reset
    }

    /// Returns what a poll at this moment reports, besides the changes.
    pub fn state(&self) -> Readiness {
        let gone = self.is_over();
        Readiness {
            readable: self.pipe.has_unread() || gone,
            urgent: self.mark.is_some(),
            writable: self.pipe.room > 0 || self.pipe.reset,
            ended: gone,
        }
    }

    pub fn is_due(&self) -> bool {
        self.due.readable || self.due.writable || self.due.ended
    }
}

/// The wires that an engine can write to together, by number.
#[derive(Clone, Default)]
pub struct Wires {
    all: Rc<RefCell<Vec<Rc<RefCell<Wire>>>>>,
}

impl Wires {
    /// Adds a wire, unless it has a number already.
    pub fn add(&self, wire: &Rc<RefCell<Wire>>) {
        let mut all = self.all.borrow_mut();
        wire.borrow_mut().socket = Some(all.len() as RawFd);
        all.push(wire.clone());
    }
}

/// Writes to [`Wires`]. Now and then it leaves the rest of the writes undone, and rarely it is broken from then on.
pub struct SimSubmit {
    pub wires: Wires,
    pub random: Random,
    /// Calls, in a thousand, that leave something undone.
    pub trouble: usize,
    /// The number of calls.
    pub calls: Rc<Cell<u64>>,
}

impl Submit for SimSubmit {
    fn submit<'a>(
        &mut self,
        writes: &mut dyn Iterator<Item = Submission<'a>>,
        results: &mut Vec<io::Result<usize>>,
    ) -> bool {
        self.calls.set(self.calls.get() + 1);
        let all = self.wires.all.borrow();
        let (mut undone, works) = (false, !self.random.chance(self.trouble / 8));
        for Submission { socket, bytes } in writes {
            undone |= self.random.chance(self.trouble / 4);
            results.push(match undone {
                true => Err(ErrorKind::Interrupted.into()),
                false => write_to(&mut *all[socket as usize].borrow_mut(), &[IoSlice::new(bytes)]),
            });
        }
        works
    }
}

impl Link for Wire {
    fn pipe(&mut self) -> &mut Pipe {
        &mut self.pipe
    }

    fn before(&mut self) -> io::Result<()> {
        if self.random.chance(self.trouble / 2) { Err(ErrorKind::Interrupted.into()) } else { Ok(()) }
    }

    fn share(&mut self, direction: Direction, possible: usize) -> usize {
        if direction == Direction::Read
            && let Some(mark) = self.mark.filter(|mark| *mark < self.pipe.read + possible)
        {
            // No event says that there is more behind it.
            self.mark = None;
            if mark > self.pipe.read {
                return mark - self.pipe.read;
            }
        }
        let is_whole = direction == Direction::Write && self.takes_all;
        if possible == 1 || is_whole || !self.random.chance(self.trouble) {
            return possible;
        }
        if direction == Direction::Read {
            // The rest arrives only now.
            self.due.readable = true;
            self.due.ended |= self.pipe.ended;
        }
        self.random.within(1, possible)
    }

    fn moved(&mut self, direction: Direction, bytes: usize, wanted: usize) {
        let last_ms = match direction {
            Direction::Read => &mut self.last_read_ms,
            Direction::Write => {
                self.behind = bytes < wanted;
                if self.behind {
                    // Nothing fits until the client takes something.
                    self.pipe.room = 0;
                }
                &mut self.last_write_ms
            }
        };
        if bytes > 0 {
            *last_ms = self.clock.get();
        }
    }

    fn socket(&self) -> Option<RawFd> {
        self.socket
    }

    fn shut(&mut self) {
        self.write_ended = Some(self.clock.get());
        self.read_in_time = Some(self.pipe.read);
    }

    fn dropped(&mut self) {
        self.dropped = Some(self.clock.get());
    }

    fn violation(&mut self, rule: &str) {
        self.violation.get_or_insert_with(|| rule.into());
    }
}
