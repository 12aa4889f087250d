//! Connection objects as Fiber's WebSockets have them: taken from a pool, and given back when the handler returns.
//!
//! It knows no map. Whoever has kept a pointer to one speaks to whoever has it now. Its invariant: what was
//! given back last is handed out next, as `sync.Pool` does on one processor.

use fleeting::ConnId;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// `*websocket.Conn`: it says which object, and nothing of whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(usize);

/// The pool. It has as many objects as there were connections at one time.
#[derive(Default)]
pub(super) struct Pool(Mutex<Objects>);

#[derive(Default)]
struct Objects {
    /// The connection of each object, if it is in use.
    conns: Vec<Option<ConnId>>,
    /// The objects that are not, in the order in which they were given back.
    free: Vec<usize>,
}

impl Pool {
    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An object for a new connection.
    pub(super) fn acquire(&self, conn: ConnId) -> Slot {
        let mut objects = self.objects();
        let at = objects.free.pop().unwrap_or(objects.conns.len());
        if at == objects.conns.len() {
            objects.conns.push(None);
        }
        objects.conns[at] = Some(conn);
        Slot(at)
    }

    /// Gives a connection's object back.
    pub(super) fn release(&self, conn: ConnId) {
        let mut objects = self.objects();
        if let Some(at) = objects.conns.iter().position(|held| *held == Some(conn)) {
            objects.conns[at] = None;
            objects.free.push(at);
        }
    }

    /// The connection that the object belongs to now.
    pub(super) fn conn(&self, slot: Slot) -> Option<ConnId> {
        self.objects().conns[slot.0]
    }
}
