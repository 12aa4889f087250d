//! A count that all workers add to.

use crate::pubsub::TopicCount;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

type Done = Box<dyn FnOnce(Vec<TopicCount>) + Send>;

/// The topics of all workers. The last who lets go of it tells what it has come to.
pub(crate) struct Census {
    counts: Mutex<BTreeMap<Box<str>, TopicCount>>,
    done: Mutex<Option<Done>>,
}

impl Census {
    pub(super) fn new(done: Done) -> Census {
        Census { counts: Mutex::default(), done: Mutex::new(Some(done)) }
    }

    /// Adds what one worker has. Publications reach every worker: the most that one has seen counts.
    pub(super) fn add(&self, counts: impl Iterator<Item = TopicCount>) {
        let mut all = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
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
}

impl Drop for Census {
    fn drop(&mut self) {
        let counts = std::mem::take(self.counts.get_mut().unwrap_or_else(PoisonError::into_inner));
        if let Some(done) = self.done.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            done(counts.into_values().collect());
        }
    }
}

impl fmt::Debug for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Census").finish_non_exhaustive()
    }
}
