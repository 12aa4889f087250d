//! Wakes a connection from another thread.
//!
//! It knows the connection's id and a [`WakeConn`], but not how that wakes the connection. Its invariant: a connection
//! has at most one wake-up pending, so a queue of wake-ups needs no bound of its own.

use super::ConnId;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Gives a connection a turn. The engine's mailbox implements it.
pub(crate) trait WakeConn: Send + Sync {
    /// Requests a turn for `conn`. Does nothing if the connection is gone.
    fn wake(&self, conn: ConnId);
}

/// Wakes a response's [`Source`](super::Source) that returned [`Later`](super::Progress::Later), from any thread.
/// [`Room::waker`](super::Room::waker) returns it. Cloning it is cheap. When the response is over, waking does nothing.
///
/// ```
/// use fleeting::{Error, Progress, Room, Source, Waker};
/// use std::sync::{Arc, Mutex};
///
/// /// A line from another thread, and the waker that this thread calls.
/// #[derive(Default)]
/// struct Shared {
///     line: Option<String>,
///     waker: Option<Waker>,
/// }
///
/// struct Lines(Arc<Mutex<Shared>>);
///
/// impl Source for Lines {
///     fn read(&mut self, room: &mut Room<'_>) -> Result<Progress, Error> {
///         let mut shared = self.0.lock().unwrap();
///         if let Some(line) = shared.line.take() {
///             room.push(line.as_bytes());
///         }
///         shared.waker = Some(room.waker().clone());
///         Ok(Progress::Later)
///     }
/// }
///
/// fn publish(shared: &Mutex<Shared>, line: String) {
///     let mut shared = shared.lock().unwrap();
///     shared.line = Some(line);
///     if let Some(waker) = &shared.waker {
///         waker.wake();
///     }
/// }
/// ```
#[derive(Clone)]
pub struct Waker {
    state: Arc<WakeState>,
}

struct WakeState {
    conn: ConnId,
    wake: Arc<dyn WakeConn>,
    /// A wake-up is pending: the connection has not taken it yet.
    is_woken: AtomicBool,
}

impl Waker {
    pub(crate) fn new(conn: ConnId, wake: Arc<dyn WakeConn>) -> Waker {
        Waker { state: Arc::new(WakeState { conn, wake, is_woken: AtomicBool::new(false) }) }
    }

    /// Requests another [`read`](super::Source::read) of the source.
    pub fn wake(&self) {
        if !self.state.is_woken.swap(true, Ordering::AcqRel) {
            self.state.wake.wake(self.state.conn);
        }
    }

    /// Takes the pending wake-up. Returns whether there was one.
    pub(crate) fn take_wake(&self) -> bool {
        self.state.is_woken.swap(false, Ordering::AcqRel)
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waker").field("conn", &self.state.conn).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    /// Counts how often it was woken.
    #[derive(Default)]
    pub(crate) struct Counting(pub(crate) AtomicUsize);

    impl WakeConn for Counting {
        fn wake(&self, _conn: ConnId) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) const CONN: ConnId = ConnId { worker: 0, index: 1, generation: 2 };

    #[test]
    fn wakes_once_until_the_wake_up_is_taken() {
        let wake = Arc::new(Counting::default());
        let waker = Waker::new(CONN, wake.clone());
        assert!(!waker.take_wake());
        waker.clone().wake();
        waker.wake();
        assert_eq!(wake.0.load(Ordering::Relaxed), 1);
        assert!(waker.take_wake() && !waker.take_wake());
        waker.wake();
        assert_eq!(wake.0.load(Ordering::Relaxed), 2);
    }
}
