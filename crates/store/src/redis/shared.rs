//! What a server's threads and its broker's two threads share.

use super::backoff::{Backoff, chance};
use super::counters::Counts;
use super::link::Cutter;
use super::options::RedisOptions;
use super::peers::Gap;
use super::url::RedisUrl;
use fleeting::Publication;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

/// What the server's threads and the broker's two have in common.
pub(super) struct Shared {
    pub(super) url: RedisUrl,
    pub(super) options: RedisOptions,
    pub(super) channel: String,
    pub(super) node: Box<str>,
    pub(super) incarnation: u64,
    /// What is said of a gap.
    pub(super) announce: Option<Box<Announce>>,
    pub(super) state: Mutex<State>,
    /// Something in the state has changed that somebody may wait for.
    pub(super) changed: Condvar,
    pub(super) counts: Counts,
}

pub(super) type Announce = dyn Fn(&Gap) -> String + Send + Sync;

pub(super) struct State {
    pub(super) stage: Stage,
    /// What is to be sent, and its number.
    pub(super) queue: VecDeque<(u64, Arc<Publication>)>,
    /// Bytes of all that is in the queue.
    pub(super) queued_bytes: usize,
    /// The number of the last publication that was made.
    pub(super) last: u64,
    /// There is a connection to send on: publications are queued.
    pub(super) is_open: bool,
    /// When a publication was dropped last.
    pub(super) lost_at: Option<Instant>,
    /// Ends the wait for what others publish; there is one while it is waited for.
    pub(super) cutter: Option<Cutter>,
    /// What others publish comes in, and who was to be told that some was missed has been.
    pub(super) is_listening: bool,
    /// Times that a thread has reached Redis: the other one need not wait any longer then.
    pub(super) reached: u64,
    /// Whether each thread has tried to reach it.
    pub(super) tried: [bool; THREADS],
    /// Whether each thread has failed to reach it since it did last.
    pub(super) away: [bool; THREADS],
    /// Threads that have ended.
    pub(super) ended: usize,
}

/// How far a broker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Unattached,
    /// Nobody is connected to the server yet.
    Attached,
    Serving,
    /// What is queued is sent, and that is all.
    Ending,
}

/// Which of a broker's threads.
#[derive(Debug, Clone, Copy)]
pub(super) enum Who {
    Publisher,
    Subscriber,
}

/// How many there are.
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
        let until = Instant::now() + backoff.wait(chance());
        let mut state = self.state();
        let reached = state.reached;
        while state.stage < Stage::Ending && state.reached == reached && Instant::now() < until {
            state = self.wait(state, until);
        }
    }

    /// Waits for a connection to send on, for the `timeout` at most.
    pub(super) fn wait_until_open(&self) {
        let until = Instant::now() + self.options.timeout;
        let mut state = self.state();
        while !state.is_open && state.stage < Stage::Ending && Instant::now() < until {
            state = self.wait(state, until);
        }
    }

    /// A thread has reached Redis, or has not, and why: whoever waits for that need not any longer.
    pub(super) fn has_tried(&self, who: Who, outcome: Result<(), &str>) {
        let mut state = self.state();
        state.tried[who as usize] = true;
        let was_away = state.away.contains(&true);
        state.away[who as usize] = outcome.is_err();
        let is_away = state.away.contains(&true);
        state.reached += u64::from(outcome.is_ok());
        drop(state);
        self.changed.notify_all();
        match outcome {
            Err(why) if !was_away => self.options.tell(Some(why)),
            Ok(()) if was_away && !is_away => self.options.tell(None),
            _ => {}
        }
    }

    pub(super) fn is_ending(&self) -> bool {
        self.state().stage == Stage::Ending
    }

    pub(super) fn begin(
        self: &Arc<Shared>,
        name: &str,
        work: impl FnOnce(&Shared) + Send + 'static,
    ) -> io::Result<()> {
        let shared = self.clone();
        let work = move || {
            let ending = Ending(&shared);
            work(&shared);
            drop(ending);
        };
        thread::Builder::new().name(format!("fleeting-{name}")).spawn(work).map(drop)
    }
}

/// Says that a thread has ended, in whatever way.
struct Ending<'s>(&'s Shared);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.state().ended += 1;
        self.0.changed.notify_all();
    }
}
