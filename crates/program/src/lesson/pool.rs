//! Connection objects as Fiber's WebSockets use them: taken from a pool, and returned when the handler returns.
//!
//! It knows no map. A pointer that is kept too long leads to the object's current connection. Its invariant: the object
//! returned last is handed out next, as `sync.Pool` does on one processor.

use fleeting::ConnId;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// `*websocket.Conn`: identifies the object, not the connection that uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(usize);

/// The pool. It has one object for each connection at the busiest moment.
#[derive(Default)]
pub(super) struct Pool(Mutex<Objects>);

#[derive(Default)]
struct Objects {
    /// The connection that uses each object, if any.
    conns: Vec<Option<ConnId>>,
    /// The indices of unused objects, in the order in which they were returned.
    free: Vec<usize>,
}

impl Pool {
    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an object for a new connection.
    pub(super) fn acquire(&self, conn: ConnId) -> Slot {
        let mut objects = self.objects();
        let index = objects.free.pop().unwrap_or(objects.conns.len());
        if index == objects.conns.len() {
            objects.conns.push(None);
        }
        objects.conns[index] = Some(conn);
        Slot(index)
    }

    /// Returns a connection's object to the pool.
    pub(super) fn release(&self, conn: ConnId) {
        let mut objects = self.objects();
        if let Some(index) = objects.conns.iter().position(|user| *user == Some(conn)) {
            objects.conns[index] = None;
            objects.free.push(index);
        }
    }

    /// Returns the connection that uses the object now.
    pub(super) fn conn(&self, slot: Slot) -> Option<ConnId> {
        self.objects().conns[slot.0]
    }
}
