//! What an outbox takes of the server's memory.
//!
//! It knows no order and no socket. Its invariant: the account follows the pieces, and what there is no memory for is never
//! queued in part.

use super::memory::NoMemory;
use super::outbox::Outbox;
use super::piece::Piece;

/// The granularity in which the server's memory is taken.
const CHARGE_BYTES: usize = 4096;
/// The most memory of a copy that is kept for the next, in bytes: by a queue that is empty, and by one that is not.
const SPARE_BYTES_MAX: usize = 128 << 10;
const SPARE_BYTES_IN_USE: usize = 1 << 10;

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

    /// Removes a piece that has left. If it had memory of its own, that may be kept for the next copy.
    pub(super) fn retire(&mut self, piece: Piece) {
        self.charged_bytes -= piece.charge();
        self.own_bytes -= piece.own_bytes();
        if let Piece::Owned(mut bytes) = piece {
            let spare_max = if self.pieces.is_empty() { SPARE_BYTES_MAX } else { SPARE_BYTES_IN_USE };
            let [small, large] = &mut self.spare;
            if bytes.capacity() <= spare_max && bytes.capacity() > small.capacity() {
                self.own_bytes += bytes.capacity() - small.capacity();
                bytes.clear();
                *small = bytes;
                if small.capacity() > large.capacity() {
                    std::mem::swap(small, large);
                }
            }
        }
        // Less is always granted, as in `subtract`.
        let _ = self.settle();
    }

    /// Returns which of the spare memory a copy of `bytes` bytes takes: one that is not much larger, because a queue is charged
    /// what its pieces have.
    fn spare_for(&self, bytes: usize) -> Option<usize> {
        let fits = |spare: &Vec<u8>| (bytes..=2 * bytes + SPARE_BYTES_IN_USE).contains(&spare.capacity());
        self.spare.iter().position(|spare| spare.capacity() > 0 && fits(spare))
    }

    /// Returns the memory that a copy of `bytes` bytes will have.
    pub(super) fn copy_capacity(&self, bytes: usize) -> usize {
        self.spare_for(bytes).map_or(bytes, |at| self.spare[at].capacity())
    }

    /// Returns memory for `bytes` bytes, of a copy that has left, or none. It is empty, and charged no longer.
    pub(super) fn take_spare(&mut self, bytes: usize) -> Vec<u8> {
        let Some(at) = self.spare_for(bytes) else { return Vec::new() };
        let spare = std::mem::take(&mut self.spare[at]);
        self.own_bytes -= spare.capacity();
        self.spare.sort_unstable_by_key(Vec::capacity);
        spare
    }

    /// Gives spare memory back, but for what a queue in use may keep.
    pub(super) fn release_spare(&mut self) {
        let mut released = 0;
        for spare in &mut self.spare {
            if spare.capacity() > SPARE_BYTES_IN_USE {
                released += std::mem::take(spare).capacity();
            }
        }
        if released > 0 {
            self.own_bytes -= released;
            self.spare.sort_unstable_by_key(Vec::capacity);
            // Less is always granted.
            let _ = self.settle();
        }
    }

    /// Makes an empty queue as new, but for its memory.
    pub(super) fn reset(&mut self) {
        debug_assert!(self.is_empty());
        let Outbox { pieces, spare, charge, .. } = std::mem::take(self);
        self.own_bytes = spare.iter().map(Vec::capacity).sum();
        (self.pieces, self.spare, self.charge) = (pieces, spare, charge);
        let _ = self.settle();
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
        if self.charge.set((self.own_bytes + bytes).next_multiple_of(CHARGE_BYTES)).is_err() {
            self.release_spare();
            let needed = (self.own_bytes + bytes).next_multiple_of(CHARGE_BYTES);
            self.broken |= self.charge.set(needed).is_err();
        }
        !self.broken
    }

    /// Returns a copy of `bytes`. If there is no memory for it, the queue is broken.
    pub(super) fn copy(&mut self, bytes: &[u8]) -> Option<Piece> {
        let mut copy = self.take_spare(bytes.len());
        if !self.has_memory(bytes.len().max(copy.capacity())) || copy.try_reserve_exact(bytes.len()).is_err()
        {
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
