//! Where the answers of a connection's turn are joined before they are written.
//!
//! It knows no connection and no stream. Its invariant: it is empty between turns.

use crate::buffer::{Memory, Outboxes};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// Bytes to be written together, and how many have passed.
pub(super) struct Cork {
    bytes: Vec<u8>,
    /// Bytes that have left for a stream or an outbox, over all connections, including those that never were in `bytes`
    /// because they are large.
    passed: u64,
    /// Those of them that were lost, because the stream has failed.
    lost: u64,
    /// Where what a stream does not take goes on.
    pub(super) outboxes: Outboxes,
}

impl Cork {
    pub(super) fn new(bytes: usize, memory: Arc<Memory>) -> Cork {
        Cork { bytes: Vec::with_capacity(bytes), passed: 0, lost: 0, outboxes: Outboxes::new(memory) }
    }

    /// Returns the memory that outboxes are charged to.
    pub(super) fn memory(&self) -> &Arc<Memory> {
        self.outboxes.memory()
    }

    /// Returns the position behind the bytes that were put in last. The
    /// differences between positions of one turn are numbers of bytes, modulo 2^64.
    #[inline]
    pub(super) fn position(&self) -> u64 {
        self.passed.wrapping_add(self.bytes.len() as u64)
    }

    /// Notes that `bytes` bytes have left.
    #[inline]
    pub(super) fn passed(&mut self, bytes: u64) {
        // The length of a file may be any number.
        self.passed = self.passed.wrapping_add(bytes);
    }

    pub(super) fn lost(&mut self, bytes: usize) {
        self.lost += bytes as u64;
    }

    /// Returns the number of bytes that were lost since the last call.
    pub(super) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    /// Frees the memory beyond `kept` bytes, if there is more.
    pub(super) fn shrink(&mut self, kept: usize, bytes: usize) {
        if self.bytes.capacity() > kept {
            self.bytes = Vec::with_capacity(bytes);
        }
    }
}

impl Deref for Cork {
    type Target = Vec<u8>;

    #[inline]
    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Cork {
    #[inline]
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}
