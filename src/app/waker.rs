//! The way back to a connection from another thread.
//!
//! It knows the connection's name and something that rings, not what rings. Its invariant: between two
//! looks of the connection at most one ring is under way, so rings need no bound of their own.

use super::ConnId;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What gives a connection a turn; the engine's mailbox is one.
pub(crate) trait Bell: Send + Sync {
    /// Asks for a turn of `conn`; nothing happens if that is gone.
    fn ring(&self, conn: ConnId);
}

/// Wakes a response's [`Source`](super::Source) that has said [`Later`](super::Progress::Later), from any
/// thread. Cloning it is cheap. Once the response is over, waking it does nothing.
#[derive(Clone)]
pub struct Waker {
    rope: Arc<Rope>,
}

struct Rope {
    conn: ConnId,
    bell: Arc<dyn Bell>,
    /// It has rung, and the connection has not looked since.
    rung: AtomicBool,
}

impl Waker {
    pub(crate) fn new(conn: ConnId, bell: Arc<dyn Bell>) -> Waker {
        Waker { rope: Arc::new(Rope { conn, bell, rung: AtomicBool::new(false) }) }
    }

    /// Has the connection look again.
    pub fn wake(&self) {
        if !self.rope.rung.swap(true, Ordering::AcqRel) {
            self.rope.bell.ring(self.rope.conn);
        }
    }

    /// The connection looks now: whether it was asked to.
    pub(crate) fn heard(&self) -> bool {
        self.rope.rung.swap(false, Ordering::AcqRel)
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waker").field("conn", &self.rope.conn).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    /// Counts how often it was rung.
    #[derive(Default)]
    pub(crate) struct Counting(pub(crate) AtomicUsize);

    impl Bell for Counting {
        fn ring(&self, _conn: ConnId) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) const CONN: ConnId = ConnId { worker: 0, index: 1, generation: 2 };

    #[test]
    fn rings_once_until_it_is_heard() {
        let bell = Arc::new(Counting::default());
        let waker = Waker::new(CONN, bell.clone());
        assert!(!waker.heard());
        waker.clone().wake();
        waker.wake();
        assert_eq!(bell.0.load(Ordering::Relaxed), 1);
        assert!(waker.heard() && !waker.heard());
        waker.wake();
        assert_eq!(bell.0.load(Ordering::Relaxed), 2);
    }
}
