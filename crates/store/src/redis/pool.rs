//! The connections of a store, each lent to one operation at a time, and what is done when there are none.
//!
//! It knows no command. Invariants: a link is put back only if it is whole and no outage has been seen since it was
//! made; and while Redis is away, one thread tries to reach it, and everybody else is told at once.

use super::backoff::{Backoff, chance};
use super::failure::sentence;
use super::link::Link;
use super::options::RedisOptions;
use super::url::RedisUrl;
use crate::StoreError;
use redis::RedisError;
use socket2::SockAddr;
use std::borrow::Cow;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

/// The connections. Dropping it closes those that are not lent, and ends its thread.
pub(super) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    url: RedisUrl,
    options: RedisOptions,
    state: Mutex<State>,
    /// What an operation waits for: a link was put back or given up, or whether Redis is there is known.
    changed: Condvar,
    /// What the thread that reaches Redis waits for: it has gone, or the pool has.
    gone: Condvar,
}

struct State {
    idle: Vec<Link>,
    /// Links that there are or that are being made, the lent ones included.
    count: usize,
    health: Health,
    /// Outages so far: a link that was made before one is not used after it.
    outages: u64,
    /// What the host's name stood for when Redis was reached last.
    addrs: Arc<[SockAddr]>,
    over: bool,
}

enum Health {
    Up,
    Down {
        why: Cow<'static, str>,
        /// Nothing has been tried yet: it may be well worth to wait for that.
        hopeful: bool,
    },
}

/// A link that is lent to an operation. Dropping it gives it up.
pub(super) struct Lent<'p> {
    pool: &'p Pool,
    link: Option<Link>,
    outages: u64,
    since: Instant,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody who has seen so many outages has failed with something that he began then: Redis may be away.
    fn suspect(&self, outages: u64, error: &RedisError, since: Instant) {
        // Who had to wait for a link for most of his time says little about Redis.
        if error.is_timeout() && since.elapsed() < self.options.timeout / 2 {
            return;
        }
        let why = sentence(error, self.options.timeout);
        let mut state = self.state();
        if state.outages == outages && matches!(state.health, Health::Up) {
            state.outages += 1;
            state.health = Health::Down { why, hopeful: true };
            state.count -= state.idle.len();
            state.idle.clear();
            self.gone.notify_one();
        }
    }
}

fn wait<'g>(on: &Condvar, state: MutexGuard<'g, State>, until: Instant) -> MutexGuard<'g, State> {
    let left = until.saturating_duration_since(Instant::now());
    on.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
}

impl Pool {
    /// No connection yet; a thread begins to make the first.
    pub(super) fn new(url: RedisUrl, options: RedisOptions) -> io::Result<Pool> {
        let state = State {
            idle: Vec::new(),
            count: 0,
            health: Health::Down { why: "it was not reached yet".into(), hopeful: true },
            outages: 0,
            addrs: Arc::default(),
            over: false,
        };
        let (state, changed, gone) = (Mutex::new(state), Condvar::new(), Condvar::new());
        let shared = Arc::new(Shared { url, options, state, changed, gone });
        let own = shared.clone();
        thread::Builder::new().name("fleeting-redis".into()).spawn(move || keep_up(&own))?;
        Ok(Pool { shared })
    }

    /// Lends a link, which is waited for until `deadline` if all are lent, or if nobody knows yet whether Redis is
    /// there.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(super) fn lend(&self, deadline: Instant) -> Result<Lent<'_>, StoreError> {
        let shared = &*self.shared;
        let mut state = shared.state();
        loop {
            let waited_for: Cow<'static, str> = match &state.health {
                Health::Down { why, hopeful: false } => return Err(StoreError::Unavailable(why.clone())),
                Health::Down { why, hopeful: true } => why.clone(),
                Health::Up => {
                    let outages = state.outages;
                    let lent = |link| Lent { pool: self, link: Some(link), outages, since: Instant::now() };
                    if let Some(mut link) = state.idle.pop() {
                        drop(state);
                        // The peer may have closed it while nobody looked.
                        if link.is_quiet() {
                            return Ok(lent(link));
                        }
                        drop(lent(link));
                        state = shared.state();
                        continue;
                    }
                    if state.count < shared.options.connections {
                        state.count += 1;
                        let addrs = state.addrs.clone();
                        drop(state);
                        let since = Instant::now();
                        let made = Link::connect(&shared.url, &addrs, deadline);
                        return made.map(lent).map_err(|error| {
                            shared.state().count -= 1;
                            shared.changed.notify_all();
                            shared.suspect(outages, &error, since);
                            StoreError::Unavailable(sentence(&error, shared.options.timeout))
                        });
                    }
                    "all connections are in use".into()
                }
            };
            if Instant::now() >= deadline {
                return Err(StoreError::Unavailable(waited_for));
            }
            state = wait(&shared.changed, state, deadline);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.over = true;
        state.idle.clear();
        drop(state);
        self.shared.gone.notify_one();
    }
}

impl Lent<'_> {
    pub(super) fn link(&mut self) -> &mut Link {
        self.link.as_mut().expect("it is there until it is given back")
    }

    /// The operation is over. What it has failed with says, if the link is not whole, whether Redis may be away.
    pub(super) fn give_back(mut self, failed: Option<&RedisError>) {
        let shared = &*self.pool.shared;
        if self.link().is_whole() {
            let mut state = shared.state();
            if state.outages == self.outages && !state.over {
                state.idle.extend(self.link.take());
                drop(state);
                shared.changed.notify_one();
            }
            return;
        }
        if let Some(error) = failed {
            shared.suspect(self.outages, error, self.since);
        }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(link) = self.link.take() {
            drop(link);
            self.pool.shared.state().count -= 1;
            // Whoever waits may make another one.
            self.pool.shared.changed.notify_all();
        }
    }
}

/// Reaches Redis whenever it is away, until the pool is gone.
fn keep_up(shared: &Shared) {
    let mut backoff = Backoff::new();
    let mut told = false;
    loop {
        let mut state = shared.state();
        while matches!(state.health, Health::Up) && !state.over {
            state = shared.gone.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.over {
            return;
        }
        drop(state);
        match reach(shared) {
            Ok((link, addrs)) => {
                let mut state = shared.state();
                if state.over {
                    return;
                }
                state.health = Health::Up;
                state.addrs = addrs;
                state.idle.push(link);
                state.count += 1;
                drop(state);
                shared.changed.notify_all();
                backoff.reset();
                if std::mem::take(&mut told) {
                    shared.options.tell(None);
                }
            }
            Err(why) => {
                let mut state = shared.state();
                state.health = Health::Down { why: why.clone(), hopeful: false };
                drop(state);
                shared.changed.notify_all();
                if !std::mem::replace(&mut told, true) {
                    shared.options.tell(Some(&why));
                }
                let until = Instant::now() + backoff.wait(chance());
                let mut state = shared.state();
                while Instant::now() < until && !state.over {
                    state = wait(&shared.gone, state, until);
                }
            }
        }
    }
}

fn reach(shared: &Shared) -> Result<(Link, Arc<[SockAddr]>), Cow<'static, str>> {
    let timeout = shared.options.timeout;
    let addrs = shared.url.resolve().map_err(|error| format!("its name is not resolved: {error}"))?;
    let link = Link::connect(&shared.url, &addrs, Instant::now() + timeout);
    link.map(|link| (link, addrs.into())).map_err(|error| sentence(&error, timeout))
}
