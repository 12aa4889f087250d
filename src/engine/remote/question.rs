//! A question to all workers, and the sum of their answers.
//!
//! It does not know how a worker is asked. Its invariant: the caller gets the sum once, when the last worker has answered
//! or is gone.

use std::sync::{Arc, Mutex, PoisonError};

type Done<T> = Box<dyn FnOnce(T) + Send>;

/// A share of a question that all workers are asked. Each worker settles its share, and so does the caller.
pub(crate) struct Question<T>(Arc<Mutex<Open<T>>>);

/// A question that is not settled yet.
struct Open<T> {
    sum: T,
    done: Done<T>,
}

impl<T: Default> Question<T> {
    pub(in crate::engine) fn new(done: Done<T>) -> Question<T> {
        Question(Arc::new(Mutex::new(Open { sum: T::default(), done })))
    }
}

impl<T> Question<T> {
    /// Returns one more share.
    pub(in crate::engine) fn share(&self) -> Question<T> {
        Question(self.0.clone())
    }

    /// Adds one worker's answer.
    pub(in crate::engine) fn add(&self, answer: impl FnOnce(&mut T)) {
        answer(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).sum);
    }

    /// Gives up this share. If it was the last one, calls the application with the sum, and the application may panic.
    /// This is no `drop`, because a panic in a `drop` can abort the process.
    pub(in crate::engine) fn settle(self) {
        if let Some(open) = Arc::into_inner(self.0) {
            let Open { sum, done } = open.into_inner().unwrap_or_else(PoisonError::into_inner);
            done(sum);
        }
    }
}
