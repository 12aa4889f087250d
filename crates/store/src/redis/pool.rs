//! The connections of a store, and reconnecting.
//!
//! An operation takes a connection for itself and returns it afterwards. The pool knows no command. Invariants: a link
//! returns to the pool only if it is usable and no outage was noticed since it was made; and while Redis is unavailable,
//! one thread tries to reconnect and every operation fails at once.

use super::alarm::Wake;
use super::backoff::{Backoff, random};
use super::failure::describe;
use super::link::Link;
use super::options::RedisOptions;
use super::primary::Server;
use super::route::{Place, Route};
use crate::StoreError;
use redis::RedisError;
use std::borrow::Cow;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Instant;

/// The connections. Dropping the pool closes the idle ones and ends its thread.
pub(super) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    route: Route,
    options: RedisOptions,
    state: Mutex<State>,
    /// Wakes operations: a link was returned or discarded, or the health has changed.
    changed: Condvar,
    /// Wakes the thread that reconnects: Redis is down, or the pool was dropped.
    wake_reconnect: Condvar,
}

struct State {
    idle: Vec<Link>,
    /// Links that exist or are being made, including those in use.
    count: usize,
    health: Health,
    /// Outages so far. A link that was made before an outage is not used after it.
    outages: u64,
    /// Where Redis was last found.
    place: Place,
    /// The server that the links lead to.
    server: Server,
    /// Look where the address leads without waiting for the next beat.
    looks_soon: bool,
    /// The pool was dropped.
    closed: bool,
}

enum Health {
    Up,
    Down {
        why: Cow<'static, str>,
        /// No attempt to reconnect has ended yet, so operations wait for it rather than fail.
        untried: bool,
    },
}

/// A link that is in use by an operation. Dropping it discards the link.
pub(super) struct Lease<'p> {
    pool: &'p Pool,
    link: Option<Link>,
    outages: u64,
    since: Instant,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Handles the failure of an operation that began at `since`, after `outages` outages: Redis may be unavailable.
    fn on_failure(&self, outages: u64, error: &RedisError, since: Instant) {
        // An operation that waited for a link most of its time timed out because of that.
        if error.is_timeout() && since.elapsed() < self.options.timeout / 2 {
            return;
        }
        self.go_down(outages, describe(error, self.options.timeout));
    }

    /// Makes every operation fail or wait until Redis is reached again, unless an outage was noticed after the first
    /// `outages`.
    fn go_down(&self, outages: u64, why: Cow<'static, str>) {
        let mut state = self.state();
        if state.outages == outages && matches!(state.health, Health::Up) {
            state.drop_links();
            state.health = Health::Down { why, untried: true };
            self.wake_reconnect.notify_one();
            drop(state);
            self.options.alarm.raise(self.route.url());
        }
    }

    /// Records that a link leads to `server`, which was made after `outages` outages. The older links are dropped if they
    /// lead to another one: the newest shows where the address leads now. Returns the outages that the link has seen.
    fn join(&self, outages: u64, server: &Server) -> u64 {
        let mut state = self.state();
        if state.outages != outages {
            return outages;
        }
        let differs = server.differs_from(&state.server);
        if differs {
            state.drop_links();
        }
        state.server = server.clone();
        let outages = state.outages;
        drop(state);
        if differs {
            self.options.alarm.raise(self.route.url());
        }
        outages
    }
}

impl Wake for Shared {
    fn look_soon(&self) {
        self.state().looks_soon = true;
        self.wake_reconnect.notify_one();
    }
}

impl State {
    /// Closes the idle links, and lets those in use be closed when they are released.
    fn drop_links(&mut self) {
        self.outages += 1;
        self.count -= self.idle.len();
        self.idle.clear();
    }
}

fn wait<'g>(on: &Condvar, state: MutexGuard<'g, State>, until: Instant) -> MutexGuard<'g, State> {
    let left = until.saturating_duration_since(Instant::now());
    on.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
}

impl Pool {
    /// Creates a pool without connections, and starts the thread that makes the first one.
    pub(super) fn new(route: Route, options: RedisOptions) -> io::Result<Pool> {
        let state = State {
            idle: Vec::new(),
            count: 0,
            health: Health::Down { why: "it has not been reached yet".into(), untried: true },
            outages: 0,
            place: Place::default(),
            server: Server::default(),
            looks_soon: false,
            closed: false,
        };
        let (state, changed, wake_reconnect) = (Mutex::new(state), Condvar::new(), Condvar::new());
        let shared = Arc::new(Shared { route, options, state, changed, wake_reconnect });
        let own = shared.clone();
        let wake: Weak<Shared> = Arc::downgrade(&shared);
        shared.options.alarm.listen(shared.route.url(), wake);
        thread::Builder::new().name("fleeting-redis".into()).spawn(move || reconnect(&own))?;
        Ok(Pool { shared })
    }

