//! What a run knows of its clients, whichever protocol they speak.

use super::service::Log;
use super::wire::{SimStream, Wire};
use fleeting::engine::{Counters, Settings};
use fleeting::{ConnId, Timeouts};
use fleeting_testkit::random::Random;
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

/// How long a connection has been idle before it gives way to another.
pub const IDLE_BEFORE_EVICTION: Duration = Duration::from_millis(100);

/// A client of a run.
pub trait Player: Sized {
    /// What it offers with TLS (RFC 7301).
    #[cfg(feature = "tls")]
    const PROTOCOL: Option<&'static [u8]> = None;

    fn new(number: usize, random: &mut Random, clock: &Rc<Cell<u64>>, faults: bool) -> Self;

    /// Returns how many clients a run has.
    fn crowd(random: &mut Random) -> usize;

    /// Changes what a run of such clients sets up, before there is one.
    fn settle_on(_settings: &mut Settings, _seed: u64) {}

    fn line(&self) -> &Line;
    fn line_mut(&mut self) -> &mut Line;

    /// Does part of the client's remaining work, or all of it if `hurry`. Returns whether it did anything.
    fn act(&mut self, random: &mut Random, now: u64, hurry: bool) -> bool;

    /// The client ends its side, wherever it is. If it takes nothing, it resets the connection.
    fn leave(&mut self);

    /// Compares what was written since the last time with the model.
    fn compare(&mut self, world: &World<'_>) -> Result<(), String>;

    /// Checks that the engine has done its part. No event is due, and the engine has nothing left to do.
    fn expect_served(&mut self, world: &World<'_>) -> Result<(), String>;

    /// Checks that the script was played to its end by both sides.
    fn expect_complete(&self) -> Result<(), String>;

    /// Checks that the stream was dropped for a valid reason, if it was dropped.
    fn expect_reason_for_end(&mut self, world: &World<'_>) -> Result<(), String>;

    /// Checks the counters against the model, when every connection has ended. `is_calm`: no fault was planted, and time has
    /// made no jumps.
    fn count(
        clients: &[Self],
        ids: &[ConnId],
        log: &Log,
        counters: &Counters,
        is_calm: bool,
    ) -> Result<(), String>;
}

/// A client's connection, as the run has it.
pub struct Line {
    pub id: Option<ConnId>,
    pub wire: Rc<RefCell<Wire>>,
    /// Its stream was dropped for a valid reason.
    pub gone: bool,
    /// It connects with TLS.
    #[cfg(feature = "tls")]
    pub has_tls: bool,
}

impl Line {
    pub fn new(wire: Wire) -> Line {
        Line {
            id: None,
            wire: Rc::new(RefCell::new(wire)),
            gone: false,
            #[cfg(feature = "tls")]
            has_tls: false,
        }
    }

    /// Lets it connect with TLS. Then everything that is written is taken at once.
    #[cfg(feature = "tls")]
    pub fn add_tls(&mut self) {
        self.has_tls = true;
        let mut wire = self.wire.borrow_mut();
        wire.set_capacity(usize::MAX);
        wire.takes_all = true;
    }

    pub fn stream(&self) -> SimStream {
        Wire::stream(&self.wire)
    }

    /// Returns whether an event is due.
    pub fn is_due(&self) -> bool {
        self.wire.borrow().is_due()
    }
}

/// What the server's behavior may depend on, at the time of the check.
pub struct World<'a> {
    pub now: u64,
    pub timeouts: &'a Timeouts,
    pub shut: bool,
    /// The limit of open streams of a connection of HTTP/2.
    pub streams_max: usize,
    /// A buffer was refused memory, so answers may be refusals.
    pub short: bool,
    /// The engine was asked to make room for another connection.
    pub evicts: bool,
    /// Clients that have ended their side still get deferred answers.
    pub half_close: bool,
    /// Every Date that the clock has shown.
    pub dates: &'a HashSet<[u8; 29]>,
}
