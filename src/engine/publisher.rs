//! Publications on their way: to the worker's own subscribers, to the other workers, to the broker.
//!
//! It knows no connection's record. Its invariant: what is published here is due to the subscribers here at
//! once, and leaves for the others, once, in the order in which it was published.

use super::counters::Counters;
use super::listeners::{Ear, Heard, Listener, ListenerId};
use super::remote::handle::Handle;
use crate::app::{ConnId, SocketOptions};
use crate::buffer::SlowConsumer;
use crate::config::Limits;
use crate::panics::catch_counted;
use crate::pubsub::{BatchRange, Encoding, Kind, Publication, SubscriberId, TopicError, Topics};
use crate::ws::Message;
use std::collections::{HashMap, VecDeque};
use std::hash::RandomState;
use std::sync::Arc;

/// Who something is due to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    Conn(ConnId),
    Listener(ListenerId),
}

/// A worker's part in publishing.
pub(super) struct Exchange {
    pub(super) topics: Topics<Target>,
    listeners: HashMap<ListenerId, Listener, RandomState>,
    handle: Handle,
    /// The worker's number.
    worker: u16,
    /// What becomes of publications for the slow, by the number of their route.
    slow: Vec<SlowConsumer>,
    /// What the others have yet to be told.
    outbound: Vec<Arc<Publication>>,
    /// What they were told, to be used again once they have let go of it.
    told: VecDeque<Arc<Publication>>,
}

/// Publications kept to be used again, and the memory that one of them may have.
const TOLD_MAX: usize = 256;
const TOLD_BYTES_MAX: usize = 16 << 10;

impl Exchange {
    pub(super) fn new(handle: &Handle, worker: u16, sockets: &[SocketOptions]) -> Exchange {
        Exchange {
            topics: Topics::default(),
            listeners: HashMap::default(),
            handle: handle.clone(),
            worker,
            slow: sockets.iter().map(|options| options.slow).collect(),
            outbound: Vec::new(),
            told: VecDeque::new(),
        }
    }

    /// What a route does with publications for who reads too slowly.
    pub(super) fn slow_of(&self, route: u16) -> SlowConsumer {
        self.slow[usize::from(route)]
    }

    /// Publishes what a session says: to all subscribers but `except`.
    pub(super) fn publish(
        &mut self,
        name: &str,
        message: Message<'_>,
        except: Option<SubscriberId>,
        limits: &Limits,
        counters: &mut Counters,
    ) -> Result<(), TopicError> {
        counters.matched += self.topics.publish(name, message, except, limits)?;
        counters.published += 1;
        if self.handle.has_others() {
            let publication = self.publication(name, message);
            self.outbound.push(publication);
        }
        Ok(())
    }

    /// Publishes what comes from outside of this worker. Whoever made it has seen that it is in order; what
    /// is not is nobody's.
    pub(super) fn take_in(&mut self, publication: &Publication, limits: &Limits, counters: &mut Counters) {
        let (name, message) = (publication.topic(), publication.message());
        if let Ok(matched) = self.topics.publish(name, message, None, limits) {
            counters.matched += matched;
            counters.published += 1;
        }
    }

    /// Tells all who have subscribed to anything; the topic is what it is about.
    pub(super) fn announce(&mut self, announcement: &Publication, counters: &mut Counters) {
        counters.matched += self.topics.announce(announcement.topic(), announcement.message());
        counters.announced += 1;
    }

    /// Subscribes a listener. If that is not allowed, it is dropped.
    pub(super) fn listen(&mut self, id: ListenerId, filter: &str, ear: Ear, limits: &Limits) {
        let (mut who, whom) = (None, (Target::Listener(id), Encoding::PLAIN));
        let slow = SlowConsumer::DropNewest;
        if self.topics.subscribe(&mut who, whom, filter, slow, limits).is_ok()
            && let Some(who) = who
        {
            self.listeners.insert(id, Listener { ear, who });
        }
    }

    /// Ends a listener's subscription.
    pub(super) fn unlisten(&mut self, id: ListenerId, counters: &mut Counters) {
        if let Some(listener) = self.listeners.remove(&id) {
            counters.dropped_closing += self.topics.leave(listener.who);
            // What is dropped here is the application's.
            catch_counted(&mut counters.panics, move || drop(listener));
        }
    }

    /// Tells a listener what it is due.
    pub(super) fn tell(&mut self, id: ListenerId, run: BatchRange, counters: &mut Counters) {
        let Some(listener) = self.listeners.get_mut(&id) else {
            counters.dropped_closing += run.len();
            return;
        };
        for at in run.from..run.to {
            let heard = match self.topics.batch.entry(at) {
                (Kind::Publication, topic, message) => Heard::Publication(topic, message),
                (Kind::Announcement, name, message) => Heard::Announcement(name, message),
            };
            match catch_counted(&mut counters.panics, || (listener.ear)(heard)) {
                Some(true) => counters.delivered += 1,
                Some(false) => counters.dropped_newest += 1,
                None => {
                    counters.dropped_closing += u64::from(run.to - at);
                    return self.unlisten(id, counters);
                }
            }
        }
    }

    /// Whether the others, or subscribers here, have yet to be told something.
    #[inline]
    pub(super) fn is_delivered(&self) -> bool {
        self.topics.is_delivered() && self.outbound.is_empty()
    }

    /// Tells the others.
    pub(super) fn tell_others(&mut self, counters: &mut Counters) {
        if self.outbound.is_empty() {
            return;
        }
        counters.publications_lost += self.handle.relay(self.worker, &self.outbound);
        for publication in self.outbound.drain(..) {
            if self.told.len() < TOLD_MAX && publication.memory_bytes() <= TOLD_BYTES_MAX {
                self.told.push_back(publication);
            }
        }
    }

    /// A publication in memory that was used before, if any is free.
    fn publication(&mut self, name: &str, message: Message<'_>) -> Arc<Publication> {
        // The first were told first: if somebody holds on to the oldest, the others are hardly free.
        if let Some(mut used) = self.told.pop_front() {
            if let Some(publication) = Arc::get_mut(&mut used) {
                publication.set(name, message);
                return used;
            }
            self.told.push_back(used);
        }
        Arc::new(Publication::new(name, message))
    }
}
