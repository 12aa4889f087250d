//! What the TLS connections of a worker share: memory for one call, and the handshakes that a turn may answer.
//!
//! It knows no connection. Its invariant: a turn answers no more handshakes than [`HANDSHAKES_A_TURN`].

use super::records::Outgoing;
use crate::buffer::Memory;
use std::cell::{Cell, RefCell, RefMut};
use std::sync::Arc;

/// Handshakes that a turn answers. Each takes a signature, so others wait for as many of them at most.
const HANDSHAKES_A_TURN: u32 = 4;

/// What the connections of a worker share.
pub(super) struct Shared {
    buffers: RefCell<Buffers>,
    /// What connections are charged to.
    pub(super) memory: Arc<Memory>,
    handshakes: Cell<u32>,
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
        Shared { buffers: RefCell::default(), memory, handshakes: Cell::new(0) }
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

    /// Whether another handshake may be answered in this turn. Then it counts.
    pub(super) fn take_handshake(&self) -> bool {
        let answered = self.handshakes.get();
        self.handshakes.set(answered + 1);
        answered < HANDSHAKES_A_TURN
    }
}
