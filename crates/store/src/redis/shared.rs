//! What a broker's two threads share with each other and with the server's threads.
//!
//! It knows no command of Redis, no topic and no subscriber. Invariant: it never runs the application's code while the
//! state is locked.

use super::alarm::Wake;
use super::backoff::{Backoff, random};
use super::counters::{Counts, count};
use super::link::LinkCloser;
use super::options::RedisOptions;
use super::peers::Gap;
use super::primary::{IS_ANOTHER, Server};
use super::route::Route;
use fleeting::Publication;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

/// What all threads of a broker share.
pub(super) struct Shared {
    pub(super) route: Route,
    pub(super) options: RedisOptions,
    pub(super) channel: String,
    pub(super) node: Box<str>,
    pub(super) incarnation: u64,
    /// Makes the message that announces a gap.
    pub(super) announce: Option<Box<Announce>>,
    pub(super) state: Mutex<State>,
    /// Something in the state has changed that a thread may wait for.
    pub(super) changed: Condvar,
    pub(super) counts: Counts,
}

pub(super) type Announce = dyn Fn(&Gap) -> String + Send + Sync;

pub(super) struct State {
    pub(super) phase: Phase,
    /// The publications to send.
    pub(super) queue: VecDeque<Queued>,
    /// The bytes that the queued publications hold.
    pub(super) queued_bytes: usize,
    /// The number of the last publication made, and when that was.
    pub(super) last_number: u64,
    pub(super) last_made: Option<Instant>,
    /// There is a connection to send on, so publications are queued rather than dropped.
    pub(super) is_open: bool,
    /// The server that each thread's connection leads to, and the number of the connection.
    pub(super) servers: [Option<(Server, u64)>; THREADS],
    /// Look where the address leads without waiting for the next beat.
    pub(super) looks_soon: bool,
    /// Why each thread is to replace its connection.
    pub(super) leave: [Option<&'static str>; THREADS],
    /// The number of connections made so far.
    pub(super) opened: u64,
    /// That number when the publisher's connection last ended.
    pub(super) publisher_ended: u64,
    /// Ends the subscriber's wait for publications; present while it waits.
    pub(super) closer: Option<LinkCloser>,
    /// Publications of other servers arrive, and the gap of the last outage was announced.
    pub(super) is_listening: bool,
    /// How often a thread has reached Redis: the other one then stops backing off.
    pub(super) reached: u64,
    /// Whether each thread has tried to reach Redis.
    pub(super) tried: [bool; THREADS],
    /// Whether the last attempt of each thread failed.
    pub(super) away: [bool; THREADS],
    /// Threads that have ended.
    pub(super) ended: usize,
}

/// A publication to send.
pub(super) struct Queued {
    pub(super) number: u64,
    /// When the one before it was made.
    pub(super) last_made: Option<Instant>,
    pub(super) publication: Arc<Publication>,
}

/// The phases of a broker's life, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Unattached,
    /// Both threads run, but the server has no clients yet.
    Starting,
    Serving,
    /// The publisher sends what is queued, and nothing is queued any more.
    Stopping,
}

/// A thread of a broker.
#[derive(Debug, Clone, Copy)]
pub(super) enum Role {
    Publisher,
    Subscriber,
}

