//! What a broker's two threads share with each other and with the server's threads.
//!
//! It knows no command of Redis, no topic and no subscriber. Invariant: it never runs the application's code while the
//! state is locked.

use super::backoff::{Backoff, random};
use super::counters::Counts;
use super::link::LinkCloser;
use super::options::RedisOptions;
use super::peers::Gap;
use super::url::RedisUrl;
use fleeting::Publication;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

/// What all threads of a broker share.
pub(super) struct Shared {
    pub(super) url: RedisUrl,
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
    /// The publications to send, and their numbers.
    pub(super) queue: VecDeque<(u64, Arc<Publication>)>,
    /// The bytes that the queued publications hold.
    pub(super) queued_bytes: usize,
    /// The number of the last publication made.
    pub(super) last_number: u64,
    /// There is a connection to send on, so publications are queued rather than dropped.
    pub(super) is_open: bool,
    /// When a publication was last dropped.
    pub(super) lost_at: Option<Instant>,
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

    /// Waits before the next attempt to reach Redis, unless the other thread reaches it meanwhile.
    pub(super) fn back_off(&self, backoff: &mut Backoff) {
        let until = Instant::now() + backoff.wait(random());
        let mut state = self.state();
        let reached = state.reached;
        while state.phase < Phase::Stopping && state.reached == reached && Instant::now() < until {
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

    /// Starts a thread of the broker.
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
}

/// Counts the end of a thread, even if it panics.
struct CountEnd<'s>(&'s Shared);

impl Drop for CountEnd<'_> {
    fn drop(&mut self) {
        self.0.state().ended += 1;
        self.0.changed.notify_all();
    }
}
