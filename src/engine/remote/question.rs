//! A question to all workers, and the sum of their answers.
//!
//! It does not know how a worker is asked. Its invariant: the caller gets the sum once, when the last worker has answered
//! or is gone.

use crate::pubsub::TopicCount;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

type Done<T> = Box<dyn FnOnce(T) + Send>;

/// A question to all workers, shared by them. Dropping the last reference passes the sum of the answers to the caller.
pub(crate) struct Question<T: Default> {
    sum: Mutex<T>,
    done: Mutex<Option<Done<T>>>,
}

impl<T: Default> Question<T> {
    pub(in crate::engine) fn new(done: Done<T>) -> Question<T> {
        Question { sum: Mutex::default(), done: Mutex::new(Some(done)) }
    }

    /// Adds one worker's answer.
    pub(in crate::engine) fn add(&self, answer: impl FnOnce(&mut T)) {
        answer(&mut self.sum.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl<T: Default> Drop for Question<T> {
    fn drop(&mut self) {
        let sum = std::mem::take(self.sum.get_mut().unwrap_or_else(PoisonError::into_inner));
        if let Some(done) = self.done.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            done(sum);
        }
    }
}

impl<T: Default> fmt::Debug for Question<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question").finish_non_exhaustive()
    }
}

/// The counts of topics, by name.
pub(crate) type TopicCounts = BTreeMap<Box<str>, TopicCount>;

/// Adds one worker's topics. Publications reach every worker, so the largest count is the right one.
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
