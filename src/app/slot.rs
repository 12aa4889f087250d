//! A slot that passes one value from any thread to a connection.
//!
//! It is made before the connection is known, and it does not know what the value means. Neither end knows
//! the other's thread. Its invariant: at most one value is put in, and none once the [`Receiver`] is gone.

use super::Waker;
use super::task::wake_task;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{self, Poll};

/// The error of sending to a response that is over: the client has left, the handler returned another response,
/// or a deferred answer came too late and the client got 504.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the response is over: its client has left or has been answered")
    }
}

impl std::error::Error for Gone {}

#[derive(Debug)]
struct Slot<T> {
    state: Mutex<State<T>>,
}

#[derive(Debug)]
enum State<T> {
    /// Nothing was sent yet.
    Open(Waiting),
    Filled(T),
    /// The receiver is gone, or has taken the value.
    Closed,
}

/// Who waits for the other end.
#[derive(Debug, Default)]
struct Waiting {
    /// The connection's waker, once the connection is known.
    conn: Option<Waker>,
    /// A task that waits until the receiver is gone.
    task: Option<task::Waker>,
}

impl<T> Slot<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sending end.
#[derive(Debug)]
pub(super) struct Sender<T> {
    slot: Arc<Slot<T>>,
}

/// The connection's end.
#[derive(Debug)]
pub(crate) struct Receiver<T> {
    slot: Arc<Slot<T>>,
}

/// Makes an empty slot.
pub(super) fn slot<T>() -> (Sender<T>, Receiver<T>) {
    let slot = Arc::new(Slot { state: Mutex::new(State::Open(Waiting::default())) });
    (Sender { slot: slot.clone() }, Receiver { slot })
}

impl<T> Sender<T> {
    /// Puts the value in and wakes the connection, if it is known already. A slot that was filled before
    /// refuses the value too.
    pub(super) fn send(&self, value: T) -> Result<(), Gone> {
        let mut state = self.slot.state();
        let State::Open(waiting) = &mut *state else { return Err(Gone) };
        let Waiting { conn: waker, task } = std::mem::take(waiting);
        *state = State::Filled(value);
        drop(state);
        // It was polled by the owner of this end, who no longer waits.
        drop(task);
        // Without a waker, the connection finds the value when it binds one.
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Completes when the receiver is gone. Only the task that polled last is woken.
    pub(super) fn poll_gone(&self, cx: &mut task::Context<'_>) -> Poll<()> {
        let task = cx.waker().clone();
        let mut state = self.slot.state();
        let State::Open(waiting) = &mut *state else { return Poll::Ready(()) };
        let before = waiting.task.replace(task);
        drop(state);
        drop(before);
        Poll::Pending
    }

    /// Whether the receiver is gone, or has its value.
    pub(super) fn is_gone(&self) -> bool {
        matches!(*self.slot.state(), State::Closed)
    }
}

impl<T> Receiver<T> {
    /// Sets the waker that is woken when the value is sent. If the value was sent before, nothing is woken.
    pub(crate) fn bind(&self, waker: Waker) {
        if let State::Open(waiting) = &mut *self.slot.state() {
            waiting.conn = Some(waker);
        }
    }

    /// Takes the value, if it is there.
    pub(crate) fn take(&self) -> Option<T> {
        let mut state = self.slot.state();
        if !matches!(*state, State::Filled(_)) {
            return None;
        }
        match std::mem::replace(&mut *state, State::Closed) {
            State::Filled(value) => Some(value),
            State::Open(_) | State::Closed => None,
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let state = std::mem::replace(&mut *self.slot.state(), State::Closed);
        // The value may hold the receiver of another slot, so it is dropped after this slot is unlocked.
        if let State::Open(waiting) = state {
            wake_task(waiting.task);
        }
    }
}
