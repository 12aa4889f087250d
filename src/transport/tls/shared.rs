//! What the TLS connections of a worker share: memory for one call, and the handshakes that a turn may answer.
//!
//! It knows no connection. Its invariants: a turn answers no more handshakes than [`HANDSHAKES_A_TURN`]; one that has waited for a
//! later turn is answered before those that have not.

use super::records::Outgoing;
use crate::buffer::Memory;
use std::cell::{Cell, RefCell, RefMut};
use std::rc::Rc;
use std::sync::Arc;

/// Handshakes that a turn answers. Each takes a signature, so others wait for as many of them at most.
pub(super) const HANDSHAKES_A_TURN: u32 = 2;

/// What the connections of a worker share.
pub(super) struct Shared {
    buffers: RefCell<Buffers>,
    /// What connections are charged to.
    pub(super) memory: Arc<Memory>,
    /// Those that this turn has answered.
    handshakes: Cell<u32>,
    /// Those that wait for a later turn.
    put_off: Cell<u32>,
}

/// A handshake that waits for a later turn.
pub(super) struct PutOff(Rc<Shared>);

impl PutOff {
    pub(super) fn new(shared: &Rc<Shared>) -> PutOff {
        shared.put_off.set(shared.put_off.get() + 1);
        PutOff(shared.clone())
    }
}

impl Drop for PutOff {
    fn drop(&mut self) {
        self.0.put_off.set(self.0.put_off.get() - 1);
    }
}

/// Memory that a connection uses during one call.
#[derive(Default)]
pub(super) struct Buffers {
    /// Records that have arrived.
    pub(super) incoming: Vec<u8>,
    /// Records to be sent.
    pub(super) outgoing: Outgoing,
}

impl Shared {
    pub(super) fn new(memory: Arc<Memory>) -> Shared {
        Shared { buffers: RefCell::default(), memory, handshakes: Cell::new(0), put_off: Cell::new(0) }
    }

    /// Returns the memory for a call of one connection, without what an earlier call may have left to be sent: that was for
    /// another one.
    pub(super) fn begin_call(&self) -> RefMut<'_, Buffers> {
        let mut buffers = self.buffers.borrow_mut();
        buffers.outgoing.clear();
        buffers
    }

    /// Begins a turn.
    #[inline]
    pub(super) fn begin_turn(&self) {
        self.handshakes.set(0);
    }

    /// Whether another handshake may be answered in this turn. Then it counts. `has_waited`: it was put off before.
    pub(super) fn take_handshake(&self, has_waited: bool) -> bool {
        let ahead = if has_waited { 0 } else { self.put_off.get() };
        let answered = self.handshakes.get();
        let may = answered + ahead < HANDSHAKES_A_TURN;
        self.handshakes.set(answered + u32::from(may));
        may
    }
}
