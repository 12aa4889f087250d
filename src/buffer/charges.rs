//! What an outbox takes of the server's memory.
//!
//! It knows no order and no socket. Its invariant: the account follows the pieces, and what there is no memory for is never
//! queued in part.

use super::memory::NoMemory;
use super::outbox::Outbox;
use super::piece::Piece;

/// The granularity in which the server's memory is taken.
const CHARGE_BYTES: usize = 4096;

impl Outbox {
    /// Returns whether bytes are missing, because there was no memory to queue them. The connection must be dropped then.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether the server has too little memory for more to be queued.
    pub(super) fn is_short(&self) -> bool {
        self.charge.is_short()
    }

    /// Takes what the pieces need of the server's memory, or gives back what they no longer need.
    pub(super) fn settle(&mut self) -> Result<(), NoMemory> {
        self.charge.set(self.own_bytes.next_multiple_of(CHARGE_BYTES))
    }

    /// Adds a piece and its charges.
    pub(super) fn add(&mut self, piece: Piece) {
        self.charged_bytes += piece.charge();
        self.own_bytes += piece.own_bytes();
        // What has the memory already, or is too small to matter, is not refused.
        let _ = self.settle();
        self.pieces.push_back(piece);
    }

    /// Subtracts the charges of a piece.
    pub(super) fn subtract(&mut self, piece: &Piece) {
        self.charged_bytes -= piece.charge();
        self.own_bytes -= piece.own_bytes();
        // Less is always granted, unless more than that could not be taken before.
        let _ = self.settle();
    }

    /// Returns whether the server has this much more memory. Otherwise the queue is broken.
    pub(super) fn has_memory(&mut self, bytes: usize) -> bool {
        let needed = (self.own_bytes + bytes).next_multiple_of(CHARGE_BYTES);
        self.broken |= self.charge.set(needed).is_err();
        !self.broken
    }

    /// Returns a copy of `bytes`. If there is no memory for it, the queue is broken.
    pub(super) fn copy(&mut self, bytes: &[u8]) -> Option<Piece> {
        let mut copy = Vec::new();
        if !self.has_memory(bytes.len()) || copy.try_reserve_exact(bytes.len()).is_err() {
            return self.run_out();
        }
        copy.extend_from_slice(bytes);
        Some(Piece::Owned(copy))
    }

    #[cold]
    pub(super) fn run_out(&mut self) -> Option<Piece> {
        if !self.broken {
            self.charge.run_out();
            self.broken = true;
        }
        None
    }
}