    /// Takes a link out of the pool. Waits until `deadline` if all are in use, or if it is not yet known whether Redis is
    /// available.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(super) fn acquire(&self, deadline: Instant) -> Result<Lease<'_>, StoreError> {
        let shared = &*self.shared;
        let mut state = shared.state();
        loop {
            let why_waiting: Cow<'static, str> = match &state.health {
                Health::Down { why, untried: false } => return Err(StoreError::Unavailable(why.clone())),
                Health::Down { why, untried: true } => why.clone(),
                Health::Up => {
                    let outages = state.outages;
                    let lease = |link| Lease { pool: self, link: Some(link), outages, since: Instant::now() };
                    if let Some(mut link) = state.idle.pop() {
                        drop(state);
                        // The peer may have closed it while it was idle.
                        if link.check_idle() {
                            return Ok(lease(link));
                        }
                        drop(lease(link));
                        state = shared.state();
                        continue;
                    }
                    if state.count < shared.options.connections {
                        state.count += 1;
                        let place = state.place.clone();
                        drop(state);
                        let since = Instant::now();
                        let link = match shared.route.connect(&place, deadline) {
                            Ok(link) => link.of_primary().inspect_err(|why| {
                                shared.go_down(outages, why.clone());
                            }),
                            Err(error) => {
                                shared.on_failure(outages, &error, since);
                                Err(describe(&error, shared.options.timeout))
                            }
                        };
                        return match link {
                            Ok(link) => {
                                let outages = shared.join(outages, link.server());
                                Ok(Lease { pool: self, link: Some(link), outages, since: Instant::now() })
                            }
                            Err(why) => {
                                shared.state().count -= 1;
                                shared.changed.notify_all();
                                Err(StoreError::Unavailable(why))
                            }
                        };
                    }
                    "all connections are in use".into()
                }
            };
            if Instant::now() >= deadline {
                return Err(StoreError::Unavailable(why_waiting));
            }
            state = wait(&shared.changed, state, deadline);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.closed = true;
        state.idle.clear();
        drop(state);
        self.shared.wake_reconnect.notify_one();
    }
}

impl Lease<'_> {
    pub(super) fn link(&mut self) -> &mut Link {
        self.link.as_mut().expect("a lease holds its link until it is released")
    }

    /// Ends the operation. If the link is not usable, `error` decides whether Redis may be unavailable.
    pub(super) fn release(mut self, error: Option<&RedisError>) {
        let shared = &*self.pool.shared;
        if self.link().is_usable() {
            let mut state = shared.state();
            if state.outages == self.outages && !state.closed {
                state.idle.extend(self.link.take());
                drop(state);
                shared.changed.notify_one();
            }
            return;
        }
        if let Some(error) = error {
            shared.on_failure(self.outages, error, self.since);
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Some(link) = self.link.take() {
            drop(link);
            self.pool.shared.state().count -= 1;
            // A waiting operation may make a new one.
            self.pool.shared.changed.notify_all();
        }
    }
}

/// Reconnects whenever Redis is unavailable, and otherwise checks with every heartbeat where the address leads, until the
/// pool is dropped.
fn reconnect(shared: &Shared) {
    let mut backoff = Backoff::new();
    let mut reported = false;
    loop {
        let mut state = shared.state();
        let mut check_at = Instant::now() + shared.options.heartbeat;
        while matches!(state.health, Health::Up) && !state.closed {
            if std::mem::take(&mut state.looks_soon) || Instant::now() >= check_at {
                drop(state);
                check(shared);
                check_at = Instant::now() + shared.options.heartbeat;
                state = shared.state();
                continue;
            }
            state = wait(&shared.wake_reconnect, state, check_at);
        }
        if state.closed {
            return;
        }
        drop(state);
        let found = shared.route.find(shared.options.timeout);
        match found.and_then(|(link, place)| Ok((link.of_primary()?, place))) {
            Ok((link, place)) => {
                let mut state = shared.state();
                if state.closed {
                    return;
                }
                state.health = Health::Up;
                state.server = link.server().clone();
                state.looks_soon = false;
                state.place = place;
                state.idle.push(link);
                state.count += 1;
                drop(state);
                shared.changed.notify_all();
                backoff.reset();
                if std::mem::take(&mut reported) {
                    shared.options.report(None);
                }
            }
            Err(why) => {
                let mut state = shared.state();
                state.health = Health::Down { why: why.clone(), untried: false };
                drop(state);
                shared.changed.notify_all();
                if !std::mem::replace(&mut reported, true) {
                    shared.options.report(Some(&why));
                }
                let until = Instant::now() + backoff.wait(random());
                let mut state = shared.state();
                while Instant::now() < until && !state.closed {
                    state = wait(&shared.wake_reconnect, state, until);
                }
            }
        }
    }
}

/// Looks where the address leads, with a fresh link: the links of the pool may outlive a failover, and then lead to a
/// replica, from which old values are read, or to a server that nobody else uses.
fn check(shared: &Shared) {
    let state = shared.state();
    let (outages, count) = (state.outages, state.count);
    drop(state);
    if count == 0 {
        return;
    }
    // If Redis cannot be reached, the next operation notices.
    let Ok((link, place)) = shared.route.find(shared.options.timeout) else { return };
    match link.of_primary() {
        Ok(link) => {
            shared.state().place = place;
            shared.join(outages, link.server());
        }
        Err(why) => shared.go_down(outages, why),
    }
}
