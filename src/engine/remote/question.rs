//! What all workers are asked together, and what one worker knows of itself.
//!
//! It knows nothing of how a worker is asked. Its invariant: whoever asks is told once, when the last worker has
//! answered or is gone.

use crate::engine::counters::Counters;
use crate::pubsub::TopicCount;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

type Done<T> = Box<dyn FnOnce(T) + Send>;

/// A question to all workers, and the sum of their answers. The last who lets go of it tells what it has come
/// to.
pub(crate) struct Census<T: Default> {
    sum: Mutex<T>,
    done: Mutex<Option<Done<T>>>,
}

impl<T: Default> Census<T> {
    pub(in crate::engine) fn new(done: Done<T>) -> Census<T> {
        Census { sum: Mutex::default(), done: Mutex::new(Some(done)) }
    }

    /// Adds one worker's answer.
    pub(in crate::engine) fn add(&self, answer: impl FnOnce(&mut T)) {
        answer(&mut self.sum.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl<T: Default> Drop for Census<T> {
    fn drop(&mut self) {
        let sum = std::mem::take(self.sum.get_mut().unwrap_or_else(PoisonError::into_inner));
        if let Some(done) = self.done.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            done(sum);
        }
    }
}

impl<T: Default> fmt::Debug for Census<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Census").finish_non_exhaustive()
    }
}

/// Topics by name.
pub(crate) type TopicCounts = BTreeMap<Box<str>, TopicCount>;

/// Adds what one worker has. Publications reach every worker: the most that one has seen counts.
pub(in crate::engine) fn add_topics(all: &mut TopicCounts, counts: impl Iterator<Item = TopicCount>) {
    for count in counts {
        match all.get_mut(&count.name) {
            Some(known) => {
                known.subscribers += count.subscribers;
                known.published = known.published.max(count.published);
            }
            None => {
                all.insert(count.name.clone(), count);
            }
        }
    }
}

/// What one worker knows of itself: what it has counted, and how much it has of what is bounded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerFigures {
    /// The worker's number, from 0.
    pub worker: u16,
    /// What it has counted since it began.
    pub counters: Counters,
    /// Connections that it may have open; fewer than the limit `connections` if there are too few descriptors.
    pub connections_max: usize,
    /// Topics and filters that its connections have subscribed to.
    pub topics: usize,
    /// Those that it may have: the limit `topics`.
    pub topics_max: usize,
    /// Bytes that its largest request so far has taken in the arena.
    pub arena_high_water_bytes: usize,
    /// Bytes that the arena has reserved.
    pub arena_reserved_bytes: usize,
    /// Bytes that were copied out of requests with [`Keep::keep`](crate::Keep::keep) on its thread.
    pub kept_bytes: u64,
    /// Bytes of inboxes that wait for their next connection.
    pub pooled_inbox_bytes: usize,
}