/// The number of roles.
pub(super) const THREADS: usize = 2;

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wait<'g>(&self, state: MutexGuard<'g, State>, until: Instant) -> MutexGuard<'g, State> {
        let left = until.saturating_duration_since(Instant::now());
        self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Waits for a heartbeat or an alarm. Returns false if the broker stops.
    pub(super) fn rest(&self) -> bool {
        let until = Instant::now() + self.options.heartbeat;
        let mut state = self.state();
        while state.phase < Phase::Stopping && !state.looks_soon && Instant::now() < until {
            state = self.wait(state, until);
        }
        state.looks_soon = false;
        state.phase < Phase::Stopping
    }

    /// Waits before the next attempt to reach Redis, unless the other thread reaches it meanwhile. If the connection was
    /// dropped because of where it led, the wait is not cut short: an address that leads to several servers in turn would
    /// let the two threads drop each other's connections without a pause.
    pub(super) fn back_off(&self, backoff: &mut Backoff, left: Option<&'static str>) {
        let until = Instant::now() + backoff.wait(random());
        let mut state = self.state();
        let reached = state.reached;
        let is_alone = |state: &State| left.is_some() || state.reached == reached;
        while state.phase < Phase::Stopping && is_alone(&state) && Instant::now() < until {
            state = self.wait(state, until);
        }
    }

    /// Waits for a connection to send on, at most for the `timeout`.
    pub(super) fn wait_until_open(&self) {
        let until = Instant::now() + self.options.timeout;
        let mut state = self.state();
        while !state.is_open && state.phase < Phase::Stopping && Instant::now() < until {
            state = self.wait(state, until);
        }
    }

    /// Records that a thread has a connection to `server`. Both threads must use the same one, so the other thread
    /// replaces its connection if that leads elsewhere: the newer one shows where the address leads now.
    pub(super) fn join(&self, state: &mut State, role: Role, server: &Server) {
        let (own, other) = (role as usize, 1 - role as usize);
        state.opened += 1;
        (state.servers[own], state.leave[own]) = (Some((server.clone(), state.opened)), None);
        let Some((before, number)) = &state.servers[other] else { return };
        // If a server does not say which one it is, a publisher takes no chances with an older connection.
        let is_older = matches!(role, Role::Publisher) && *number <= state.publisher_ended;
        if server.differs_from(before) || server.is_unknown() && is_older {
            self.drop_links(state, &[other], IS_ANOTHER);
        }
    }

    /// Records that a thread's connection has ended. Returns why it was to be replaced, if it was.
    pub(super) fn part(&self, role: Role) -> Option<&'static str> {
        let mut state = self.state();
        let had_one = state.servers[role as usize].take().is_some();
        if had_one && matches!(role, Role::Publisher) {
            state.publisher_ended = state.opened;
        }
        let why = state.leave[role as usize].take();
        drop(state);
        if why.is_some() {
            self.options.alarm.raise(self.route.url());
        }
        why
    }

    /// Drops each connection if `server`, which the address leads to, is a replica or not the one it leads to. Nothing is
    /// dropped if a connection was made after the first `opened`.
    pub(super) fn compare(&self, server: &Server, opened: u64) {
        let mut state = self.state();
        if state.opened != opened {
            return;
        }
        let objection = |thread: &usize| server.objection(&state.servers[*thread].as_ref()?.0);
        let threads: Vec<usize> = (0..THREADS).filter(|thread| objection(thread).is_some()).collect();
        if let Some(why) = threads.first().and_then(objection) {
            self.drop_links(&mut state, &threads, why);
        }
    }

    /// Lets both threads replace their connections.
    pub(super) fn leave(&self, why: &'static str) {
        self.drop_links(&mut self.state(), &[0, 1], why);
    }

    fn drop_links(&self, state: &mut State, threads: &[usize], why: &'static str) {
        let mut dropped = false;
        for thread in threads.iter().copied() {
            if state.servers[thread].is_none() || state.leave[thread].is_some() {
                continue;
            }
            state.leave[thread] = Some(why);
            dropped = true;
            if thread == Role::Subscriber as usize
                && let Some(closer) = state.closer.take()
            {
                closer.close();
            }
        }
        count(&self.counts.failovers, u64::from(dropped));
        self.changed.notify_all();
    }

    /// Records that a thread has reached Redis, or why it has not, and wakes threads that wait for that.
    pub(super) fn record_attempt(&self, role: Role, outcome: Result<(), &str>) {
        let mut state = self.state();
        state.tried[role as usize] = true;
        let was_away = state.away.contains(&true);
        state.away[role as usize] = outcome.is_err();
        let is_away = state.away.contains(&true);
        state.reached += u64::from(outcome.is_ok());
        drop(state);
        self.changed.notify_all();
        match outcome {
            Err(why) if !was_away => self.options.report(Some(why)),
            Ok(()) if was_away && !is_away => self.options.report(None),
            _ => {}
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.state().phase == Phase::Stopping
    }

    /// Starts a thread of the broker that [`detach`](fleeting::Broker::detach) waits for.
    pub(super) fn spawn(
        self: &Arc<Shared>,
        name: &str,
        work: impl FnOnce(&Shared) + Send + 'static,
    ) -> io::Result<()> {
        let shared = self.clone();
        let work = move || {
            let end = CountEnd(&shared);
            work(&shared);
            drop(end);
        };
        thread::Builder::new().name(format!("fleeting-{name}")).spawn(work).map(drop)
    }

    /// Starts the thread that watches the address. It has nothing to finish when the broker stops.
    pub(super) fn spawn_watch(self: &Arc<Shared>, watch: fn(&Shared)) -> io::Result<()> {
        let shared = self.clone();
        thread::Builder::new().name("fleeting-watch".into()).spawn(move || watch(&shared)).map(drop)
    }
}

impl Wake for Shared {
    fn look_soon(&self) {
        self.state().looks_soon = true;
        self.changed.notify_all();
    }
}

/// Counts the end of a thread, even if it panics.
struct CountEnd<'s>(&'s Shared);

impl Drop for CountEnd<'_> {
    fn drop(&mut self) {
        self.0.state().ended += 1;
        self.0.changed.notify_all();
    }
}
