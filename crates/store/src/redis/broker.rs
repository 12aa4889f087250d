//! The broker over Redis: publications of this server go out on one channel, and those of others arrive on it.
//!
//! It knows no command of Redis; the threads of [`publishing`](super::publishing) and
//! [`subscribing`](super::subscribing) do, each on its own connection. Invariant: apart from its time in the queue, a
//! publication is sent at once or never. If it is never sent, the gap in the numbers reveals the loss to the other
//! servers.

use super::backoff::random;
use super::counters::{BrokerCounters, Counts, count};
use super::node::{NodeError, check_node};
use super::options::RedisOptions;
use super::peers::Gap;
use super::route::Route;
use super::shared::{Phase, Queued, Shared, State, THREADS};
use super::url::RedisUrl;
use super::{publishing, subscribing, watching};
use fleeting::{Broker, Inlet, Publication};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::time::Instant;

/// Joins servers over a Redis channel: a publication on one arrives on all.
///
/// One channel carries all topics, so publications of one server arrive everywhere in the order in which they were made.
/// Each server picks out what its subscribers need. The name of the channel contains the namespace and the number of the
/// database: servers with the same two share their topics.
///
/// Delivery is *at most once*. A publication is sent when it is made. If that is impossible, because Redis is unavailable
/// or too slow, the publication is dropped; it is never sent late or twice. Subscribers on the server that made it get it
/// anyway.
///
/// Every publication has a number, so the other servers notice that one was dropped. Then, and when the connection to
/// Redis is back after an outage, the broker announces a [`Gap`] to all clients that have subscribed to anything: once,
/// and at the point where something may be missing. An outage that lasts is announced meanwhile as well. See
/// [`announce`](RedisBroker::announce).
///
/// The address must lead to a primary, because what is published on a replica reaches only that one's clients. The broker
/// leaves a server that has become a replica, or that the address no longer leads to, within a
/// [heartbeat](RedisOptions::heartbeat). Then the gap is announced here, and on servers that have left before.
///
/// Every client of Redis that may publish on the channel is trusted. Messages in any other format are counted and
/// ignored.
///
/// ```no_run
/// use fleeting::{App, Server};
/// use fleeting_store::{RedisBroker, RedisOptions};
/// use std::sync::Arc;
///
/// let broker = RedisBroker::new("redis://127.0.0.1:6379".parse()?, RedisOptions::new(), "node-1")?
///     .announce(|gap| format!("messages may be missing: {gap}"));
/// Server::builder().bind("127.0.0.1:8080").broker(Arc::new(broker)).serve(|_worker| App::new())?.run()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RedisBroker {
    shared: Arc<Shared>,
}

/// The most publications in the queue, and the most bytes that they may hold. Further ones are dropped.
const QUEUE_MAX: usize = 65_536;
const QUEUE_BYTES_MAX: usize = 32 << 20;

impl RedisBroker {
    /// Creates a broker for one server. `node` names the server among those that share the channel; it appears in
    /// messages for people, so two servers of the same name do no harm.
    ///
    /// Redis need not be available yet. The broker connects when the server starts.
    ///
    /// # Errors
    /// [`NodeError`] if the name does not have 1 to 64 bytes or contains a control character.
    pub fn new(url: RedisUrl, options: RedisOptions, node: &str) -> Result<RedisBroker, NodeError> {
        check_node(node)?;
        let channel = format!("{}topics.{}", options.namespace, url.database);
        let state = State {
            phase: Phase::Unattached,
            queue: VecDeque::new(),
            queued_bytes: 0,
            last_number: 0,
            last_made: None,
            is_open: false,
            servers: Default::default(),
            looks_soon: false,
            leave: [None; THREADS],
            opened: 0,
            publisher_ended: 0,
            closer: None,
            is_listening: false,
            reached: 0,
            tried: [false; THREADS],
            away: [false; THREADS],
            ended: 0,
        };
        let shared = Shared {
            route: Route::new(url),
            options,
            channel,
            node: node.into(),
            incarnation: random(),
            announce: None,
            state: Mutex::new(state),
            changed: Condvar::new(),
            counts: Counts::default(),
        };
        Ok(RedisBroker { shared: Arc::new(shared) })
    }

