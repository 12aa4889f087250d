//! Subscribers that are not connections: callbacks of the application, called on a worker's thread.
//!
//! It knows no table of topics. Its invariant: a listener is called with each publication that it is due, in order, until
//! its [`Subscription`](super::Subscription) is dropped or it has panicked; then it is dropped.

use crate::pubsub::SubscriberId;
use crate::ws::Message;
use std::sync::atomic::{AtomicU64, Ordering};

/// Called with the topic and the message of a publication. Returns whether it has taken it.
pub(crate) type Callback = Box<dyn FnMut(&str, Message<'_>) -> bool + Send>;

/// Identifies a listener, uniquely in the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ListenerId(u64);

impl ListenerId {
    /// Returns a new id.
    pub(super) fn next() -> ListenerId {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        ListenerId(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// Returns the number of the one worker, of `workers`, that has this listener. One is enough: publications reach
    /// all workers.
    pub(super) fn worker(self, workers: usize) -> usize {
        (self.0 % workers as u64) as usize
    }
}

/// A listener in its worker.
pub(super) struct Listener {
    pub(super) callback: Callback,
    pub(super) subscriber: SubscriberId,
}
