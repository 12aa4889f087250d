//! The broker over a Redis: what is published here goes out on one channel, and what others publish comes in.
//!
//! It knows no command of Redis's: [`publishing`](super::publishing) and [`subscribing`](super::subscribing) do, each
//! on a thread and a connection of its own. Invariant: a publication that does not go out when it is made, but for the
//! time that the queue takes, never does; its number tells the others.

use super::backoff::{Backoff, chance};
use super::envelope::NODE_BYTES_MAX;
use super::link::Cutter;
use super::options::RedisOptions;
use super::peers::Gap;
use super::url::RedisUrl;
use super::{publishing, subscribing};
use fleeting::{Broker, Inlet, Publication};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
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

type Announce = dyn Fn(&Gap) -> String + Send + Sync;

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
    reached: u64,
    /// Whether each thread has tried to reach it.
    tried: [bool; THREADS],
    /// Whether each thread has failed to reach it since it did last.
    away: [bool; THREADS],
    /// Threads that have ended.
    ended: usize,
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
const THREADS: usize = 2;
/// Publications that are queued, and the bytes that they hold; one of more is never sent.
const QUEUE_MAX: usize = 65_536;
const QUEUE_BYTES_MAX: usize = 32 << 20;

/// What a [`RedisBroker`] has counted since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct BrokerCounters {
    /// Publications made here.
    pub published: u64,
    /// Of these, those that Redis has taken.
    pub sent: u64,
    /// Of these, those that were dropped because Redis was away, or went before it said that it had them.
    pub dropped_away: u64,
    /// Of these, those that were dropped because the queue was full.
    pub dropped_full: u64,
    /// Publications of others that were new here.
    pub received: u64,
    /// Of these, those that a worker had no room for.
    pub overflowed: u64,
    /// Publications of others that came after one that was made later.
    pub late: u64,
    /// Messages on the channel that are nothing of ours.
    pub malformed: u64,
    /// Gaps that were announced.
    pub gaps: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) published: AtomicU64,
    pub(super) sent: AtomicU64,
    pub(super) dropped_away: AtomicU64,
    pub(super) dropped_full: AtomicU64,
    pub(super) received: AtomicU64,
    pub(super) overflowed: AtomicU64,
    pub(super) late: AtomicU64,
    pub(super) malformed: AtomicU64,
    pub(super) gaps: AtomicU64,
}

/// Counts some more.
pub(super) fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

/// Why a server cannot have such a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeError {
    /// It is empty, or has more bytes than this.
    Length(usize),
    /// It holds a control character.
    Control,
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NodeError::Length(max) => write!(f, "the name of a node has 1 to {max} bytes"),
            NodeError::Control => f.write_str("the name of a node holds no control characters"),
        }
    }
}

impl std::error::Error for NodeError {}

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

/// Sees whether a server may have this name.
///
/// # Errors
/// [`NodeError`].
pub fn check_node(node: &str) -> Result<(), NodeError> {
    if !(1..=NODE_BYTES_MAX).contains(&node.len()) {
        return Err(NodeError::Length(NODE_BYTES_MAX));
    }
    if node.chars().any(char::is_control) { Err(NodeError::Control) } else { Ok(()) }
}

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

    fn begin(self: &Arc<Shared>, name: &str, work: impl FnOnce(&Shared) + Send + 'static) -> io::Result<()> {
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
