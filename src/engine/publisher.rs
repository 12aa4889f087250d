//! Publications on their way: to the worker's own subscribers, to the other workers, to the broker.
//!
//! It knows no connection record. Its invariant: a publication made on this worker is due to the worker's own
//! subscribers at once, and is sent to the other workers and the broker once, in the order of publication.

use super::counters::Counters;
use super::listeners::{Callback, Listener, ListenerId};
use super::remote::handle::Handle;
use crate::app::{ConnId, SocketOptions};
use crate::buffer::SlowConsumer;
use crate::config::Limits;
use crate::panics::catch_counted;
use crate::pubsub::{BatchRange, Encoding, Entry, Kind, Publication, SubscriberId, TopicError, Topics};
use crate::ws::Message;
use std::collections::{HashMap, VecDeque};
use std::hash::RandomState;
use std::sync::Arc;

/// The recipient of a publication.
#[derive(Debug, Clone, Copy)]
pub(super) enum Recipient {
    Conn(ConnId),
    Listener(ListenerId),
}

/// A worker's part in publishing.
pub(super) struct Publisher {
    pub(super) topics: Topics<Recipient>,
    listeners: HashMap<ListenerId, Listener, RandomState>,
    handle: Handle,
    /// The worker's number.
    worker: u16,
    /// The policy for slow consumers, by the number of their route.
    slow: Vec<SlowConsumer>,
    /// Publications not yet sent to the other workers and the broker.
    outbound: Vec<Arc<Publication>>,
    /// Publications already sent, whose memory is used again once the others are done with them.
    relayed: VecDeque<Arc<Publication>>,
}

/// How many sent publications are kept for their memory, and how many bytes each of them may have.
const RELAYED_MAX: usize = 256;
const RELAYED_BYTES_MAX: usize = 16 << 10;

impl Publisher {
    pub(super) fn new(handle: &Handle, worker: u16, sockets: &[SocketOptions], batch_max: u32) -> Publisher {
        Publisher {
            topics: Topics::new(batch_max),
            listeners: HashMap::default(),
            handle: handle.clone(),
            worker,
            slow: sockets.iter().map(|options| options.slow).collect(),
            outbound: Vec::new(),
            relayed: VecDeque::new(),
        }
    }

    /// Returns a route's policy for subscribers that read too slowly.
    pub(super) fn slow_of(&self, route: u16) -> SlowConsumer {
        self.slow[usize::from(route)]
    }

    /// Publishes a session's message, to all subscribers but `except`.
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

    /// Publishes what comes from outside this worker. Its publisher has checked it; an invalid one is ignored.
    pub(super) fn publish_from_outside(
        &mut self,
        publication: &Publication,
        limits: &Limits,
        counters: &mut Counters,
    ) {
        let (name, message) = (publication.topic(), publication.message());
        if let Ok(matched) = self.topics.publish(name, message, None, limits) {
            counters.matched += matched;
            counters.published += 1;
        }
    }

    /// Announces to every subscriber, whatever it has subscribed to; the topic is the announcement's name.
    pub(super) fn announce(&mut self, announcement: &Publication, counters: &mut Counters) {
        counters.matched += self.topics.announce(announcement.topic(), announcement.message());
        counters.announced += 1;
    }

    /// Subscribes a listener. If a limit does not allow it, its callback is dropped.
    pub(super) fn listen(
        &mut self,
        id: ListenerId,
        filter: &str,
        callback: Callback,
        limits: &Limits,
        counters: &mut Counters,
    ) {
        let (mut subscriber, recipient) = (None, (Recipient::Listener(id), Encoding::PLAIN));
        let slow = SlowConsumer::DropNewest;
        let subscribed = self.topics.subscribe(&mut subscriber, recipient, filter, slow, limits);
        match subscriber.filter(|_| subscribed.is_ok()) {
            Some(subscriber) => drop(self.listeners.insert(id, Listener { callback, subscriber })),
            // The callback is the application's, and may panic when it is dropped.
            None => drop(catch_counted(&mut counters.panics, move || drop(callback))),
        }
    }

    /// Ends a listener's subscription.
    pub(super) fn unlisten(&mut self, id: ListenerId, counters: &mut Counters) {
        if let Some(listener) = self.listeners.remove(&id) {
            counters.dropped_closing += self.topics.leave(listener.subscriber);
            // The callback is the application's, and may panic when it is dropped.
            catch_counted(&mut counters.panics, move || drop(listener));
        }
    }

    /// Calls a listener with the range that it is due.
    pub(super) fn notify(&mut self, id: ListenerId, range: BatchRange, counters: &mut Counters) {
        let Some(listener) = self.listeners.get_mut(&id) else {
            counters.dropped_closing += range.len();
            return;
        };
        for at in range.from..range.to {
            let Entry { kind, name, message } = self.topics.batch.entry(at);
            // An announcement is for clients.
            let call = || kind == Kind::Announcement || (listener.callback)(name, message);
            match catch_counted(&mut counters.panics, call) {
                Some(true) => counters.delivered += 1,
                Some(false) => counters.dropped_newest += 1,
                None => {
                    counters.dropped_closing += u64::from(range.to - at);
                    return self.unlisten(id, counters);
                }
            }
        }
    }

    /// Whether nothing is left to be delivered, to subscribers here or to the others.
    #[inline]
    pub(super) fn is_delivered(&self) -> bool {
        self.topics.is_delivered() && self.outbound.is_empty()
    }

    /// Whether as many publications wait to be sent to the others as are kept for their memory afterwards.
    #[inline]
    pub(super) fn relay_is_due(&self) -> bool {
        self.outbound.len() >= RELAYED_MAX
    }

    /// Sends what was published here to the other workers and the broker.
    pub(super) fn relay(&mut self, counters: &mut Counters) {
        if self.outbound.is_empty() {
            return;
        }
        counters.publications_lost += self.handle.relay(self.worker, &self.outbound);
        for publication in self.outbound.drain(..) {
            if self.relayed.len() < RELAYED_MAX && publication.memory_bytes() <= RELAYED_BYTES_MAX {
                self.relayed.push_back(publication);
            }
        }
    }

    /// Returns a publication, in memory that was used before if any is free.
    fn publication(&mut self, name: &str, message: Message<'_>) -> Arc<Publication> {
        // The oldest was sent first: if it is still in use, the others probably are too.
        if let Some(mut used) = self.relayed.pop_front() {
            if let Some(publication) = Arc::get_mut(&mut used) {
                publication.set(name, message);
                return used;
            }
            self.relayed.push_back(used);
        }
        Arc::new(Publication::new(name, message))
    }
}
