//! What all clients of a test share: the engine, the time, and what other threads have posted.
//!
//! It knows no request. Its invariant: whenever a client gets control, the engine has done all that it can do at this
//! time.

use super::line::Line;
use super::rest::{later, next_turn, run_to_rest};
use super::stream::MemoryStream;
use crate::app::App;
use crate::engine::{Engine, Handle, Settings};
use crate::pubsub::Attached;
use crate::time::Now;
use std::cell::{RefCell, RefMut};
use std::fmt;
use std::rc::{Rc, Weak};
use std::sync::atomic::{Ordering, fence};
use std::thread;
use std::time::{Duration, Instant};

/// More rounds than clients and a server need to come to rest.
const ROUNDS_MAX: usize = 10_000;

/// An engine and its surroundings.
pub(super) struct Host {
    pub(super) engine: Engine<MemoryStream>,
    pub(super) now: Now,
    pub(super) handle: Handle,
    /// Holders of the mailbox that never post to it: this, and the engine's own.
    own_holders: usize,
    patience: Duration,
    /// All clients' ends, in the order in which they have connected.
    lines: Vec<Weak<RefCell<Line>>>,
    /// Held to the end: the broker is detached with the engine.
    _attached: Option<Attached>,
}

/// Why waiting for other threads has ended in vain.
#[derive(Debug)]
pub(super) enum Stuck {
    /// No other thread has anything that reaches the server.
    Alone,
    /// Nothing came in this time.
    Patience(Duration),
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stuck::Alone => f.write_str(
                "the server has done all that it can do now, and no other thread holds a Handle, a Responder or a Waker \
                 of it, so only time that passes or something that a client sends could bring it",
            ),
            Stuck::Patience(patience) => write!(
                f,
                "the server has done all that it can do now, and other threads did not bring it within {patience:?}. If \
                 this thread is the one that must answer or publish, it must do so before it waits"
            ),
        }
    }
}

impl Host {
    pub(super) fn new(
        app: App,
        settings: Settings,
        now: Now,
        handle: Handle,
        attached: Option<Attached>,
        patience: Duration,
    ) -> Host {
        let before = handle.holders();
        let engine = Engine::with_handle(app, settings, now, &handle);
        // `handle` itself is an owner of the one list of one mailbox.
        let own_holders = 2 + handle.holders() - before;
        Host { engine, now, handle, own_holders, patience, lines: Vec::new(), _attached: attached }
    }

    /// Connects a client. It is accepted once the limit of connections allows it.
    pub(super) fn connect(&mut self, line: Line) -> Rc<RefCell<Line>> {
        let line = Rc::new(RefCell::new(line));
        self.lines.push(Rc::downgrade(&line));
        self.settle();
        line
    }

    /// Lets the engine and the clients do all that they can do at this time.
    pub(super) fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            self.engine.begin(self.now);
            self.accept();
            self.report();
            run_to_rest(&mut self.engine, self.now);
            self.lines.retain(|line| line.strong_count() > 0);
            let mut is_due = self.handle.is_woken();
            for line in self.lines.iter().filter_map(Weak::upgrade) {
                let mut line = line.borrow_mut();
                line.react();
                is_due |= line.is_due() && (line.id.is_some() || self.engine.has_room());
            }
            if !is_due {
                return;
            }
        }
        panic!("the server and its clients never come to rest");
    }

    fn accept(&mut self) {
        for line in self.lines.iter().filter_map(Weak::upgrade) {
            let mut line = line.borrow_mut();
            if line.id.is_none() && self.engine.has_room() {
                line.id = Some(self.engine.accept(line.stream(), line.peer));
            }
        }
    }

    /// Reports each client's events to the engine, as a worker does.
    fn report(&mut self) {
        for line in self.lines.iter().filter_map(Weak::upgrade) {
            let mut line = line.borrow_mut();
            if let Some(id) = line.id.filter(|_| line.is_due()) {
                let due = std::mem::take(&mut line.due);
                let is_reset = line.pipe().reset;
                drop(line);
                self.engine.ready(id, due);
                if is_reset {
                    self.engine.failed(id);
                }
            }
        }
    }

    /// Lets time pass. The engine has a turn, and the clients react, whenever the engine asks for one.
    pub(super) fn advance(&mut self, time: Duration) {
        let until = self.now.ms.saturating_add(time.as_millis() as u64);
        while let Some(next) = next_turn(&self.engine, self.now, until) {
            self.now = next;
            self.settle();
        }
        self.now = later(self.now, until);
        self.settle();
    }

    /// Whether nothing but this thread can act on the server.
    fn is_alone(&self) -> bool {
        let is_alone = self.handle.holders() == self.own_holders;
        // What a holder has posted before it was dropped is seen after this.
        fence(Ordering::Acquire);
        is_alone
    }
}

/// Borrows the host that all clients share.
///
/// # Panics
/// If it is the host's own handler that uses its client.
#[track_caller]
pub(super) fn borrow(host: &Rc<RefCell<Host>>) -> RefMut<'_, Host> {
    match host.try_borrow_mut() {
        Ok(host) => host,
        Err(_) => panic!("a handler or a session uses the test server that is calling it"),
    }
}

/// Calls `attempt` until it returns something, each time after the server has done all that it can. Waits for other
/// threads meanwhile, but lets no time pass for the server.
pub(super) fn wait<T>(host: &Rc<RefCell<Host>>, mut attempt: impl FnMut() -> Option<T>) -> Result<T, Stuck> {
    let mut since = None;
    loop {
        let mut shared = borrow(host);
        let is_alone = shared.is_alone();
        if shared.handle.is_woken() {
            shared.settle();
        }
        let (is_woken, patience) = (shared.handle.is_woken(), shared.patience);
        drop(shared);
        if let Some(found) = attempt() {
            return Ok(found);
        }
        if is_woken {
            continue;
        }
        if is_alone {
            return Err(Stuck::Alone);
        }
        // The machine's time: it only bounds how long a test that hangs is waited for.
        let left = patience.checked_sub(since.get_or_insert_with(Instant::now).elapsed());
        let Some(left) = left else { return Err(Stuck::Patience(patience)) };
        // A command that was posted since the mailbox was looked at has unparked this thread.
        if !borrow(host).handle.is_woken() {
            thread::park_timeout(left);
        }
    }
}
