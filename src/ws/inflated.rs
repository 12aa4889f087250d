//! The buffer of the last inflated message.
//!
//! It knows no codec. Its invariant: the buffer grows with the bytes written to it, and never past the limit plus one
//! byte. The extra byte shows that the message is too long. While the buffer grows, the old and the new memory together
//! are less than twice that size.

use crate::buffer::NoMemory;

/// The last message that was inflated.
#[derive(Debug, Default)]
pub struct Inflated {
    /// All of it is initialised, so that writing needs no zeroing first.
    memory: Vec<u8>,
    /// The length of the message so far; at most `memory.len()`.
    len: usize,
}

/// Room that is made for any message, up to the limit.
const ROOM_BYTES: usize = 4 << 10;
/// Memory that is kept for the next message. It suffices for 64 KiB and the room that is made at the end.
const KEPT_BYTES: usize = 72 << 10;

impl Inflated {
    /// Makes an empty buffer. It allocates nothing.
    pub fn new() -> Inflated {
        Inflated::default()
    }

    /// Returns the message.
    pub fn bytes(&self) -> &[u8] {
        &self.memory[..self.len]
    }

    /// Returns the bytes of memory that the buffer holds.
    pub fn held_bytes(&self) -> usize {
        self.memory.capacity()
    }

    /// Removes the message, and frees the memory that a rare large message needed.
    pub fn trim(&mut self) {
        self.len = 0;
        if self.memory.len() > KEPT_BYTES {
            self.memory.truncate(KEPT_BYTES);
            self.memory.shrink_to_fit();
        }
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    /// Makes room for `bytes` more bytes, but for no more than `bytes_max` and one byte in total.
    ///
    /// # Errors
    /// There is no memory for it; nothing is changed.
    pub(super) fn reserve(&mut self, bytes: usize, bytes_max: usize) -> Result<(), NoMemory> {
        let capacity_max = bytes_max.saturating_add(1);
        let needed = self.len.saturating_add(bytes).min(capacity_max);
        if self.memory.len() >= needed {
            return Ok(());
        }
        let doubled = needed.max(self.len.saturating_mul(2)).max(ROOM_BYTES);
        // A move holds the old and the new memory. The last one starts from at most three quarters of the maximum.
        let capacity = if doubled > capacity_max / 4 * 3 { capacity_max } else { doubled };
        self.memory.try_reserve_exact(capacity - self.memory.len()).map_err(|_| NoMemory)?;
        self.memory.resize(capacity, 0);
        Ok(())
    }

    /// Returns the room behind the message, up to one byte past `bytes_max` at most. It has at least one byte as long
    /// as the message is not longer than `bytes_max`.
    ///
    /// # Errors
    /// There is no memory for it.
    pub(super) fn room(&mut self, bytes_max: usize) -> Result<&mut [u8], NoMemory> {
        self.reserve(1, bytes_max)?;
        let end = self.memory.len().min(bytes_max.saturating_add(1));
        Ok(&mut self.memory[self.len..end])
    }

    /// Adds the first `bytes` bytes of [`room`](Inflated::room) to the message.
    pub(super) fn filled(&mut self, bytes: usize) {
        self.len += bytes;
        debug_assert!(self.len <= self.memory.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fills the room until the limit is exceeded. Returns the most bytes that were held at once.
    fn overflow(out: &mut Inflated, bytes_max: usize) -> usize {
        let mut held = 0;
        while out.len <= bytes_max {
            let before = out.held_bytes();
            let room = out.room(bytes_max).unwrap().len();
            let moved = if out.held_bytes() == before { 0 } else { before };
            held = held.max(moved + out.held_bytes());
            assert!(room > 0);
            out.filled(room);
        }
        assert_eq!(out.len, bytes_max + 1);
        held
    }

    #[test]
    fn the_buffer_grows_to_the_limit_and_one_byte() {
        let mut kept = Inflated::new();
        for bytes_max in [0, 1, 100, 4094, 4095, 4096, 4097, 6000, 8191, 8192, 12_288, 100_000, 1 << 20] {
            let held = overflow(&mut Inflated::new(), bytes_max);
            assert!(held < 2 * (bytes_max + 1), "{bytes_max}: {held}");
            // The same after any other use.
            kept.clear();
            overflow(&mut kept, bytes_max);
            assert_eq!(kept.held_bytes(), bytes_max + 1);
        }
        kept.trim();
        assert!(kept.bytes().is_empty() && kept.held_bytes() == KEPT_BYTES);
        kept.trim();
        assert_eq!(kept.held_bytes(), KEPT_BYTES);
    }

    #[test]
    fn existing_room_is_not_allocated_again() {
        let mut out = Inflated::new();
        out.reserve(8 << 10, 1 << 20).unwrap();
        let held = out.held_bytes();
        out.filled(100);
        out.reserve(8 << 9, 1 << 20).unwrap();
        assert_eq!((out.held_bytes(), out.bytes().len()), (held, 100));
        out.reserve(1 << 30, 1 << 20).unwrap();
        assert_eq!(out.held_bytes(), (1 << 20) + 1, "never past the limit");
    }
}
