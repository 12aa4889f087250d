//! The broker over a Redis: what is published here goes out on one channel, and what others publish comes in.
//!
//! It knows no command of Redis's: [`publishing`](super::publishing) and [`subscribing`](super::subscribing) do, each
//! on a thread and a connection of its own. Invariant: a publication that does not go out when it is made, but for the
//! time that the queue takes, never does; its number tells the others.

use super::backoff::chance;
use super::counters::{BrokerCounters, Counts, count};
use super::node::{NodeError, check_node};
use super::options::RedisOptions;
use super::peers::Gap;
use super::shared::{Shared, Stage, State, THREADS};
use super::url::RedisUrl;
use super::{publishing, subscribing};
use fleeting::{Broker, Inlet, Publication};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

/// Shares topics with other servers, over a channel of a Redis: what is published on one arrives on all.
///
/// One channel carries all topics, so that what one server publishes arrives everywhere in the order in which it was
/// published; each server takes out of it what its subscribers want. The channel bears the namespace and the number
/// of the database: servers hear each other if both are the same.
///
/// What is promised is at most once. A publication is sent when it is made: what cannot be sent then, because Redis is
/// away or does not keep up, is dropped, and never sent late or twice. Subscribers on the server that it was made on
/// get it all the same. Every publication has a number, so that the others learn that one was dropped; then, and when
/// the connection to Redis was lost and is back, all who have subscribed to anything are told of the [`Gap`], once, at
/// the place where something may be missing: see [`announce`](RedisBroker::announce).
///
/// Whoever may publish on the channel is trusted to say who he is. Bytes that are nothing of ours are counted and
/// ignored.
///
/// ```no_run
/// use fleeting::{App, Server};
/// use fleeting_store::{RedisBroker, RedisOptions};
/// use std::sync::Arc;
///
/// let broker = RedisBroker::new("redis://127.0.0.1:6379".parse()?, RedisOptions::new(), "node-1")?
///     .announce(|gap| format!("something is missing: {gap}"));
/// Server::builder().bind("127.0.0.1:8080").broker(Arc::new(broker)).serve(|_worker| App::new())?.run()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RedisBroker {
    shared: Arc<Shared>,
}

/// Publications that are queued, and the bytes that they hold; one of more is never sent.
const QUEUE_MAX: usize = 65_536;
const QUEUE_BYTES_MAX: usize = 32 << 20;

impl RedisBroker {
    /// A broker for one server, which is named `node`, in 1 to 64 bytes, among those that hear each other. The name is
    /// for people: should two have the same, nothing is mistaken.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn new(url: RedisUrl, options: RedisOptions, node: &str) -> Result<RedisBroker, NodeError> {
        check_node(node)?;
        let channel = format!("{}topics.{}", options.namespace, url.database);
        let state = State {
            stage: Stage::Unattached,
            queue: VecDeque::new(),
            queued_bytes: 0,
            last: 0,
            is_open: false,
            lost_at: None,
            cutter: None,
            is_listening: false,
            reached: 0,
            tried: [false; THREADS],
            away: [false; THREADS],
            ended: 0,
        };
        let shared = Shared {
            url,
            options,
            channel,
            node: node.into(),
            incarnation: chance(),
            announce: None,
            state: Mutex::new(state),
            changed: Condvar::new(),
            counts: Counts::default(),
        };
        Ok(RedisBroker { shared: Arc::new(shared) })
    }

    /// Says what all who have subscribed to anything are told of a gap, as [`Handle::announce`] does: a WebSocket gets
    /// the text, a stream of events an event of type `gap`. Without this they are not told.
    ///
    /// [`Handle::announce`]: fleeting::Handle::announce
    ///
    /// # Panics
    /// If it is attached already.
    pub fn announce(mut self, text: impl Fn(&Gap) -> String + Send + Sync + 'static) -> RedisBroker {
        let shared = Arc::get_mut(&mut self.shared).expect("it is not attached yet");
        shared.announce = Some(Box::new(text));
        self
    }

    /// Whether publications go out and come in, as far as is known. After a loss this is not so before the gap
    /// was announced.
    pub fn is_connected(&self) -> bool {
        let state = self.shared.state();
        state.is_open && state.is_listening
    }

    /// What was counted so far.
    pub fn counters(&self) -> BrokerCounters {
        let counts = &self.shared.counts;
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        BrokerCounters {
            published: of(&counts.published),
            sent: of(&counts.sent),
            dropped_away: of(&counts.dropped_away),
            dropped_full: of(&counts.dropped_full),
            received: of(&counts.received),
            overflowed: of(&counts.overflowed),
            late: of(&counts.late),
            malformed: of(&counts.malformed),
            gaps: of(&counts.gaps),
        }
    }
}

impl Broker for RedisBroker {
    fn publish(&self, publication: &Arc<Publication>) {
        let Shared { changed, counts, .. } = &*self.shared;
        let mut state = self.shared.state();
        state.last += 1;
        count(&counts.published, 1);
        let bytes = state.queued_bytes + publication.memory_bytes();
        if !state.is_open || state.stage == Stage::Ending {
            count(&counts.dropped_away, 1);
        } else if state.queue.len() >= QUEUE_MAX || bytes > QUEUE_BYTES_MAX {
            count(&counts.dropped_full, 1);
        } else {
            let entry = (state.last, publication.clone());
            state.queue.push_back(entry);
            state.queued_bytes = bytes;
            if state.queue.len() == 1 {
                changed.notify_all();
            }
            return;
        }
        state.lost_at = Some(Instant::now());
    }

    /// Waits for the first attempt to reach Redis, for the `timeout` at most: if it succeeds, nobody misses anything,
    /// because nobody is connected yet.
    fn attach(&self, inlet: Arc<dyn Inlet>) -> io::Result<()> {
        let shared = &self.shared;
        let mut state = shared.state();
        if state.stage != Stage::Unattached {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a broker is for one server"));
        }
        state.stage = Stage::Attached;
        drop(state);
        shared.begin("publish", publishing::run)?;
        let listened = shared.begin("subscribe", move |shared| subscribing::run(shared, &*inlet));
        if listened.is_err() {
            self.detach();
            return listened;
        }
        let until = Instant::now() + shared.options.timeout;
        let mut state = shared.state();
        while state.tried != [true; THREADS] && Instant::now() < until {
            state = shared.wait(state, until);
        }
        state.stage = Stage::Serving;
        Ok(())
    }

    /// Waits until what is queued is sent and both threads have ended, for the `timeout` and a little more at most.
    fn detach(&self) {
        let shared = &self.shared;
        let mut state = shared.state();
        state.stage = Stage::Ending;
        if let Some(cutter) = state.cutter.take() {
            cutter.cut();
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
            .field("url", &self.shared.url)
            .field("channel", &self.shared.channel)
            .field("node", &self.shared.node)
            .finish_non_exhaustive()
    }
}
