//! The way back to a connection from another thread.
//!
//! It knows the connection's name and something that rings, not what rings. Its invariant: between two
//! looks of the connection at most one ring is under way, so rings need no bound of their own.

use super::ConnId;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What gives a connection a turn; the engine's mailbox is one.
pub(crate) trait WakeConn: Send + Sync {
    /// Asks for a turn of `conn`; nothing happens if that is gone.
    fn wake(&self, conn: ConnId);
}

/// Wakes a response's [`Source`](super::Source) that has said [`Later`](super::Progress::Later), from any
/// thread. Cloning it is cheap. Once the response is over, waking it does nothing.
#[derive(Clone)]
pub struct Waker {
    state: Arc<WakeState>,
}

struct WakeState {
    conn: ConnId,
    wake: Arc<dyn WakeConn>,
    /// A wake-up was requested that the connection has not seen yet.
    is_woken: AtomicBool,
}

impl Waker {
    pub(crate) fn new(conn: ConnId, wake: Arc<dyn WakeConn>) -> Waker {
        Waker { state: Arc::new(WakeState { conn, wake, is_woken: AtomicBool::new(false) }) }
    }

    /// Has the connection look again.
    pub fn wake(&self) {
        if !self.state.is_woken.swap(true, Ordering::AcqRel) {
            self.state.wake.wake(self.state.conn);
        }
    }

    /// The connection looks now: whether it was asked to.
    pub(crate) fn heard(&self) -> bool {
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
    fn wakes_once_until_it_is_heard() {
        let wake = Arc::new(Counting::default());
        let waker = Waker::new(CONN, wake.clone());
        assert!(!waker.heard());
        waker.clone().wake();
        waker.wake();
        assert_eq!(wake.0.load(Ordering::Relaxed), 1);
        assert!(waker.heard() && !waker.heard());
        waker.wake();
        assert_eq!(wake.0.load(Ordering::Relaxed), 2);
    }
}