    /// Sets the message that announces a [`Gap`] to all clients that have subscribed to anything, as
    /// [`Handle::announce`] does: a WebSocket gets the text, an event stream gets an event of type `gap`. Without a
    /// message, gaps are only counted.
    ///
    /// [`Handle::announce`]: fleeting::Handle::announce
    ///
    /// # Panics
    /// If the broker is attached to a server already.
    pub fn announce(mut self, text: impl Fn(&Gap) -> String + Send + Sync + 'static) -> RedisBroker {
        let shared = Arc::get_mut(&mut self.shared).expect("the broker is not attached yet");
        shared.announce = Some(Box::new(text));
        self
    }

    /// Returns whether publications are sent and received, as far as the broker knows. After an outage this becomes
    /// true once the gap was announced.
    pub fn is_connected(&self) -> bool {
        let state = self.shared.state();
        state.is_open && state.is_listening
    }

    /// Returns what the broker has counted so far.
    pub fn counters(&self) -> BrokerCounters {
        self.shared.counts.snapshot()
    }
}

impl Broker for RedisBroker {
    fn publish(&self, publication: &Arc<Publication>) {
        let Shared { changed, counts, .. } = &*self.shared;
        let mut state = self.shared.state();
        state.last_number += 1;
        let last_made = state.last_made.replace(Instant::now());
        count(&counts.published, 1);
        let bytes = state.queued_bytes + publication.memory_bytes();
        if !state.is_open || state.phase == Phase::Stopping {
            count(&counts.dropped_away, 1);
        } else if state.queue.len() >= QUEUE_MAX || bytes > QUEUE_BYTES_MAX {
            count(&counts.dropped_full, 1);
        } else {
            let number = state.last_number;
            state.queue.push_back(Queued { number, last_made, publication: publication.clone() });
            state.queued_bytes = bytes;
            if state.queue.len() == 1 {
                changed.notify_all();
            }
        }
    }

    /// Waits for the first attempt to reach Redis, at most for the `timeout`. If it succeeds, no client misses anything,
    /// because none is connected yet.
    fn attach(&self, inlet: Arc<dyn Inlet>) -> io::Result<()> {
        let shared = &self.shared;
        let mut state = shared.state();
        if state.phase != Phase::Unattached {
            let error = "the broker is attached to a server already";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, error));
        }
        shared.route.check()?;
        state.phase = Phase::Starting;
        drop(state);
        let wake: Weak<Shared> = Arc::downgrade(shared);
        shared.options.alarm.listen(shared.route.url(), wake);
        shared.spawn("publish", publishing::run)?;
        let started = shared.spawn("subscribe", move |shared| subscribing::run(shared, &*inlet));
        let started = started.and_then(|()| shared.spawn_watch(watching::run));
        if started.is_err() {
            self.detach();
            return started;
        }
        let until = Instant::now() + shared.options.timeout;
        let mut state = shared.state();
        while state.tried != [true; THREADS] && Instant::now() < until {
            state = shared.wait(state, until);
        }
        state.phase = Phase::Serving;
        Ok(())
    }

    /// Waits until the queue is sent and both threads have ended, at most for twice the `timeout`.
    fn detach(&self) {
        let shared = &self.shared;
        let mut state = shared.state();
        state.phase = Phase::Stopping;
        if let Some(closer) = state.closer.take() {
            closer.close();
        }
        shared.changed.notify_all();
        let until = Instant::now() + 2 * shared.options.timeout;
        while state.ended < THREADS && Instant::now() < until {
            state = shared.wait(state, until);
        }
    }
}

impl fmt::Debug for RedisBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBroker")
            .field("url", self.shared.route.url())
            .field("channel", &self.shared.channel)
            .field("node", &self.shared.node)
            .finish_non_exhaustive()
    }
}
